"""What happens in a run, as it happens: from the disk, so nothing is told that a crash undoes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from sagalang.host.book import Book, Numbered
from sagalang.host.definitions import Definition
from sagalang.machine import events as m
from sagalang.runtime import journal as j
from sagalang.runtime.entry_codec import CoveredEntries
from sagalang.runtime.entry_types import ProgramTypes
from sagalang.runtime.journal_values import covering
from sagalang.runtime.sqlite import Store

QUIET: Final = 15.0
"""Seconds after which a stream says that it is still there."""


class Feed:
    """An observer that wakes those who watch a run."""

    def __init__(self) -> None:
        self._watched: dict[str, set[asyncio.Event]] = {}

    def __call__(self, entry: j.Entry) -> None:
        for woken in self._watched.get(entry.saga_id, ()):
            woken.set()

    def watch(self, saga_id: str) -> Watch:
        watch = Watch(self._watched)
        watch.add(saga_id)
        return watch


class Watch:
    """`woken` is set when something happens in one of its runs."""

    def __init__(self, watched: dict[str, set[asyncio.Event]]) -> None:
        self.woken = asyncio.Event()
        self._watched, self._ids = watched, set[str]()

    def add(self, saga_id: str) -> None:
        self._ids.add(saga_id)
        self._watched.setdefault(saga_id, set()).add(self.woken)

    def end(self) -> None:
        for saga_id in self._ids:
            there = self._watched[saga_id]
            there.discard(self.woken)
            if not there:
                del self._watched[saga_id]


class Covered:
    """Reads the entries of a run, in order; what is secret in them is covered, and never opened."""

    def __init__(self, definition: Definition) -> None:
        program, values = definition.program, definition.values
        self._decoder = CoveredEntries(ProgramTypes(program, values))
        self._cover = covering(program, values)

    def history(
        self, book: Book, run_id: str, after: int = 0, until: int | None = None
    ) -> list[Numbered]:
        """Of the run and its child sagas, the entries with numbers from behind `after` up to
        `until`. Raises `EngineError`, `EntryError`."""
        return [
            Numbered(seq, self._cover(entry))
            for seq, entry in book.history(run_id, after=after, decoder=self._decoder)
            if until is None or seq <= until
        ]


class Journal:
    """The journal of a run and its child sagas, read on from where it was read to. `over`: nothing
    can come any more."""

    def __init__(self, store: Store, book: Book, covered: Covered, run_id: str) -> None:
        self.over = False
        self._store, self._book, self._covered = store, book, covered
        self._run_id, self._read = run_id, 0

    async def news(self) -> list[Numbered]:
        """What is on the disk and was not read. Raises `EngineError`, `EntryError`."""
        # A run and its child sagas are read one after the other, and each may grow meanwhile: only
        # what was there before the first is read now, or something earlier would be passed over.
        until = self._store.last
        await self._store.committed(until)
        told = self._covered.history(self._book, self._run_id, self._read, until)
        self._read = until
        for _, entry in told:
            if entry.saga_id == self._run_id:
                self._notice(entry)
        return told

    def _notice(self, entry: j.Entry) -> None:
        match entry:
            case j.SagaFinished(value=m.Escalated(items)):
                self.over = all(item.written_off for item in items)
            case j.SagaFinished():
                self.over = True
            case j.Intent() | j.AbortBegan() | j.Settlement():
                self.over = False  # it was settled, or its parent undoes it


async def told(
    journal: Journal, behind: Sequence[Numbered], watch: Watch, stopping: asyncio.Event
) -> AsyncGenerator[Numbered | None]:
    """What is `behind` already, and then what comes, until the run is over or `stopping` is set;
    None: nothing happened for a while."""
    news = behind
    while True:
        for numbered in news:
            if isinstance(numbered.entry, j.ChildStarted):
                watch.add(numbered.entry.child_id)
            yield numbered
        if journal.over or stopping.is_set():
            return
        if not await _woken(watch, stopping):
            yield None
        watch.woken.clear()
        news = await journal.news()


async def _woken(watch: Watch, stopping: asyncio.Event) -> bool:
    waits = {asyncio.create_task(each.wait()) for each in (watch.woken, stopping)}
    try:
        done, _ = await asyncio.wait(waits, timeout=QUIET, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(done)
