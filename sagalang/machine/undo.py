"""What is to be undone, and in which order: a series-parallel tree that shrinks as it is worked.

A sequence is undone from its end, the members of a parallel part independently. An entry that
cannot be undone stays in the tree and so holds back exactly what depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from msgspec import Struct

from sagalang.machine.events import Place, Purpose
from sagalang.machine.frozen import FrozenMap
from sagalang.machine.outcomes import Failure, Outcome
from sagalang.model.program import Ms


class Status(Enum):
    SETTLING = "settling"
    """The step itself is still in flight; whether anything is owed is not known yet."""
    OWED = "owed"
    DELAYED = "delayed"
    """Waits until a late call can no longer land."""
    RESOLVING = "resolving"
    RUNNING = "running"
    STUCK = "stuck"
    """A person must settle it."""


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


class InOrder(Struct, frozen=True, gc=False):
    items: tuple[Undo, ...] = ()


class Together(Struct, frozen=True, gc=False):
    """`limit`: how many may be worked on at once, None for all."""

    items: tuple[Undo, ...]
    limit: int | None = None


Undo = Entry | InOrder | Together

NOTHING = InOrder()


def in_order(items: tuple[Undo, ...]) -> Undo:
    flat: list[Undo] = []
    for item in items:
        flat.extend(item.items if isinstance(item, InOrder) else (item,))
    return flat[0] if len(flat) == 1 else InOrder(tuple(flat))


def together(items: tuple[Undo, ...], limit: int | None = None) -> Undo:
    left = tuple(item for item in items if not (isinstance(item, InOrder) and not item.items))
    if not left:
        return NOTHING
    return left[0] if len(left) == 1 else Together(left, limit)


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
    if isinstance(tree, Entry):
        return with_(tree) if tree.place == place else tree
    for index, item in enumerate(tree.items):
        changed = change(item, place, with_)
        if changed is not item:
            items = (*tree.items[:index], changed, *tree.items[index + 1 :])
            return in_order(items) if isinstance(tree, InOrder) else together(items, tree.limit)
    return tree


def settled(tree: Undo) -> bool:
    """Whether no step is in flight any more, so that undoing may begin."""
    return all(entry.status is not Status.SETTLING for entry in entries(tree))


def moving(tree: Undo) -> bool:
    """Whether something is under way that can still change the tree by itself."""
    return any(_moves(entry) for entry in entries(tree))


def _moves(entry: Entry) -> bool:
    if entry.status in (Status.OWED, Status.STUCK):
        return False
    return entry.stopping or not entry.overdue


def due(tree: Undo) -> Iterator[Entry]:
    """The entries to start now: owed, and nothing that happened after them is still there."""
    match tree:
        case Entry(status=Status.OWED):
            yield tree
        case InOrder(items) if items:
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
