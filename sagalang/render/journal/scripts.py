"""What the text of a saga says about the places that the journal of a run names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sagalang.graph.structure import blocks_of
from sagalang.model import program as p
from sagalang.text import Span


@dataclass(frozen=True, slots=True)
class Script:
    """The paths of pivots, the events of waits by their path, which of these are in loops, and
    where everything that has a path stands."""

    pivots: frozenset[str]
    waits: Mapping[str, str]
    looped: frozenset[str]
    spans: Mapping[str, Span]


def script(saga: p.Saga) -> Script:
    pivots: set[str] = set()
    waits: dict[str, str] = {}
    looped: set[str] = set()
    spans: dict[str, Span] = {}

    def visit(block: p.Block, in_loop: bool) -> None:
        for statement in block.statements:
            path: str | None = getattr(statement, "path", None)
            if path is not None:
                spans[path] = statement.span
            match statement:
                case p.Step(pivot=True, path=path) | p.ChildStep(pivot=True, path=path):
                    pivots.add(path)
                case p.Wait(path=path, event=event):
                    waits[path] = event
                    if in_loop:
                        looped.add(path)
                case _:
                    for inner in blocks_of(statement):
                        visit(inner, in_loop or isinstance(statement, p.For))

    visit(saga.body, False)
    if saga.when_compensated is not None:
        visit(saga.when_compensated.body, False)
    return Script(frozenset(pivots), waits, frozenset(looped), spans)
