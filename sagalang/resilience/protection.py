"""One protection: the policies around the calls of one service, with the state they share.

payments = Protection(
    "payments",
    timeout=2,
    retry=retry(4, backoff=0.2, up_to=5),
    breaker=breaker(50, calls=20, within=30, probe_after=10),
    repeatable=True,
)

@payments
async def charge(order: str) -> str: ...
"""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, ParamSpec, TypeVar, overload

from msgspec.structs import replace

from sagalang.machine import calls
from sagalang.machine.breaker import Phase
from sagalang.machine.outcomes import Ok, Outcome
from sagalang.model.program import (
    DEFAULT_TIMEOUT,
    Breaker,
    Bulkhead,
    Policy,
    Rate,
    Retry,
    RetryBudget,
)
from sagalang.resilience import threads
from sagalang.resilience.clauses import Duration, ms
from sagalang.resilience.errors import Failed
from sagalang.resilience.logs import tell
from sagalang.runtime.calls import (
    TIMED_OUT,
    Conduct,
    Draw,
    Exchange,
    conduct,
    drive,
    wait,
)
from sagalang.runtime.clock import Clock, SystemClock
from sagalang.runtime.problems import NotSent
from sagalang.runtime.protection import UNGUARDED, Protections

P = ParamSpec("P")
T = TypeVar("T")


