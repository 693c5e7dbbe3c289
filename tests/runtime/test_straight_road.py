"""The straight road of `drive` is the road of `conduct`: same notes, same times, same draws."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagalang.machine import calls
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model import program as p
from sagalang.runtime.calls import Interruption, drive
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.protection import UNGUARDED, Guard

OUTCOMES: tuple[Outcome, ...] = (
    Ok("yes"),
    Ok(None),
    Rejected(Failure("Declined")),
    NotSent(Failure("NotSent")),
    NotSent(Failure("Throttled"), retry_after=300),
    NotSent(Failure("CircuitOpen"), retry_after=40),
    NotSent(Failure("NotSent"), repeat=False),
    Unknown(Failure("Timeout")),
    Unknown(Failure("Unavailable"), retry_after=70),
    Unknown(Failure("ContractMismatch"), repeat=False),
)
RETRY = p.Retry(2, 100, Decimal(2), 1_000)
maybe = st.booleans()
moments = st.one_of(st.none(), st.sampled_from([0, 1, 50, 120, 5_000]))
configs = st.builds(
    calls.CallConfig,
    timeout=st.sampled_from([10, 100]),
    total=moments,
    retry=st.sampled_from([None, RETRY]),
    deadline=moments,
    is_query=maybe,
    keyed=maybe,
    key_for=st.sampled_from([60, 86_400_000]),
    records_rejections=maybe,
    idempotent=maybe,
    has_probe=maybe,
    lands_within=moments,
    resolve=maybe,
    patient=maybe,
)
states = st.one_of(
    st.just(calls.start(0)),
    st.builds(calls.recover, st.just(0), st.integers(-100, 0), st.sampled_from([None, -10])),
)
answers = st.lists(
    st.tuples(st.sampled_from(OUTCOMES), st.sampled_from([0, 0, 5, 40, 200])),
    min_size=1,
    max_size=6,
)


def driven(
    config: calls.CallConfig,
    state: calls.CallState,
    answers: list[tuple[Outcome, int]],
    told: int | None,
    seed: int,
    guard: Guard,
) -> list[object]:
    """Everything that can be seen of a call; `told`: when it is asked to stop."""

    async def body(clock: SimulatedClock) -> list[object]:
        seen: list[object] = []
        left, random, interruption = list(answers), Random(seed), Interruption()

        async def send(number: int) -> Outcome:
            outcome, takes = left.pop(0) if left else (Rejected(Failure("Over")), 0)
            seen.append(("sent", number, clock.now()))
            if takes:
                await clock.sleep_until(clock.now() + takes)
            return outcome

        def attempt(number: int) -> Coroutine[Any, Any, Outcome]:
            return send(number)

        def draw() -> float:
            seen.append("draw")
            return random.random()

        def stop() -> None:
            seen.append(("told", clock.now()))
            interruption.set()

        if told == 0:
            stop()
        elif told is not None:
            asyncio.get_running_loop().call_later(told / 1_000, stop)
        done = await drive(
            config,
            state,
            clock=clock,
            draw=draw,
            attempt=attempt,
            probe=attempt,
            guard=guard,
            interruption=interruption,
            note=lambda what: seen.append((clock.now(), what)),
        )
        return [*seen, done, clock.now()]

    return simulated(body)


@settings(max_examples=500)
@given(configs, states, answers, st.sampled_from([None, None, 0, 1, 1, 3, 50]), st.integers(0, 9))
@example(calls.CallConfig(), calls.start(0), [(Ok("yes"), 40)], 1, 0)
def test_the_straight_road_of_a_call_is_the_road_of_conduct(
    config: calls.CallConfig,
    state: calls.CallState,
    answers: list[tuple[Outcome, int]],
    told: int | None,
    seed: int,
) -> None:
    straight = driven(config, state, answers, told, seed, UNGUARDED)
    # A guard that guards nothing, and is not `UNGUARDED`: everything goes through `conduct`.
    assert straight == driven(config, state, answers, told, seed, Guard())
