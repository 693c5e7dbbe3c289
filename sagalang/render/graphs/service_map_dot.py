"""Service maps as DOT text. Pure: the same map gives the same text."""

from __future__ import annotations

from typing import Final

from sagalang.render.graphs.dot_text import FONT, Colours, colours, html, lines, tooltip
from sagalang.render.graphs.service_map import MapNode, Place, ServiceMap, Use, shown_names

_LEGEND: Final = (
    "solid: a step, a child saga or an event; dashed: a compensation; dotted: a probe or a poll"
)
_STYLES: Final = {
    Use.STEP: "solid",
    Use.CHILD: "solid",
    Use.WAIT: "solid",
    Use.COMPENSATION: "dashed",
    Use.PROBE: "dotted",
    Use.POLL: "dotted",
}
_SMALL: Final = 10


def emit(map_: ServiceMap, *, direction: str = "LR", theme: str = "light") -> str:
    """The map as DOT text. A service is a table of the operations that are called.

    Raises ValueError for a direction other than `TB` and `LR`, or an unknown theme.
    """
    from graphviz import Digraph

    if direction not in ("TB", "LR"):
        raise ValueError(f"no such direction: {direction}")
    look = colours(theme)
    graph = Digraph(
        "service map",
        graph_attr={
            "rankdir": direction,
            "bgcolor": look.paper,
            "fontname": FONT,
            "label": html([lines(_LEGEND, columns=100, size=_SMALL, colour=look.faint)]),
            "labelloc": "b",
            "nodesep": "0.3",
            "ranksep": "1.6" if direction == "LR" else "1.0",
        },
        node_attr={"fontname": FONT, "fontsize": "12", "fontcolor": look.ink},
        edge_attr={"fontname": FONT, "color": look.line, "arrowsize": "0.7"},
    )
    services = [at for at, node in enumerate(map_.nodes) if node.place is Place.SERVICE]
    for at, (node, name) in enumerate(zip(map_.nodes, shown_names(map_), strict=True)):
        doc = tooltip(node.doc or node.name)
        if node.place is Place.SERVICE:
            fill = look.of(services.index(at) + 1)
            label = _service(node, name, fill, look)
            graph.node(f"n{at}", label, shape="plain", tooltip=doc)
        else:
            graph.node(f"n{at}", html([lines(name, bold=True)]), tooltip=doc, **_look(node, look))
    for edge in map_.edges:
        target = map_.nodes[edge.target]
        # Compass `w` or `n`: into the row from the side where the sagas stand.
        port = f":o{target.operations.index(edge.operation)}" if edge.operation else ""
        side = ":w" if port and direction == "LR" else ""
        attributes = {"style": _STYLES[edge.use], "tooltip": edge.use.value}
        if edge.use is Use.COMPENSATION:
            attributes["color"] = look.undoing
        elif edge.use is Use.WAIT:
            attributes["dir"] = "back"
        graph.edge(f"n{edge.source}", f"n{edge.target}{port}{side}", **attributes)
    text: str = graph.source
    return text


def _look(node: MapNode, look: Colours) -> dict[str, str]:
    if node.place is Place.SAGA:
        return {
            "shape": "box",
            "style": "filled,rounded",
            "fillcolor": look.region,
            "color": look.ink,
            "penwidth": "1.6",
        }
    return {"shape": "hexagon", "style": "filled", "fillcolor": look.paper, "color": look.faint}


def _service(node: MapNode, name: str, fill: tuple[str, str], look: Colours) -> str:
    paint, border = fill
    rows = "".join(
        f'<TR><TD PORT="o{at}" ALIGN="LEFT" BGCOLOR="{look.paper}">{lines(operation)}</TD></TR>'
        for at, operation in enumerate(node.operations)
    )
    return (
        f'<<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="0" CELLPADDING="5" COLOR="{border}">'
        f'<TR><TD BGCOLOR="{paint}">{lines(name, bold=True)}</TD></TR>{rows}</TABLE>>'
    )
