"""Taking down what ran: what is left of a part that must not go on."""

from __future__ import annotations

from msgspec.structs import replace

from sagalang.machine import backward, leaves, undo
from sagalang.machine.events import Interrupt, OpenItem, Purpose
from sagalang.machine.frames import Broken, CallLeaf, Done, Frame, Loop, Par, Seq, Try
from sagalang.machine.turn import Turn
from sagalang.machine.undo import NOTHING, Undo
from sagalang.model import program as p


def loop_statement(turn: Turn, loop: Loop) -> p.For:
    statement = turn.definition.statement(loop.ref)
    assert isinstance(statement, p.For)
    return statement


def loop_undo(loop: Loop, at_once: int, under_way: tuple[tuple[int, Undo], ...] = ()) -> Undo:
    pairs = [*((index, done.undo) for index, done in loop.done), *under_way]
    trees = tuple(tree for _, tree in sorted(pairs, key=lambda pair: pair[0]))
    return undo.in_order(trees) if at_once == 1 else undo.together(trees, at_once)


def dismantle(turn: Turn, frame: Frame | Done) -> Undo:
    """Nothing new starts in the frame, its sleeps and waits end, its calls are awaited: what is
    left is what has to be undone, in order."""
    match frame:
        case Done(undo=tree):
            return tree
        case Seq(child=child, undo=trees):
            inner = NOTHING if child is None else dismantle(turn, child)
            return undo.in_order((*trees, inner))
        case Par(branches=branches):
            return undo.together(tuple(dismantle(turn, branch) for branch in branches))
        case Loop(active=active):
            trees_ = tuple((index, dismantle(turn, inner)) for index, inner in active)
            return loop_undo(frame, loop_statement(turn, frame).at_once, trees_)
        case Try(tree=None, child=child):
            return NOTHING if child is None else dismantle(turn, child)
        case Try(tree=tree):
            assert tree is not None
            return tree
        case _:
            return leaves.dismantle(turn, frame)


def stop_overdue(turn: Turn, frame: Frame) -> Frame:
    """Interrupt what is escalated and still retrying, because nothing else can move."""
    match frame:
        case CallLeaf(place=place, overdue=True, stopping=False):
            turn.emit(Interrupt(place, Purpose.STEP))
            return replace(frame, stopping=True)
        case Seq(child=child) if child is not None:
            return replace(frame, child=stop_overdue(turn, child))
        case Par(branches=branches):
            stopped = tuple(
                branch if isinstance(branch, Done) else stop_overdue(turn, branch)
                for branch in branches
            )
            return replace(frame, branches=stopped)
        case Loop(active=active):
            pairs = tuple((index, stop_overdue(turn, inner)) for index, inner in active)
            return replace(frame, active=pairs)
        case Try(tree=tree) if tree is not None:
            return replace(frame, tree=backward.stop_overdue(turn, tree))
        case Try(child=child) if child is not None:
            return replace(frame, child=stop_overdue(turn, child))
        case _:
            return frame


def open_items(turn: Turn, frame: Frame) -> tuple[OpenItem, ...]:
    """What a person must settle, in text order."""
    match frame:
        case Broken(item=item):
            return (item,)
        case Seq(child=child) if child is not None:
            return open_items(turn, child)
        case Par(branches=branches):
            inner: list[Frame] = [branch for branch in branches if not isinstance(branch, Done)]
        case Loop(active=active):
            inner = [part for _, part in active]
        case Try(tree=tree) if tree is not None:
            return backward.open_items(turn, tree)
        case Try(child=child) if child is not None:
            return open_items(turn, child)
        case _:
            return ()
    return tuple(item for part in inner for item in open_items(turn, part))
