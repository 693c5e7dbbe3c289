"""The same saga without an orchestrator, as a picture: who would have to react to whose event.

Each command is started by the event of the one before, each compensation by the failure, then
by the event of the compensation before it. What an orchestrator does besides calling (to join, to
keep a deadline, to wait, to count, to call people) becomes somebody's duty here, and a note says
whose: whoever acts next, for nobody else can need it. Drawing only: sagalang runs no choreography.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sagalang import graph as g
from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.render.cast import Cast
from sagalang.render.choreography.drawing import Drawing
from sagalang.render.diagram import Participant, ParticipantKind, SequenceDiagram

_MOST: Final = 3
"""So many services can still be followed from event to event."""


def model(graph: g.SagaGraph) -> SequenceDiagram:
    """The picture of a saga as a choreography. The first participant starts the saga."""
    cast, saga = Cast(graph), graph.saga
    starter = Participant("client", ParticipantKind.ACTOR, "", saga.span)
    items = Drawing(graph, cast).whole()
    title = f"{saga.name} as a choreography"
    return SequenceDiagram(title, (starter, *cast.participants[1:]), items, saga.doc)


def diagnostics(graph: g.SagaGraph) -> tuple[Diagnostic, ...]:
    """`too-many-participants` (SG320) where more services react to each other's events than
    anybody can follow; those of child sagas count."""
    saga = graph.saga
    services = tuple(dict.fromkeys(_services(graph)))
    if len(services) <= _MOST:
        return ()
    return (
        diagnose(
            "too-many-participants",
            saga.span,
            f"as a choreography `{saga.name}` has {len(services)} services, "
            "and none of them knows the whole",
            notes=(f"they are {', '.join(services)}",),
            help="leave it to the saga: run it as it is, and draw it without `--as choreography`",
        ),
    )


def _services(graph: g.SagaGraph) -> Iterator[str]:
    for who in graph.participants:
        if who.role is g.Role.SERVICE:
            yield who.name
        elif who.role is g.Role.SAGA:
            yield from _services(g.lower(graph.program, who.name))
