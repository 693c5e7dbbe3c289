"""The neutral flow graph: what a picture of a saga's control flow says, in no particular format.

Plain frozen values. Texts are raw: they may contain anything, and each emitter escapes them for
its format. Nodes have short ids of their own; participants are referred to by their index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from sagalang.render.diagram import Participant


class FlowKind(Enum):
    START = "start"
    COMMAND = "command"
    QUERY = "query"
    CHILD = "child saga"
    WAIT = "wait"
    POLL = "poll"
    SLEEP = "sleep"
    CHOICE = "choice"
    FORK = "fork"
    JOIN = "join"
    COMPENSATION = "compensation"
    ROLLBACK = "rollback"
    """What of an attempt is undone before a handler runs, said in one node."""
    TOGETHER = "together"
    """From here compensations run side by side."""
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    ESCALATED = "escalated"


class EdgeKind(Enum):
    FORWARD = "forward"
    FAILURE = "failure"
    UNDONE_BY = "undone by"
    """From a step to its compensation; nothing moves along it."""
    UNDOING = "undoing"
    """From a compensation to what is undone next, or to the end."""


class ClusterKind(Enum):
    PARALLEL = "parallel"
    LOOP = "loop"
    ATTEMPT = "attempt"
    HANDLER = "handler"


@dataclass(frozen=True, slots=True)
class FlowNode:
    """`label`: the first line names it, the others tell more. `participant`: whom it talks to,
    None for what the orchestrator does by itself. `path`: the step it belongs to. `doc`: for
    formats that show more on demand."""

    id: str
    kind: FlowKind
    label: tuple[str, ...] = ()
    participant: int | None = None
    pivot: bool = False
    path: str | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class FlowEdge:
    source: str
    target: str
    kind: EdgeKind
    label: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes that belong together; `nodes` are those that stand in no inner cluster."""

    kind: ClusterKind
    label: str
    nodes: tuple[str, ...]
    inner: tuple[Cluster, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowGraph:
    """Nodes in the order of the text, each before its compensation. The first participant is
    the orchestrator. `notes`: what holds for the whole saga, one line each."""

    title: str
    participants: tuple[Participant, ...]
    nodes: tuple[FlowNode, ...]
    edges: tuple[FlowEdge, ...]
    clusters: tuple[Cluster, ...] = ()
    doc: str = ""
    notes: tuple[str, ...] = ()


def clustered(clusters: tuple[Cluster, ...]) -> Iterator[str]:
    """The ids of all nodes in the clusters."""
    for cluster in clusters:
        yield from cluster.nodes
        yield from clustered(cluster.inner)
