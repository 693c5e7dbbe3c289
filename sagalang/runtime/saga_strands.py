"""Where a compiled saga stands: its coroutines, and what each of them waits for.

A strand is one coroutine: the saga, a branch, an iteration. The strands form a tree; those of a
parallel part hang below the strand that awaits it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from msgspec import Struct

from sagalang.machine.events import OpenItem, Place
from sagalang.machine.outcomes import Failure
from sagalang.machine.undo import NOTHING, Entry, Undo
from sagalang.machine.undo import moving as undo_moving
from sagalang.model.program import Ms
from sagalang.runtime.saga_scope import (
    Attempt,
    ChildRequest,
    ParallelRequest,
    PollRequest,
    StepRequest,
    WaitRequest,
)
from sagalang.runtime.saga_traces import standing_at

Leaf = StepRequest[Any] | ChildRequest[Any] | WaitRequest[Any] | PollRequest[Any]
"""What a strand may await for long, and a person may settle."""


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
    """Failed, or left to a person. `undo`: what it did all the same, or may have. `request`: what
    the strand awaits; None where its own text failed. `call`: the step as it was called, with
    what became of it; None where nothing was."""

    item: OpenItem
    undo: Undo = NOTHING
    request: Leaf | None = None
    call: Entry | None = None

    @property
    def place(self) -> Place:
        return self.item.place


Wait = InCall | InChild | Asleep | Waiting | Polling | Joining | Catching | Broken


class Fed(Struct):
    """What a coroutine was sent, or had thrown into it, and when. `undone`: the number of the
    attempt whose body was undone before."""

    at: Ms
    answer: Any
    error: BaseException | None
    undone: int | None = None


@dataclass(eq=False, slots=True)
class Strand:
    """`make`: its coroutine from the beginning; `fed`: all that led it to where it stands. `undo`:
    what is to be undone, in the order in which it happened."""

    parent: Strand | None
    make: Callable[[], Coroutine[Any, Any, Any]] | None = None
    coroutine: Coroutine[Any, Any, Any] | None = None
    fed: list[Fed] = field(default_factory=list)
    wait: Wait | None = None
    undo: list[Undo] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    """Those whose body is running, outermost first."""
    done: bool = False
    alive: bool = True
    result: Any = None
    raised_at: str = ""
    """The place in the saga's text where an exception ended it."""


def rerun(strand: Strand, exactly: Callable[..., Any], at: Callable[[Ms], None]) -> Any:
    """Run the strand's coroutine anew, from its beginning to where it stands; what it awaits there,
    or raises. `at` is told the instant of each part. A saga's text does the same whenever it is
    given the same, so nothing but its last expressions is made anew."""
    assert strand.make is not None
    assert strand.coroutine is not None
    open_ = tuple(strand.attempts)
    strand.coroutine.close()
    strand.attempts.clear()
    strand.coroutine = strand.make()
    request = None
    for fed in strand.fed:
        at(fed.at)
        if fed.undone is not None:
            strand.attempts[fed.undone].undone = True
        if fed.error is None:
            request = exactly(strand.coroutine.send, fed.answer)
        else:
            request = exactly(strand.coroutine.throw, fed.error.with_traceback(None))
    for attempt, before in zip(strand.attempts, open_, strict=True):
        attempt.start, attempt.has_pivot = before.start, before.has_pivot
    return request


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
