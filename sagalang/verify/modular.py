"""Branch by branch: one branch of a parallel part at a time, beside a stand-in for the rest.

Branches of a parallel part, and iterations of a concurrent loop, have nothing to do with each
other but this: when one fails, the others are interrupted and undone. So one is explored in full
beside a stand-in that may complete, fail or escalate at any time, as far as the rest can; the
worlds then add up where they would multiply (assume-guarantee reasoning; resilience.md, B2). What
the rest can do is found by exploring it alone. A stand-in may do more than the rest together
would, so a breach that is found this way is looked for again in the whole before it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from sagalang.graph.structure import statements
from sagalang.model import program as p
from sagalang.model.types import NULL, Type
from sagalang.text import Span
from sagalang.verify.values import AT_MOST_ONE, Symbol

STAND_IN: Final = "rest"


@dataclass(frozen=True)
class Part:
    """The branches that a stand-in stands for; each is explored alone to see what it can do."""

    name: str
    blocks: tuple[p.Block, ...]


@dataclass(frozen=True)
class Variant:
    """A saga's body in which of every parallel part one branch is as written."""

    body: p.Block
    parts: tuple[Part, ...]


def is_parallel(block: p.Block) -> bool:
    """Whether anything in the block runs in parallel."""
    return any(
        isinstance(statement, p.Parallel)
        or (isinstance(statement, p.For) and statement.at_once > 1)
        for statement in statements(block)
    )


def variants(block: p.Block) -> tuple[Variant, ...]:
    """Enough variants for every branch to be as written in one of them."""
    return tuple(_block(block, ""))


def _block(block: p.Block, at: str) -> list[Variant]:
    columns = [
        list(_statement(statement, f"{at}.{index}"))
        for index, statement in enumerate(block.statements)
    ]
    many = max((len(column) for column in columns), default=1)
    found = []
    for number in range(many):
        row = [column[min(number, len(column) - 1)] for column in columns]
        made = tuple(statement for statement, _ in row)
        parts = tuple(part for _, some in row for part in some)
        found.append(Variant(replace(block, statements=made), parts))
    return found


Made = tuple[p.Statement, tuple[Part, ...]]


def _statement(statement: p.Statement, at: str) -> Iterator[Made]:
    match statement:
        case p.Parallel(branches=branches):
            for index, branch in enumerate(branches):
                others = (*branches[:index], *branches[index + 1 :])
                rest, part = _stand_in(f"{at}/{index}", others)
                for variant in _block(branch, f"{at}/{index}"):
                    made = replace(statement, branches=(variant.body, rest))
                    yield made, (part, *variant.parts)
        case p.For(body=body, at_once=at_once) if at_once > 1:
            bare = replace(body, exports=())
            rest, part = _stand_in(f"{at}/rest", (bare,))
            one = p.Apply(AT_MOST_ONE, (statement.source,), statement.source.type, statement.span)
            names = tuple((name, type_) for name, type_ in statement.binds)
            for variant in _block(body, f"{at}/one"):
                loop = replace(statement, source=one, body=variant.body)
                branch = p.Block((loop,), names)
                yield p.Parallel((branch, rest), statement.span), (part, *variant.parts)
        case p.For(body=body):
            for variant in _block(body, at):
                yield replace(statement, body=variant.body), variant.parts
        case p.If(then=then, otherwise=otherwise):
            for one_, two in _pairs(_block(then, f"{at}+"), _block(otherwise, f"{at}-")):
                made_ = replace(statement, then=one_.body, otherwise=two.body)
                yield made_, (*one_.parts, *two.parts)
        case p.Attempt(body=body, handlers=handlers):
            columns = [_block(body, f"{at}+")]
            columns += [_block(h.body, f"{at}-{i}") for i, h in enumerate(handlers)]
            for number in range(max(map(len, columns))):
                row = [column[min(number, len(column) - 1)] for column in columns]
                changed = tuple(
                    replace(handler, body=variant.body)
                    for handler, variant in zip(handlers, row[1:], strict=True)
                )
                made__ = replace(statement, body=row[0].body, handlers=changed)
                yield made__, tuple(part for variant in row for part in variant.parts)
        case _:
            yield statement, ()


def _pairs(one: list[Variant], two: list[Variant]) -> Iterator[tuple[Variant, Variant]]:
    for number in range(max(len(one), len(two))):
        yield one[min(number, len(one) - 1)], two[min(number, len(two) - 1)]


def _stand_in(at: str, blocks: tuple[p.Block, ...]) -> tuple[p.Block, Part]:
    """A branch that runs the stand-in, and then binds what the branches would have bound."""
    name = f"{STAND_IN}{at}"
    span = _span(blocks)
    step = p.ChildStep(name, None, name, (), NULL, None, False, False, "", span)
    exports: tuple[tuple[str, Type], ...] = tuple(pair for b in blocks for pair in b.exports)
    lets = tuple(
        p.Let(bound, p.Const(Symbol(bound, type_), type_, span), span)  # type: ignore[arg-type]
        for bound, type_ in exports
    )
    return p.Block((step, *lets), exports), Part(name, blocks)


def _span(blocks: tuple[p.Block, ...]) -> Span:
    for block in blocks:
        for statement in block.statements:
            return statement.span
    return Span("", 0, 0)


def of_body(program: p.Program, saga: str, body: p.Block) -> p.Program:
    """The program with another body for the saga."""
    changed = replace(program.sagas[saga], body=body)
    return replace(program, sagas={**program.sagas, saga: changed})


def alone(program: p.Program, saga: str, block: p.Block) -> p.Program:
    """The program with one branch as the whole saga. Names from around it are not known."""
    changed = replace(program.sagas[saga], body=block, when_compensated=None)
    return replace(program, sagas={**program.sagas, saga: changed})
