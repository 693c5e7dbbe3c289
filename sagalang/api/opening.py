"""`sagalang.open`: a file, its services and a place for its runs, for as long as a block lasts."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from sagalang.api import errors, services
from sagalang.api.keeping import FileRuns, MemoryRuns
from sagalang.api.sagas import AsyncSagas
from sagalang.api.telling import invalid, told
from sagalang.diagnostics.render import concise
from sagalang.host.definitions import Definition, definition_of
from sagalang.host.handle import Handle
from sagalang.runtime import words
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.earlier import Earlier
from sagalang.runtime.journal import Entry
from sagalang.runtime.logs import log
from sagalang.runtime.observers import observers
from sagalang.runtime.place import DEFAULT, journal_file
from sagalang.runtime.sqlite import InUseError, Store, open_store
from sagalang.runtime.sqlite import Run as Row
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.telemetry import observing
from sagalang.runtime.transport import Transport
from sagalang.runtime.values import Values
from sagalang.workspace import Loaded, load

if TYPE_CHECKING:
    from sagalang.api.blocking import Sagas

logger: Final = logging.getLogger("sagalang.api")

PATIENCE: Final = 3.0
"""Seconds to wait for another process that has the journal file open."""


def open(  # noqa: A001 - as gzip and others have one
    file: str | os.PathLike[str],
    *,
    db: str | os.PathLike[str] | None = None,
    services: Mapping[str, object] | None = None,
    mock: bool = False,
    environ: Mapping[str, str] | None = None,
    observer: Callable[[Entry], None] | None = None,
    take_over: bool = False,
) -> Opening:
    """The sagas of a `.saga` file: `with` gives `Sagas`, whose methods wait, for any number of
    threads; `async with` gives `AsyncSagas`, for an event loop.

    `db`: the journal file to keep runs in, which one process owns at a time; None: the memory of
    this process, and runs end with the block. `services`: objects that serve in place of what the
    file says, by the names of services: an operation is the method of its name, as in a `python`
    binding; or a `Transport`. `mock`: the other services are fakes. `environ`: the environment
    variables of the file and of the journal's key, by default those of the process. `observer` is
    told of every entry of the journal, whose `args` and `value` may hold secrets. `take_over`: also
    undo what an earlier run of an id did, of which there is no journal.

    Nothing happens before the block is entered; that raises `InvalidProgram`, `NotConnected` and
    `StoreError`. At its end runs under way are left as they are.
    """
    return Opening(
        Path(file),
        None if db is None else Path(db),
        dict(services or {}),
        mock,
        os.environ if environ is None else environ,
        observer,
        take_over,
    )


@dataclass(eq=False)
class Opening:
    """What `open` was asked for; enter it by `with` or `async with`, once."""

    file: Path
    db: Path | None
    services: Mapping[str, object] = field(repr=False)
    mock: bool
    environ: Mapping[str, str] = field(repr=False)
    observer: Callable[[Entry], None] | None = field(repr=False)
    take_over: bool
    _entered: AbstractAsyncContextManager[AsyncSagas] | Sagas | None = field(
        default=None, init=False, repr=False
    )

    async def __aenter__(self) -> AsyncSagas:
        entered = opened(self)
        sagas = await entered.__aenter__()
        self._entered = entered
        return sagas

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert isinstance(self._entered, AbstractAsyncContextManager)
        await self._entered.__aexit__(kind, error, trace)

    def __enter__(self) -> Sagas:
        from sagalang.api.blocking import Sagas

        self._entered = Sagas(lambda: opened(self))
        return self._entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from sagalang.api.blocking import Sagas

        assert isinstance(self._entered, Sagas)
        self._entered.close()


@asynccontextmanager
async def opened(wanted: Opening) -> AsyncIterator[AsyncSagas]:
    with observing(wanted.environ) as telemetry:
        given = () if wanted.observer is None else (wanted.observer,)
        observer = observers(log, *telemetry, *given)
        keeping = _in_memory if wanted.db is None else _on_file
        async with keeping(wanted, _loaded(wanted.file), observer) as sagas:
            try:
                yield sagas
            finally:
                sagas.close()


def _loaded(file: Path) -> Loaded:
    loaded = load(str(file))
    if loaded.has_errors:
        raise invalid(loaded)
    for each in loaded.diagnostics:
        logger.warning("%s", concise(each, loaded.sources))
    return loaded


def _earlier(wanted: Opening) -> Earlier | None:
    # Fakes remember no run but those of this process.
    return None if wanted.take_over or wanted.mock else Earlier()


@asynccontextmanager
async def _in_memory(
    wanted: Opening, loaded: Loaded, observer: Callable[[Entry], None]
) -> AsyncIterator[AsyncSagas]:
    sealing = Sealing(wanted.file, wanted.environ)  # nothing is sealed
    definition = Definition("", "", loaded, Values(loaded.program), wanted.mock, sealing)
    async with _own_services(wanted, definition) as transport:
        runs = MemoryRuns(definition, transport, observer, _earlier(wanted))
        try:
            yield AsyncSagas(definition, runs)
        finally:
            left = ", ".join(map(words.printable, runs.left()))
            await runs.stop()
            if left:
                logger.error("lost, for these runs were kept in memory only: %s", left)


@asynccontextmanager
async def _on_file(
    wanted: Opening, loaded: Loaded, observer: Callable[[Entry], None]
) -> AsyncIterator[AsyncSagas]:
    assert wanted.db is not None
    with told():
        path = journal_file(None if wanted.db == DEFAULT else str(wanted.db))
    async with _owned(path, f"sagalang.open({str(wanted.file)!r})") as store:
        sealing = Sealing(path, wanted.environ)
        values, known = Values(loaded.program), store.reader.definition
        with told():
            definition = definition_of(loaded, values, sealing, known, fakes=wanted.mock)
        async with _own_services(wanted, definition) as transport:

            @asynccontextmanager
            async def reach(of: Definition) -> AsyncIterator[Transport]:
                if of is definition:
                    yield transport
                    return
                clock = SystemClock()
                async with services.reached(of, wanted.services, wanted.environ, clock) as other:
                    yield other

            draw = random.SystemRandom().random
            host = FileRuns(
                store, sealing, reach, draw=draw, observer=observer, earlier=_earlier(wanted)
            )
            async with host as runs:
                runs.know(definition)

                async def go_on(row: Row) -> Handle:
                    return await runs.resume(row.id)

                runs.listen(go_on)
                yield AsyncSagas(definition, runs)


@asynccontextmanager
async def _owned(path: Path, command: str) -> AsyncIterator[Store]:
    """The file, as soon as no other process owns it. Raises `StoreError`."""
    clock = SystemClock()
    until = clock.now() + PATIENCE * 1_000
    while True:
        owning = open_store(path, command=command, now=clock.now())
        try:
            with told():
                store = owning.__enter__()
            break
        except errors.StoreError as problem:
            if not isinstance(problem.__cause__, InUseError) or clock.now() > until:
                raise
        await asyncio.sleep(0.05)
    try:
        yield store
    finally:
        owning.__exit__(None, None, None)


@asynccontextmanager
async def _own_services(wanted: Opening, definition: Definition) -> AsyncIterator[Transport]:
    with told():
        services.check(definition.program, wanted.services)
        reaching = services.reached(definition, wanted.services, wanted.environ, SystemClock())
        transport = await reaching.__aenter__()
    try:
        yield transport
    finally:
        await reaching.__aexit__(None, None, None)
