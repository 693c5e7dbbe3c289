"""Sequence diagrams as SVG, our own: from the model to places, from places to shapes, to XML."""

from sagalang.render.svg.document import emit

__all__ = ["emit"]
