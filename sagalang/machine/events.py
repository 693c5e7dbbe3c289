"""What goes into the saga machine (events) and what comes out of it (commands): plain data.

Times are ms since the Unix epoch. Everything here can be recorded and replayed; commands and
events that carry values of the saga (arguments, results) have them in fields of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from sagalang.machine.outcomes import Failure, Outcome
from sagalang.model.program import Ms, Policy


@dataclass(frozen=True, slots=True)
class Place:
    """A statement as it runs: its path and the iterations around it, outermost first."""

    path: str
    loops: tuple[tuple[str, str], ...] = ()
    """(path of the loop, identity of the iteration)"""

    def __str__(self) -> str:
        inside = "".join(f"[{identity}]" for _, identity in self.loops)
        return f"{self.path}{inside}"


SAGA = Place("")
"""The saga itself: its deadline."""


class Purpose(Enum):
    STEP = "step"
    POLL = "poll"
    """One question of a `poll`."""
    RESOLVE = "resolve"
    """Finding out, after an abort, what became of an unknown step whose result is needed."""
    COMPENSATE = "compensate"


class Timer(Enum):
    DEADLINE = "deadline"
    SLEEP = "sleep"
    WAIT = "wait"
    """The `within` of a wait or of a poll."""
    POLL = "poll"
    ESCALATE = "escalate"
    LANDS = "lands"
    """Before a compensation that must not overtake a late call."""


# --- Outcomes of a saga ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Completed:
    value: Any = None


@dataclass(frozen=True, slots=True)
class Compensated:
    error: Failure


@dataclass(frozen=True, slots=True)
class OpenItem:
    """Something a person must settle. `label` is `Service.operation`, or the path."""

    place: Place
    purpose: Purpose
    label: str
    failure: Failure
    team: str = ""


@dataclass(frozen=True, slots=True)
class Escalated:
    steps: tuple[OpenItem, ...]


SagaOutcome = Completed | Compensated | Escalated


# --- Events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallEnded:
    """`unanswered`: when the last attempt that went unanswered ended, if one did."""

    at: Ms
    place: Place
    purpose: Purpose
    outcome: Outcome
    unanswered: Ms | None = None


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child saga ended, or (purpose COMPENSATE) the undoing of one did."""

    at: Ms
    place: Place
    purpose: Purpose
    outcome: SagaOutcome


@dataclass(frozen=True, slots=True)
class TimerFired:
    at: Ms
    place: Place
    timer: Timer


@dataclass(frozen=True, slots=True)
class EventReceived:
    """`id` makes the event be accepted once; `event` is its declared name."""

    at: Ms
    event: str
    id: str
    value: Any


@dataclass(frozen=True, slots=True)
class CancelRequested:
    at: Ms


@dataclass(frozen=True, slots=True)
class UndoRequested:
    """The parent of a completed child saga is compensating."""

    at: Ms
    error: Failure


Event = CallEnded | ChildEnded | TimerFired | EventReceived | CancelRequested | UndoRequested


# --- Commands ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProbeCall:
    service: str
    operation: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RunCall:
    """Make a call and answer with `CallEnded`. Its intent is recorded before the first attempt.

    `number` tells the questions of one poll apart (from 1). `first_attempt` and `unanswered` are
    set where the call was made before (purpose RESOLVE).
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


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Start nothing new in this call; what is in flight is awaited, and `CallEnded` follows."""

    place: Place
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Answer with `TimerFired` at `at`, or up to `spread` ms later, drawn at random."""

    place: Place
    timer: Timer
    at: Ms
    spread: Ms = 0


@dataclass(frozen=True, slots=True)
class StopTimer:
    place: Place
    timer: Timer


@dataclass(frozen=True, slots=True)
class RunChild:
    """Run a saga under the id `saga_id`; answer with `ChildEnded`."""

    place: Place
    saga: str
    saga_id: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CancelChild:
    place: Place


@dataclass(frozen=True, slots=True)
class UndoChild:
    """Compensate a completed child; answer with `ChildEnded`, purpose COMPENSATE."""

    place: Place
    saga: str
    saga_id: str
    error: Failure


@dataclass(frozen=True, slots=True)
class Escalate:
    """Tell people. `retrying`: the call goes on, and its success settles it."""

    item: OpenItem
    retrying: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What was escalated resolved itself."""

    place: Place
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class AbortStarted:
    """The saga, or the attempt at `scope`, begins to undo what it did."""

    scope: Place
    failure: Failure


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should know, and nothing else happens: `deadline passed after the
    pivot`, `cancel refused after the pivot`, ..."""

    failure: Failure
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
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
