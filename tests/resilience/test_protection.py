"""The policies used alone: what is repeated, what is refused, and what a cancellation leaves."""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from sagalang.machine.outcomes import NotSent as NotSentOutcome
from sagalang.resilience import (
    AttemptTimeout,
    BulkheadFull,
    CircuitOpen,
    NotSent,
    Phase,
    Protection,
    RateLimited,
    breaker,
    bulkhead,
    rate,
    retry,
    retry_budget,
)
from sagalang.runtime.clock import SimulatedClock, simulated

TWO_FAILURES = breaker(100, calls=2, within=60, probe_after=10)


class Declined(Exception):  # noqa: N818
    pass


class Service:
    """Fails as often as told, then answers; counts its calls and how many run at once."""

    def __init__(self, *errors: Exception, takes: float = 0.0) -> None:
        self.errors = list(errors)
        self.takes = takes
        self.calls = 0
        self.running = 0
        self.most = 0

    async def __call__(self) -> str:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.takes)
            if self.errors:
                raise self.errors.pop(0)
            return "done"
        finally:
            self.running -= 1


def run(body: Callable[[SimulatedClock], Awaitable[Any]]) -> Any:
    return simulated(body)


async def gathered(times: int, make: Callable[[], Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*(make() for _ in range(times)), return_exceptions=True)


# --- Retry ------------------------------------------------------------------------------------


def test_what_may_be_repeated_is_repeated_until_it_succeeds() -> None:
    async def body(clock: SimulatedClock) -> None:
        service = Service(ConnectionError(), ConnectionError())
        guard = Protection("s", retry=retry(4, backoff=1), repeatable=True, clock=clock)
        assert await guard.call(service) == "done"
        assert service.calls == 3

    run(body)


def test_what_may_not_be_repeated_is_repeated_only_where_it_was_not_sent() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", retry=retry(4, backoff=1), repeatable=False, clock=clock)
        unsent = Service(NotSent(), NotSent())
        assert await guard.call(unsent) == "done"
        lost = Service(ConnectionError("lost"))
        with pytest.raises(ConnectionError, match="lost"):
            await guard.call(lost)
        assert lost.calls == 1

    run(body)


def test_a_retry_without_saying_whether_repeating_is_safe_is_refused() -> None:
    with pytest.raises(ValueError, match="repeatable=True"):
        Protection("s", retry=retry(3, backoff=1))


def test_a_rejection_is_not_repeated_and_no_failure() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection(
            "s",
            retry=retry(4, backoff=1),
            breaker=TWO_FAILURES,
            repeatable=True,
            rejects=Declined,
            clock=clock,
        )
        for _ in range(5):
            service = Service(Declined())
            with pytest.raises(Declined):
                await guard.call(service)
            assert service.calls == 1
        assert guard.breaker is Phase.CLOSED

    run(body)


def test_a_refusal_after_an_unanswered_attempt_does_not_say_it_was_not_sent() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection(
            "s",
            retry=retry(1, backoff=1),
            breaker=breaker(100, calls=1, within=60, probe_after=3600),
            total=10,
            repeatable=True,
            clock=clock,
        )
        with pytest.raises(ConnectionError) as raised:
            await guard.call(Service(ConnectionError(), ConnectionError()))
        assert raised.value.__notes__ == ["the next attempt was not sent: the breaker is open"]
        with pytest.raises(CircuitOpen) as refused:
            await guard.call(Service())
        assert refused.value.retry_after is not None
        assert 3_590_000 < refused.value.retry_after <= 3_600_000

    run(body)


def test_at_the_cap_clients_still_spread() -> None:
    async def body(clock: SimulatedClock) -> list[int]:
        woke = []

        async def fails() -> None:
            woke.append(clock.now())
            raise ConnectionError

        def client() -> Awaitable[Any]:
            guard = Protection(
                "s", retry=retry(6, backoff=1, up_to=2), repeatable=True, clock=clock
            )
            return guard.call(fails)

        await gathered(50, client)
        return woke[-50:]

    assert len(set(run(body))) > 40


def test_the_retry_budget_keeps_the_load_of_an_outage_down() -> None:
    async def body(clock: SimulatedClock) -> float:
        service = Service(*[ConnectionError() for _ in range(100_000)])
        guard = Protection(
            "s",
            retry=retry(4, backoff=0.05),
            retry_budget=retry_budget(20),
            repeatable=True,
            clock=clock,
        )

        async def client() -> None:
            for _ in range(20):
                with pytest.raises(ConnectionError):
                    await guard.call(service)
                await asyncio.sleep(1)

        await gathered(50, client)
        return service.calls / (50 * 20)

    assert 1.1 < run(body) < 1.25


# --- Breaker ----------------------------------------------------------------------------------


async def broken(clock: SimulatedClock, **options: Any) -> Protection:
    guard = Protection("s", breaker=TWO_FAILURES, clock=clock, **options)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await guard.call(Service(ConnectionError()))
    assert guard.breaker is Phase.OPEN
    return guard


def test_of_200_waiting_callers_one_probes() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = await broken(clock)
        await asyncio.sleep(10)
        service = Service(takes=0.5)
        answers = await gathered(200, lambda: guard.call(service))
        assert service.calls == 1
        assert answers.count("done") == 1
        assert sum(isinstance(answer, CircuitOpen) for answer in answers) == 199
        assert guard.breaker is Phase.CLOSED

    run(body)


@pytest.mark.parametrize("stale", [None, ConnectionError()])
def test_a_result_from_before_the_trip_does_not_count_as_the_probe(
    stale: Exception | None,
) -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", breaker=TWO_FAILURES, timeout=60, clock=clock)
        slow = Service(*([stale] if stale else []), takes=11)
        early = asyncio.ensure_future(guard.call(slow))
        await asyncio.sleep(0)
        await gathered(2, lambda: guard.call(Service(ConnectionError())))
        await asyncio.sleep(10)
        probe = asyncio.ensure_future(guard.call(Service(takes=5)))
        await asyncio.gather(early, return_exceptions=True)
        assert guard.breaker is Phase.HALF_OPEN
        await probe
        assert guard.breaker is Phase.CLOSED

    run(body)


def test_calls_cancelled_by_their_callers_leave_it_closed() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", breaker=TWO_FAILURES, clock=clock)
        for _ in range(3):
            task = asyncio.ensure_future(guard.call(Service(takes=5)))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert guard.breaker is Phase.CLOSED

    run(body)


def test_a_cancelled_probe_gives_its_place_to_the_next_caller() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = await broken(clock)
        await asyncio.sleep(10)
        probe = asyncio.ensure_future(guard.call(Service(takes=5)))
        await asyncio.sleep(1)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert await guard.call(Service()) == "done"

    run(body)


def test_a_probe_that_never_comes_back_is_forfeited_after_twice_the_timeout() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = await broken(clock)
        await asyncio.sleep(10)
        cell = guard._guard.breaker
        assert cell is not None
        lost = cell.admit(clock.now(), 20_000, lambda _: None)  # nobody ever reports it
        assert not isinstance(lost, NotSentOutcome)
        await asyncio.sleep(19.9)
        with pytest.raises(CircuitOpen):
            await guard.call(Service())
        await asyncio.sleep(0.1)
        assert await guard.call(Service()) == "done"
        assert guard.breaker is Phase.CLOSED

    run(body)


# --- Bulkhead, rate, timeout -------------------------------------------------------------------


def test_no_more_than_the_limit_run_at_once_and_the_queue_moves_in_order() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", bulkhead=bulkhead(3, queue=5), clock=clock)
        service = Service(takes=1)
        begun: list[int] = []

        async def call(number: int) -> None:
            begun.append(number)
            await service()

        answers = await asyncio.gather(
            *(guard.call(call, number) for number in range(10)), return_exceptions=True
        )
        assert service.most == 3
        assert begun == [0, 1, 2, 3, 4, 5, 6, 7]
        assert [type(a) for a in answers[8:]] == [BulkheadFull, BulkheadFull]

    run(body)


@pytest.mark.parametrize("when", ["waiting", "in the moment of its turn"])
def test_a_cancelled_waiter_leaks_nothing(when: str) -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", bulkhead=bulkhead(1, queue=9), clock=clock)
        first = asyncio.ensure_future(guard.call(Service(takes=1)))
        await asyncio.sleep(0.1)
        waiters = [asyncio.ensure_future(guard.call(Service(takes=1))) for _ in range(3)]
        await asyncio.sleep(0.1)
        if when == "waiting":
            waiters[0].cancel()
        else:
            first.add_done_callback(lambda _: waiters[0].cancel())
        done = await asyncio.gather(first, *waiters, return_exceptions=True)
        assert isinstance(done[1], asyncio.CancelledError)
        assert done[2:] == ["done", "done"]
        assert clock.now() == 3_000
        answers = await gathered(10, lambda: guard.call(Service()))
        assert answers == ["done"] * 10

    run(body)


def test_a_waiter_goes_when_its_time_is_up() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", bulkhead=bulkhead(1, queue=1, wait=0.5), clock=clock)
        running = asyncio.ensure_future(guard.call(Service(takes=1)))
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFull):
            await guard.call(Service())
        assert clock.now() == 500
        assert await running == "done"
        assert await guard.call(Service()) == "done"

    run(body)


