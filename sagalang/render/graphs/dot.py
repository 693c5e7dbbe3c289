"""Flow graphs as DOT text. Pure: the same graph gives the same text.

The way forward leads down (or right), the way back up beside it: each compensation stands next to
its step. The layout of `dot` wants edges that lead down, so what leads back is written from its
end to its beginning, with `dir=back`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sagalang.render.graphs.dot_text import (
    COLUMNS,
    FONT,
    Colours,
    colours,
    html,
    lines,
    title,
    tooltip,
)
from sagalang.render.graphs.flow_graph import (
    Cluster,
    ClusterKind,
    EdgeKind,
    FlowEdge,
    FlowGraph,
    FlowKind,
    FlowNode,
    clustered,
)

if TYPE_CHECKING:
    from graphviz import Digraph

DIRECTIONS: Final = ("TB", "LR")
_BACK: Final = (FlowKind.COMPENSATION, FlowKind.TOGETHER, FlowKind.COMPENSATED)
_BARS: Final = (FlowKind.FORK, FlowKind.JOIN, FlowKind.TOGETHER)
_SMALL: Final = 10
_WIDE: Final = 90
_NARROW: Final = 28

Attributes = dict[str, str]


def emit(flow: FlowGraph, *, direction: str = "TB", theme: str = "light") -> str:
    """The graph as DOT text.

    Raises ValueError for a direction other than `TB` and `LR`, or an unknown theme.
    """
    from graphviz import Digraph

    if direction not in DIRECTIONS:
        raise ValueError(f"no such direction: {direction}")
    look = colours(theme)
    graph = Digraph(
        title(flow.title),
        graph_attr={
            "rankdir": direction,
            "bgcolor": look.paper,
            "fontname": FONT,
            "fontcolor": look.ink,
            "label": _heading(flow, look),
            "labelloc": "t",
            "tooltip": tooltip(flow.doc or flow.title),
            "nodesep": "0.35",
            "ranksep": "0.4",
        },
        node_attr={
            "fontname": FONT,
            "fontsize": "12",
            "fontcolor": look.ink,
            "color": look.line,
            "shape": "box",
            "style": "filled,rounded",
            "fillcolor": look.paper,
            "margin": "0.14,0.07",
        },
        edge_attr={
            "fontname": FONT,
            "fontsize": str(_SMALL),
            "fontcolor": look.ink,
            "color": look.line,
            "arrowsize": "0.7",
        },
    )
    nodes = {node.id: node for node in flow.nodes}
    grouped = set(clustered(flow.clusters))
    for node in flow.nodes:
        if node.id not in grouped:
            graph.node(node.id, **_node(node, look, direction))
    for index, cluster in enumerate(flow.clusters):
        _cluster(graph, f"cluster_{index}", cluster, nodes, look, direction)
    _edges(graph, flow, look)
    text: str = graph.source
    return text


def _heading(flow: FlowGraph, look: Colours) -> str:
    parts = [lines(flow.title, columns=_WIDE, size=16, bold=True)]
    if flow.doc.strip():
        parts.append(lines(flow.doc, columns=_WIDE, size=12))
    notes = (*flow.notes, *_legend(flow))
    parts += [lines(note, columns=_WIDE, size=_SMALL, colour=look.faint) for note in notes]
    return html(parts)


def _legend(flow: FlowGraph) -> tuple[str, ...]:
    kinds = {edge.kind for edge in flow.edges}
    said = []
    if EdgeKind.UNDOING in kinds:
        said.append("dashed: a step and what undoes it; arrows: the order of undoing")
    if EdgeKind.FAILURE in kinds:
        said.append("red: a failure")
    return ("; ".join(said),) if said else ()


# --- Nodes ---------------------------------------------------------------------------------------


def _node(node: FlowNode, look: Colours, direction: str) -> Attributes:
    if node.kind in _BARS:
        return _bar(node, look, direction)
    found = {"label": _label(node, look), "tooltip": tooltip(node.doc or " ".join(node.label))}
    if node.participant is not None:
        found["fillcolor"], found["color"] = look.of(node.participant)
    match node.kind:
        case FlowKind.START:
            found |= {"shape": "oval"}
        case FlowKind.CHILD:
            found |= {"peripheries": "2"}
        case FlowKind.WAIT:
            found |= {"shape": "hexagon", "style": "filled", "margin": "0,0.04"}
        case FlowKind.CHOICE:
            found |= {"shape": "diamond", "style": "filled", "margin": "0.02,0.02"}
        case FlowKind.COMPENSATION | FlowKind.ROLLBACK:
            found |= {"style": "filled,rounded,dashed", "color": look.undoing, "penwidth": "1.4"}
        case FlowKind.COMPLETED:
            found |= {"color": look.done, "peripheries": "2"}
        case FlowKind.COMPENSATED:
            found |= {"color": look.undoing, "peripheries": "2"}
        case FlowKind.ESCALATED:
            found |= {"color": look.failure, "peripheries": "2"}
        case _:
            pass
    if node.pivot:
        found |= {"color": look.pivot, "penwidth": "3", "peripheries": "2", "style": "filled"}
    return found


def _label(node: FlowNode, look: Colours) -> str:
    first, *rest = node.label or ("",)
    columns = _NARROW if node.kind is FlowKind.CHOICE else COLUMNS
    name = lines(first, columns=columns, bold=node.participant is not None)
    parts = [name, *(lines(line, size=_SMALL) for line in rest)]
    if not node.pivot:
        return html(parts)
    banner = lines("POINT OF NO RETURN", size=_SMALL, colour=look.on_pivot, bold=True)
    return (
        '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="4">'
        f'<TR><TD BGCOLOR="{look.pivot}">{banner}</TD></TR>'
        f"<TR><TD>{'<BR/>'.join(parts)}</TD></TR></TABLE>>"
    )


def _bar(node: FlowNode, look: Colours, direction: str) -> Attributes:
    colour = look.undoing if node.kind is FlowKind.TOGETHER else look.line
    long, thin = ("width", "height") if direction == "TB" else ("height", "width")
    return {
        "label": "",
        "tooltip": node.kind.value,
        "style": "filled",
        "fillcolor": colour,
        "color": colour,
        "fixedsize": "true",
        long: "1.1",
        thin: "0.06",
    }


def _cluster(
    graph: Digraph,
    name: str,
    cluster: Cluster,
    nodes: dict[str, FlowNode],
    look: Colours,
    direction: str,
) -> None:
    handler = cluster.kind is ClusterKind.HANDLER
    colour = look.undoing if handler else look.faint
    with graph.subgraph(
        name=name,
        graph_attr={
            "label": html([lines(cluster.label, columns=50, size=_SMALL, colour=colour)]),
            "labeljust": "l",
            "tooltip": tooltip(cluster.label),
            "style": "filled,rounded" + (",dashed" if handler else ""),
            "color": colour,
            "fillcolor": look.region,
        },
    ) as inside:
        for node in cluster.nodes:
            inside.node(node, **_node(nodes[node], look, direction))
        for index, inner in enumerate(cluster.inner):
            _cluster(inside, f"{name}_{index}", inner, nodes, look, direction)


# --- Edges ---------------------------------------------------------------------------------------


_STRAIGHT: Final = "9"
_MEETING: Final = "4"
_BESIDE: Final = "2"
_BACKWARD: Final = "4"
_FANNED: Final = "5"
"""Weights: how much `dot` cares to keep an edge short and straight.

