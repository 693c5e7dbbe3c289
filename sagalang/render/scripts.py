"""What the text of a saga says about the places that the journal of a run names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sagalang.graph.structure import blocks_of
from sagalang.model import program as p


@dataclass(frozen=True, slots=True)
class Script:
    """The paths of pivots, and the events of waits by their path."""

    pivots: frozenset[str]
    waits: Mapping[str, str]


def script(saga: p.Saga) -> Script:
    pivots: set[str] = set()
    waits: dict[str, str] = {}

    def visit(block: p.Block) -> None:
        for statement in block.statements:
            match statement:
                case p.Step(pivot=True, path=path) | p.ChildStep(pivot=True, path=path):
                    pivots.add(path)
                case p.Wait(path=path, event=event):
                    waits[path] = event
                case _:
                    for inner in blocks_of(statement):
                        visit(inner)

    visit(saga.body)
    return Script(frozenset(pivots), waits)