def test_a_call_that_queued_while_the_breaker_opened_is_not_sent() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", breaker=TWO_FAILURES, bulkhead=bulkhead(2, queue=9), clock=clock)
        lost = [Service(ConnectionError(), takes=1) for _ in range(2)]
        late = Service()
        await asyncio.gather(*(guard.call(s) for s in (*lost, late)), return_exceptions=True)
        assert guard.breaker is Phase.OPEN
        assert late.calls == 0
        await asyncio.sleep(10)
        assert await guard.call(Service()) == "done"

    run(body)


def test_the_timeout_counts_from_the_sending_not_from_the_queue() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", timeout=1.5, bulkhead=bulkhead(1, queue=9), clock=clock)
        service = Service(takes=1)
        assert await gathered(4, lambda: guard.call(service)) == ["done"] * 4

    run(body)


def test_the_rate_is_never_exceeded() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", rate=rate(10, per=timedelta(seconds=1)), clock=clock)
        answers = await gathered(12, lambda: guard.call(Service()))
        assert answers[:10] == ["done"] * 10
        assert all(isinstance(answer, RateLimited) for answer in answers[10:])
        await asyncio.sleep(answers[10].retry_after / 1_000)
        assert await guard.call(Service()) == "done"

    run(body)


def test_an_attempt_that_takes_too_long_is_a_timeout_and_a_failure() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", timeout=1, breaker=TWO_FAILURES, clock=clock)
        for _ in range(2):
            with pytest.raises(AttemptTimeout):
                await guard.call(Service(takes=5))
        assert guard.breaker is Phase.OPEN

    run(body)


