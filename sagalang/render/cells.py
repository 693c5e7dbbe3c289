"""How many columns of a terminal a text takes, and where it may be broken.

Terminals disagree about some emoji; this follows East Asian Width (UAX #11), the rule that an
emoji sequence is drawn as one picture (UTS #51), and nothing of a particular terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final
from unicodedata import bidirectional, category, east_asian_width

_JOINER: Final = "\u200d"
_AS_PICTURE: Final = "\ufe0f"
_LEFT_TO_RIGHT: Final = "\u200e"


def clusters(text: str) -> Iterator[tuple[str, int]]:
    """The parts of a text that cannot be taken apart, each with its columns: 0, 1 or 2.

    Only a mark that stands before everything else has none.
    """
    parts: list[str] = []
    widths: list[int] = []
    for before, char in pairwise(("", *text)):
        if _attaches(before, char):
            if not parts:
                parts.append("")
                widths.append(0)
            parts[-1] += char
            if char == _AS_PICTURE and widths[-1] and not parts[-1][0].isalpha():
                widths[-1] = 2
        else:
            parts.append(char)
            widths.append(2 if east_asian_width(char) in "WF" else 1)
    return zip(parts, widths, strict=True)


def _attaches(before: str, char: str) -> bool:
    if category(char) in ("Mn", "Me", "Cf"):
        return True
    if before == _JOINER or "\U0001f3fb" <= char <= "\U0001f3ff":
        return category(char) in ("So", "Sk") and before != ""
    # Vowels and final consonants of a Korean syllable that is written in its parts.
    return "\u1160" <= char <= "\u11ff" and before != ""


def width(text: str) -> int:
    """Columns of a terminal."""
    return sum(columns for _, columns in clusters(text))


def wrap(text: str, limit: int) -> list[str]:
    """Lines of at most so many columns (at least 2), broken at blanks; inside a word only where
    it is too long for a line of its own. At least one line."""
    lines = [""]
    for word in text.split():
        if not lines[-1]:
            lines[-1:] = _pieces(word, limit)
        elif width(lines[-1]) + 1 + width(word) <= limit:
            lines[-1] += " " + word
        else:
            lines += _pieces(word, limit)
    return lines


def _pieces(word: str, limit: int) -> list[str]:
    pieces, used = [""], 0
    for part, columns in clusters(word):
        if used + columns > limit:
            pieces.append("")
            used = 0
        pieces[-1] += part
        used += columns
    return pieces


def put(row: list[str], column: int, text: str) -> None:
    """Write a text into a row of cells, a cell a column. Wide characters leave an empty cell.

    A text that runs from right to left is kept from turning its neighbours around (UAX #9).
    """
    at = column
    for part, columns in clusters(text):
        if columns:
            row[at] = part
            row[at + 1 : at + columns] = [""] * (columns - 1)
            at += columns
        else:
            row[at - 1] += part
    if any(bidirectional(char) in ("R", "AL", "AN") for char in text):
        row[column] = _LEFT_TO_RIGHT + row[column]
        row[at - 1] += _LEFT_TO_RIGHT
