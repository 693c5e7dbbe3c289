"""What is undone, in words: one line for each thing that follows another."""

from __future__ import annotations

from collections.abc import Collection

from sagalang import graph as g
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.compensation import label


def lines(plan: g.Undo, without: Collection[str] = ()) -> tuple[str, ...]:
    """The lines of a plan, in its order. `without`: the paths of steps that are not undone."""
    if isinstance(plan, g.UndoSequence):
        return tuple(line for item in plan.items for line in lines(item, without))
    text = _phrase(plan, without)
    return (text,) if text else ()


def _phrase(plan: g.Undo, without: Collection[str]) -> str:
    match plan:
        case g.UndoCall(step=step):
            return "" if step.path in without else label(step)
        case g.UndoSequence(items=items):
            return ", then ".join(_each(items, without))
        case g.UndoTogether(items=items):
            found = _each(items, without)
            return f"at the same time: {'; '.join(found)}" if len(found) > 1 else "".join(found)
        case g.UndoEach(loop=loop, body=body):
            text = _phrase(body, without)
            return f"{text} for {words.each_begun(loop)}" if text else ""
        case g.UndoCase(statement=statement, arms=arms):
            pairs = zip(_ways(statement), arms, strict=True)
            found = [f"{way}: {text}" for way, arm in pairs if (text := _phrase(arm, without))]
            return "; ".join(found)


def _each(plans: tuple[g.Undo, ...], without: Collection[str]) -> list[str]:
    return [text for plan in plans if (text := _phrase(plan, without))]


def _ways(statement: p.If | p.Attempt) -> tuple[str, ...]:
    first, *others = words.ways(statement)
    if isinstance(statement, p.If):
        others = [f"if {way}" for way in others]
    return f"if {first}", *others
