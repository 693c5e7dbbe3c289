"""The parallel parts of a compiled saga: their strands begin while there is room, and join."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sagalang.machine.undo import NOTHING, in_order, together
from sagalang.runtime.saga_strands import Joining, Strand, moving

if TYPE_CHECKING:
    from sagalang.runtime.saga_run import Run


def begin(run: Run, strand: Strand, joining: Joining) -> None:
    """Begin what is not begun while there is room, and go on when all have ended."""
    if joining.beginning:
        return  # called by a branch that ended at once: the loop below goes on
    joining.beginning = True
    branches = joining.request.branches
    while len(joining.strands) < len(branches) and _room(joining):
        saga, function = branches[len(joining.strands)]
        inner = Strand(strand)
        saga._strand = inner
        joining.strands.append(inner)
        run.begin(inner, partial(function, saga))
        if not strand.alive or strand.wait is not joining:
            return  # the saga, or an attempt around, is going back
    joining.beginning = False
    if joining.done < len(branches):
        return
    trees = tuple(in_order(tuple(inner.undo)) for inner in joining.strands)
    tree = together(trees, joining.request.at_once)
    if tree != NOTHING:
        strand.undo.append(tree)
    run.go_on(strand, tuple(inner.result for inner in joining.strands))


def _room(joining: Joining) -> bool:
    limit = joining.request.at_once
    if limit is None:
        return True
    # An iteration that waits for a person holds no slot: its siblings run on.
    return sum(moving(inner) for inner in joining.strands if not inner.done) < limit


def make_room(run: Run, strand: Strand) -> None:
    """A strand came to a standstill: what was held back for it may begin."""
    while strand.parent is not None:
        strand = strand.parent
        if isinstance(strand.wait, Joining):
            begin(run, strand, strand.wait)
