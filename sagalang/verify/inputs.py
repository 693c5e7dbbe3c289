"""Which compensations are by inputs, and may be about more steps than their own, by the text alone.

A compensation by key is about one step. One by inputs is about every step with these inputs, for
its service cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from sagalang.graph.structure import blocks_of, bodies
from sagalang.model import program as p
from sagalang.verify.decides import inside, names


def by_inputs(call: p.Call) -> bool:
    """Whether the compensation names neither a key nor the step's result."""
    return not any(isinstance(expr, p.KeyOf | p.ResultOf) for expr in inside(call.args))


def shared(program: p.Program, saga: str) -> frozenset[str]:
    """The operations that compensate several steps of the saga and of its child sagas by inputs
    that may be the same, or one step in a loop by inputs that do not name the loop's item."""
    found: set[str] = set()
    for one, other in combinations(_of_saga(program, saga), 2):
        if one.label == other.label and not any(map(_differ, one.args, other.args)):
            found.add(one.label)
    return frozenset(found)


def _differ(one: p.Expr | None, other: p.Expr | None) -> bool:
    return isinstance(one, p.Const) and isinstance(other, p.Const) and one.value != other.value


def _of_saga(program: p.Program, saga: str) -> Iterator[p.Call]:
    for body in bodies(program.sagas[saga]):
        yield from _of_block(program, body, frozenset())


def _of_block(program: p.Program, block: p.Block, items: frozenset[str]) -> Iterator[p.Call]:
    """The compensations by inputs, each twice that may run so often with the same. `items`: of the
    loops around the block, which are taken to be different."""
    for statement in block.statements:
        match statement:
            case p.Step(compensation=p.Compensation(call=call)) if by_inputs(call):
                yield from [call] * (1 if items <= names(call.args) else 2)
            case p.ChildStep(saga=saga):
                yield from [*_of_saga(program, saga)] * (2 if items else 1)
            case p.For(variable=variable, body=body):
                yield from _of_block(program, body, items | {variable})
                continue
            case _:
                pass
        for inner in blocks_of(statement):
            yield from _of_block(program, inner, items)
