"""One process after another that runs a saga on an engine, in simulated time where possible.

A life is cut off at a moment: before or after a record, before or after what a call does. What it
had recorded and was not told to be committed may be gone then; the next life has the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engines.definitions import Definition
from engines.outside import Latency, Services
from engines.under_test import EngineUnderTest
from sagalang.machine.outcomes import Outcome
from sagalang.runtime import journal
from sagalang.runtime.clock import Clock
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import Engine
from sagalang.runtime.transport import Transport

Ms = int


@dataclass(frozen=True)
class Signal:
    """An event `Go`, sent at this time. Sent again where nobody was told that it is kept."""

    at: Ms
    id: str = "go-1"
    number: int = 1


@dataclass(frozen=True)
class Cancel:
    at: Ms


@dataclass
class Story:
    """A run, and the world around it."""

    definition: Definition
    services: Services = field(default_factory=Services)
    args: str = "{}"
    saga_id: str = "o-1"
    saga: str = "Main"
    sends: list[Signal | Cancel] = field(default_factory=list)
    latency: Latency = lambda _: 10
    leaves: Callable[[Request], None] = lambda _: None
    """Told of each call when it leaves."""


@dataclass
class Lived:
    """`result`: None where it died. `moments`: at how many it could have died. `until`: when it
    ended."""

    result: Any
    moments: int
    until: Ms

    @property
    def died(self) -> bool:
        return self.result is None

    @property
    def outcome(self) -> str:
        return "died" if self.died else type(self.result.outcome).__name__


class Life(Transport):
    """A process. It is also the line to the services, over which nothing goes after its death."""

    def __init__(
        self, under: EngineUnderTest, story: Story, clock: Clock, dies_at: int | None
    ) -> None:
        self.moments = 0
        self.died = asyncio.Event()
        self._under, self._story, self._clock = under, story, clock
        self._dies_at = dies_at

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self._dies_at:
            self.die()

    def die(self) -> None:
        if not self.died.is_set():
            self.died.set()
            self._under.kill()

    async def call(self, request: Request) -> Outcome:
        self._story.leaves(request)
        if latency := self._story.latency(str(request.args[0])):
            await self._clock.sleep_until(self._clock.now() + latency)
        await self._unless_dead()
        outcome = self._story.services.take(request)
        await self._unless_dead()
        return outcome or await asyncio.get_running_loop().create_future()

    async def _unless_dead(self) -> None:
        if not self.died.is_set():
            self.moment()
        if self.died.is_set():
            await asyncio.get_running_loop().create_future()

    async def aclose(self) -> None:
        """Nothing to close."""

    def watch(self, engine: Engine) -> Engine:
        """The same engine; its records are moments."""
        opening = engine.open

        def opened(saga_id: str, saga: str, args: Any) -> Any:
            session: Any = opening(saga_id, saga, args)
            if not hasattr(session, "watched"):
                session.watched, session.record = True, self._recorded(session.record)
            return session

        engine.open = opened  # type: ignore[method-assign]
        return engine

    def _recorded(self, record: Any) -> Any:
        def recorded(entry: journal.Entry) -> None:
            if not self.died.is_set():
                self.moment()
            if not self.died.is_set():
                record(entry)
                self.moment()

        return recorded

    async def send(self, engine: Engine, run: Any) -> None:
        """What the world does to the run, each until it is kept."""
        for send in sorted(self._story.sends, key=lambda send: send.at):
            await self._clock.sleep_until(send.at)
            if isinstance(send, Cancel):
                run.cancel()
            else:
                event = self._story.definition.event("Go", f'{{"n": {send.number}}}')
                engine.signal(run.saga_id, "Go", send.id, event)
            await run.session.committed()
            if not self.died.is_set():
                self._story.sends.remove(send)


def live(
    under: EngineUnderTest,
    story: Story,
    *,
    start: Ms = 0,
    dies_at: int | None = None,
    dies_after: Ms | None = None,
    then: Any = None,
) -> Lived:
    """A process begins the run, or goes on with it, to its end; or dies, at a moment or a time.
    `then(run, result)`: what it does after that end; its result counts."""

    async def main(clock: Clock) -> Lived:
        life = Life(under, story, clock, dies_at)
        engine = life.watch(under.open(story.definition, clock, life))
        run = story.definition.begin(engine, story.saga_id, story.args, story.saga)

        async def lived() -> Any:
            result = await run.result()
            return result if then is None else await then(run, result)

        async def dying() -> None:
            if dies_after is not None:
                await clock.sleep_until(start + dies_after)
                life.die()
            await life.died.wait()

        living, dead = asyncio.ensure_future(lived()), asyncio.ensure_future(dying())
        sending = asyncio.ensure_future(life.send(engine, run))
        try:
            await asyncio.wait({living, dead}, return_when=asyncio.FIRST_COMPLETED)
            ended = clock.now()
            return Lived(None if life.died.is_set() else await living, life.moments, ended)
        finally:
            for task in (living, dead, sending):
                task.cancel()
            await asyncio.gather(living, dead, sending, return_exceptions=True)

    try:
        return under.live(main, start)
    finally:
        under.close()


def from_outside(under: EngineUnderTest, story: Story, word: str, at: Ms) -> None:
    """A process that does not run the saga sends it a `cancel`, or a `signal` of 5."""

    async def main(clock: Clock) -> None:
        engine = under.open(story.definition, clock, Life(under, story, clock, None))
        if word == "cancel":
            engine.request_cancel(story.saga_id)
        else:
            event = story.definition.event("Go", '{"n": 5}')
            engine.signal(story.saga_id, "Go", "e-1", event)
        await clock.sleep_until(at + 10)

    try:
        under.live(main, at)
    finally:
        under.close()
