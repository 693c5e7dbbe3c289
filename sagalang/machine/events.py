"""What goes into the saga machine (events) and what comes out of it (commands): plain data.

Times are ms since the Unix epoch. Everything here can be recorded and replayed; commands and
events that carry values of the saga (arguments, results) have them in fields of their own.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sagalang.machine.frozen import Choice
from sagalang.machine.outcomes import Failure, Outcome
from sagalang.model.program import Ms, Policy


class Place(Struct, frozen=True, gc=False):
    """A statement as it runs: its path and the iterations around it, outermost first."""

    path: str
    loops: tuple[tuple[str, str], ...] = ()
    """(path of the loop, identity of the iteration)"""

    def __str__(self) -> str:
        inside = "".join(f"[{identity}]" for _, identity in self.loops)
        return f"{self.path}{inside}"


SAGA = Place("")
"""The saga itself: its deadline."""


class Purpose(Choice):
    STEP = "step"
    POLL = "poll"
    """One question of a `poll`."""
    RESOLVE = "resolve"
    """Finding out, after an abort, what became of an unknown step whose result is needed."""
    COMPENSATE = "compensate"


class Timer(Choice):
    DEADLINE = "deadline"
    SLEEP = "sleep"
    WAIT = "wait"
    """The `within` of a wait or of a poll."""
    POLL = "poll"
    ESCALATE = "escalate"
    LANDS = "lands"
    """Before a compensation that must not overtake a late call."""


# --- Outcomes of a saga ------------------------------------------------------------------------


class Completed(Struct, frozen=True, gc=False):
    value: Any = None


class Compensated(Struct, frozen=True, gc=False):
    error: Failure


class OpenItem(Struct, frozen=True, gc=False):
    """Something a person must settle, or (`written_off`) a compensation that a person gave up.
    `label` is `Service.operation`, or the path."""

    place: Place
    purpose: Purpose
    label: str
    failure: Failure
    team: str = ""
    written_off: bool = False


class Escalated(Struct, frozen=True, gc=False):
    """`steps`: what was written off, then what is open. Nothing open: the saga is over for good."""

    steps: tuple[OpenItem, ...]


SagaOutcome = Completed | Compensated | Escalated


# --- Events ------------------------------------------------------------------------------------


class CallEnded(Struct, frozen=True, gc=False):
    """`unanswered`: when the last attempt that went unanswered ended, if one did."""

    at: Ms
    place: Place
    purpose: Purpose
    outcome: Outcome
    unanswered: Ms | None = None


class ChildEnded(Struct, frozen=True, gc=False):
    """A child saga ended, or (purpose COMPENSATE) the undoing of one did."""

    at: Ms
    place: Place
    purpose: Purpose
    outcome: SagaOutcome


class TimerFired(Struct, frozen=True, gc=False):
    at: Ms
    place: Place
    timer: Timer


class EventReceived(Struct, frozen=True, gc=False):
    """`id` makes the event be accepted once; `event` is its declared name."""

    at: Ms
    event: str
    id: str
    value: Any


class CancelRequested(Struct, frozen=True, gc=False):
    at: Ms


class UndoRequested(Struct, frozen=True, gc=False):
    """The parent of a completed child saga is compensating."""

    at: Ms
    error: Failure


class How(Choice):
    """How a person settles an open item."""

    RETRY = "retry"
    """Once more: under the same key while in doubt, under a fresh one after a certain rejection."""
    DONE = "done"
    """It happened, with `value` as its result; a compensation: it was undone by hand."""
    NOT_DONE = "not done"
    """It did not happen, and will not; a compensation: it is written off."""


class Settle(Struct, frozen=True, gc=False):
    """A person settles the open item of this place and purpose. `by` and `why` are for the record
    only. What may be refused, and why: `saga.refusal`."""

    at: Ms
    place: Place
    purpose: Purpose
    how: How
    value: Any = None
    by: str = ""
    why: str = ""


Event = (
    CallEnded | ChildEnded | TimerFired | EventReceived | CancelRequested | UndoRequested | Settle
)


# --- Commands ----------------------------------------------------------------------------------


class ProbeCall(Struct, frozen=True, gc=False):
    service: str
    operation: str
    args: tuple[Any, ...]


class RunCall(Struct, frozen=True, gc=False):
    """Make a call and answer with `CallEnded`. Its intent is recorded before the first attempt.

    `number` tells the questions of one poll apart (from 1). `first_attempt` and `unanswered` are
    set where the call was made before and is in doubt.
    """

    place: Place
    purpose: Purpose
    key: str | None
    service: str
    operation: str
    args: tuple[Any, ...]
    policy: Policy
    probe: ProbeCall | None = None
    deadline: Ms | None = None
    number: int = 1
    first_attempt: Ms | None = None
    unanswered: Ms | None = None

    @property
    def label(self) -> str:
        return f"{self.service}.{self.operation}"


class Interrupt(Struct, frozen=True, gc=False):
    """Start nothing new in this call; what is in flight is awaited, and `CallEnded` follows."""

    place: Place
    purpose: Purpose


class StartTimer(Struct, frozen=True, gc=False):
    """Answer with `TimerFired` at `at`, or up to `spread` ms later, drawn at random."""

    place: Place
    timer: Timer
    at: Ms
    spread: Ms = 0


class StopTimer(Struct, frozen=True, gc=False):
    place: Place
    timer: Timer


class RunChild(Struct, frozen=True, gc=False):
    """Run a saga under the id `saga_id`; answer with `ChildEnded`."""

    place: Place
    saga: str
    saga_id: str
    args: tuple[Any, ...]


class CancelChild(Struct, frozen=True, gc=False):
    """Ask a child to abort, also one that ended escalated: that one goes on, or finishes once more
    as it is (its pivot happened, or it is undoing already). `ChildEnded` follows in any case."""

    place: Place


class UndoChild(Struct, frozen=True, gc=False):
    """Compensate a completed child; answer with `ChildEnded`, purpose COMPENSATE."""

    place: Place
    saga: str
    saga_id: str
    error: Failure


class Escalate(Struct, frozen=True, gc=False):
    """Tell people. `retrying`: the call goes on, and its success settles it."""

    item: OpenItem
    retrying: bool = False


class Settled(Struct, frozen=True, gc=False):
    """What was escalated is open no more: it resolved itself, or a person settled it."""

    place: Place
    purpose: Purpose


class AbortStarted(Struct, frozen=True, gc=False):
    """The saga, or the attempt at `scope`, begins to undo what it did."""

    scope: Place
    failure: Failure


class Alert(Struct, frozen=True, gc=False):
    """Something a person should know, and nothing else happens: `deadline passed after the
    pivot`, `cancel refused after the pivot`, ..."""

    failure: Failure
    text: str


class Finished(Struct, frozen=True, gc=False):
    outcome: SagaOutcome


Command = (
    RunCall
    | Interrupt
    | StartTimer
    | StopTimer
    | RunChild
    | CancelChild
    | UndoChild
    | Escalate
    | Settled
    | AbortStarted
    | Alert
    | Finished
)
