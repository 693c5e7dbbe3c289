"""What all requests of a server share: the runs of its journal, and the sagas that it starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sagalang.host.book import Book, RunInfo
from sagalang.host.definitions import Definition, definition_of
from sagalang.host.handle import Handle
from sagalang.host.host import Host, Reach
from sagalang.host.sending import Desk
from sagalang.host.sqlite_book import SqliteBook
from sagalang.interpret.run import RunResult
from sagalang.model.program import Ms, Program
from sagalang.runtime import words
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.earlier import Earlier
from sagalang.runtime.engine import EngineError
from sagalang.runtime.entry_codec import EntryError
from sagalang.runtime.logs import log
from sagalang.runtime.observers import Observer, observers
from sagalang.runtime.problems import ConnectProblem
from sagalang.runtime.sqlite import Run as Row
from sagalang.runtime.sqlite import open_store
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.values import Values
from sagalang.serve.feed import Feed
from sagalang.serve.guard import Rules
from sagalang.serve.keys import Keys
from sagalang.serve.metrics import Metrics
from sagalang.workspace import Loaded

logger: Final = logging.getLogger("sagalang.serve")


class NameClashError(Exception):
    """Two of the files have a saga of one name."""


@dataclass
class Serving:
    """`definitions`: the sagas that can be started, by name. `stopped`: why runs, by id, are not
    under way that could be. `stopping`: set when the server is to end."""

    host: Host
    book: Book
    desk: Desk
    definitions: Mapping[str, Definition]
    rules: Rules
    keys: Keys
    feed: Feed
    metrics: Metrics
    stopped: dict[str, str] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a run is begun: of two requests with one key the second finds the first's."""

    @property
    def programs(self) -> list[Program]:
        return list({id(d): d.program for d in self.definitions.values()}.values())

    def definition(self, run: RunInfo) -> Definition:
        """What a run goes by. Raises `DefinitionError`, `SealingError`."""
        row = self.host.store.reader.run(run.id)
        assert row is not None
        return self.host.definition(row)

    async def go_on(self, row: Row) -> Handle | None:
        """Go on with a run on record; None: it cannot be, and `stopped` says why."""
        try:
            handle = await self.host.resume(row.id)
        except (EngineError, EntryError, ConnectProblem) as problem:
            self.stopped[row.id] = str(problem)
            logger.error("%s cannot go on: %s", words.printable(row.id), problem)
            return None
        self.follow(handle)
        return handle

    def follow(self, handle: Handle) -> None:
        """Keep why a run stopped that did not end."""
        self.stopped.pop(handle.saga_id, None)

        def ended(task: asyncio.Task[RunResult]) -> None:
            if not task.cancelled() and (problem := task.exception()) is not None:
                told = isinstance(problem, EngineError | EntryError | ConnectProblem)
                # The text of another exception may show what the saga works with.
                self.stopped[handle.saga_id] = str(problem) if told else type(problem).__name__

        handle.when_done(ended)

    async def take_up(self) -> None:
        """Go on with all runs that are on record and not over."""
        for row in self.host.unfinished():
            await self.go_on(row)
            await asyncio.sleep(0)  # requests are answered meanwhile


@asynccontextmanager
async def serving(
    path: Path,
    programs: Sequence[Loaded],
    reach: Reach,
    rules: Rules,
    *,
    command: str,
    fakes: bool = False,
    wait: float = 0.0,
    watching: Iterable[Observer] = (),
) -> AsyncIterator[Serving]:
    """Own a journal and its runs for as long as the context lasts; then they are left as they are.
    `wait`: seconds for another process to let go of the file.

    Raises `StoreError`, `SealingError`, `NameClashError`.
    """
    clock = SystemClock()
    with ExitStack() as held:
        store = held.enter_context(open_store(path, command=command, now=clock.now(), wait=wait))
        keys = held.enter_context(closing(Keys(store.path)))
        sealing = Sealing(path)

        def begun(saga_id: str) -> tuple[str, Ms] | None:
            row = store.reader.run(saga_id)
            return None if row is None else (row.saga, row.began)

        metrics, feed = Metrics(begun), Feed()
        definitions: dict[str, Definition] = {}
        for loaded in programs:
            made = definition_of(
                loaded, Values(loaded.program), sealing, store.reader.definition, fakes=fakes
            )
            for name in loaded.program.sagas:
                if name in definitions and definitions[name].hash != made.hash:
                    other = definitions[name].program.main
                    raise NameClashError(
                        f"{other} and {loaded.program.main} both have a saga `{name}`"
                    )
                definitions[name] = made
        host = Host(
            store,
            sealing,
            reach,
            clock=clock,
            observer=observers(feed, metrics, log, *watching),
            # Fakes remember nothing that went before.
            earlier=None if fakes else Earlier(),
        )
        async with host:
            book = SqliteBook(store.reader, store.path)
            state = Serving(host, book, Desk(store.path), definitions, rules, keys, feed, metrics)
            host.listen(state.go_on)
            resuming = asyncio.create_task(state.take_up(), name="resuming")
            try:
                yield state
            finally:
                state.stopping.set()
                resuming.cancel()
                await asyncio.gather(resuming, return_exceptions=True)
