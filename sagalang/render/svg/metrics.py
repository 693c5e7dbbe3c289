"""How wide a text is drawn, and where it is broken. In pixels, without a font file.

Widths are those of Arial, Helvetica, Liberation Sans and Arimo, which share their metrics.
Whatever has no entry in the table is estimated rather too wide: the picture tells the browser to
fit each text into the width that was measured here, whatever font it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final
from unicodedata import bidirectional, category

from sagalang.render.cells import clusters
from sagalang.render.svg.widths import RUNS

_EM: Final = 1000
_PICTURE: Final = 1250
"""Emoji are wider than high in most fonts."""
_JOINED: Final = 620
"""Letters of Arabic and its kin."""
_OTHER: Final = 800
_BREAKABLE: Final = frozenset(".,;:/_-)]}>=&|?")
"""Behind these a long word is broken rather than within a name."""


@dataclass(frozen=True, slots=True)
class Font:
    """Size in pixels."""

    size: float
    bold: bool = False


def _widths(bold: bool) -> dict[str, int]:
    found = {}
    for first, *digits in RUNS:
        row = str(digits[bold])
        for index in range(len(row) // 3):
            found[chr(first + index)] = int(row[3 * index : 3 * index + 3], 16)
    return found


_TABLES: Final = (_widths(False), _widths(True))


def covered(text: str) -> bool:
    """Whether the table knows every character, so that Arimo can draw the text."""
    return all(char in _TABLES[0] for char in text)


def width(text: str, font: Font) -> float:
    """Pixels from the start of the text to its end."""
    table = _TABLES[font.bold]
    if all(char in table for char in text):
        units = sum(table[char] for char in text)
    else:
        units = sum(_cluster(part, columns, font.bold) for part, columns in clusters(text))
    return units * font.size / _EM


@cache
def _cluster(part: str, columns: int, bold: bool) -> int:
    table = _TABLES[bold]
    if columns == 2:
        return _PICTURE if category(part[0]) == "So" or not part[0].isalpha() else _EM
    if part[0] in table:
        return table[part[0]]
    if columns == 0:
        return 0
    return _JOINED if bidirectional(part[0]) in ("R", "AL", "AN") else _OTHER


def wrap(text: str, limit: float, font: Font) -> tuple[str, ...]:
    """Lines no wider than the limit, broken at blanks; inside a word only where it is too long
    for a line of its own, then behind a sign or before a capital if there is one. No line is
    empty; a text without anything to see has no lines."""
    lines: list[str] = []
    used = 0.0
    blank = width(" ", font)
    for word in text.split():
        needed = width(word, font)
        if lines and used + blank + needed <= limit:
            lines[-1] += " " + word
            used += blank + needed
            continue
        pieces = [word] if needed <= limit else list(_pieces(word, limit, font))
        lines += pieces
        used = width(pieces[-1], font)
    return tuple(lines)


def _pieces(word: str, limit: float, font: Font) -> Iterator[str]:
    parts = [part for part, _ in clusters(word)]
    widths = [width(part, font) for part in parts]
    start, used, good = 0, 0.0, 0
    for at, (before, part) in enumerate(pairwise(("", *parts))):
        if used + widths[at] > limit and at > start:
            # A line that is not half full looks worse than a name that is cut.
            end = good if 2 * sum(widths[start:good]) > limit else at
            yield "".join(parts[start:end])
            start, used = end, sum(widths[end:at])
        if before in _BREAKABLE or (before.islower() and part[0].isupper()):
            good = at
        used += widths[at]
    yield "".join(parts[start:])
