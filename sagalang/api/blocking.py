"""Sagas in a program without an event loop: the same methods, and they wait. Any thread may call
them; an event loop in a thread of its own does the work."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, TypeVar

from sagalang.api import errors
from sagalang.api.results import How, Result, RunInfo, RunView, State
from sagalang.api.sagas import AsyncRun, AsyncSagas

T = TypeVar("T")


class Run:
    """A run that was started or resumed here. `found`: it was on record already when it was asked
    for."""

    def __init__(self, run: AsyncRun, worker: _Worker) -> None:
        self.id, self.found = run.id, run.found
        self._run, self._worker = run, worker

    def result(self, timeout: float | None = None) -> Result:
        """Wait for where it comes to, at most `timeout` seconds: then `TimeoutError`, and the run
        goes on. Raises what `AsyncRun.result` does."""
        return self._worker.do(self._run.result, timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class Sagas:
    """The sagas of a file, and their runs. `AsyncSagas` says what the methods mean and raise."""

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[AsyncSagas]]) -> None:
        self._worker = _Worker(opening)
        self._sagas = self._worker.sagas

    def start(self, saga: str, input: Any = None, *, id: str | None = None) -> Run:  # noqa: A002
        return Run(self._worker.do(lambda: self._sagas.start(saga, input, id=id)), self._worker)

    def run(
        self,
        saga: str,
        input: Any = None,  # noqa: A002
        *,
        id: str | None = None,  # noqa: A002
        timeout: float | None = None,
    ) -> Result:
        """Start a saga and wait for its result, as `Run.result` does."""
        return self.start(saga, input, id=id).result(timeout)

    def resume(self, *ids: str) -> list[Run]:
        runs = self._worker.do(lambda: self._sagas.resume(*ids))
        return [Run(each, self._worker) for each in runs]

    def get(self, id: str) -> RunView:  # noqa: A002
        async def get() -> RunView:
            return self._sagas.get(id)

        return self._worker.do(get)

    def runs(
        self,
        *,
        state: State | Sequence[State] = ("running", "completed", "compensated", "escalated"),
        saga: str | None = None,
        since: datetime | None = None,
        limit: int | None = 100,
        children: bool = False,
    ) -> list[RunInfo]:
        async def runs() -> list[RunInfo]:
            return self._sagas.runs(
                state=state, saga=saga, since=since, limit=limit, children=children
            )

        return self._worker.do(runs)

    def signal(
        self,
        id: str,  # noqa: A002
        event: str,
        value: Any = None,
        *,
        event_id: str | None = None,
    ) -> None:
        self._worker.do(lambda: self._sagas.signal(id, event, value, event_id=event_id))

    def cancel(self, id: str) -> None:  # noqa: A002
        self._worker.do(lambda: self._sagas.cancel(id))

    def settle(
        self,
        id: str,  # noqa: A002
        step: str,
        how: How,
        value: Any = None,
        *,
        by: str,
        why: str = "",
    ) -> None:
        self._worker.do(lambda: self._sagas.settle(id, step, how, value, by=by, why=why))

    def close(self) -> None:
        """What the end of the `with` block does."""
        self._worker.close()


class _Worker:
    """The thread, its loop, and the sagas that are open in it."""

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[AsyncSagas]]) -> None:
        self._opening = opening
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._problem: BaseException | None = None
        ready: concurrent.futures.Future[AsyncSagas] = concurrent.futures.Future()
        # A daemon: a program that never closes it can end.
        self._thread = threading.Thread(
            target=self._serve, args=(ready,), name="sagalang", daemon=True
        )
        self._thread.start()
        try:
            self.sagas = ready.result()
        except BaseException:
            self._closed = True
            ready.cancel()
            raise

    def do(self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float | None = None) -> T:
        """Do it in the loop, and wait. An interrupted or timed out wait cancels what waits there,
        which is never a run."""
        if threading.current_thread() is self._thread:
            raise errors.Error(
                "an observer, or an async method of a service, waits for the loop that it runs in",
                "let it be done by another thread, or open the sagas with `async with`",
            )
        if os.getpid() != self._process:
            raise errors.Closed(
                "the sagas belong to the process that this one was forked from",
                "open them in one process only, and after the fork",
            )
        with self._lock:
            if self._closed:
                raise errors.Closed("the sagas are closed", "use them inside of their `with` block")
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result(timeout)
        except concurrent.futures.CancelledError:
            raise errors.Closed("the sagas were closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        with self._lock:
            if self._closed or os.getpid() != self._process:
                return
            self._closed = True
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._problem is not None:
            raise self._problem

    def _serve(self, ready: concurrent.futures.Future[AsyncSagas]) -> None:
        try:
            asyncio.run(self._open(ready))
        except BaseException as problem:
            if ready.done():
                self._problem = problem
            else:
                ready.set_exception(problem)

    async def _open(self, ready: concurrent.futures.Future[AsyncSagas]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._opening() as sagas:
            if ready.set_running_or_notify_cancel():
                ready.set_result(sagas)
                await self._stop.wait()
