"""Drives a protected call in the thread that makes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sagalang.machine import calls
from sagalang.machine.outcomes import Outcome
from sagalang.model.program import Ms
from sagalang.runtime.calls import Conduct, Exchange, Now, Stand
from sagalang.runtime.protection import Turn


def drive(course: Conduct, clock: Now, attempt: Callable[[], Outcome]) -> calls.Done:
    """Make the call until its outcome is settled, waiting in this thread."""
    try:
        effect = until_exchange(course, clock)
        while isinstance(effect, Exchange):
            effect = until_exchange(course, clock, attempt())
        return effect
    finally:
        course.close()


def until_exchange(
    course: Conduct, clock: Now, reply: Outcome | None = None
) -> Exchange | calls.Done:
    """Wait as the course says, until something is to be sent or it is over."""
    try:
        while True:
            effect = course.send(reply)
            reply = None
            if isinstance(effect, Exchange):
                return effect
            if isinstance(effect, Stand):
                _stand(effect.turn, effect.until, clock)
            else:
                time.sleep(max(0, effect.until - clock.now()) / 1_000)
    except StopIteration as stop:
        done: calls.Done = stop.value
        return done


def _stand(turn: Turn, until: Ms | None, clock: Now) -> None:
    woken = threading.Event()
    turn.wake = woken.set
    if not turn.granted:  # else it came before there was anyone to wake
        woken.wait(None if until is None else max(0, until - clock.now()) / 1_000)
