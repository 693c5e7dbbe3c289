"""A bulkhead as a value: so many calls in flight, so many waiting. Pure, and it knows no time.

Only the numbers are kept here; who waits, in which order and how long is the driver's. A slot
that becomes free passes to the first in the queue without ever being free in between, so nobody
overtakes the queue. (M. Nygard, Release It!, 2nd ed., "Bulkheads".)
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct

from sagalang.model.program import Bulkhead


class BulkheadState(Struct, frozen=True, gc=False):
    in_flight: int = 0
    waiting: int = 0


EMPTY: Final = BulkheadState()


class Entry(Enum):
    ENTERED = "entered"
    """A slot is held: `leave` gives it back."""
    QUEUED = "queued"
    """It waits until a `leave` passes it a slot, or `give_up`."""
    FULL = "full"


_ENTERED, _QUEUED, _FULL = Entry.ENTERED, Entry.QUEUED, Entry.FULL


def enter(config: Bulkhead, state: BulkheadState) -> tuple[BulkheadState, Entry]:
    if state.in_flight < config.limit:  # then nobody waits
        return BulkheadState(state.in_flight + 1, state.waiting), _ENTERED
    if state.waiting < config.queue:
        return BulkheadState(state.in_flight, state.waiting + 1), _QUEUED
    return state, _FULL


def leave(state: BulkheadState) -> tuple[BulkheadState, bool]:
    """Give a slot back. True: it passed to the first in the queue, who now holds it.

    One that was cancelled after a slot was passed to it holds that slot: it leaves, too.
    """
    assert state.in_flight > 0, "nobody holds a slot"
    if state.waiting:
        return BulkheadState(state.in_flight, state.waiting - 1), True
    return BulkheadState(state.in_flight - 1, 0), False


def give_up(state: BulkheadState) -> BulkheadState:
    """One in the queue was cancelled, or waited too long; no slot was passed to it."""
    assert state.waiting > 0, "nobody waits"
    return BulkheadState(state.in_flight, state.waiting - 1)
