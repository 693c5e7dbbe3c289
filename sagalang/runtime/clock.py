"""Time: the real one, and a simulated one that jumps from timer to timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from math import ulp
from time import monotonic_ns, time_ns
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Ms = int


class Clock(Protocol):
    """Milliseconds since the Unix epoch, and waiting for them."""

    def now(self) -> Ms: ...

    async def sleep_until(self, moment: Ms) -> None:
        """Returns at that moment, never before; at once (but not before other ready tasks had
        a turn) where it has passed."""
        ...

    def timeout_at(self, moment: Ms) -> AbstractContextManager[None]:
        """Cancels its body (which awaits) at that moment, and then raises `TimeoutError`. A
        cancellation from outside passes through as what it is."""
        ...


class Timeout:
    """What `asyncio.timeout` does, for half its price: every attempt of every call has one."""

    __slots__ = ("_after", "_cancelling", "_expired", "_handle", "_task")

    def __init__(self, after: float) -> None:
        """`after`: seconds from when it is entered."""
        self._after = after
        self._expired = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._handle = loop.call_later(self._after, self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        self._handle.cancel()
        # Where someone else cancelled the task too, it stays cancelled.
        if (
            self._expired
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()


class SystemClock:
    """The real time. It runs on the monotonic clock, with the date fixed when it is made: a
    clock of the system that is set back or forth moves no timer."""

    def __init__(self) -> None:
        self._offset = time_ns() - monotonic_ns()

    def now(self) -> Ms:
        return (monotonic_ns() + self._offset) // 1_000_000

    async def sleep_until(self, moment: Ms) -> None:
        await asyncio.sleep(0)
        # A day at a time: an event loop refuses to wait for very long.
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110 - nothing else would wake it
            await asyncio.sleep(min(left, 86_400_000) / 1_000)

    def timeout_at(self, moment: Ms) -> Timeout:
        return Timeout(max(0, moment - self.now()) / 1_000)


class SimulatedClock:
    """The time of the simulated loop that runs it, from `start` on."""

    def __init__(self, start: Ms = 0) -> None:
        self._start = start
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> Ms:
        # Asked for several times in every step, so the loop is looked up once.
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        return self._start + round(loop.time() * 1_000)

    async def sleep_until(self, moment: Ms) -> None:
        await asyncio.sleep(max(0, moment - self.now()) / 1_000)

    def timeout_at(self, moment: Ms) -> Timeout:
        return Timeout(max(0, moment - self.now()) / 1_000)


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: the simulated run would wait forever."""


class _JumpingSelector(selectors.BaseSelector):
    """Never waits: it says instead how far the time has moved on."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.micros = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if ready:
            return ready
        if timeout is None:
            raise DeadlockError("nothing is ready and no timer is set")
        if timeout > 0:
            # Rounded, so that times are whole microseconds and sums of them stay exact; up by
            # one at least, so that a timer which rounding put a hair into the future is reached.
            self.micros += max(1, round(timeout * 1_000_000))
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class _SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    @property
    def _clock_resolution(self) -> float:
        """A timer is due where it is less than this ahead. Python's own is a nanosecond, which is
        lost in rounding after a few simulated months, as a microsecond is after some centuries:
        the timer would never be due."""
        return max(1e-6, 2 * ulp(self.time()))

    @_clock_resolution.setter
    def _clock_resolution(self, _: float) -> None: ...

    def time(self) -> float:
        return self._jumping.micros / 1_000_000


def simulated(main: Callable[[SimulatedClock], Awaitable[T]], *, start: Ms = 0) -> T:
    """Runs `main(clock)` to its end in simulated time: whenever nothing is ready, the time jumps
    to the next timer. The same program always takes the same course.

    Raises `DeadlockError` when nothing is ready and there is no timer. Threads and sockets have no
    place in it: time does not wait for them.
    """

    async def body() -> T:
        return await main(SimulatedClock(start))

    # Not `asyncio.Runner`: its handling of Ctrl-C costs more than a whole short run.
    loop = _SimulatedLoop()
    try:
        return loop.run_until_complete(body())
    finally:
        _end(loop)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel whatever still runs, as `asyncio.run` does, and close the loop."""
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
