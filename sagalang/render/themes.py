"""The names of the themes. What they look like each format says for itself: an arrow in PlantUML, a
filled table in DOT and a shape in SVG have too little in common for one palette."""

from __future__ import annotations

from typing import Final

THEMES: Final = ("light", "dark", "auto")
"""`auto` follows the reader's system, in the formats that can: SVG and HTML."""


def fixed(theme: str) -> str:
    """The theme of a picture that cannot follow its reader: light, as paper is, for `auto`."""
    return "light" if theme == "auto" else theme
