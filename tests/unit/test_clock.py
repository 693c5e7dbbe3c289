"""Clocks: the simulated one jumps, the real one waits."""

from __future__ import annotations

import asyncio
import time

import pytest

from sagalang.runtime.clock import Clock, DeadlockError, SimulatedClock, SystemClock, simulated

DAY = 86_400_000


def test_months_pass_at_once_and_in_order() -> None:
    async def main(clock: SimulatedClock) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []

        async def wait(name: str, ms: int) -> None:
            await clock.sleep_until(1_000 + ms)
            seen.append((name, clock.now()))

        await asyncio.gather(wait("c", 350 * DAY + 3), wait("b", 7), wait("a", 1), wait("b2", 7))
        return seen

    began = time.monotonic()
    runs = [simulated(main, start=1_000) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0] == [("a", 1_001), ("b", 1_007), ("b2", 1_007), ("c", 350 * DAY + 1_003)]
    assert time.monotonic() - began < 5


def test_many_sleeps_do_not_drift() -> None:
    async def main(clock: SimulatedClock) -> int:
        for _ in range(3_000):
            await clock.sleep_until(clock.now() + 1)
        return clock.now()

    assert simulated(main, start=1_700_000_000_000) == 1_700_000_003_000


def test_a_simulated_timeout_comes_when_it_is_due() -> None:
    async def main(clock: SimulatedClock) -> int:
        with pytest.raises(TimeoutError), clock.timeout_at(6 * 3_600_000):
            await asyncio.Future()
        with clock.timeout_at(clock.now() + 10):
            await clock.sleep_until(clock.now() + 5)
        return clock.now()

    assert simulated(main) == 6 * 3_600_000 + 5


def test_a_deadlock_is_told() -> None:
    async def main(clock: SimulatedClock) -> None:
        await clock.sleep_until(5)
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match="no timer is set"):
        simulated(main)


def test_errors_and_results_come_out() -> None:
    async def main(clock: SimulatedClock) -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        simulated(main)


def test_the_real_clock_never_wakes_early() -> None:
    async def main() -> None:
        clock: Clock = SystemClock()
        for ms in (0, 1, 15):
            target = clock.now() + ms
            await clock.sleep_until(target)
            assert clock.now() >= target
        await clock.sleep_until(clock.now() - 1_000)
        with pytest.raises(TimeoutError), clock.timeout_at(clock.now() + 10):
            await asyncio.sleep(10)
        assert abs(clock.now() - time.time() * 1_000) < 1_000

    asyncio.run(main())


def test_centuries_pass_too() -> None:
    """As a back-off without a limit takes, of a service that never comes back."""

    async def main(clock: SimulatedClock) -> int:
        for pause in (20_223_677_916_023, 7, 40_000_000_000_001, 1):
            await clock.sleep_until(clock.now() + pause)
        return clock.now()

    assert simulated(main) == 20_223_677_916_023 + 7 + 40_000_000_000_001 + 1
