"""`saga mock`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sagalang.model import program as p
    from sagalang.runtime.fakes import FakeWorld
    from sagalang.workspace import Loaded

_DEFAULT_PORT = 8300


@click.command("mock")
@click.argument("file", metavar="FILE")
@click.option("--port", type=click.IntRange(0, 65_000), help="Of the first service; 0: any free.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Let a fake fail.")
@click.option("--latency", default="0", metavar="MS", help="How long fakes take: 20, or 10-50.")
@click.option("--seed", default=0, help="Other answers, made from the same types.")
def command(file: str, port: int | None, faults: tuple[str, ...], latency: str, seed: int) -> None:
    """Serve fakes of the services in FILE, so that sagas run before any service exists.

    The fakes keep the promises of their contracts: they honour idempotency keys, record
    rejections, fence late calls. Ctrl-C ends them and prints what they hold.

    \b
    saga mock order.saga
    saga mock order.saga --fault "Payment.charge times out after effect, always"
    """
    from sagalang.cli.inputs import InputProblem, TextProblem, read_faults
    from sagalang.cli.running.plan import parse_latency
    from sagalang.cli.terminal import show_diagnostics, summary, usage_error
    from sagalang.runtime.fakes import FakeWorld
    from sagalang.runtime.faults import CRASHES, plan
    from sagalang.runtime.values import Values
    from sagalang.workspace import load

    loaded = load(file)
    if loaded.diagnostics:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
    if loaded.has_errors:
        click.echo(f"{summary(loaded.diagnostics)}; nothing is served", err=True)
        sys.exit(2)
    if not any(_served(s) for s in loaded.program.services.values()):
        usage_error(f"{file} declares no HTTP service", 'bind one: `http "http://…"`')
    try:
        wanted = read_faults(loaded, faults)
        if any(fault.kind in CRASHES for fault in wanted):
            raise InputProblem(
                "a service cannot let the orchestrator crash", "use it with `saga run --mock`"
            )
        values = Values(loaded.program)
        world = FakeWorld(
            loaded.program, seed, values=values, faults=plan(loaded.program, values, wanted)
        )
        first = _first_port(loaded) if port is None else port
        asyncio.run(_serve(loaded, world, first, parse_latency(latency)))
    except InputProblem as problem:
        usage_error(str(problem), problem.advice)
    except TextProblem as problem:
        show_diagnostics(problem.diagnostics, problem.sources, "full", sys.stderr)
        sys.exit(2)
    except OSError as error:
        usage_error(f"cannot listen: {error.strerror or error}", "choose another --port, or 0")


def _served(service: p.Service) -> bool:
    from sagalang.model.program import HttpBinding

    return isinstance(service.binding, HttpBinding)


def _first_port(loaded: Loaded) -> int:
    """The port in the first service's own URL where that is on this machine: then the saga finds
    the fakes without being told."""
    from urllib.parse import urlsplit

    from sagalang.model.program import HttpBinding

    for service in loaded.program.services.values():
        if isinstance(service.binding, HttpBinding):
            url = urlsplit(service.binding.url)
            if url.hostname in ("localhost", "127.0.0.1") and url.port:
                return url.port
            return _DEFAULT_PORT
    return _DEFAULT_PORT


async def _serve(
    loaded: Loaded, world: FakeWorld, port: int, latency: int | tuple[int, int]
) -> None:
    from sagalang.cli.report import ledger_lines
    from sagalang.runtime.mock_server import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with serve(world, port, latency) as mock:
        for line in _addresses(loaded.program, mock.urls):
            click.echo(line)
        click.echo(f"next: saga run {loaded.program.main}    (Ctrl-C here ends the fakes)")
        sys.stdout.flush()
        seen = 0
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.2)
            for arrival in world.arrivals[seen:]:
                key = f"  {arrival.key}" if arrival.key else ""
                click.echo(f"  {arrival.operation}{key}", err=True)
            seen = len(world.arrivals)
    world.settle()
    click.echo("\n".join(["", *ledger_lines(loaded.program, world)]))


def _addresses(program: p.Program, urls: dict[str, str]) -> list[str]:
    """What to put into the environment so that a saga finds the fakes."""
    from sagalang.model.program import HttpBinding

    lines = []
    for service in program.services.values():
        if not isinstance(service.binding, HttpBinding):
            lines.append(f"# {service.name} is no HTTP service and not served")
            continue
        url = urls[service.name]
        if service.binding.env:
            lines.append(f"export {service.binding.env}={url}")
        elif service.binding.url == url:
            lines.append(f"# {service.name} is at {url}, as declared")
        else:
            lines.append(f"# {service.name} is at {url}; it has no `env` to be found by")
        lines += [
            f"export {header.env}=anything" for header in service.headers if header.env is not None
        ]
    return list(dict.fromkeys(lines))
