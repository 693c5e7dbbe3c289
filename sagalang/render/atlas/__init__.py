"""Every distinct way in which a saga can fail: `saga render --atlas`."""

from sagalang.render.atlas.entries import Entry, Index, atlas, index

__all__ = ["Entry", "Index", "atlas", "index"]
