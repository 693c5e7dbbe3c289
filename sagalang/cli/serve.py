"""`saga serve`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from socket import socket

    from sagalang.host.definitions import Definition
    from sagalang.runtime.transport import Transport
    from sagalang.serve.guard import Rules
    from sagalang.workspace import Loaded

DEFAULT_PORT = 8400
TOKEN = "SAGA_TOKEN"
SHORTEST_TOKEN = 16


@click.command("serve")
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option(
    "--db",
    metavar="FILE",
    envvar="SAGA_DB",
    help="The journal file, by default .saga/journal.db; with --mock, and for `:memory:`, nothing"
    " is kept. Also: SAGA_DB.",
)
@click.option(
    "--host", default="127.0.0.1", help="Where to listen; other machines only with a token."
)
@click.option("--port", type=click.IntRange(0, 65_535), default=DEFAULT_PORT, help="0: any free.")
@click.option(
    "--token-env",
    metavar="NAME",
    help=f"The environment variable that has the token which requests need, by default {TOKEN}.",
)
@click.option("--mock", is_flag=True, help="Run sagas on fakes of their services.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    help="What to log to standard error.",
)
def command(
    files: tuple[str, ...],
    db: str | None,
    host: str,
    port: int,
    token_env: str | None,
    mock: bool,
    log_level: str,
) -> None:
    """Run the sagas of FILE… behind an HTTP API: start them, see how they stand, and signal,
    cancel and settle them. /openapi.json describes it.

    It owns the journal file, and goes on with every run in it that is not over. Ctrl-C and SIGTERM
    leave running sagas as they are: they go on at the next start.

    \b
    saga serve order.saga --mock
    saga serve order.saga shop.saga --db /var/lib/shop/journal.db
    SAGA_TOKEN=… saga serve order.saga --host 0.0.0.0
    """
    from sagalang.cli.running.engines import PATIENCE
    from sagalang.cli.terminal import usage_error
    from sagalang.runtime.engine import EngineError
    from sagalang.runtime.logs import to_stderr

    try:
        from prometheus_client import disable_created_metrics

        from sagalang.serve.guard import Rules, is_loopback
        from sagalang.serve.server import listening
        from sagalang.serve.state import NameClashError
    except ModuleNotFoundError as missing:
        usage_error(
            f"`saga serve` needs the package {missing.name}", "pip install 'sagalang[serve]'"
        )
        raise
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each
    loopback = is_loopback(host)
    rules = Rules(loopback, _token(token_env, host, loopback))
    programs = [_checked(file) for file in files]
    to_stderr(log_level)
    try:
        listener = listening(host, port)
    except (OSError, UnicodeError) as error:  # a name that cannot be one is a UnicodeError
        usage_error(
            f"cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}",
            "choose another --port, or 0 for any that is free",
        )
        raise
    try:
        with listener, _journal(db, mock) as path:
            asyncio.run(_serve(path, programs, rules, listener, mock=mock, wait=PATIENCE))
    except NameClashError as clash:
        usage_error(str(clash), "rename one, or serve one of the files from a server of its own")
    except EngineError as problem:
        usage_error(str(problem), getattr(problem, "advice", None))


def _token(name: str | None, host: str, loopback: bool) -> str | None:
    """What requests have to show. It never stands on a command line, which all users can read."""
    from sagalang.cli.terminal import usage_error

    variable = name or TOKEN
    token = os.environ.get(variable)
    if token is None:
        if name is not None:
            usage_error(f"the environment variable {name} is not set", f"put the token into {name}")
        if not loopback:
            usage_error(
                f"{host} can be reached from other machines, and there is no token",
                f"put a long random text into {variable}: "
                f"export {variable}=$(openssl rand -hex 32)",
            )
        return None
    if len(token) < SHORTEST_TOKEN or not (token.isascii() and token.isprintable()):
        usage_error(
            f"{variable} cannot be a token: it needs {SHORTEST_TOKEN} or more characters, all of"
            " them printable ASCII",
            f"for example: export {variable}=$(openssl rand -hex 32)",
        )
    return token


def _checked(file: str) -> Loaded:
    from sagalang.cli.terminal import show_diagnostics, summary
    from sagalang.workspace import load

    loaded = load(file)
    if loaded.diagnostics:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
    if loaded.has_errors:
        click.echo(f"{summary(loaded.diagnostics)}; nothing is served", err=True)
        sys.exit(2)
    return loaded


@contextmanager
def _journal(db: str | None, mock: bool) -> Iterator[Path]:
    from tempfile import TemporaryDirectory

    from sagalang.cli.running.engines import IN_MEMORY
    from sagalang.runtime.place import journal_file

    if db == IN_MEMORY or (db is None and mock):
        with TemporaryDirectory(prefix="saga-serve-") as folder:
            yield Path(folder, "journal.db")
    else:
        yield journal_file(db)


async def _serve(
    path: Path,
    programs: Sequence[Loaded],
    rules: Rules,
    listener: socket,
    *,
    mock: bool,
    wait: float,
) -> None:
    from sagalang.cli.running.reach import reach
    from sagalang.runtime.clock import SystemClock
    from sagalang.runtime.telemetry import observing
    from sagalang.serve.app import application
    from sagalang.serve.server import serve, url
    from sagalang.serve.state import serving

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    clock = SystemClock()

    @asynccontextmanager
    async def services(definition: Definition) -> AsyncIterator[Transport]:
        async with reach(definition, clock) as transport:
            yield transport

    with observing() as telemetry:
        opened = serving(
            path,
            programs,
            services,
            rules,
            command=f"saga serve {' '.join(each.program.main for each in programs)}",
            fakes=mock,
            wait=wait,
            watching=telemetry,
        )
        async with opened as state:
            sagas = ", ".join(state.definitions)
            on = " on fakes of their services" if mock else ""
            click.echo(f"serving {sagas}{on} at {url(listener)}")
            going = len(state.host.unfinished())
            if going:
                which = "1 unfinished run" if going == 1 else f"{going} unfinished runs"
                click.echo(f"goes on with {which} on record")
            sys.stdout.flush()
            stopping = asyncio.create_task(_tell(stop, state.stopping))
            try:
                await serve(application(state), listener, stop)
            finally:
                stopping.cancel()


async def _tell(stop: asyncio.Event, stopping: asyncio.Event) -> None:
    """Streams have to end before the server can."""
    await stop.wait()
    stopping.set()
