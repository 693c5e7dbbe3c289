"""Did you mean: the nearest of the known words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MOST_COMPARED: Final = 500
"""So many distances are worked out for one word: enough for real files, and never slow."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word the user most likely meant, or None.

    Never the word itself: it is known, and yet wrong at its place. A hit that differs only in
    case wins; else the smallest edit distance up to a third of the word's length (at least 1,
    but 0 for a single letter), as gleam does it.
    """
    limit = max(len(word) // 3, 1) if len(word) > 1 else 0
    best: tuple[int, str] | None = None
    compared = 0
    for candidate in known:
        if candidate == word:
            continue
        if candidate.lower() == word.lower():
            return candidate
        if abs(len(candidate) - len(word)) > limit or compared == _MOST_COMPARED:
            continue
        compared += 1
        distance = _edit_distance(word, candidate)
        if distance <= limit and (best is None or distance < best[0]):
            best = (distance, candidate)
    return best[1] if best else None


def _edit_distance(a: str, b: str) -> int:
    """Optimal string alignment: insert, delete, replace, or swap two neighbours."""
    before: list[int] = []
    previous = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (char != other))
            if i > 1 and j > 1 and char == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, previous = previous, row
    return previous[-1]


def hint(word: str, known: Iterable[str], lead: str = "did you mean") -> str | None:
    """A help sentence with the nearest known word in back quotes, or None."""
    found = nearest(word, known)
    return f"{lead} `{found}`?" if found else None
