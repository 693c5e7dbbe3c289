"""A process that dies once its journal has so many entries, and the one that goes on after it.

Nothing is left of the first but its journal and what it did to the world: its memory is gone, its
calls in flight are cut off, and the second begins with an engine of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from sagalang.interpret.run import Send
from sagalang.machine.outcomes import Outcome
from sagalang.runtime import journal
from sagalang.runtime.clock import SimulatedClock
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.transport import Transport

Begin = Callable[[MemoryEngine], Any]


class _Mortal(MemoryEngine):
    def __init__(
        self,
        clock: SimulatedClock,
        inner: Transport,
        draw: Callable[[], float],
        entries: int | None,
        world: World,
    ) -> None:
        super().__init__(clock, self, draw)
        self._inner = inner
        self._entries = entries
        self._world = world
        self.died = asyncio.Event()

    def record(self, entry: journal.Entry) -> None:
        if not self.died.is_set():
            super().record(entry)
            if len(self.journal) == self._entries:
                self.died.set()
                self._world.dies()

    async def call(self, request: Request) -> Outcome:
        if self.died.is_set():
            await asyncio.get_running_loop().create_future()
        return await self._inner.call(request)

    async def aclose(self) -> None:
        pass


class World:
    """What goes on whether or not a process lives: what is sent to a saga, and when."""

    def __init__(self, clock: SimulatedClock, sends: Sequence[Send], cancel_after: int | None):
        self._clock = clock
        self._living: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        work = [self._send(clock.now() + send.after, send) for send in sends]
        if cancel_after is not None:
            work.append(self._send(clock.now() + cancel_after, None))
        self.tasks = [asyncio.create_task(one) for one in work]

    def dies(self) -> None:
        self._living = asyncio.get_running_loop().create_future()

    def lives(self, running: Any) -> None:
        self._living.set_result(running)

    async def _send(self, due: int, send: Send | None) -> None:
        await self._clock.sleep_until(due)
        running = await self._living
        if send is None:
            running.cancel()
        elif send.id is None:
            running.signal(send.event, send.value)
        else:
            running.signal(send.event, send.value, send.id)


async def lived(
    clock: SimulatedClock,
    transport: Transport,
    begin: Begin,
    *,
    draw: Callable[[], float] = lambda: 0.5,
    entries: int | None = None,
    sends: Sequence[Send] = (),
    cancel_after: int | None = None,
) -> tuple[Any, bool]:
    """The run after its end, and whether its first process died, which it does once its journal
    has so many `entries`."""
    world = World(clock, sends, cancel_after)
    mortal = _Mortal(clock, transport, draw, entries, world)
    first = begin(mortal)
    world.lives(first)
    living = asyncio.ensure_future(first.result())
    died = asyncio.ensure_future(mortal.died.wait())

    try:
        await asyncio.wait({living, died}, return_when=asyncio.FIRST_COMPLETED)
        if not mortal.died.is_set():
            await living
            return first, False
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living
        second = begin(MemoryEngine(clock, transport, draw, found=tuple(mortal.journal)))
        world.lives(second)
        await second.result()
        return second, True
    finally:
        for task in (living, died, *world.tasks):
            task.cancel()
        await asyncio.gather(living, died, *world.tasks, return_exceptions=True)
