"""Which statements of two blocks are the same one, before and after a change."""

from __future__ import annotations

from collections.abc import Iterator

from sagalang.graph.structure import blocks_of, statements
from sagalang.model import program as p

Pair = tuple[int | None, int | None]
"""(index in the old block, index in the new one)"""


def aligned(old: p.Block, new: p.Block) -> Iterator[Pair]:
    """The statements of both in one order that is right for both, those that are the same in
    pairs. A longest common subsequence, in which those with much in common inside weigh more."""
    a, b = old.statements, new.statements
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            skipped = max(best[i + 1][j], best[i][j + 1])
            weight = _alike(a[i], b[j])
            best[i][j] = max(skipped, weight + best[i + 1][j + 1]) if weight else skipped
    i = j = 0
    while i < len(a) or j < len(b):
        if i < len(a) and j < len(b):
            weight = _alike(a[i], b[j])
            if weight and best[i][j] == weight + best[i + 1][j + 1]:
                yield i, j
                i, j = i + 1, j + 1
                continue
        # What is new comes first: its place is before the next old statement.
        if j < len(b) and (i == len(a) or best[i][j] == best[i][j + 1]):
            yield None, j
            j += 1
        else:
            yield i, None
            i += 1


def _alike(one: p.Statement, other: p.Statement) -> int:
    """0: they are not the same statement."""
    if type(one) is not type(other):
        return 0
    match one, other:
        case (p.Let(name=a), p.Let(name=b)) | (p.Abort(error=a), p.Abort(error=b)):
            return 2 if a == b else 0
        case ((p.If() | p.Parallel() | p.Return()), _):
            return 2 + len(_paths(one) & _paths(other))
        case _:
            same: bool = getattr(one, "path", None) == getattr(other, "path", None)
            return 2 + len(_paths(one) & _paths(other)) if same else 0


def _paths(statement: p.Statement) -> set[str]:
    inside = (inner for block in blocks_of(statement) for inner in statements(block))
    return {inner.path for inner in inside if hasattr(inner, "path")}
