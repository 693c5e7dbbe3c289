"""Service maps as Mermaid flowcharts. Pure: the same map gives the same text."""

from __future__ import annotations

from typing import Final

from sagalang.render.graphs.service_map import Place, ServiceMap, Use, shown_names
from sagalang.render.mermaid import escape

_SOLID: Final = (Use.STEP, Use.CHILD, Use.WAIT)


def emit(map_: ServiceMap) -> str:
    """The map as a Mermaid flowchart, for pull requests and wikis. A service is a subgraph."""
    text = ["flowchart LR"]
    for at, (node, name) in enumerate(zip(map_.nodes, shown_names(map_), strict=True)):
        label = f'"{escape(name)}"'
        match node.place:
            case Place.SAGA:
                text.append(f"  n{at}({label})")
            case Place.EVENT:
                text.append(f"  n{at}{{{{{label}}}}}")
            case Place.SERVICE:
                text.append(f"  subgraph n{at}[{label}]")
                for place, operation in enumerate(node.operations):
                    text.append(f'    n{at}o{place}["{escape(operation)}"]')
                text.append("  end")
    for edge in map_.edges:
        target = map_.nodes[edge.target]
        row = f"o{target.operations.index(edge.operation)}" if edge.operation else ""
        said = "" if edge.use in (Use.STEP, Use.WAIT) else f"|{edge.use.value}|"
        arrow = "-->" if edge.use in _SOLID else "-.->"
        source, end = f"n{edge.source}", f"n{edge.target}{row}"
        if edge.use is Use.WAIT:
            source, end = end, source
        text.append(f"  {source} {arrow}{said} {end}")
    return "\n".join(text) + "\n"
