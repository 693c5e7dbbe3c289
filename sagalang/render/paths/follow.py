"""The picture of one failure path: `saga render --when`.

Everything up to the failure as it goes well, the failure, what is undone, the end; nothing after
it. A fault that the saga survives is drawn, and the saga goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sagalang import graph as g
from sagalang.render import words
from sagalang.render.cast import Cast
from sagalang.render.details import Details
from sagalang.render.diagram import SequenceDiagram
from sagalang.render.paths.calling import Calling
from sagalang.render.paths.course import Course
from sagalang.render.paths.ends import Ending
from sagalang.render.paths.luck import Luck
from sagalang.render.paths.trimming import trimmed
from sagalang.render.paths.whens import CallFault, Problem, When
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
        worst: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._graph = graph
        self._shown = shown
        self._cast = Cast(graph)
        self._strokes = Strokes(graph, self._cast, shown, Details(graph.program, worst))

    def follow(self, whens: Sequence[When]) -> Path | Problem:
        """The path on which all of that happens; a `Problem` where some of it cannot."""
        graph, saga = self._graph, self._graph.saga
        luck = Luck(graph.program, whens)
        calling = Calling(graph.program, self._strokes, luck, self._shown)
        ending = Course(graph, calling).run()
        if luck.missed:
            return _missed(luck.missed[0], ending)
        items = (*self._strokes.opening(), *ending.items)
        told = " and ".join(when.text for when in whens)
        title = f"{saga.name}, when {told}" if whens else saga.name
        whole = SequenceDiagram(title, self._cast.participants, items, saga.doc)
        return Path(trimmed(whole), ending)


def path_model(
    graph: g.SagaGraph,
    whens: Sequence[When],
    shown: words.Shown = words.NAMES,
    worst: Mapping[str, str] = MappingProxyType({}),
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
