"""A picture without the participants that nothing happens to."""

from __future__ import annotations

from dataclasses import replace

from sagalang.render.cast import ORCHESTRATOR
from sagalang.render.diagram import (
    Arm,
    Fragment,
    Item,
    Message,
    Note,
    Phase,
    SequenceDiagram,
    messages,
)


def trimmed(diagram: SequenceDiagram) -> SequenceDiagram:
    """The same messages among those who take part in one; the orchestrator always stays."""
    used = {ORCHESTRATOR, *(i for m in messages(diagram.items) for i in (m.source, m.target))}
    if len(used) == len(diagram.participants):
        return diagram
    kept = sorted(used)
    place = {old: new for new, old in enumerate(kept)}
    participants = tuple(diagram.participants[index] for index in kept)
    items = tuple(_moved(item, place) for item in diagram.items)
    return replace(diagram, participants=participants, items=items)


def _moved(item: Item, place: dict[int, int]) -> Item:
    match item:
        case Message():
            return replace(item, source=place[item.source], target=place[item.target])
        case Note(over=None):
            return item
        case Note(over=(first, last)):
            return replace(item, over=(_near(first, place), _near(last, place)))
        case Phase():
            return replace(item, items=tuple(_moved(inner, place) for inner in item.items))
        case Fragment():
            arms = tuple(
                Arm(arm.label, tuple(_moved(inner, place) for inner in arm.items))
                for arm in item.arms
            )
            return replace(item, arms=arms)
    raise AssertionError("every item is one of these")


def _near(index: int, place: dict[int, int]) -> int:
    """The place of a participant; of one that is gone, that of the next one who stayed."""
    after = [new for old, new in place.items() if old >= index]
    return min(after) if after else max(place.values())
