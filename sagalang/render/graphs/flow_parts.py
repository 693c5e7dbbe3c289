"""A flow graph in the making: nodes, edges that lead nowhere yet, and open clusters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from sagalang.render.graphs.flow_graph import (
    Cluster,
    ClusterKind,
    EdgeKind,
    FlowEdge,
    FlowKind,
    FlowNode,
)


class Way(NamedTuple):
    """An edge whose end is not known yet."""

    source: str
    label: str = ""
    kind: EdgeKind = EdgeKind.FORWARD


Ways = tuple[Way, ...]


@dataclass
class _Open:
    nodes: list[str] = field(default_factory=list)
    inner: list[Cluster] = field(default_factory=list)


class Parts:
    """Collects a flow graph; edges between the same two nodes become one."""

    def __init__(self) -> None:
        self.nodes: list[FlowNode] = []
        self._edges: dict[tuple[str, str, EdgeKind], dict[str, None]] = {}
        self._open = [_Open()]

    @property
    def edges(self) -> tuple[FlowEdge, ...]:
        return tuple(
            FlowEdge(source, target, kind, " or ".join(label for label in labels if label))
            for (source, target, kind), labels in self._edges.items()
        )

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        return tuple(self._open[0].inner)

    def node(
        self,
        kind: FlowKind,
        ways: Iterable[Way] = (),
        label: tuple[str, ...] = (),
        participant: int | None = None,
        *,
        pivot: bool = False,
        path: str | None = None,
        doc: str = "",
    ) -> str:
        """A new node at the end of the ways; its id."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(FlowNode(name, kind, label, participant, pivot, path, doc))
        self._open[-1].nodes.append(name)
        self.join(ways, name)
        return name

    def join(self, ways: Iterable[Way], target: str) -> None:
        for source, label, kind in ways:
            self._edges.setdefault((source, target, kind), {})[label] = None

    @contextmanager
    def cluster(self, kind: ClusterKind, label: str) -> Iterator[None]:
        """What is made meanwhile stands in a cluster; none is left if nothing is made."""
        inside = _Open()
        self._open.append(inside)
        yield
        self._open.pop()
        if inside.nodes or inside.inner:
            found = Cluster(kind, label, tuple(inside.nodes), tuple(inside.inner))
            self._open[-1].inner.append(found)
