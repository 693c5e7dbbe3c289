"""Every distinct way in which a saga can fail: `saga render --atlas`."""

from sagalang.render.atlas.entries import Entry, Index, atlas, index
from sagalang.render.atlas.ways import Kind

__all__ = ["Entry", "Index", "Kind", "atlas", "index"]
