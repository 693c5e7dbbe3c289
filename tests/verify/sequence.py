"""What happens before what by the text of a saga, as a plain set of pairs of places.

Written apart from `sagalang.verify.order`, which answers the same question from positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sagalang.machine.events import Place
from sagalang.model import program as p


@dataclass
class Pairs:
    """`ordered`: (earlier, later) paths. `loops`: for each sequential loop, the paths inside."""

    ordered: set[tuple[str, str]] = field(default_factory=set)
    loops: list[tuple[str, frozenset[str]]] = field(default_factory=list)

    def before(self, place: Place, other: Place, begun: Sequence[Place]) -> bool:
        """Whether `place` comes before `other`. `begun`: the order in which they began, which is
        what tells the iterations of a sequential loop apart."""
        mine, theirs = dict(place.loops), dict(other.loops)
        for loop, inside in self.loops:
            if place.path in inside and other.path in inside and mine[loop] != theirs[loop]:
                return begun.index(place) < begun.index(other)
        same = all(theirs.get(loop, value) == value for loop, value in mine.items())
        return same and (place.path, other.path) in self.ordered


def happens_before(block: p.Block) -> Pairs:
    pairs = Pairs()
    _visit(block, pairs)
    return pairs


def _visit(block: p.Block, pairs: Pairs) -> list[str]:
    seen: list[str] = []
    for statement in block.statements:
        inside = list(_inside(statement, pairs))
        pairs.ordered |= {(one, other) for one in seen for other in inside}
        seen += inside
    return seen


def _inside(statement: p.Statement, pairs: Pairs) -> Iterator[str]:
    match statement:
        case p.Step(path=path) | p.ChildStep(path=path):
            yield path
        case p.Parallel(branches=branches):
            for branch in branches:
                yield from _visit(branch, pairs)
        case p.If(then=then, otherwise=otherwise):
            yield from _visit(then, pairs)
            yield from _visit(otherwise, pairs)
        case p.For(path=path, body=body, at_once=at_once):
            found = _visit(body, pairs)
            if at_once == 1:
                pairs.loops.append((path, frozenset(found)))
            yield from found
        case p.Attempt(body=body, handlers=handlers):
            tried = _visit(body, pairs)
            yield from tried
            for handler in handlers:
                handled = _visit(handler.body, pairs)
                pairs.ordered |= {(one, other) for one in tried for other in handled}
                yield from handled
