"""The canonical layout of .saga files: one way to write a text, whatever it looked like."""

from __future__ import annotations

from msgspec import Struct

from sagalang.diagnostics import Diagnostic
from sagalang.format.layout import lay_out
from sagalang.syntax.concrete import read
from sagalang.text import Source

__all__ = ["Formatted", "format_text"]


class Formatted(Struct, frozen=True):
    """`text` is the source's own where there are diagnostics: what is not understood stays."""

    text: str
    diagnostics: tuple[Diagnostic, ...]


def format_text(source: Source) -> Formatted:
    """Lay a text out anew. Its tree stays the same, and so do its comments; formatting again
    changes nothing."""
    written = read(source)
    if written.diagnostics:
        return Formatted(source.text, written.diagnostics)
    return Formatted(lay_out(written), ())
