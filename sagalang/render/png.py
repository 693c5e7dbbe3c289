"""Sequence diagrams as PNG, drawn from their SVG by resvg.

Independent of the machine: texts are drawn with the font that they were measured with, Arimo,
from a package. Only a picture with characters that Arimo lacks (Chinese, emoji, …) uses the fonts
of the system too, for otherwise nobody could read it.
"""

from __future__ import annotations

from importlib import import_module
from math import sqrt
from typing import Final

from sagalang.render.diagram import SequenceDiagram
from sagalang.render.svg import emit as emit_svg
from sagalang.render.svg.metrics import covered
from sagalang.render.svg.picture import picture
from sagalang.render.svg.shapes import Text
from sagalang.render.svg.themes import FAMILY
from sagalang.render.themes import fixed

_PIXELS: Final = 64_000_000


class NoRenderer(Exception):  # noqa: N818
    """A package that PNG needs is not installed; the text says which and how to get it."""


def emit(diagram: SequenceDiagram, theme: str = "light", scale: float = 2.0) -> bytes:
    """The diagram as the bytes of a PNG file, `scale` pixels to a pixel of the SVG; fewer where
    it would have more than 64 million, for that the renderer would take all memory and die.

    `auto` is light, for a PNG cannot follow its reader. Raises NoRenderer where resvg-py or
    fontpkg-arimo is absent, ValueError for an unknown theme.
    """
    document = emit_svg(diagram, fixed(theme))
    try:
        from resvg_py import svg_to_bytes
    except ImportError as error:
        raise _missing("resvg-py") from error
    try:
        font = str(import_module("fontpkg").path(FAMILY))
    except (ImportError, LookupError) as error:
        raise _missing("fontpkg-arimo") from error
    drawn = picture(diagram)
    texts = (mark.text for group in drawn.groups for mark in group.marks if isinstance(mark, Text))
    return svg_to_bytes(
        svg_string=document,
        zoom=min(scale, sqrt(_PIXELS / (drawn.width * drawn.height))),
        font_files=[font],
        font_family=FAMILY,
        sans_serif_family=FAMILY,
        skip_system_fonts=all(map(covered, texts)),
    )


def _missing(package: str) -> NoRenderer:
    return NoRenderer(
        f"a PNG needs the package `{package}`, which is not installed:"
        " run `pip install 'sagalang[png]'`, or write an SVG instead"
    )
