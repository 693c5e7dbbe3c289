"""Where a compiled saga stands: its coroutines, and what each of them waits for.

A strand is one coroutine: the saga, a branch, an iteration. The strands form a tree; those of a
parallel part hang below the strand that awaits it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from msgspec import Struct

from sagalang.machine.events import OpenItem, Place
from sagalang.machine.outcomes import Failure
from sagalang.machine.undo import Entry, Undo
from sagalang.machine.undo import moving as undo_moving
from sagalang.runtime.saga_scope import (
    Attempt,
    ChildRequest,
    ParallelRequest,
    PollRequest,
    StepRequest,
    WaitRequest,
)
from sagalang.runtime.saga_traces import standing_at


class Pivot(Enum):
    AHEAD = "ahead"
    """Not reached, or it certainly did not happen."""
    HELD = "held"
    """Its intent is on record and its outcome is not certain."""
    PASSED = "passed"


class Phase(Enum):
    FORWARD = "forward"
    BACKWARD = "backward"
    EPILOGUE = "epilogue"
    """Everything is undone; `when compensated` runs."""
    OVER = "over"


class InCall(Struct):
    """`entry` is what the step will owe."""

    place: Place
    request: StepRequest[Any]
    entry: Entry
    overdue: bool = False
    stopping: bool = False


@dataclass(slots=True)
class InChild:
    place: Place
    request: ChildRequest[Any]


@dataclass(slots=True)
class Asleep:
    place: Place


@dataclass(slots=True)
class Waiting:
    place: Place
    request: WaitRequest[Any]


@dataclass(slots=True)
class Polling:
    place: Place
    request: PollRequest[Any]
    number: int = 1
    asking: bool = True
    expired: bool = False
    label: str = ""
    """The operation that was asked."""


@dataclass(slots=True)
class Joining:
    """`strands` has the branches or iterations begun so far, in text order."""

    request: ParallelRequest
    strands: list[Strand] = field(default_factory=list)
    beginning: bool = False
    done: int = 0


@dataclass(slots=True)
class Catching:
    """The body of an attempt failed and is being undone; then `error` is raised in the strand,
    or, where it is on its way already, let go on."""

    attempt: Attempt
    tree: Undo
    failure: Failure
    error: BaseException | None


@dataclass(slots=True)
class Broken:
    """Failed, and left to a person."""

    item: OpenItem


Wait = InCall | InChild | Asleep | Waiting | Polling | Joining | Catching | Broken


@dataclass(eq=False, slots=True)
class Strand:
    """`undo`: what is to be undone, in the order in which it happened."""

    parent: Strand | None
    coroutine: Coroutine[Any, Any, Any] | None = None
    wait: Wait | None = None
    undo: list[Undo] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    """Those whose body is running, outermost first."""
    done: bool = False
    alive: bool = True
    result: Any = None
    raised_at: str = ""
    """The place in the saga's text where an exception ended it."""


def below(strand: Strand) -> Iterator[Strand]:
    """The strand and all that hang below it, in text order."""
    yield strand
    if isinstance(strand.wait, Joining):
        for inner in strand.wait.strands:
            yield from below(inner)


def standing(strand: Strand) -> tuple[str, ...]:
    """The places in the saga's text at which the strand, or what runs below it, waits."""
    ends = [inner for inner in below(strand) if not isinstance(inner.wait, Joining)]
    return tuple(dict.fromkeys(filter(None, (standing_at(inner.coroutine) for inner in ends))))


def moving(strand: Strand) -> bool:
    """Whether something is under way that can still change the strand by itself."""
    return any(_moves(inner.wait) for inner in below(strand))


def _moves(wait: Wait | None) -> bool:
    match wait:
        case None | Joining() | Broken():
            return False
        case InCall(overdue=overdue, stopping=stopping):
            return stopping or not overdue
        case Catching(tree=tree):
            return undo_moving(tree)
        case _:
            return True
