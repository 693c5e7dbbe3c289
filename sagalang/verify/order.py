"""What happens before what, by the text alone: an opinion of its own beside the undo tree's."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from sagalang.graph.structure import blocks_of
from sagalang.machine.definition import Definition
from sagalang.machine.events import Place
from sagalang.model import program as p

Trail = tuple[tuple[p.Statement, int, int], ...]
"""From the outside in: the statement, its index in its block, and which of its blocks goes on."""


def follows(
    definition: Definition,
    place: Place,
    other: Place,
    rank: Callable[[tuple[tuple[str, str], ...]], int],
) -> bool:
    """Whether `other` comes after `place` wherever both happen. `rank`: in which order the
    iterations of sequential loops begin."""
    if place == other:
        return False
    trails = _trails(definition)
    mine, theirs = trails.get(place.path), trails.get(other.path)
    if mine is None or theirs is None:
        return False
    depth = 0
    for (statement, index, inner), (_, index_, inner_) in zip(mine, theirs, strict=False):
        if index != index_:
            return index_ > index
        if isinstance(statement, p.For):
            depth += 1
            first, second = place.loops[:depth], other.loops[:depth]
            if first != second:
                return statement.at_once == 1 and rank(second) > rank(first)
        if inner != inner_:
            return isinstance(statement, p.Attempt) and inner == 0
    return False


@lru_cache(maxsize=256)
def _trails(definition: Definition) -> dict[str, Trail]:
    found: dict[str, Trail] = {}

    def visit(block: p.Block, before: Trail) -> None:
        for index, statement in enumerate(block.statements):
            path = getattr(statement, "path", None)
            if path is not None:
                found[path] = (*before, (statement, index, 0))
            for inner, child in enumerate(blocks_of(statement)):
                visit(child, (*before, (statement, index, inner)))

    visit(definition.saga.body, ())
    return found
