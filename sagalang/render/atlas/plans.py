"""What was undone, in words: one line for each thing that follows another."""

from __future__ import annotations

from collections.abc import Callable

from sagalang import graph as g
from sagalang.graph.undoing import NOTHING
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.failing import loop_label

Name = Callable[[p.Step | p.ChildStep], str]
"""What the undoing of a step is called."""


def lines(plan: g.Undo, name: Name) -> tuple[str, ...]:
    """The lines of a plan, in its order."""
    items = plan.items if isinstance(plan, g.UndoSequence) else (plan,)
    return tuple(_phrase(item, name) for item in items)


def _phrase(plan: g.Undo, name: Name) -> str:
    match plan:
        case g.UndoCall(step=step):
            return name(step)
        case g.UndoSequence(items=items):
            return ", then ".join(_phrase(item, name) for item in items)
        case g.UndoTogether(items=items):
            found = (_phrase(item, name) for item in items)
            return f"at the same time: {'; '.join(found)}"
        case g.UndoEach(body=body):
            return f"{_phrase(body, name)} for {loop_label(plan)}"
        case g.UndoCase(statement=statement, arms=arms):
            pairs = [
                pair for pair in zip(_ways(statement), arms, strict=True) if pair[1] != NOTHING
            ]
            return "; ".join(f"{way}: {_phrase(arm, name)}" for way, arm in pairs)


def _ways(statement: p.If | p.Attempt) -> tuple[str, ...]:
    ways = words.ways(statement)
    return tuple(f"if {way}" for way in ways) if isinstance(statement, p.If) else ways
