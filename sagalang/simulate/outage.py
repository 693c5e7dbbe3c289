"""Many clients call one operation of a service that goes down and comes back, in simulated time.

The calls are made by the driver that makes those of a run, under a policy like the file's; only
the service is made up. Each client calls, waits, and calls again, as a poller does. All begin at
random moments. When the service goes down every connection breaks, so all clients call at once:
from there on it is the back-off that keeps them together or spreads them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, NoReturn

from sagalang.machine import calls
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Unknown
from sagalang.model.errors import NOT_SENT, UNAVAILABLE
from sagalang.model.program import Ms, Operation, Policy
from sagalang.runtime.calls import drive
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.protection import Protections

BUCKET: Final[Ms] = 100
SEED: Final = 2015
SPREAD: Final = 0.1
"""Answers take the latency plus or minus this share: no network is exact."""


class Failing(Enum):
    """What a call meets while the service is down."""

    REFUSE = "refuse"
    """The connection is refused at once: the call was not sent."""
    HANG = "hang"
    """No answer ever comes: nobody knows."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything but the policy. `capacity`: calls a second; more of them queue. `together`: all
    clients notice at once that the service is down; else each at its next call."""

    clients: int = 100
    processes: int = 5
    every: Ms = 1_000
    latency: Ms = 50
    capacity: int | None = None
    down_at: Ms = 10_000
    down_for: Ms = 20_000
    duration: Ms = 60_000
    failing: Failing = Failing.REFUSE
    together: bool = True
    seed: int = SEED

    @property
    def up_again(self) -> Ms:
        return self.down_at + self.down_for


@dataclass(frozen=True, slots=True)
class Course:
    """What one run came to. `load`: the attempts that arrived in each `BUCKET` ms; `ok`, `failed`:
    calls that ended so; `served`: from the end of the outage until every client had had an answer,
    None where some had none by the end."""

    load: tuple[int, ...]
    ok: int
    failed: int
    served: Ms | None


def run(operation: Operation, policy: Policy, setting: Setting) -> Course:
    """One run. The same arguments always take the same course."""
    return simulated(lambda clock: _World(operation, policy, setting, clock).run())


class _Service:
    """Answers, queues, fails; and counts what reaches it."""

    def __init__(self, setting: Setting, clock: SimulatedClock) -> None:
        self._setting = setting
        self._clock = clock
        self._random = Random(f"{setting.seed}/service")
        self._free_at: float = 0
        self._restarted = False
        self._done_at: dict[object, float] = {}
        self.load = [0] * -(-setting.duration // BUCKET)

    async def answer(self, key: object) -> Outcome:
        """An attempt of the call `key`, or a question after it."""
        now = self._clock.now()
        self.load[min(now // BUCKET, len(self.load) - 1)] += 1
        setting = self._setting
        if setting.down_at <= now < setting.up_again:
            if setting.failing is Failing.HANG:
                await _never()
            await asyncio.sleep(self._random.uniform(0, SPREAD) * setting.latency / 1_000)
            return NotSent(Failure(NOT_SENT, None, "connection refused"))
        ends = self._turn(now) + self._random.uniform(1 - SPREAD, 1 + SPREAD) * setting.latency
        if now < setting.down_at <= ends:
            await self._clock.sleep_until(setting.down_at)
            if setting.failing is Failing.HANG:
                await _never()
            return Unknown(Failure(UNAVAILABLE, None, "the connection broke"))
        self._done_at.setdefault(key, ends)
        await asyncio.sleep((ends - now) / 1_000)
        return Ok()

    def _turn(self, now: Ms) -> float:
        """When this call's turn comes. What had queued up is lost when the service goes down."""
        if self._setting.capacity is None:
            return now
        if now >= self._setting.up_again and not self._restarted:
            self._restarted, self._free_at = True, 0
        turn = max(float(now), self._free_at)
        self._free_at = turn + 1_000 / self._setting.capacity
        return turn

    def did(self, key: object) -> bool:
        return self._done_at.get(key, float("inf")) <= self._clock.now()


async def _never() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody resolves it")


class _World:
    def __init__(
        self, operation: Operation, policy: Policy, setting: Setting, clock: SimulatedClock
    ) -> None:
        self._operation, self._policy = operation, policy
        self._setting = setting
        self._clock = clock
        self._config = calls.CallConfig.of(operation, policy)
        self._service = _Service(setting, clock)
        self._processes = [Protections() for _ in range(setting.processes)]
        self._ok = self._failed = 0
        self._waiting = set(range(setting.clients))
        """Those who have had no answer since the service came back."""
        self._served: Ms | None = None

    async def run(self) -> Course:
        clients = [asyncio.create_task(self._client(i)) for i in range(self._setting.clients)]
        try:
            await self._clock.sleep_until(self._setting.duration)
            lost = [client for client in clients if client.done()]
        finally:
            for client in clients:
                client.cancel()
            ended = await asyncio.gather(*clients, return_exceptions=True)
        for one in ended:
            if isinstance(one, Exception):
                raise one
        # A client goes on for ever; one that was dropped on the way would make the load look good.
        assert not lost, "a client ended by itself"
        return Course(tuple(self._service.load), self._ok, self._failed, self._served)

    async def _client(self, number: int) -> None:
        setting, clock = self._setting, self._clock
        random = Random(f"{setting.seed}/client/{number}")
        await clock.sleep_until(round(random.uniform(0, setting.every)))
        call = 0
        while True:
            await self._call(number, call, random)
            call += 1
            now = clock.now()
            again = now + setting.every
            if setting.together and now < setting.down_at < again:
                again = setting.down_at
            await clock.sleep_until(again)

    async def _call(self, client: int, number: int, random: Random) -> None:
        clock, service, operation = self._clock, self._service, self._operation
        key = (client, number)

        async def attempt(_: int) -> Outcome:
            return await service.answer(key)

        async def probe(_: int) -> Outcome:
            answer = await service.answer((key, "asked"))
            return Ok(True if service.did(key) else None) if isinstance(answer, Ok) else answer

        process = self._processes[client % self._setting.processes]
        guard = process.guard(operation.service, operation.name, self._policy)
        done = await drive(
            self._config,
            calls.start(clock.now()),
            clock=clock,
            draw=random.random,
            attempt=attempt,
            probe=probe if operation.probe is not None else None,
            guard=guard,
            asking=guard,
        )
        if not isinstance(done.outcome, Ok):
            self._failed += 1
            return
        self._ok += 1
        now = clock.now()
        if now >= self._setting.up_again and client in self._waiting:
            self._waiting.discard(client)
            if not self._waiting:
                self._served = now - self._setting.up_again
