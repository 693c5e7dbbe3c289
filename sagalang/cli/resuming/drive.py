"""Runs that are gone on with: all of them, in one process that owns the journal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sagalang.cli.resuming.came import Came, Ended

if TYPE_CHECKING:
    from sagalang.cli.resuming.seen import Seen
    from sagalang.host.handle import Handle
    from sagalang.host.host import Host
    from sagalang.runtime.sqlite import Run as Row

AT_ONCE: Final = 200
"""So many runs are taken up at once; those that only wait do not count."""
PATIENCE: Final = 1.0
"""Seconds after which a run that has not ended holds up no other."""
OWNING: Final = 3.0
"""Seconds to wait for another process that has the journal file open."""


def resume(path: Path, run_ids: Sequence[str], *, take_over: bool, quiet: bool) -> Came:
    """Raises `StoreError`, `NoSuchRunError`."""
    return asyncio.run(_resume(path, run_ids, take_over, quiet))


async def _resume(path: Path, run_ids: Sequence[str], take_over: bool, quiet: bool) -> Came:
    from sagalang.cli.resuming.seen import Seen
    from sagalang.cli.running.reach import reach
    from sagalang.host.host import Host
    from sagalang.runtime.clock import SystemClock
    from sagalang.runtime.earlier import Earlier
    from sagalang.runtime.observers import observers
    from sagalang.runtime.sqlite import open_store
    from sagalang.runtime.sqlite.sealing import Sealing
    from sagalang.runtime.telemetry import observing

    clock = SystemClock()
    with (
        open_store(path, command="saga resume", now=clock.now(), wait=OWNING) as store,
        observing() as telemetry,
    ):
        seen = Seen(sys.stderr, quiet)
        host = Host(
            store,
            Sealing(path),
            partial(reach, clock=clock),
            clock=clock,
            observer=observers(seen, *telemetry),
            earlier=None if take_over else Earlier(),
        )
        async with host:
            rows = _rows(host, run_ids)
            work = _Work(host, seen, {row.id for row in rows} if run_ids else None)
            return await work.through(rows)


def _rows(host: Host, run_ids: Sequence[str]) -> list[Row]:
    from sagalang.host.book import nearest_ids
    from sagalang.host.sending import UnknownRunError
    from sagalang.host.sqlite_book import SqliteBook

    if not run_ids:
        return host.unfinished()
    store, found = host.store, {}
    for run_id in run_ids:
        row = store.reader.run(run_id)
        if row is None:
            near = nearest_ids(SqliteBook(store.reader, store.path), run_id)
            advice = f"did you mean {', '.join(f'`{each}`' for each in near)}?" if near else None
            raise UnknownRunError(f"there is no run {run_id} in {store.path.name}", advice)
        root = host.root(row)
        found[root.id] = root
    return list(found.values())


class _Work:
    """`only`: the runs that were asked for; None: all."""

    def __init__(self, host: Host, seen: Seen, only: set[str] | None) -> None:
        self.came = Came()
        self._host, self._seen, self._only = host, seen, only
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[str] = set()
        """The runs that are under way, or are about to be."""
        self._begun = 0
        self._rest = asyncio.Event()
        """Set when there is nothing to wait for any more."""

    async def through(self, rows: Sequence[Row]) -> Came:
        self._host.listen(self._unknown, self._gone_on)
        ticking = asyncio.create_task(self._tick())
        self._hear_signals()
        try:
            await self._all(self._begin_all(rows))
            begun = -1
            while begun != self._begun and not self._ends:
                begun = self._begun
                # In the moment of the end something may have come.
                await self._all(self._host.caught_up())
        finally:
            ticking.cancel()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(ticking, *self._tasks, return_exceptions=True)
            self._seen.finish()
        return self.came

    @property
    def _ends(self) -> bool:
        return bool(self.came.stopped or self.came.broken)

    async def _all(self, first: Coroutine[Any, Any, None]) -> None:
        """Do this, and wait for all that is under way, unless it is to end at once."""
        self._track(asyncio.create_task(first))
        while self._tasks and not self._ends:
            self._rest.clear()
            await self._rest.wait()

    async def _begin_all(self, rows: Sequence[Row]) -> None:
        # What was sent before comes first: what seems to need a person may have been settled.
        await self._host.caught_up()
        for row in rows:
            if row.id not in self._open and row.id not in self.came.ended:
                self._begin(row)

    def _begin(self, row: Row) -> None:
        self._opened(row.id, row.saga)
        self._track(asyncio.create_task(self._all_of(row)))

    def _opened(self, run_id: str, saga: str) -> None:
        self._begun += 1
        self._open.add(run_id)
        self._seen.begin(run_id, saga)

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        from sagalang.runtime.sqlite import StoreError

        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            if not isinstance(problem, StoreError):
                raise problem
            self.came.broken = self.came.broken or problem
        if not self._tasks or self.came.broken is not None:
            self._rest.set()

    async def _unknown(self, row: Row) -> Handle | None:
        """A run that rests got a message."""
        if self._only is not None and row.id not in self._only:
            return None
        return await self._host.resume(row.id)

    def _gone_on(self, handle: Handle) -> None:
        """A run took something; it may have rested."""
        if handle.saga_id in self._open:
            return
        self._opened(handle.saga_id, handle.run.definition.saga.name)
        self._track(asyncio.create_task(self._end_of(handle)))

    async def _all_of(self, row: Row) -> None:
        from sagalang.runtime.engine import EngineError
        from sagalang.runtime.entry_codec import EntryError
        from sagalang.runtime.problems import ConnectProblem

        async with self._slots:
            try:
                handle = await self._host.resume(row.id)
            except (EngineError, EntryError, ConnectProblem) as problem:
                self._failed(row.id, row.saga, problem)
                return
            end = asyncio.create_task(self._end_of(handle))
            try:
                await asyncio.wait({end}, timeout=PATIENCE)
            except asyncio.CancelledError:
                end.cancel()
                raise
            self._track(end)
        if not end.done():
            self._seen.waits(handle)

    async def _end_of(self, handle: Handle) -> None:
        from sagalang.interpret.run import outcome_kind
        from sagalang.machine.events import Compensated
        from sagalang.runtime.engine import EngineError
        from sagalang.runtime.entry_codec import EntryError

        run_id, saga = handle.saga_id, handle.run.definition.saga.name
        try:
            result = await handle.end()
            while (again := self._host.handles.get(run_id)) is not None and not again.over:
                result = await again.end()  # it took something in the moment of its end
        except (EngineError, EntryError) as problem:
            self._failed(run_id, saga, problem)
            return
        outcome = result.outcome
        error = outcome.error.name if isinstance(outcome, Compensated) else ""
        self._told(Ended(run_id, saga, outcome_kind(outcome), error, result.owed))

    def _failed(self, run_id: str, saga: str, problem: Exception) -> None:
        from sagalang.runtime.sqlite import RunExistsError, StoreError
        from sagalang.runtime.sqlite.sealing import SealingError

        of_the_file = isinstance(problem, StoreError)
        if of_the_file and not isinstance(problem, RunExistsError | SealingError):
            raise problem
        advice = getattr(problem, "advice", None)
        self._told(Ended(run_id, saga, "failed", problem=str(problem), advice=advice))

    def _told(self, ended: Ended) -> None:
        self._open.discard(ended.run_id)
        self.came.ended[ended.run_id] = ended
        self._seen.ended(ended)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self._seen.tick()

    def _hear_signals(self) -> None:
        """Until the end of the process: the second one must find its handler, too."""
        loop = asyncio.get_running_loop()

        def asked(number: int) -> None:
            if self.came.stopped:
                os._exit(128 + number)
            self.came.stopped = number
            self.came.left = len(self._open)
            click.echo("\nleaving them as they are; again ends it at once", err=True)
            self._rest.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, asked, number)