def test_a_timeout_of_the_function_itself_comes_out_as_it_is() -> None:
    async def body(clock: SimulatedClock) -> None:
        with pytest.raises(TimeoutError, match="my own") as raised:
            await Protection("s", clock=clock).call(Service(TimeoutError("my own")))
        assert not isinstance(raised.value, AttemptTimeout)

    run(body)


@pytest.mark.parametrize("takes", [0.5, 5])
def test_a_cancellation_is_never_swallowed_replaced_or_repeated(takes: float) -> None:
    async def body(clock: SimulatedClock) -> None:
        service = Service(ConnectionError(), takes=takes)
        guard = Protection(
            "s",
            retry=retry(None, backoff=1),
            timeout=10,
            repeatable=True,
            clock=clock,
            draw=lambda: 0.5,
        )
        task = asyncio.ensure_future(guard.call(service))
        await asyncio.sleep(0.6)  # in the back-off, or in the call
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert service.calls == 1

    run(body)


# --- Decorator, blocks, threads ----------------------------------------------------------------


def test_a_decorated_function_keeps_its_name_and_arguments() -> None:
    async def body(clock: SimulatedClock) -> None:
        @Protection("s", clock=clock)
        async def double(number: int, *, plus: int = 0) -> int:
            return 2 * number + plus

        assert double.__name__ == "double"
        assert await double(4, plus=1) == 9

    run(body)


def test_a_block_is_one_attempt() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", breaker=TWO_FAILURES, timeout=1, clock=clock)
        with pytest.raises(AttemptTimeout):
            async with guard.attempt():
                await asyncio.sleep(5)
        with pytest.raises(ConnectionError):
            async with guard.attempt():
                raise ConnectionError
        assert guard.breaker is Phase.OPEN
        with pytest.raises(CircuitOpen):
            async with guard.attempt():
                pytest.fail("it must not run")
        await asyncio.sleep(10)
        async with guard.attempt():
            pass
        assert guard.breaker is Phase.CLOSED

    run(body)


def test_a_cancelled_block_gives_back_what_it_held() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", bulkhead=bulkhead(1), clock=clock)

        async def holds() -> None:
            async with guard.attempt():
                await asyncio.sleep(5)

        task = asyncio.ensure_future(holds())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await guard.call(Service()) == "done"

    run(body)


def test_plain_functions_are_protected_in_their_threads() -> None:
    guard = Protection(
        "s",
        retry=retry(3, backoff=0.01),
        bulkhead=bulkhead(2, queue=20),
        repeatable=True,
    )
    running, most, left = 0, 0, [ConnectionError(), ConnectionError()]
    lock = threading.Lock()

    @guard
    def work() -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
            if left:
                raise left.pop()
        return "done"

    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(work())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["done"] * 10
    assert most == 2


def test_threads_share_one_breaker_without_serialising_calls() -> None:
    guard = Protection("s", breaker=TWO_FAILURES)

    all_of_them = threading.Barrier(10)
    met = []

    @guard
    def work() -> None:
        met.append(all_of_them.wait(30))

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(met) == list(range(10))


