"""Items that know which way the saga goes, put into phases."""

from __future__ import annotations

from collections.abc import Sequence

from sagalang.render.diagram import Item, Phase

Side = bool | None
"""Whether an item belongs to going back; None: it goes with what is around it."""
Drawn = tuple[Side, Item]


def phases(drawn: Sequence[Drawn]) -> tuple[Item, ...]:
    """Going back, put into phases of its own."""
    items: list[Item] = []
    back: list[Item] = []
    around: list[Item] = []
    for side, item in drawn:
        if side is None and back:
            around.append(item)
        elif side:
            back += [*around, item]
            around = []
        else:
            if back:
                items.append(Phase(tuple(back)))
            items += [*around, item]
            back, around = [], []
    if back:
        items.append(Phase(tuple(back)))
    return (*items, *around)
