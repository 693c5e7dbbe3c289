"""What is under way in one run, and the events that come of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sagalang.machine.events import Event
from sagalang.model.program import Ms
from sagalang.runtime.by_hand import ByHand

PATIENCE: Final[Ms] = 10
"""How long a run whose calls never wait goes on before others have a turn."""


@dataclass(frozen=True, slots=True)
class Crash:
    """The orchestrator dies: everything under way is lost, only what is on record remains."""

    at: Ms


class Activity(Protocol):
    """Something under way in a session. Cancelling it is for timers only, never for calls."""

    def cancel(self) -> object: ...


class Activities:
    """See `Session`, whose methods these are. A call that is alone is made by the task that awaits
    `next`, without a task of its own; what comes from outside meanwhile is given out first."""

    def __init__(self, now: Callable[[], Ms]) -> None:
        self._now = now
        self._mailbox: deque[Event | Crash | Exception] = deque()
        self._bell: asyncio.Future[None] | None = None
        """What `next` waits for, while it waits."""
        self._in_hand: ByHand[Event] | None = None
        """The call that `next` makes itself."""
        self._tasks: dict[asyncio.Task[None], Ms | None] = {}
        """Everything else, and until when it certainly only waits."""
        self._turned: Ms = 0
        """When others last had a turn."""

    def post(self, what: Event | Crash | Exception) -> None:
        self._mailbox.append(what)
        self._ring()

    def waiting(self) -> bool:
        return bool(self._mailbox)

    def drop(self) -> None:
        kept = (what for what in self._mailbox if isinstance(what, Crash | Exception))
        self._mailbox = deque(kept)

    def make(self, work: Coroutine[Any, Any, Event]) -> None:
        if self._in_hand is None and self._alone():
            self._in_hand = ByHand(work)
            self._turned = self._turned or self._now()
        else:
            self.spawn(work)

    def _alone(self) -> bool:
        """Whether nothing else can happen in the run at this very moment."""
        if not self._tasks:
            return True
        now = self._now()
        return all(until is not None and until > now for until in self._tasks.values())

    def spawn(
        self, work: Coroutine[Any, Any, Event], not_before: Ms | None = None
    ) -> asyncio.Task[None]:
        hand = self._in_hand
        if (
            hand is not None
            and not hand.begun
            and (not_before is None or not_before <= self._now())
        ):
            # That call is not alone any more: both as tasks, in this order.
            self._in_hand = None
            self._start(hand.work, None)
        return self._start(work, not_before)

    def _start(self, work: Coroutine[Any, Any, Event], not_before: Ms | None) -> asyncio.Task[None]:
        async def body() -> None:
            try:
                event = await work
            except Exception as error:
                self.post(error)
            else:
                self.post(event)

        def ended(task: asyncio.Task[None]) -> None:
            del self._tasks[task]
            # A task that is cancelled before its first turn leaves the coroutine unawaited.
            work.close()

        task = asyncio.create_task(body())
        self._tasks[task] = not_before
        task.add_done_callback(ended)
        return task

    async def next(self) -> Event | Crash:
        while not self._mailbox:
            hand = self._in_hand
            if hand is None or hand.waits:
                await self._wait(hand)
            elif not hand.begun and self._now() - self._turned > PATIENCE:
                await asyncio.sleep(0)
                self._turned = self._now()
            elif not self._go_on(hand):
                await self._give_way(hand)
        event = self._mailbox.popleft()
        if isinstance(event, Exception):
            raise event
        return event

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if self._in_hand is not None:
            await self._end(self._in_hand)
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- The call in hand ----------------------------------------------------------------------

    def _go_on(self, hand: ByHand[Event]) -> bool:
        """Let it run until it waits or ends; its end comes out of `next`, a cancellation here.
        False: it only gives way to others."""
        try:
            hand.step()
        except Exception as error:
            self._in_hand = None
            self._mailbox.append(error)
        except BaseException:
            self._in_hand = None
            raise
        else:
            if not hand.ended:
                return hand.waits_for is not None
            self._in_hand = None
            self._mailbox.append(hand.result)
        return True

    async def _end(self, hand: ByHand[Event]) -> None:
        """Cancel it and wait for its end."""
        if hand.cancels is None:
            self._in_hand = None
            hand.work.close()
            return
        # By way of our own task, so that a timeout inside can tell this from its own doing.
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await self._give_way(hand)
        while not hand.ended:
            if hand.waits:
                await self._wait(hand)
                continue
            with suppress(asyncio.CancelledError):
                if not self._go_on(hand):
                    await self._give_way(hand)
        if task.uncancel() > hand.cancels:
            raise asyncio.CancelledError

    def _ring(self, _: object = None) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    async def _wait(self, hand: ByHand[Event] | None) -> None:
        """Until something came or the call in hand can go on. A cancellation of our task is one
        of the call, which decides what becomes of it."""
        self._bell = bell = asyncio.get_running_loop().create_future()
        waits_for = None if hand is None else hand.waits_for
        if waits_for is not None:
            waits_for.add_done_callback(self._ring)
        try:
            await bell
        except asyncio.CancelledError as error:
            if hand is None:
                raise
            hand.cancel(error)
        finally:
            self._bell = None
            if waits_for is not None:
                waits_for.remove_done_callback(self._ring)
            self._turned = self._now()

    async def _give_way(self, hand: ByHand[Event]) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            hand.cancel(error)
        finally:
            self._turned = self._now()
