"""Compensations by inputs: what one of them undoes, and keeps out, beside its own step.

A compensation by key is about one step. One by inputs is about every step with these inputs, for
its service cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sagalang.machine import events as m
from sagalang.machine.frames import CallLeaf, Done, Frame, Loop, Par, Seq, Try
from sagalang.machine.state import State
from sagalang.machine.undo import Entry, entries
from sagalang.model import program as p
from sagalang.verify.stage import Stage
from sagalang.verify.world import Path

Undoing = tuple[str, tuple[Any, ...]]
"""The compensation's operation, and its arguments."""


def undoing_of(stage: Stage, path: Path, state: State, place: m.Place) -> Undoing | None:
    """How the step is undone, if by inputs; None by key, by its result, or not at all."""
    for entry in _owed(state):
        if entry.place == place:
            return _undoing(stage, path, entry)
    return None


def alike(stage: Stage, path: Path, state: State, undoing: Undoing) -> Iterator[m.Place]:
    """The steps of the saga that a compensation undoes."""
    for entry in _owed(state):
        if _undoing(stage, path, entry) == undoing:
            yield entry.place


def _undoing(stage: Stage, path: Path, entry: Entry) -> Undoing | None:
    step = stage.definition(path).statements[entry.place.path]
    if entry.args is None or not isinstance(step, p.Step):
        return None
    undo = step.compensation
    if not isinstance(undo, p.Compensation):
        return None
    if any(map(_by_key, undo.call.args)):
        return None
    return undo.call.label, entry.args


def _by_key(expr: Any) -> bool:
    match expr:
        case p.KeyOf() | p.ResultOf():
            return True
        case p.Member(value=value) | p.Convert(value=value):
            return _by_key(value)
        case _:
            return False


def _owed(state: State) -> Iterator[Entry]:
    yield from entries(state.tree)
    if state.frame is not None:
        yield from _in(state.frame)


def _in(frame: Frame | Done) -> Iterator[Entry]:
    match frame:
        case CallLeaf(entry=entry):
            yield entry
        case Done(undo=tree):
            yield from entries(tree)
        case Seq(child=child, undo=trees):
            for tree in trees:
                yield from entries(tree)
            if child is not None:
                yield from _in(child)
        case Par(branches=branches):
            for branch in branches:
                yield from _in(branch)
        case Loop(active=active, done=done):
            for _, ended in done:
                yield from _in(ended)
            for _, inner in active:
                yield from _in(inner)
        case Try(child=child, tree=tree):
            if tree is not None:
                yield from entries(tree)
            if child is not None:
                yield from _in(child)
        case _:
            pass