def test_a_plain_block_is_one_attempt() -> None:
    guard = Protection("s", breaker=TWO_FAILURES)
    for _ in range(2):
        with pytest.raises(ConnectionError), guard.attempt_sync():
            raise ConnectionError
    with pytest.raises(CircuitOpen), guard.attempt_sync():
        pytest.fail("it must not run")


def nothing() -> None:
    pass


async def soon() -> None:
    pass


def many() -> Any:
    yield 1


async def many_soon() -> Any:
    yield 1


class Object:
    async def __call__(self) -> str:
        raise ConnectionError


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Protection("s", timeout=1)(nothing), "client library"),
        (lambda: Protection("s", timeout=1).call_sync(nothing), "client library"),
        (lambda: Protection("s", clock=SimulatedClock())(nothing), "cannot use `clock`"),
        (lambda: Protection("s").call_sync(soon), "await protection.call"),
        (lambda: Protection("s")(lambda: soon())(), "await protection.call"),
        (lambda: Protection("s")(many), "is a generator"),
        (lambda: Protection("s")(many_soon), "is a generator"),
        (lambda: Protection("s")(classmethod(nothing)), "below `@classmethod`"),
        (lambda: Protection("s")(3), "decorate a function"),
        (lambda: Protection("s", breaker=50), "sagalang.resilience.breaker"),
        (lambda: Protection("s", rejects=[ValueError]), "tuple of them"),
    ],
)
def test_what_cannot_be_protected_is_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        make()


def test_an_object_whose_call_is_async_is_protected() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection("s", breaker=TWO_FAILURES, clock=clock)
        call = guard(Object())
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await call()
        assert guard.breaker is Phase.OPEN

    run(body)


def test_a_refusal_tells_what_failed_before_and_survives_pickling() -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = Protection(
            "s",
            retry=retry(1, backoff=1),
            breaker=breaker(100, calls=1, within=60, probe_after=100),
            total=50,
            repeatable=False,
            clock=clock,
        )
        with pytest.raises(NotSent) as raised:
            await guard.call(Service(NotSent("connection refused")))
        assert isinstance(raised.value, CircuitOpen)
        assert str(raised.value.__cause__) == "connection refused"
        again = pickle.loads(pickle.dumps(raised.value))
        assert (str(again), again.retry_after) == (str(raised.value), raised.value.retry_after)

    run(body)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: retry(0, backoff=1), "leave `retry` out"),
        (lambda: retry(3, backoff="1s"), "`backoff` is a duration"),  # type: ignore[arg-type]
        (lambda: retry(3, backoff=0), "more than 0"),
        (lambda: retry(3, backoff=5, up_to=1), "make it longer"),
        (lambda: retry(3, backoff=1, jitter="none"), "full"),  # type: ignore[arg-type]
        (lambda: breaker(0, calls=2, within=1, probe_after=1), "1 to 100"),
        (lambda: breaker(0.5, calls=2, within=1, probe_after=1), "half is 50"),  # type: ignore[arg-type]
        (lambda: bulkhead(1, wait=1), "add `queue`"),
        (lambda: rate(0, per=1), "1 or more"),
        (lambda: bulkhead(1.5), "whole number"),  # type: ignore[arg-type]
        (lambda: Protection("s", timeout=2, total=1), "shorter than one attempt"),
        (lambda: Protection("s", retry_budget=retry_budget(20)), "nothing to do"),
        (lambda: Protection("s", rejects=Exception), "says something else"),
    ],
)
def test_a_contradiction_is_named(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_what_a_protection_does_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def body(clock: SimulatedClock) -> None:
        guard = await broken(clock)
        with pytest.raises(CircuitOpen):
            await guard.call(Service())

    with caplog.at_level(logging.INFO, "sagalang.resilience"):
        run(body)
    assert [record.getMessage() for record in caplog.records] == [
        "s: an attempt failed: ConnectionError",
        "s: the breaker is open (was closed)",
        "s: an attempt failed: ConnectionError",
        "s: refused, the breaker is open",
    ]
    assert vars(caplog.records[1])["saga_after"] == "open"
    assert vars(caplog.records[0])["saga_error"] == "ConnectionError"


def test_event_loops_of_several_threads_share_one_bulkhead() -> None:
    guard = Protection("s", bulkhead=bulkhead(2, queue=100))
    running, most, lock = 0, 0, threading.Lock()

    @guard
    async def work() -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        await asyncio.sleep(0.005)
        with lock:
            running -= 1
        return "done"

    async def many() -> list[str]:
        return list(await asyncio.gather(*(work() for _ in range(10))))

    answers: list[list[str]] = []
    threads = [threading.Thread(target=lambda: answers.append(asyncio.run(many()))) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [["done"] * 10] * 3
    assert most == 2
