"""`SagaGraph` and `lower`: the calls of a saga as nodes, ready to be drawn or analysed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from sagalang.graph.order import happens_before_edges
from sagalang.graph.structure import blocks_of
from sagalang.graph.undoing import is_undone
from sagalang.model import program as p
from sagalang.text import Span

if TYPE_CHECKING:
    from networkx import DiGraph


class Kind(Enum):
    """What happens at a node."""

    COMMAND = "command"
    QUERY = "query"
    CHILD = "child saga"
    WAIT = "wait"
    POLL = "poll"
    SLEEP = "sleep"


class Role(Enum):
    """What a participant is."""

    SERVICE = "service"
    SAGA = "saga"
    EVENT = "event"


class Participant(Struct, frozen=True):
    """Somebody the saga talks to; name and role together tell participants apart."""

    name: str
    role: Role


class Node(Struct, frozen=True):
    """A statement that takes part in the order of events; a loop's body is there once.

    `participant` is None for a sleep. `undone_by`: the label of the compensation, None where
    nothing is owed. `loops`: the paths of the loops around it, outermost first.
    """

    path: str
    label: str
    kind: Kind
    participant: Participant | None
    pivot: bool
    undone_by: str | None
    loops: tuple[str, ...]
    statement: Leaf
    span: Span


Leaf = p.Step | p.ChildStep | p.Wait | p.Poll | p.Sleep


@dataclass(frozen=True, eq=False)
class SagaGraph:
    """One saga of a checked program.

    `nodes` stand in text order, which is one of the orders that happens-before allows.
    `farewell`: the steps of `when compensated`, which follow the last compensation.
    `participants` stand in order of first use, those that only compensations use last.
    """

    program: p.Program
    saga: p.Saga
    nodes: tuple[Node, ...]
    farewell: tuple[Node, ...]
    participants: tuple[Participant, ...]

    @cached_property
    def happens_before(self) -> DiGraph:
        """The paths of the nodes; an edge leads to what may come next.

        `parallel` relaxes text order; of a loop this is one iteration, for the iterations of a
        loop stand in no cycle. A path in this graph means: if both happen, the first is earlier.
        """
        from networkx import DiGraph, freeze

        graph = DiGraph()
        graph.add_nodes_from(node.path for node in self.nodes)
        graph.add_edges_from(happens_before_edges(self.saga.body))
        return freeze(graph)

    @cached_property
    def compensations(self) -> DiGraph:
        """The paths of the steps that are undone; an edge leads to what is undone next.

        The reverse of happens-before, without the edges that others imply.
        """
        from networkx import freeze, transitive_closure_dag, transitive_reduction

        owed = [node.path for node in self.nodes if node.undone_by is not None]
        order = transitive_closure_dag(self.happens_before).subgraph(owed)
        return freeze(transitive_reduction(order.reverse()))


def lower(program: p.Program, saga_name: str) -> SagaGraph:
    """The graph of a saga of a checked program. Raises KeyError if there is no such saga."""
    saga = program.sagas[saga_name]
    nodes = tuple(_nodes(program, saga.body, ()))
    after = saga.when_compensated
    farewell = tuple(_nodes(program, after.body, ())) if after is not None else ()
    undoing = (
        Participant(node.statement.compensation.call.service, Role.SERVICE)
        for node in nodes
        if isinstance(node.statement, p.Step)
        and isinstance(node.statement.compensation, p.Compensation)
    )
    used = [node.participant for node in nodes if node.participant is not None]
    said = [node.participant for node in farewell if node.participant is not None]
    return SagaGraph(program, saga, nodes, farewell, tuple(dict.fromkeys((*used, *undoing, *said))))


def _nodes(program: p.Program, block: p.Block, loops: tuple[str, ...]) -> Iterator[Node]:
    for statement in block.statements:
        if isinstance(statement, Leaf):
            yield _node(program, statement, loops)
        inside = (*loops, statement.path) if isinstance(statement, p.For) else loops
        for child in blocks_of(statement):
            yield from _nodes(program, child, inside)


def _node(program: p.Program, leaf: Leaf, loops: tuple[str, ...]) -> Node:
    pivot, undone_by = False, None
    participant: Participant | None
    match leaf:
        case p.Step(call=call):
            kind = Kind.QUERY if program.operation(call).is_query else Kind.COMMAND
            label, participant = call.label, Participant(call.service, Role.SERVICE)
            pivot = leaf.pivot
            if isinstance(leaf.compensation, p.Compensation):
                undone_by = leaf.compensation.call.label
        case p.ChildStep(saga=name):
            kind, label, participant = Kind.CHILD, f"saga {name}", Participant(name, Role.SAGA)
            pivot = leaf.pivot
            undone_by = label if is_undone(leaf) else None
        case p.Wait(event=event):
            kind, label, participant = Kind.WAIT, f"wait {event}", Participant(event, Role.EVENT)
        case p.Poll(call=call):
            kind, label = Kind.POLL, f"poll {call.label}"
            participant = Participant(call.service, Role.SERVICE)
        case p.Sleep():
            kind, label, participant = Kind.SLEEP, "sleep", None
    return Node(leaf.path, label, kind, participant, pivot, undone_by, loops, leaf, leaf.span)
