"""The ways to see a saga, the formats of each, and what makes those of a sequence diagram."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from sagalang.render.themes import THEMES, fixed

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


def suffixes(formats: Collection[str] = ALL_FORMATS) -> str:
    """The suffixes of these formats in words, for messages."""
    return ", ".join(suffix for suffix, to in _SUFFIXES.items() if to in formats)


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
    match to:
        case "mermaid":
            from sagalang.render import mermaid

            return mermaid.emit(diagram)
        case "plantuml":
            from sagalang.render import plantuml

            return plantuml.emit(diagram, fixed(theme))
        case "text":
            from sagalang.render import text

            return text.emit(diagram)
        case "svg":
            from sagalang.render import svg

            return svg.emit(diagram, theme)
        case "png":
            from sagalang.render import png

            return png.emit(diagram, theme)
        case "html":
            from sagalang.render import html

            return html.emit(diagram, theme, text_of)
        case _:
            raise ValueError(f"no such format: {to}")
