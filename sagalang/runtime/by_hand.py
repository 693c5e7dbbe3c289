"""A coroutine that a task runs by hand, so that it can turn to something else while that waits.

What runs so sees the task as its own: timeouts and cancel scopes inside work as everywhere. What
never waits costs no task, no queue and no turn of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ByHand(Generic[T]):
    """Always to be run in the same task: by `step`, while it does not wait."""

    __slots__ = ("_context", "_error", "begun", "cancels", "ended", "result", "waits_for", "work")

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.work = work
        self.begun = self.ended = False
        self.result: T
        self.waits_for: asyncio.Future[Any] | None = None
        self.cancels: int | None = None
        """How often its task was asked to cancel before this; known from the first wait on."""
        self._context = copy_context()
        self._error: BaseException | None = None

    @property
    def waits(self) -> bool:
        return self.waits_for is not None and not self.waits_for.done()

    def step(self) -> None:
        """Run on until it waits, gives way to others, or ends; raises what it raises."""
        self.begun = True
        error, self._error, self.waits_for = self._error, None, None
        try:
            if error is None:
                found = self._context.run(self.work.send, None)
            else:
                found = self._context.run(self.work.throw, error)
        except StopIteration as stop:
            self.ended, self.result = True, stop.value
            return
        except BaseException:
            self.ended = True
            raise
        if self.cancels is None:
            task = asyncio.current_task()
            self.cancels = task.cancelling() if task else 0
        # From here on as a task does it.
        if getattr(found, "_asyncio_future_blocking", None):
            found._asyncio_future_blocking = False
            self.waits_for = found
        elif found is not None:
            self._error = RuntimeError(f"{found!r} cannot be awaited under asyncio")

    def cancel(self, error: asyncio.CancelledError) -> None:
        """What it waits for is cancelled, or else the error is raised in it."""
        # With its message, by which a cancel scope knows its own cancellation again.
        if self.waits_for is None or not self.waits_for.cancel(*error.args[:1]):
            self._error = error
