"""The participants of a picture and their places in it."""

from __future__ import annotations

from sagalang import graph as g
from sagalang.render.diagram import Participant, ParticipantKind

ORCHESTRATOR = 0
"""The saga itself stands first."""


class Cast:
    """The saga, then everybody in order of first use."""

    def __init__(self, graph: g.SagaGraph) -> None:
        self._index = {who: at for at, who in enumerate(graph.participants, 1)}
        saga = graph.saga
        first = Participant(saga.name, ParticipantKind.ORCHESTRATOR, saga.doc, saga.span)
        self.participants = (first, *(_participant(graph, who) for who in graph.participants))

    def service(self, name: str) -> int:
        return self._index[g.Participant(name, g.Role.SERVICE)]

    def saga(self, name: str) -> int:
        return self._index[g.Participant(name, g.Role.SAGA)]

    def event(self, name: str) -> int:
        return self._index[g.Participant(name, g.Role.EVENT)]


def _participant(graph: g.SagaGraph, who: g.Participant) -> Participant:
    program = graph.program
    match who.role:
        case g.Role.SERVICE:
            service = program.services[who.name]
            return Participant(who.name, ParticipantKind.SERVICE, service.doc, service.span)
        case g.Role.SAGA:
            saga = program.sagas[who.name]
            return Participant(f"saga {who.name}", ParticipantKind.SAGA, saga.doc, saga.span)
        case g.Role.EVENT:
            event = program.events[who.name]
            return Participant(who.name, ParticipantKind.ACTOR, event.doc, event.span)
