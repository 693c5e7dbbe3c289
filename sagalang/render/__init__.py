"""Diagrams of sagas: from the graph to one neutral sequence model, from it to each format.

Invariant: an emitter sees nothing but the sequence model, and what it writes depends on nothing
else: same model, same bytes. Pictures show names and the text of conditions, values only when
asked, and a secret never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sagalang.model.program import Program

FORMATS: Final = ("mermaid", "plantuml", "svg", "text")
"""Those that are text; `render.formats` has all."""


def render(program: Program, saga_name: str, to: str = "mermaid") -> str:
    """A saga of a checked program as the text of a diagram.

    Raises KeyError if there is no such saga, ValueError if `to` is none of `FORMATS`.
    """
    if to not in FORMATS:
        raise ValueError(f"no such format: {to}")
    from sagalang.graph import lower
    from sagalang.render import formats
    from sagalang.render.sequence import model

    picture = formats.emit(model(lower(program, saga_name)), to)
    assert isinstance(picture, str)
    return picture
