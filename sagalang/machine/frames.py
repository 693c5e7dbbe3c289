"""Where a running saga stands: an immutable tree that mirrors the nesting of its statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

from msgspec import Struct

from sagalang.machine import undo
from sagalang.machine.definition import Ref
from sagalang.machine.events import OpenItem, Place
from sagalang.machine.frozen import EMPTY, FrozenMap
from sagalang.machine.outcomes import Failure
from sagalang.machine.undo import NOTHING, Entry, Undo

Loops = tuple[tuple[str, str], ...]


@final
class Done(Struct, frozen=True, gc=False):
    """A part that ended well: the names it binds, and how it would be undone."""

    binds: FrozenMap = EMPTY
    undo: Undo = NOTHING


@final
class Seq(Struct, frozen=True, gc=False):
    """A block. `child` is statement `index` under way; None where that is not begun yet."""

    block: int
    names: FrozenMap
    loops: Loops
    index: int = 0
    child: Frame | None = None
    undo: tuple[Undo, ...] = ()


@final
class Par(Struct, frozen=True, gc=False):
    ref: Ref
    branches: tuple[Frame | Done, ...]


@final
class Loop(Struct, frozen=True, gc=False):
    """`active` and `done` are in the order of the items, whatever ended first, so that the same
    iterations make the same state."""

    ref: Ref
    names: FrozenMap
    loops: Loops
    items: tuple[Any, ...]
    identities: tuple[str, ...]
    next: int = 0
    active: tuple[tuple[int, Frame], ...] = ()
    done: tuple[tuple[int, Done], ...] = ()


@final
class Try(Struct, frozen=True, gc=False):
    """An `attempt`. The body runs; or, once it failed, `tree` is undone; or handler `handler`."""

    ref: Ref
    names: FrozenMap
    loops: Loops
    child: Frame | None = None
    tree: Undo | None = None
    failure: Failure | None = None
    handler: int | None = None


@final
class CallLeaf(Struct, frozen=True, gc=False):
    """A step in flight; `entry` is what it will owe."""

    place: Place
    entry: Entry
    overdue: bool = False
    stopping: bool = False


class ChildLeaf(Struct, frozen=True, gc=False):
    place: Place
    saga_id: str


class WaitLeaf(Struct, frozen=True, gc=False):
    place: Place
    names: FrozenMap


class SleepLeaf(Struct, frozen=True, gc=False):
    place: Place


class PollLeaf(Struct, frozen=True, gc=False):
    place: Place
    names: FrozenMap
    number: int = 1
    asking: bool = True
    expired: bool = False


@final
class Broken(Struct, frozen=True, gc=False):
    """A statement that failed, or that a person must settle. `call`: the step as it was called,
    with what became of it; None where nothing was."""

    item: OpenItem
    undo: Undo = NOTHING
    call: Entry | None = None


Leaf = CallLeaf | ChildLeaf | WaitLeaf | SleepLeaf | PollLeaf | Broken
Frame = Seq | Par | Loop | Try | Leaf


# --- What a change leads to, on its way up ------------------------------------------------------


@final
class Raised(Struct, frozen=True, gc=False):
    """Something in `frame` failed, and nobody below caught it."""

    frame: Frame
    failure: Failure
    item: OpenItem


@final
class Returned(Struct, frozen=True, gc=False):
    """`return` was reached in `frame`."""

    frame: Frame
    value: Any


Result = Frame | Done | Raised | Returned


# --- Looking at a tree -------------------------------------------------------------------------


def parts(frame: Frame) -> Iterator[Frame]:
    """The frames directly inside, in text order."""
    match frame:
        case Seq(child=child) | Try(child=child):
            if child is not None:
                yield child
        case Par(branches=branches):
            yield from (branch for branch in branches if not isinstance(branch, Done))
        case Loop(active=active):
            yield from (inner for _, inner in active)


def leaves(frame: Frame) -> Iterator[Leaf]:
    """All leaves, in text order."""
    if isinstance(frame, Leaf):
        yield frame
        return
    for part in parts(frame):
        yield from leaves(part)


def _trees(frame: Frame) -> Iterator[Undo]:
    if isinstance(frame, Try) and frame.tree is not None:
        yield frame.tree
    for part in parts(frame):
        yield from _trees(part)


def moving(frame: Frame) -> bool:
    """Whether something is under way that can still change the frame by itself."""
    if type(frame) is Seq:
        return frame.child is not None and moving(frame.child)
    if type(frame) is CallLeaf:
        return frame.stopping or not frame.overdue
    match frame:
        case Par(branches=branches):
            return any(moving(part) for part in branches if not isinstance(part, Done))
        case Loop(active=active):
            return any(moving(part) for _, part in active)
        case Try(tree=None, child=child):
            return child is not None and moving(child)
        case Try(tree=tree):
            assert tree is not None
            return undo.moving(tree)
        case Broken():
            return False
        case _:
            return True


def waiting(frame: Frame) -> Iterator[WaitLeaf]:
    """The waits under way, in text order."""
    return (leaf for leaf in leaves(frame) if isinstance(leaf, WaitLeaf))


def trees(frame: Frame) -> tuple[Undo, ...]:
    """What attempts inside are undoing at the moment."""
    return tuple(_trees(frame))
