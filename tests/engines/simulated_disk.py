"""Simulated time over a real journal file: time stands still while its writer commits.

When a commit happens is the disk's to say. A slow one commits when nothing else can go on, so that
the most is lost with a process; a quick one at the end of each turn of the loop.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Awaitable, Callable
from sqlite3 import Connection
from typing import Any, TypeVar

from sagalang.runtime.clock import Clock, DeadlockError, SimulatedClock
from sagalang.runtime.sqlite import Store
from sagalang.runtime.sqlite.batch import Batch

T = TypeVar("T")
Write = Callable[[Connection, Batch], None]


class PowerCutError(Exception):
    """The writer's process is dead."""


class Disk:
    """Of one process, whose store is told with `serve`."""

    def __init__(self, quick: bool, write: Write) -> None:
        self.quick = quick
        self._write = write
        self._store: Store | None = None
        self._turn, self._told, self._dead = threading.Event(), threading.Event(), False

    def serve(self, store: Store) -> None:
        self._store, writer = store, store._writer
        tell = writer._tell

        def told() -> None:
            tell()
            self._told.set()

        writer._tell = told

    def write(self, connection: Connection, batch: Batch) -> None:
        """In place of the writer's own, in its thread."""
        self._turn.wait()
        if self._dead:
            raise PowerCutError
        self._write(connection, batch)

    @property
    def due(self) -> bool:
        """Whether the writer was given something that it has not committed."""
        store = self._store
        if store is None or store._flushing or store._writer.failed is not None:
            return False
        return store._writer.written < store._last

    @property
    def untold(self) -> bool:
        """Whether something is committed, or failed to be, and nobody was told yet."""
        store = self._store
        return store is not None and store._failure is None and store._last > store._durable

    def commit(self) -> None:
        self._turn.set()
        while self.due:
            assert self._told.wait(60), "the writer does not write"
            self._told.clear()
        self._turn.clear()

    def cut(self) -> None:
        """Nothing is committed any more, and what the process had in memory is gone."""
        assert self._store is not None
        self._store._pending = Batch()
        self._dead = True
        self._turn.set()

    def at_rest(self) -> None:
        """The process ends in order: what is left is committed."""
        self._turn.set()


class _Selector(selectors.BaseSelector):
    def __init__(self, disk: Disk) -> None:
        self._inner = selectors.DefaultSelector()
        self._disk = disk
        self.micros = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        disk, idle = self._disk, timeout is None or timeout > 0
        if disk.due and (disk.quick or idle):
            disk.commit()
        if disk.untold and idle:
            return self._inner.select(60)
        ready = self._inner.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise DeadlockError("nothing is ready and no timer is set")
        self.micros += max(1, round(timeout * 1_000_000))
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def get_map(self) -> Any:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, disk: Disk) -> None:
        self._jumping = _Selector(disk)
        super().__init__(self._jumping)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumping.micros / 1_000_000


def simulated(disk: Disk, main: Callable[[Clock], Awaitable[T]], start: int) -> T:
    """`sagalang.runtime.clock.simulated`, where a disk takes part."""

    async def body() -> T:
        return await main(SimulatedClock(start))

    loop = _Loop(disk)
    try:
        return loop.run_until_complete(body())
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
