"""Layouts of types, lists and expressions."""

from __future__ import annotations

from typing import Final

from sagalang.format import documents as d
from sagalang.format.pieces import (
    INDENT,
    Lay,
    Layout,
    Part,
    bracketed,
    listed,
    row,
    spaced,
    split_at,
    tight,
)
from sagalang.syntax.concrete import Node, Word

_CHAINS: Final = {
    "or_": ("or_",),
    "and_": ("and_",),
    "add": ("add", "subtract"),
    "subtract": ("add", "subtract"),
    "multiply": ("multiply", "divide"),
    "divide": ("multiply", "divide"),
    "compare": ("compare",),
    "default": ("default",),
}
"""The operators that break together with one, where it is written without brackets."""


def ends(node: Node) -> tuple[Word, tuple[Part, ...], Word]:
    """Opening bracket, what is inside, closing bracket."""
    opening, *inner, closing = node.parts
    assert isinstance(opening, Word)
    assert isinstance(closing, Word)
    return opening, tuple(inner), closing


def parens(node: Node, lay: Lay) -> d.Doc:
    opening, inner, closing = ends(node)
    return listed(opening, inner, closing, lay, "", held=False, by="fill")


def params(node: Node, lay: Lay) -> d.Doc:
    opening, inner, closing = ends(node)
    return listed(opening, inner, closing, lay, "", held=False, by="line")


def items(node: Node, lay: Lay) -> d.Doc:
    opening, inner, closing = ends(node)
    return listed(opening, inner, closing, lay, "", held=True, by="fill")


def entries(node: Node, lay: Lay) -> d.Doc:
    opening, inner, closing = ends(node)
    return listed(opening, inner, closing, lay, " ", held=True, by="fill")


def fields(node: Node, lay: Lay) -> d.Doc:
    opening, inner, closing = ends(node)
    return listed(opening, inner, closing, lay, " ", held=True, by="line")


def comprehension(node: Node, lay: Lay) -> d.Doc:
    opening, inner, closing = ends(node)
    body = d.join(d.LINE, (spaced(run, lay) for run in split_at(inner, "for", "if")))
    return bracketed(opening, body, closing, lay, "", held=False)


def grouped(node: Node, lay: Lay) -> d.Doc:
    opening, inner, closing = ends(node)
    return bracketed(opening, row(inner, lay), closing, lay, "", held=False)


def conditional(node: Node, lay: Lay) -> d.Doc:
    head, *arms = split_at(node.parts, "then", "else")
    return d.group(
        d.cat(
            spaced(head, lay),
            d.nest(INDENT, d.cat(*(d.cat(d.LINE, spaced(arm, lay)) for arm in arms))),
        )
    )


def chain(node: Node, lay: Lay) -> d.Doc:
    head, tails = _operands(node, _CHAINS[node.kind], lay)
    behind = d.cat(*(d.cat(d.LINE, tail) for tail in tails))
    return d.group(d.cat(head, d.nest(INDENT, behind)))


def _operands(node: Node, family: tuple[str, ...], lay: Lay) -> tuple[d.Doc, list[d.Doc]]:
    """The first operand, and the others with the operators before them."""
    left, operator, right = node.parts
    if isinstance(left, Node) and left.kind in family:
        head, tails = _operands(left, family, lay)
    else:
        head, tails = lay(left), []
    if isinstance(right, Node) and right.kind in family:
        begin, more = _operands(right, family, lay)
        return head, [*tails, d.cat(lay(operator), d.SPACE, begin), *more]
    return head, [*tails, d.cat(lay(operator), d.SPACE, lay(right))]


EXPRESSIONS: Final[dict[str, Layout]] = {
    "params": params,
    "args": parens,
    "fields": fields,
    "list_of": items,
    "braces": entries,
    "comprehension": comprehension,
    "group": grouped,
    "conditional": conditional,
    **dict.fromkeys(_CHAINS, chain),
    **dict.fromkeys(
        (
            "member",
            "index",
            "negate",
            "apply",
            "list_type",
            "map_type",
            "optional_type",
        ),
        tight,
    ),
}
