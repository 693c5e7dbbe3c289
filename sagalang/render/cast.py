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
        self._graph = graph
        saga = graph.saga
        first = Participant(saga.name, ParticipantKind.ORCHESTRATOR, saga.doc, saga.span)
        self.participants = (first, *(_participant(graph, who) for who in graph.participants))

    def service(self, name: str) -> int:
        return self._index[g.Participant(name, g.Role.SERVICE)]

    def joined(self, name: str) -> int:
        """A service that may not be in the cast yet: one that is only asked."""
        who = g.Participant(name, g.Role.SERVICE)
        if who not in self._index:
            self._index[who] = len(self.participants)
            self.participants = (*self.participants, _participant(self._graph, who))
        return self._index[who]

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
