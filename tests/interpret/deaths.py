"""A process that dies once its journal has so many entries, and the one that goes on after it.

Nothing is left of the first but its journal and what it did to the world: its memory is gone, its
calls in flight are cut off, and the second begins with an engine of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from sagalang.interpret.run import Run, Send, begin
from sagalang.machine.outcomes import Outcome
from sagalang.model import program as p
from sagalang.runtime import journal
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.replay import Family
from sagalang.runtime.transport import Transport
from sagalang.runtime.values import Values

from .build import HERE, const, param, saga
from .build import World as Services

Begin = Callable[[MemoryEngine], Any]


class _Mortal(MemoryEngine):
    def __init__(
        self,
        clock: SimulatedClock,
        inner: Transport,
        draw: Callable[[], float],
        entries: int | None,
        outside: Outside,
    ) -> None:
        super().__init__(clock, self, draw)
        self._inner = inner
        self._entries = entries
        self._outside = outside
        self.died = asyncio.Event()

    def record(self, entry: journal.Entry) -> None:
        if not self.died.is_set():
            super().record(entry)
            if len(self.journal) == self._entries:
                self.died.set()
                self._outside.dies()

    async def call(self, request: Request) -> Outcome:
        if self.died.is_set():
            await asyncio.get_running_loop().create_future()
        return await self._inner.call(request)

    async def aclose(self) -> None:
        pass


class Outside:
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
    outside = Outside(clock, sends, cancel_after)
    mortal = _Mortal(clock, transport, draw, entries, outside)
    first = begin(mortal)
    outside.lives(first)
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
        outside.lives(second)
        await second.result()
        return second, True
    finally:
        for task in (living, died, *outside.tasks):
            task.cancel()
        await asyncio.gather(living, died, *outside.tasks, return_exceptions=True)


def deaths(
    made: p.Program,
    world: Callable[[], Services],
    *,
    sends: Sequence[Send] = (),
    cancel_after: int | None = None,
) -> list[tuple[int, Run, Services]]:
    """The run for each entry after which its process died; the last one lived on."""
    values = Values(made)
    found: list[tuple[int, Run, Services]] = []
    died, entries = True, 0
    while died:
        entries += 1
        services = world()

        async def main(
            clock: SimulatedClock, services: Services = services, entries: int = entries
        ) -> tuple[Run, bool]:
            services.clock = clock

            def open_(engine: MemoryEngine) -> Run:
                return begin(made, "Main", {}, engine=engine, saga_id="id-1", values=values)

            return await lived(
                clock, services, open_, entries=entries, sends=sends, cancel_after=cancel_after
            )

        run, died = simulated(main)
        found.append((entries, run, services))
    return found


def rebuilt(run: Run, found: Sequence[journal.Entry]) -> Run:
    """The run as another process makes it of what is on record."""

    async def main(clock: SimulatedClock) -> Run:
        engine = MemoryEngine(clock, Services(), lambda: 0.5, found=found)
        again = begin(
            run.program,
            run.definition.saga.name,
            run.args,
            engine=engine,
            saga_id=run.saga_id,
            values=run.values,
        )
        again.rebuild(Family(engine.journal))
        await again.stop()
        return again

    return simulated(main)


def recorded(run: Run) -> list[journal.Entry]:
    assert isinstance(run.engine, MemoryEngine)
    return run.engine.journal


# --- Child sagas ---------------------------------------------------------------------------------


def kid(*statements: p.Statement) -> p.Saga:
    return saga(*statements, name="Kid", params=[param("what")])


def child(**options: Any) -> p.ChildStep:
    settings_: dict[str, Any] = {
        "path": "kid",
        "name": "kid",
        "saga": "Kid",
        "args": (const("k"),),
        "type": const("").type,
        "escalate": None,
        "best_effort": False,
        "pivot": False,
        "doc": "",
        "span": HERE,
    }
    return p.ChildStep(**{**settings_, **options})
