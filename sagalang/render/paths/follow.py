"""The picture of one failure path: `saga render --when`.

Everything up to the failure as it goes well, the failure, what is undone, the end; nothing after
it. A fault that the saga survives is drawn, and the saga goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sagalang import graph as g
from sagalang.render import words
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
from sagalang.render.paths.caller import Caller
from sagalang.render.paths.faults import Faults
from sagalang.render.paths.results import Ending
from sagalang.render.paths.walk import Walk
from sagalang.render.paths.whens import AllWell, CallFault, Problem, When
from sagalang.render.strokes import Strokes


@dataclass(frozen=True, slots=True)
class Path:
    """One path, drawn, and how it ends."""

    diagram: SequenceDiagram
    ending: Ending


class Follower:
    """Follows many paths of one saga; what their pictures share is made once."""

    def __init__(
        self,
        graph: g.SagaGraph,
        shown: words.Shown = words.NAMES,
        worst: Mapping[str, str] = {},
    ) -> None:
        self._graph = graph
        self._strokes = Strokes(graph, shown, worst)

    def follow(self, whens: Sequence[When]) -> Path | Problem:
        """The path on which all of that happens; a `Problem` where some of it cannot."""
        graph, saga = self._graph, self._graph.saga
        if len(whens) > 1 and any(isinstance(when, AllWell) for when in whens):
            return Problem("`all goes well` only where nothing else happens", "leave it out")
        faults = Faults(graph.program, whens)
        ending = Walk(graph, Caller(self._strokes, faults)).run()
        if faults.missed:
            return _missed(faults.missed[0], ending)
        items = (*self._strokes.opening(), *ending.items)
        told = " and ".join(when.text for when in whens)
        title = f"{saga.name}, when {told}" if whens else saga.name
        whole = SequenceDiagram(title, self._strokes.cast.participants, items, saga.doc)
        return Path(_trimmed(whole), ending)


def path_model(
    graph: g.SagaGraph,
    whens: Sequence[When],
    shown: words.Shown = words.NAMES,
    worst: Mapping[str, str] = {},
) -> SequenceDiagram | Problem:
    """The picture of what happens then; see `sequence.model` for the other arguments."""
    found = Follower(graph, shown, worst).follow(whens)
    return found if isinstance(found, Problem) else found.diagram


def _missed(when: When, ending: Ending) -> Problem:
    how = {
        "completed": "the saga completes",
        "compensated": f"the saga ends compensated with {ending.error}",
        "escalated": "the saga is escalated",
        "endless": "the saga does not end",
    }[ending.kind]
    message = f"`{when.text}` never happens on this path: {how} without it"
    if isinstance(when, CallFault) and ending.kind == "completed":
        return Problem(
            message,
            "what undoes a step is only called after a failure: add one, with another --when",
        )
    return Problem(message, "leave out what strikes before it")


def _trimmed(diagram: SequenceDiagram) -> SequenceDiagram:
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
