"""What is to be undone, and in which order: a series-parallel tree that shrinks as it is worked.

A sequence is undone from its end, the members of a parallel part independently. An entry that
cannot be undone stays in the tree and so holds back exactly what depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, final

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine.events import Place, Purpose
from sagalang.machine.frozen import Choice, FrozenMap
from sagalang.machine.outcomes import Failure, Outcome
from sagalang.model.program import Ms


class Status(Choice):
    SETTLING = "settling"
    """The step itself is still in flight; whether anything is owed is not known yet."""
    OWED = "owed"
    DELAYED = "delayed"
    """Waits until a late call can no longer land."""
    RESOLVING = "resolving"
    RUNNING = "running"
    STUCK = "stuck"
    """A person must settle it."""


class Fate(Choice):
    """What happens to a step that may have to be undone."""

    OWES = "it happened, or may have"
    OWES_NOTHING = "it did not happen"
    HELD_OFF = "a late call could still land"
    LANDED = "no late call can land any more"
    ASKED = "its result is needed, and is not known"
    SENT = "its turn has come"
    UNDONE = "undone"
    FAILED = "only a person can help"
    RETRIED = "a person says retry"
    CLOSED = "a person says done, or not done"


LIFE: Final[Mapping[tuple[Status, Fate], Status | None]] = {
    (Status.SETTLING, Fate.OWES): Status.OWED,
    (Status.SETTLING, Fate.OWES_NOTHING): None,
    (Status.SETTLING, Fate.FAILED): Status.STUCK,
    (Status.OWED, Fate.HELD_OFF): Status.DELAYED,
    (Status.OWED, Fate.ASKED): Status.RESOLVING,
    (Status.OWED, Fate.SENT): Status.RUNNING,
    (Status.OWED, Fate.FAILED): Status.STUCK,
    (Status.DELAYED, Fate.LANDED): Status.OWED,
    (Status.RESOLVING, Fate.OWES): Status.OWED,
    (Status.RESOLVING, Fate.OWES_NOTHING): None,
    (Status.RESOLVING, Fate.FAILED): Status.STUCK,
    (Status.RUNNING, Fate.UNDONE): None,
    (Status.RUNNING, Fate.FAILED): Status.STUCK,
    (Status.STUCK, Fate.RETRIED): Status.OWED,
    (Status.STUCK, Fate.CLOSED): None,
    # A child saga that was escalated came to another end, or a person knows of the step.
    (Status.STUCK, Fate.OWES): Status.OWED,
    (Status.STUCK, Fate.OWES_NOTHING): None,
    (Status.STUCK, Fate.UNDONE): None,
    (Status.STUCK, Fate.FAILED): Status.STUCK,
}
"""None: nothing is left of it."""


@final
class Entry(Struct, frozen=True, gc=False):
    """One step, or child saga, that may have to be undone.

    `args` are the compensation's arguments, captured when the step started or completed. `names`
    are kept only where they could not be captured yet because they need the step's result.
    """

    place: Place
    status: Status
    purpose: Purpose = Purpose.STEP
    """What the call in flight is, while SETTLING."""
    args: tuple[Any, ...] | None = None
    names: FrozenMap | None = None
    sent: tuple[Any, ...] = ()
    started: Ms = 0
    outcome: Outcome | None = None
    unanswered: Ms | None = None
    failure: Failure | None = None
    overdue: bool = False
    """Escalated while retrying goes on."""
    stopping: bool = False
    refused: bool = False
    """Its compensation was certainly rejected, so that a retry takes a fresh key."""
    first_undo: Ms | None = None
    """When its compensation was first called, where that must not be repeated for ever."""
    undo_unanswered: Ms | None = None


@final
class InOrder(Struct, frozen=True, gc=False):
    """Made by `in_order`. `marks`: of what is inside, so that no question walks the tree."""

    items: tuple[Undo, ...] = ()
    marks: int = 0


@final
class Together(Struct, frozen=True, gc=False):
    """Made by `together`. `limit`: how many may be worked on at once, None for all."""

    items: tuple[Undo, ...]
    limit: int | None = None
    marks: int = 0


Undo = Entry | InOrder | Together

NOTHING = InOrder()

_IN_FLIGHT: Final = 1
"""A step inside is still in flight."""
_MOVING: Final = 2
_OWED: Final = 4


def _marks(tree: Undo) -> int:
    # By its type: `isinstance` and `match` cost several times as much, and this is asked often.
    if type(tree) is not Entry:
        return tree.marks
    status = tree.status
    if status is Status.OWED:
        return _OWED
    if status is Status.STUCK:
        return 0
    moves = _MOVING if tree.stopping or not tree.overdue else 0
    return moves | _IN_FLIGHT if status is Status.SETTLING else moves


def _union(items: Iterable[Undo]) -> int:
    marks = 0
    for item in items:
        marks |= _marks(item)
    return marks


def become(entry: Entry, fate: Fate, **changes: Any) -> Undo:
    """The entry after what happened to it; `NOTHING` where that was the end of it. KeyError: this
    cannot happen to one of its status."""
    status = LIFE[entry.status, fate]
    return NOTHING if status is None else replace(entry, status=status, **changes)


def in_order(items: tuple[Undo, ...]) -> Undo:
    flat: list[Undo] = []
    for item in items:
        if type(item) is InOrder:
            flat.extend(item.items)
        else:
            flat.append(item)
    if not flat:
        return NOTHING
    return flat[0] if len(flat) == 1 else InOrder(tuple(flat), _union(flat))


def together(items: tuple[Undo, ...], limit: int | None = None) -> Undo:
    left = tuple(item for item in items if item != NOTHING)
    if not left:
        return NOTHING
    return left[0] if len(left) == 1 else Together(left, limit, _union(left))


def entries(tree: Undo) -> Iterator[Entry]:
    """All entries, in text order."""
    if isinstance(tree, Entry):
        yield tree
    else:
        for item in tree.items:
            yield from entries(item)


def change(tree: Undo, place: Place, with_: Callable[[Entry], Undo]) -> Undo:
    """The tree with the entry at `place` replaced; `NOTHING` takes it out. What does not change
    is shared with the old tree."""
    if type(tree) is Entry:
        return with_(tree) if tree.place == place else tree
    # From the end, where undoing is at work.
    for index in range(len(tree.items) - 1, -1, -1):
        item = tree.items[index]
        changed = change(item, place, with_)
        if changed is not item:
            items = (*tree.items[:index], changed, *tree.items[index + 1 :])
            return in_order(items) if type(tree) is InOrder else together(items, tree.limit)
    return tree


def settled(tree: Undo) -> bool:
    """Whether no step is in flight any more, so that undoing may begin."""
    return not _marks(tree) & _IN_FLIGHT


def moving(tree: Undo) -> bool:
    """Whether something is under way that can still change the tree by itself."""
    return bool(_marks(tree) & _MOVING)


def due(tree: Undo) -> Iterator[Entry]:
    """The entries to start now: owed, and nothing that happened after them is still there."""
    if not _marks(tree) & _OWED:
        return
    match tree:
        case Entry():
            yield tree
        case InOrder(items):
            yield from due(items[-1])
        case Together(items, limit):
            free = None if limit is None else limit - sum(moving(item) for item in items)
            for item in items:
                if free is None or moving(item):
                    yield from due(item)
                elif free > 0:
                    found = tuple(due(item))
                    free -= bool(found)
                    yield from found


def start_due(tree: Undo, with_: Callable[[Entry], Undo]) -> Undo:
    """The tree with each entry that is due replaced; one that does not move then takes up no room
    among those that are worked on together."""
    if not _marks(tree) & _OWED:
        return tree
    match tree:
        case Entry():
            return with_(tree)
        case InOrder(items):
            return in_order((*items[:-1], start_due(items[-1], with_)))
        case Together(items, limit):
            free = None if limit is None else limit - sum(moving(item) for item in items)
            made: list[Undo] = []
            for item in items:
                if free is None or moving(item):
                    item = start_due(item, with_)
                elif free > 0:
                    item = start_due(item, with_)
                    free -= moving(item)
                made.append(item)
            return together(tuple(made), limit)
