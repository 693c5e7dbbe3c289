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


def _ends(node: Node) -> tuple[Word, tuple[Part, ...], Word]:
    """Opening bracket, what is inside, closing bracket."""
    opening, *inner, closing = node.parts
    assert isinstance(opening, Word)
    assert isinstance(closing, Word)
    return opening, tuple(inner), closing


def _list(pad: str, *, held: bool, by: str) -> Layout:
    """A list in brackets (see `listed`)."""

    def laid_out(node: Node, lay: Lay) -> d.Doc:
        opening, inner, closing = _ends(node)
        return listed(opening, inner, closing, lay, pad, held=held, by=by)

    return laid_out


def comprehension(node: Node, lay: Lay) -> d.Doc:
    opening, inner, closing = _ends(node)
    body = d.join(d.LINE, (spaced(run, lay) for run in split_at(inner, "for", "if")))
    return bracketed(opening, body, closing, lay, "", held=False)


def grouped(node: Node, lay: Lay) -> d.Doc:
    opening, inner, closing = _ends(node)
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
    "params": _list("", held=False, by="line"),
    "args": _list("", held=False, by="fill"),
    "fields": _list(" ", held=True, by="line"),
    "list_of": _list("", held=True, by="fill"),
    "braces": _list(" ", held=True, by="fill"),
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
