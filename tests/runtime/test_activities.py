"""What is under way in a run: a call that is alone is made by the task that waits for events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from sagalang.machine.events import CancelRequested, Event
from sagalang.runtime.activities import PATIENCE, Activities
from sagalang.runtime.clock import SimulatedClock, simulated

Body = Callable[[SimulatedClock, Activities], Awaitable[None]]


def play(body: Body) -> None:
    async def main(clock: SimulatedClock) -> None:
        under_way = Activities(clock.now)
        await body(clock, under_way)
        await under_way.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulated(main)


def told(at: int) -> Event:
    return CancelRequested(at)


async def answers(at: int) -> Event:
    return told(at)


def at_once(work: Coroutine[Any, Any, Event]) -> bool:
    """Whether it ends without waiting for anything."""
    try:
        work.send(None)
    except StopIteration:
        return True
    work.close()
    return False


def test_a_call_that_is_alone_and_never_waits_takes_no_turn_of_the_loop() -> None:
    async def body(_: SimulatedClock, under_way: Activities) -> None:
        under_way.make(answers(1))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert at_once(under_way.next())

    play(body)


def test_what_comes_while_a_call_is_made_is_given_out_first_and_the_call_goes_on() -> None:
    seen: list[object] = []

    async def call() -> Event:
        task = asyncio.current_task()
        await asyncio.sleep(1)
        seen.append(asyncio.current_task() is task)
        await asyncio.sleep(1)
        return told(2)

    async def body(clock: SimulatedClock, under_way: Activities) -> None:
        under_way.make(call())
        asyncio.get_running_loop().call_later(0.5, under_way.post, told(500))
        assert await under_way.next() == told(500)
        assert clock.now() == 500
        assert await under_way.next() == told(2)
        assert (clock.now(), seen) == (2_000, [True])

    play(body)


def test_what_a_call_brings_about_from_outside_comes_before_its_own_end() -> None:
    async def body(_: SimulatedClock, under_way: Activities) -> None:
        async def call() -> Event:
            under_way.post(told(1))
            return told(2)

        under_way.make(call())
        assert [await under_way.next(), await under_way.next()] == [told(1), told(2)]

    play(body)


def test_several_calls_begin_in_their_order_and_run_side_by_side() -> None:
    seen: list[str] = []

    async def call(name: str, seconds: float) -> Event:
        seen.append(f"{name} begins")
        await asyncio.sleep(seconds)
        return told(round(seconds))

    async def body(clock: SimulatedClock, under_way: Activities) -> None:
        under_way.make(call("a", 2))
        under_way.make(call("b", 1))
        assert [await under_way.next(), await under_way.next()] == [told(1), told(2)]
        assert clock.now() == 2_000
        assert seen == ["a begins", "b begins"]

    play(body)


@pytest.mark.parametrize(("due", "alone"), [(5, True), (0, False)])
def test_a_timer_that_is_due_at_this_moment_has_its_turn_first(due: int, alone: bool) -> None:
    async def body(clock: SimulatedClock, under_way: Activities) -> None:
        async def timer() -> Event:
            await clock.sleep_until(due)
            return told(due)

        under_way.spawn(timer(), due)
        under_way.make(answers(1))
        assert at_once(under_way.next()) is alone

    play(body)


def test_a_run_whose_calls_never_wait_lets_others_have_a_turn_now_and_then() -> None:
    """It would keep a deadline, and every other run, from being noticed."""
    turns: list[int] = []

    async def main() -> None:
        now = 1

        async def call() -> Event:
            nonlocal now
            now += PATIENCE
            return told(now)

        under_way = Activities(lambda: now)
        asyncio.get_running_loop().call_soon(lambda: turns.append(now))
        for _ in range(5):
            under_way.make(call())
            await under_way.next()
        assert turns == [1 + 2 * PATIENCE]

    asyncio.run(main())


# --- Timeouts, cancellation, the end ------------------------------------------------------------


def test_a_timeout_inside_the_call_is_its_own_affair() -> None:
    async def call() -> Event:
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(5)
        except TimeoutError:
            return told(1)
        raise AssertionError

    async def body(clock: SimulatedClock, under_way: Activities) -> None:
        under_way.make(call())
        assert await under_way.next() == told(1)
        task = asyncio.current_task()
        assert task is not None
        assert (clock.now(), task.cancelling()) == (1_000, 0)

    play(body)


def test_cancelling_whoever_waits_cancels_the_call() -> None:
    seen: list[str] = []

    async def call() -> Event:
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(1)
            seen.append("given back")
        raise AssertionError

    async def body(clock: SimulatedClock, under_way: Activities) -> None:
        under_way.make(call())
        waiting = asyncio.create_task(under_way.next())  # type: ignore[arg-type]
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (clock.now(), seen) == (2_000, ["given back"])

    play(body)


def test_the_end_cancels_the_call_and_waits_for_it() -> None:
    seen: list[str] = []

    async def call() -> Event:
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(1)
            seen.append("given back")
        raise AssertionError

    async def body(clock: SimulatedClock, under_way: Activities) -> None:
        under_way.make(call())
        under_way.post(told(0))
        asyncio.get_running_loop().call_later(1, under_way.post, told(1))
        await under_way.next()
        await under_way.next()
        await under_way.close()
        task = asyncio.current_task()
        assert task is not None
        assert (clock.now(), seen, task.cancelling()) == (2_000, ["given back"], 0)

    play(body)


@pytest.mark.parametrize("steps", range(6))
def test_the_end_is_not_taken_for_a_timeout_that_fires_in_the_same_moment(steps: int) -> None:
    async def body(clock: SimulatedClock, under_way: Activities) -> None:
        seen: list[str] = []

        async def call() -> Event:
            try:
                with clock.timeout_at(1_000):
                    await asyncio.sleep(5)
            except TimeoutError:
                seen.append("timeout")
            await asyncio.sleep(5)
            raise AssertionError

        under_way.make(call())

        def ring(left: int) -> None:
            if left:
                asyncio.get_running_loop().call_soon(ring, left - 1)
            else:
                under_way.post(told(1))

        asyncio.get_running_loop().call_later(1, ring, steps)
        assert await under_way.next() == told(1)
        await under_way.close()
        assert clock.now() == 1_000

    play(body)


def test_a_call_that_ends_well_although_it_is_cancelled_is_not_lost() -> None:
    async def call() -> Event:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return told(7)
        raise AssertionError

    async def body(_: SimulatedClock, under_way: Activities) -> None:
        under_way.make(call())
        asyncio.get_running_loop().call_later(1, under_way.post, told(1))
        await under_way.next()
        await under_way.close()
        assert await under_way.next() == told(7)

    play(body)


def test_cancelling_whoever_ends_it_comes_through() -> None:
    async def call() -> Event:
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.shield(asyncio.sleep(3))
        raise AssertionError

    async def body(clock: SimulatedClock, under_way: Activities) -> None:
        async def whole() -> None:
            under_way.make(call())
            asyncio.get_running_loop().call_later(1, under_way.post, told(1))
            await under_way.next()
            await under_way.close()

        task = asyncio.create_task(whole())
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(3)

    play(body)


def test_an_exception_of_a_call_comes_out_where_its_event_would() -> None:
    async def call() -> Event:
        raise ValueError("a bug")

    async def body(_: SimulatedClock, under_way: Activities) -> None:
        under_way.make(call())
        with pytest.raises(ValueError, match="a bug"):
            await under_way.next()

    play(body)


def test_what_a_call_sets_in_its_context_stays_there() -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)

    async def call() -> Event:
        variable.set(1)
        await asyncio.sleep(0)
        return told(variable.get())

    async def body(_: SimulatedClock, under_way: Activities) -> None:
        under_way.make(call())
        assert await under_way.next() == told(1)
        assert variable.get() == 0

    play(body)


def test_what_is_no_future_cannot_be_awaited() -> None:
    class Odd:
        def __await__(self) -> Any:
            yield "nonsense"

    async def call() -> Event:
        await Odd()
        raise AssertionError

    async def body(_: SimulatedClock, under_way: Activities) -> None:
        under_way.make(call())
        with pytest.raises(RuntimeError, match="cannot be awaited"):
            await under_way.next()

    play(body)


@pytest.mark.parametrize("shielded", [False, True])
def test_a_cancel_scope_inside_the_call_is_its_own_affair(shielded: bool) -> None:
    """As the client of HTTP opens them around a connection that takes long."""

    async def call() -> Event:
        for _ in range(3):
            with anyio.move_on_after(0.25, shield=shielded):
                await anyio.sleep(10)
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 10)
                await asyncio.sleep(0.1)
                group.cancel_scope.cancel()
        return told(1)

    async def body(clock: SimulatedClock, under_way: Activities) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.make(call())
        assert await under_way.next() == told(1)
        assert clock.now() == 1050
        assert task.cancelling() == 0

    play(body)