A node whose weights in and out are equal is moved to where there is more room, also to the half
rank between two, where labels stand: an edge that ends there loses its own. So the weights are
such that the sums differ: what goes straight on is odd, all else on the way forward is even."""


def _edges(graph: Digraph, flow: FlowGraph, look: Colours) -> None:
    nodes = {node.id: node for node in flow.nodes}
    meet = Counter(edge.target for edge in flow.edges if edge.kind is EdgeKind.FORWARD)
    back = {
        end
        for edge in flow.edges
        if edge.kind is EdgeKind.UNDOING
        for end in (edge.source, edge.target)
    }
    for edge in flow.edges:
        source, target, found = edge.source, edge.target, _edge(edge, look)
        match edge.kind:
            case EdgeKind.FORWARD:
                found["weight"] = _STRAIGHT if meet[target] == 1 else _MEETING
            case EdgeKind.FAILURE if nodes[target].kind in _BACK and target in back:
                found["constraint"] = "false"
            case EdgeKind.UNDOING:
                source, target = target, source
                found["dir"] = "back"
                fanned = nodes[target].kind is FlowKind.TOGETHER
                found["weight"] = _FANNED if fanned else _BACKWARD
            case _:
                found["weight"] = _BESIDE
        graph.edge(source, target, **found)


def _edge(edge: FlowEdge, look: Colours) -> Attributes:
    found: Attributes = {}
    if edge.label:
        colour = look.failure if edge.kind is EdgeKind.FAILURE else look.ink
        found["label"] = _on_paper(lines(edge.label, colour=colour), look)
    match edge.kind:
        case EdgeKind.FORWARD:
            pass
        case EdgeKind.FAILURE:
            found["color"] = look.failure
        case EdgeKind.UNDONE_BY:
            found |= {"style": "dashed", "color": look.undoing, "arrowhead": "none"}
        case EdgeKind.UNDOING:
            found |= {"style": "dashed", "color": look.undoing, "penwidth": "1.6"}
    return found


def _on_paper(text: str, look: Colours) -> str:
    """Where lines run under a label, it can still be read."""
    return (
        '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">'
        f'<TR><TD BGCOLOR="{look.paper}">{text}</TD></TR></TABLE>>'
    )