class Protection:
    """The policies around the calls of one service, and the state they share.

    Used as a decorator of an async or a plain function, `protection.call(function, ...)` without
    decorating, or around a block: `async with protection.attempt():`. What is protected together
    (the operations of one service) uses one protection.

    `timeout` is for one attempt (10 s where it is not given), `total` for all of them. Where there
    is a `retry`, `repeatable` says whether a call may be repeated when nobody knows whether it
    happened: True for reads and idempotent calls; else only what raised `NotSent` is repeated.
    `rejects`: exceptions by which the service says no. Such an answer is no failure: it is never
    repeated, and the breaker counts it as a success. Every other exception is a failure.
    `clock` and `draw` (a random number in [0, 1)) are for tests.

    Protections are applied from the outside in: total, retry and its budget, breaker, rate limit,
    bulkhead, attempt timeout. Cancelling a call is no result: the breaker does not count it, and
    whatever it held or waited for is given back.

    Raises `ValueError` where clauses contradict each other.
    """

    def __init__(
        self,
        name: str,
        *,
        timeout: Duration | None = None,
        total: Duration | None = None,
        retry: Retry | None = None,
        retry_budget: RetryBudget | None = None,
        breaker: Breaker | None = None,
        rate: Rate | None = None,
        bulkhead: Bulkhead | None = None,
        repeatable: bool | None = None,
        rejects: type[Exception] | tuple[type[Exception], ...] = (),
        clock: Clock | None = None,
        draw: Draw = random.random,
    ) -> None:
        if retry is not None and repeatable is None:
            raise ValueError(
                f"{name}: may a call be repeated when nobody knows whether it happened? Say"
                " `repeatable=True` for reads and idempotent calls, else `repeatable=False`"
            )
        _check(name, retry_budget, breaker, rate, bulkhead, retry, rejects)
        self.name = name
        self._has_timeout = timeout is not None
        self._config = calls.CallConfig(
            timeout=DEFAULT_TIMEOUT if timeout is None else ms(timeout, "timeout"),
            total=None if total is None else ms(total, "total"),
            retry=retry,
            idempotent=bool(repeatable),
            patient=calls.endless(retry),
        )
        if self._config.total is not None and self._config.total < self._config.timeout:
            if timeout is not None:
                raise ValueError(f"{name}: `total` is shorter than one attempt may take")
            self._config = replace(self._config, timeout=self._config.total)
        slow_after = breaker.slow_after if breaker is not None else None
        if slow_after is not None and slow_after >= self._config.timeout:
            raise ValueError(f"{name}: no call can be slow: it times out before `slow_after`")
        self._once = replace(self._config, retry=None, patient=False)
        self._rejects = rejects
        self._clock = SystemClock() if clock is None else clock
        self._draw = draw
        self._note = tell(name)
        policy = Policy(breaker=breaker, rate=rate, bulkhead=bulkhead, budget=retry_budget)
        self._guard = Protections().guard(name, "", policy)

    def __repr__(self) -> str:
        breaker = "" if self.breaker is None else f", breaker {self.breaker.value}"
        return f"<Protection {self.name!r}{breaker}>"

    @property
    def breaker(self) -> Phase | None:
        """Whether the breaker is closed, open or half-open; None if there is none. An open one
        stays so until a call comes after its time."""
        return None if self._guard.breaker is None else self._guard.breaker.state.phase

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...

    @overload
    def __call__(self, function: Callable[P, T]) -> Callable[P, T]: ...

    def __call__(self, function: Callable[P, Any]) -> Callable[P, Any]:
        """The function, protected. Raises `TypeError` for a plain function where a timeout was
        given: a thread cannot be interrupted, so its client library must keep the time. Also for
        generators, which are many exchanges and not one call."""
        if not callable(function):
            raise TypeError(
                f"{self.name}: decorate a function"
                " (below `@classmethod` and `@staticmethod`, not above them)"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{self.name}: {function.__name__} is a generator; protect the calls it makes"
            )
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is async
        ):

            @functools.wraps(function)
            async def protected(*args: P.args, **kwargs: P.kwargs) -> Any:
                return await self._call(_Made(self.name, self._rejects, function, args, kwargs))

            return protected
        self._refuse_in_thread(f"{getattr(function, '__name__', 'a function')}")

        @functools.wraps(function)
        def protected_in_thread(*args: P.args, **kwargs: P.kwargs) -> Any:
            return self.call_sync(function, *args, **kwargs)

        return protected_in_thread

    async def call(
        self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call an async function under the policies.

        Raises what its last attempt raised; `AttemptTimeout`; or `CircuitOpen`, `BulkheadFull` or
        `RateLimited` where it was not called. If it may have happened all the same, because an
        earlier attempt went unanswered, it raises what that attempt ended with.
        """
        made = _Made(self.name, self._rejects, function, args, kwargs)
        return await self._call(made)  # type: ignore[no-any-return]

    async def _call(self, made: _Made) -> Any:
        done = await drive(
            self._config,
            calls.start(self._clock.now()),
            clock=self._clock,
            draw=self._draw,
            attempt=made,
            guard=self._guard,
            note=self._note,
        )
        return made.result(done.outcome)

    def call_sync(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function under the policies, waiting in this thread. Raises as `call`, and
        `TypeError` where a timeout was given, or the function turns out to be async."""
        self._refuse_in_thread(getattr(function, "__name__", "the function"))
        made = _Made(self.name, self._rejects, function, args, kwargs)
        done = threads.drive(self._course(self._config), self._clock, made.attempt_sync)
        return made.result(done.outcome)  # type: ignore[no-any-return]

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """One attempt around a block: breaker, rate limit, bulkhead and timeout. A block cannot be
        repeated, so there is no retry. Raises as `call`."""
        failed = Failed(self.name, self._rejects)
        course = self._course(self._once)
        try:
            effect = await self._until_exchange(course)
            if isinstance(effect, Exchange):
                outcome: Outcome = TIMED_OUT
                with suppress(TimeoutError), self._clock.timeout_at(effect.until):
                    try:
                        yield
                        outcome = Ok()
                    except Exception as error:
                        outcome = failed.outcome(error)
                effect = await self._until_exchange(course, outcome)
        finally:
            course.close()
        assert isinstance(effect, calls.Done)
        failed.result(effect.outcome)

    @contextmanager
    def attempt_sync(self) -> Iterator[None]:
        """As `attempt`, for threads; without the timeout."""
        self._refuse_in_thread("the block")
        failed = Failed(self.name, self._rejects)
        course = self._course(self._once)
        try:
            effect = threads.until_exchange(course, self._clock)
            if isinstance(effect, Exchange):
                outcome: Outcome
                try:
                    yield
                    outcome = Ok()
                except Exception as error:
                    outcome = failed.outcome(error)
                effect = threads.until_exchange(course, self._clock, outcome)
        finally:
            course.close()
        assert isinstance(effect, calls.Done)
        failed.result(effect.outcome)

    def _course(self, config: calls.CallConfig) -> Conduct:
        state = calls.start(self._clock.now())
        return conduct(
            config, state, self._clock, self._draw, self._guard, UNGUARDED, _never, self._note
        )

    async def _until_exchange(
        self, course: Conduct, reply: Outcome | None = None
    ) -> Exchange | calls.Done:
        try:
            effect = course.send(reply)
            while not isinstance(effect, Exchange):
                await wait(effect, self._clock, None)
                effect = course.send(None)
            return effect
        except StopIteration as stop:
            done: calls.Done = stop.value
            return done

    def _refuse_in_thread(self, what: str) -> None:
        if not isinstance(self._clock, SystemClock):
            raise TypeError(f"{self.name}: {what} is not async, and a thread cannot use `clock`")
        if self._has_timeout:
            raise TypeError(
                f"{self.name}: {what} is not async, and a thread cannot be interrupted: leave"
                " `timeout` out here, and give it to the client library that makes the call"
            )


class _Made(Failed):
    """One call of a function."""

    __slots__ = ("_args", "_function", "_kwargs")

    def __init__(
        self,
        name: str,
        rejects: type[Exception] | tuple[type[Exception], ...],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        super().__init__(name, rejects)
        self._function = function
        self._args = args
        self._kwargs = kwargs

    async def __call__(self, _: int) -> Outcome:
        try:
            return Ok(await self._function(*self._args, **self._kwargs))
        except Exception as error:
            return self.outcome(error)

    def attempt_sync(self) -> Outcome:
        try:
            value = self._function(*self._args, **self._kwargs)
        except Exception as error:
            return self.outcome(error)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError("this function gives a coroutine: call it with `await protection.call`")
        return Ok(value)


def _never() -> bool:
    return False


def _check(
    name: str,
    retry_budget: object,
    breaker: object,
    rate: object,
    bulkhead: object,
    retry: object,
    rejects: object,
) -> None:
    """What a type checker would have said."""
    made: dict[str, tuple[object, type]] = {
        "retry": (retry, Retry),
        "retry_budget": (retry_budget, RetryBudget),
        "breaker": (breaker, Breaker),
        "rate": (rate, Rate),
        "bulkhead": (bulkhead, Bulkhead),
    }
    for word, (clause, kind) in made.items():
        if clause is not None and not isinstance(clause, kind):
            raise TypeError(f"{name}: make `{word}` with `sagalang.resilience.{word}(...)`")
    if retry_budget is not None and retry is None:
        raise ValueError(f"{name}: a retry budget without a `retry` has nothing to do")
    for found in rejects if isinstance(rejects, tuple) else (rejects,):
        if not (isinstance(found, type) and issubclass(found, Exception)):
            raise TypeError(f"{name}: `rejects` is an exception class, or a tuple of them")
        if issubclass(NotSent, found) or issubclass(found, NotSent):
            raise ValueError(
                f"{name}: `rejects` is for exceptions by which the service says no;"
                f" {found.__name__} says something else"
            )
