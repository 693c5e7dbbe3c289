"""Where a whole saga stands: its phases, what leads from one to the next, its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine.events import EventReceived, OpenItem, Place, SagaOutcome
from sagalang.machine.frames import Frame
from sagalang.machine.frozen import Choice, FrozenMap
from sagalang.machine.outcomes import Failure
from sagalang.machine.turn import Pivot
from sagalang.machine.undo import NOTHING, Undo
from sagalang.model.program import Ms


class Phase(Choice):
    FORWARD = "forward"
    BACKWARD = "backward"
    """Awaiting what is in flight, then undoing."""
    EPILOGUE = "epilogue"
    """Everything is undone; `when compensated` runs."""
    OVER = "over"


class Turning(Choice):
    """What makes a saga enter another phase."""

    ENDED = "its body ended (completed)"
    ABORTED = "a failure, a cancel or the deadline, before the pivot"
    STUCK = "only a person can move it (escalated)"
    UNDONE = "all is undone (compensated)"
    TOLD_NEXT = "all is undone, and it says what to do then"
    TOLD = "all that is done (compensated)"
    REVOKED = "completed, and its parent saga asks to undo it"
    SETTLED_AHEAD = "escalated on the way forward, and a person settled or cancelled it"
    SETTLED_BACK = "escalated while undoing, and a person settled it"


NEXT: Final[Mapping[tuple[Phase, Turning], Phase]] = {
    (Phase.FORWARD, Turning.ENDED): Phase.OVER,
    (Phase.FORWARD, Turning.ABORTED): Phase.BACKWARD,
    (Phase.FORWARD, Turning.STUCK): Phase.OVER,
    (Phase.BACKWARD, Turning.UNDONE): Phase.OVER,
    (Phase.BACKWARD, Turning.TOLD_NEXT): Phase.EPILOGUE,
    (Phase.BACKWARD, Turning.STUCK): Phase.OVER,
    (Phase.EPILOGUE, Turning.TOLD): Phase.OVER,
    (Phase.OVER, Turning.REVOKED): Phase.BACKWARD,
    (Phase.OVER, Turning.SETTLED_AHEAD): Phase.FORWARD,
    (Phase.OVER, Turning.SETTLED_BACK): Phase.BACKWARD,
}


class State(Struct, frozen=True, gc=False):
    """`frame` is what runs (forward, epilogue), `tree` what is to be undone: while BACKWARD, and
    after completion, in case a parent saga asks for it."""

    saga_id: str
    args: FrozenMap
    phase: Phase
    frame: Frame | None = None
    tree: Undo = NOTHING
    error: Failure | None = None
    pivot: Pivot = Pivot.AHEAD
    held: Failure | None = None
    deadline: Ms | None = None
    inbox: tuple[EventReceived, ...] = ()
    seen: frozenset[str] = frozenset()
    generations: frozenset[tuple[Place, str, int]] = frozenset()
    """The fresh keys that a person asked for: how many, by place and what the key is for."""
    written_off: tuple[OpenItem, ...] = ()
    outcome: SagaOutcome | None = None


def enter(state: State, turning: Turning, **changes: Any) -> State:
    """The state in the phase that follows. KeyError: this cannot happen in that phase."""
    return replace(state, phase=NEXT[state.phase, turning], **changes)
