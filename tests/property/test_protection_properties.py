"""Random policies, services and cancellations: nothing leaks, nothing is exceeded, nothing lost."""

from __future__ import annotations

import asyncio
import os
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sagalang.machine import calls
from sagalang.machine.breaker import Phase
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model import program as p
from sagalang.runtime.calls import Interruption, drive
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.protection import BreakerChanged, Protections

OUTCOMES: tuple[Outcome, ...] = (
    Ok(),
    Ok(),
    Rejected(Failure("No")),
    Unknown(Failure("Unavailable")),
    Unknown(Failure("Unavailable")),
    NotSent(Failure("Throttled"), retry_after=700),
    NotSent(Failure("NotSent"), repeat=False),
)

maybe = st.booleans()
policies = st.builds(
    p.Policy,
    timeout=st.sampled_from([200, 1_000]),
    total=st.sampled_from([None, 3_000]),
    retry=st.one_of(
        st.none(),
        st.builds(
            p.Retry,
            st.sampled_from([1, 4]),
            st.sampled_from([50, 500]),
            jitter=st.sampled_from([p.Jitter.FULL, p.Jitter.EQUAL]),
        ),
    ),
    budget=st.one_of(st.none(), st.just(p.RetryBudget(20))),
    breaker=st.one_of(
        st.none(),
        st.builds(
            p.Breaker,
            st.sampled_from([50, 100]),
            st.sampled_from([1, 3]),
            st.just(2_000),
            st.sampled_from([300, 2_000]),
        ),
    ),
    bulkhead=st.one_of(
        st.none(),
        st.builds(p.Bulkhead, st.sampled_from([1, 3]), st.sampled_from([0, 2, 20]), st.just(None)),
        st.just(p.Bulkhead(2, 5, 150)),
    ),
    rate=st.one_of(st.none(), st.just(p.Rate(5, 500))),
)


class Watched:
    """A service that counts how many calls it has at once, and the breaker's probes among them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.running = self.most = self.sent = 0

    async def __call__(self, _: int) -> Outcome:
        self.sent += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.random.choice([0, 0.01, 0.1, 0.5, 1.5]))
            return self.random.choice(OUTCOMES)
        finally:
            self.running -= 1


@settings(max_examples=300 if "SAGA_SLOW" in os.environ else 150, deadline=None)
@given(policies, st.integers(0, 2**32), st.integers(1, 25), maybe)
def test_nothing_leaks_whatever_is_cancelled_or_interrupted(
    policy: p.Policy, seed: int, callers: int, patient: bool
) -> None:
    random = Random(seed)

    async def body(clock: SimulatedClock) -> None:
        guard = Protections().guard("S", "do", policy)
        service = Watched(random)
        notes: list[Any] = []
        probing: list[int] = []

        async def one() -> calls.Done:
            config = calls.CallConfig(
                timeout=policy.timeout or 1_000,
                total=policy.total or 60_000,
                retry=policy.retry,
                idempotent=random.random() < 0.7,
                patient=patient,
            )
            interruption = Interruption()
            if random.random() < 0.2:
                asyncio.get_running_loop().call_later(random.random() * 3, interruption.set)
            return await drive(
                config,
                calls.start(clock.now()),
                clock=clock,
                draw=random.random,
                attempt=attempt,
                guard=guard,
                interruption=interruption,
                note=notes.append,
            )

        async def attempt(number: int) -> Outcome:
            cell = guard.breaker
            half_open = cell is not None and cell.state.phase is Phase.HALF_OPEN
            if half_open:
                assert cell is not None
                probing.append(len(cell.state.probing.under_way))
            return await service(number)

        tasks: list[asyncio.Task[calls.Done]] = []
        cancelled: set[asyncio.Task[calls.Done]] = set()
        for _ in range(callers):
            task = asyncio.ensure_future(one())
            tasks.append(task)
            if random.random() < 0.3:

                def cancel(task: asyncio.Task[calls.Done] = task) -> None:
                    if not task.done():
                        cancelled.add(task)
                        task.cancel()

                asyncio.get_running_loop().call_later(random.choice([0, 0.01, 0.1, 0.7]), cancel)
            if random.random() < 0.5:
                await asyncio.sleep(random.choice([0, 0.01, 0.1]))
        ends = await asyncio.gather(*tasks, return_exceptions=True)

        for task, end in zip(tasks, ends, strict=True):
            if task in cancelled:
                assert isinstance(end, asyncio.CancelledError), end
            else:
                assert isinstance(end, calls.Done), end
        assert service.running == 0
        if guard.bulkhead is not None:
            assert (guard.bulkhead.state.in_flight, guard.bulkhead.state.waiting) == (0, 0)
            assert service.most <= guard.bulkhead.config.limit
        if guard.breaker is not None:
            assert guard.breaker.state.probing.under_way == ()
            assert all(under_way <= 1 for under_way in probing)
        elif not any((policy.bulkhead, policy.rate, policy.budget)):
            assert not any(isinstance(note, BreakerChanged) for note in notes)
        # Whatever happened, the protections work on.
        await asyncio.sleep(10)
        if guard.breaker is None or guard.breaker.state.phase is Phase.CLOSED:
            fresh = await drive(
                calls.CallConfig(),
                calls.start(clock.now()),
                clock=clock,
                draw=random.random,
                attempt=answers,
                guard=guard,
            )
            assert isinstance(fresh.outcome, Ok)

    simulated(body)


async def answers(_: int) -> Outcome:
    return Ok()
