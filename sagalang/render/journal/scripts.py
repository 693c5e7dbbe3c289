"""What the text of a saga says about the places that the journal of a run names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sagalang.graph.structure import blocks_of, bodies, statements
from sagalang.model import program as p
from sagalang.text import Span


@dataclass(frozen=True, slots=True)
class Script:
    """The paths of pivots, the events of waits by their path, which of these are in loops, and
    where everything that has a path stands. `behind`: of a path the waits that it stands behind, so
    that they are over when it begins."""

    pivots: frozenset[str]
    waits: Mapping[str, str]
    looped: frozenset[str]
    spans: Mapping[str, Span]
    behind: Mapping[str, tuple[str, ...]]


def script(saga: p.Saga) -> Script:
    every = [statement for body in bodies(saga) for statement in statements(body)]
    loops = [statement.body for statement in every if isinstance(statement, p.For)]
    return Script(
        frozenset(s.path for s in every if isinstance(s, p.Step | p.ChildStep) and s.pivot),
        {s.path: s.event for s in every if isinstance(s, p.Wait)},
        frozenset(s.path for loop in loops for s in statements(loop) if isinstance(s, p.Wait)),
        {s.path: s.span for s in every if hasattr(s, "path")},
        dict(_behind(saga.body, ())),
    )


def _behind(block: p.Block, waits: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for statement in block.statements:
        path = getattr(statement, "path", None)
        if path is not None and waits:
            yield path, waits
        if not isinstance(statement, p.For):  # each iteration has waits of its own
            for inner in blocks_of(statement):
                yield from _behind(inner, waits)
        if isinstance(statement, p.Wait):
            waits += (statement.path,)
