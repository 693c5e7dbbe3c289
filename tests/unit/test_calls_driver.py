"""Waiting between attempts, and for a turn."""

from __future__ import annotations

import asyncio

from sagalang.runtime.calls import Interruption, Pause, Stand, wait
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.protection import Turn


def test_a_timer_that_fires_half_a_millisecond_early_does_not_end_the_wait() -> None:
    async def body(clock: SimulatedClock) -> int:
        await asyncio.sleep(0.0135)  # told as 14 ms, so a timer until 15 fires at 14.5: told as 14
        assert clock.now() == 14
        await wait(Pause(15), clock, None)
        return clock.now()

    assert simulated(body) >= 15


def test_an_interruption_ends_a_pause_and_a_queue_at_once() -> None:
    async def body(clock: SimulatedClock) -> int:
        for effect in (Pause(60_000), Stand(Turn(), None), Stand(Turn(), 60_000)):
            interruption = Interruption()
            waits = asyncio.ensure_future(wait(effect, clock, interruption))
            await asyncio.sleep(1)
            interruption.set()
            await waits
            await wait(effect, clock, interruption)  # it stays interrupted
        return clock.now()

    assert simulated(body) == 3_000


def test_a_turn_that_came_before_anyone_waited_is_not_missed() -> None:
    async def body(clock: SimulatedClock) -> int:
        turn = Turn()
        turn.granted = True
        await wait(Stand(turn, None), clock, None)
        return clock.now()

    assert simulated(body) == 0
