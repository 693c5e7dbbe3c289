"""The ways to see a saga, the formats of each, and what makes those of a sequence diagram."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sagalang.render.diagram import SequenceDiagram
    from sagalang.render.listing import Listing

FORMATS: Final = ("mermaid", "plantuml", "svg", "png", "text", "html")
GRAPH_FORMATS: Final = ("dot", "svg", "png", "pdf")
ALL_FORMATS: Final = (*FORMATS, "dot", "pdf")
VIEWS: Final = {
    "sequence": FORMATS,
    "choreography": FORMATS,
    "flow": GRAPH_FORMATS,
    "map": (*GRAPH_FORMATS, "mermaid"),
}
THEMES: Final = ("light", "dark", "auto")
"""`auto` follows the reader's system, in the formats that can: SVG and HTML."""

_SUFFIXES: Final = {
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".puml": "plantuml",
    ".plantuml": "plantuml",
    ".svg": "svg",
    ".png": "png",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".dot": "dot",
    ".gv": "dot",
    ".pdf": "pdf",
}


def by_suffix(path: str) -> str | None:
    """The format that the name of a file asks for; None if its suffix says nothing."""
    return _SUFFIXES.get(PurePath(path).suffix.lower())


def suffixes() -> str:
    """The suffixes in words, for messages."""
    return ", ".join(_SUFFIXES)


def emit(
    diagram: SequenceDiagram, to: str, theme: str = "light", text_of: Listing | None = None
) -> str | bytes:
    """The diagram in a format: text, or the bytes of a PNG.

    `text_of`: the text of the saga, for formats whose messages lead to their place in it.

    Raises ValueError for an unknown format or theme, `png.NoRenderer` where PNG needs a wheel
    that is not installed.
    """
    if theme not in THEMES:
        raise ValueError(f"no such theme: {theme}")
    # What follows the reader must choose where it cannot: light, as paper is.
    fixed = "light" if theme == "auto" else theme
    match to:
        case "mermaid":
            from sagalang.render import mermaid

            return mermaid.emit(diagram)
        case "plantuml":
            from sagalang.render import plantuml

            return plantuml.emit(diagram, fixed)
        case "text":
            from sagalang.render import text

            return text.emit(diagram)
        case "svg":
            from sagalang.render import svg

            return svg.emit(diagram, theme)
        case "png":
            from sagalang.render import png

            return png.emit(diagram, fixed)
        case "html":
            from sagalang.render import html

            return html.emit(diagram, theme, text_of)
        case _:
            raise ValueError(f"no such format: {to}")
