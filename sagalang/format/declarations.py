"""Layouts of policies, services and enums."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sagalang.format import documents as d
from sagalang.format.pieces import (
    INDENT,
    Lay,
    Layout,
    Part,
    blank_before,
    first,
    is_word,
    last,
    listed,
    nodes,
    row,
    spaced,
)
from sagalang.format.statements import body
from sagalang.syntax.concrete import Node, Word

WIDTH: Final = 100
_COLUMN_GAP: Final = 3
_CLAUSES: Final = (
    "route",
    "promises",
    "rejects",
    "compensate_by",
    "probe_by",
    "promise_lands",
    "with_clause",
)
"""The order of an operation's clauses. How late a call may land belongs to the probe."""


def _opened(node: Node) -> tuple[tuple[Part, ...], Word, tuple[Part, ...], Word]:
    """What stands before the braces, the opening one, what is inside, the closing one."""
    at = next(i for i, part in enumerate(node.parts) if is_word(part, "{"))
    opening, closing = node.parts[at], node.parts[-1]
    assert isinstance(opening, Word)
    assert isinstance(closing, Word)
    return node.parts[:at], opening, node.parts[at + 1 : -1], closing


def enum(node: Node, lay: Lay) -> d.Doc:
    head, opening, inner, closing = _opened(node)
    members = listed(opening, inner, closing, lay, " ", held=True, by="line")
    return d.group(d.cat(spaced(head, lay), d.SPACE, members))


# --- policies -----------------------------------------------------------------------------------


def policy(node: Node, lay: Lay) -> d.Doc:
    """A clause on each line, and what is behind their names in one column."""
    head, opening, inner, closing = _opened(node)
    clauses = nodes(inner)
    widest = max((_name_width(clause) for clause in clauses), default=0)
    pads = [widest - _name_width(clause) for clause in clauses]
    made = [_clause(clause, pad, lay) for clause, pad in zip(clauses, pads, strict=True)]
    braces = body(opening, clauses, made, closing, lay, held=False)
    return d.group(d.cat(spaced(head, lay), d.SPACE, braces))


def _name_length(clause: Node) -> int:
    return 2 if clause.kind == "budget_clause" else 1


def _name_width(clause: Node) -> int:
    names = [first(part).text for part in clause.parts[: _name_length(clause)]]
    return len(" ".join(names))


def _clause(clause: Node, pad: int, lay: Lay) -> d.Doc:
    length = _name_length(clause)
    name = spaced(clause.parts[:length], lay)
    return d.cat(name, d.text(" " * (pad + 1)), row(clause.parts[length:], lay))


# --- services -----------------------------------------------------------------------------------


class _Operation(Struct, frozen=True):
    """An operation in pieces. `apart`: written on one line, a wide gap before its clauses."""

    head: d.Doc
    clauses: tuple[d.Doc, ...]
    broken: bool
    apart: bool

    @property
    def tail_width(self) -> int | None:
        widths = [clause.width for clause in self.clauses[:-1]]
        widths.append(d.code_width(self.clauses[-1]))
        return None if None in widths else sum(w + 1 for w in widths if w is not None) - 1


def service(node: Node, lay: Lay) -> d.Doc:
    head, opening, inner, closing = _opened(node)
    items = nodes(inner)
    read = {i: _read(item, lay) for i, item in enumerate(items) if item.kind == "operation"}
    columns = _columns(items, read)
    made = [
        _operation(read[i], columns.get(i, 1)) if i in read else lay(item)
        for i, item in enumerate(items)
    ]
    braces = body(opening, items, made, closing, lay, held=False)
    return d.group(d.cat(spaced(head, lay), d.SPACE, braces))


def _read(node: Node, lay: Lay) -> _Operation:
    head = [p for p in node.parts if not (isinstance(p, Node) and p.kind in _CLAUSES)]
    clauses = [p for p in nodes(node.parts) if p.kind in _CLAUSES]
    begin = first(clauses[0]) if clauses else None
    broken = any(first(clause).fresh for clause in clauses)
    apart = begin is not None and not begin.fresh and begin.start - last(head[-1]).end > 1
    return _Operation(spaced(head, lay), _ordered(clauses, lay), broken, apart and not broken)


def _operation(operation: _Operation, gap: int) -> d.Doc:
    """On one line if it was written on one and fits; else each clause on its own."""
    if not operation.clauses:
        return operation.head
    line: d.Doc = d.HARD if operation.broken else d.Line(" " * gap, gap)
    head, *rest = operation.clauses
    behind = [d.cat(d.HARD if operation.broken else d.LINE, clause) for clause in rest]
    return d.group(d.cat(operation.head, d.nest(INDENT, d.cat(line, head, *behind))))


def _ordered(clauses: list[Node], lay: Lay) -> tuple[d.Doc, ...]:
    """The clauses in their order, all promises in one list."""
    probed = any(clause.kind == "probe_by" for clause in clauses)
    made: list[tuple[int, d.Doc]] = []
    lists: dict[str, list[tuple[Node, Word | None]]] = {"promises": [], "promise_lands": []}
    for clause in clauses:
        if clause.kind != "promises":
            made.append((_CLAUSES.index(clause.kind), lay(clause)))
            continue
        commas = [part for part in clause.parts if isinstance(part, Word)]
        for i, promise in enumerate(nodes(clause.parts)):
            name = "promise_lands" if probed and promise.kind == "promise_lands" else "promises"
            lists[name].append((promise, commas[i] if i < len(commas) else None))
    made += [
        (_CLAUSES.index(name), _promises(promises, lay))
        for name, promises in lists.items()
        if promises
    ]
    return tuple(doc for _, doc in sorted(made, key=lambda pair: pair[0]))


def _promises(promises: list[tuple[Node, Word | None]], lay: Lay) -> d.Doc:
    """With a comma between any two, and the comments of the commas that were written."""
    made: list[d.Doc] = []
    for i, (promise, comma) in enumerate(promises):
        rest, behind = d.split_back(lay(promise))
        stray, more = _comments(comma, lay)
        sign = d.text("," if i + 1 < len(promises) else "")
        made.append(
            d.cat(rest, *behind, *stray, sign, *more)
            if stray
            else d.cat(rest, sign, *behind, *more)
        )
    return d.nest(INDENT, d.fill(made))


def _comments(comma: Word | None, lay: Lay) -> tuple[tuple[d.Doc, ...], tuple[d.Doc, ...]]:
    if comma is None:
        return (), ()
    above, sign = d.split_front(lay(comma))
    return above, d.split_back(sign)[1]


def _columns(items: list[Node], operations: dict[int, _Operation]) -> dict[int, int]:
    """How far the clauses of an operation stand from its head.

    Neighbours on one line each, whose clauses were set apart, have them in one column.
    """
    columns: dict[int, int] = {}
    run: list[int] = []
    for i in range(len(items) + 1):
        if i in operations and operations[i].apart:
            if run and (blank_before(items[i]) or first(items[i]).above):
                columns |= _column(run, operations)
                run = []
            run.append(i)
        else:
            columns |= _column(run, operations)
            run = []
    return columns


def _column(run: list[int], operations: dict[int, _Operation]) -> dict[int, int]:
    heads = {i: d.code_width(operations[i].head) for i in run}
    tails = [operations[i].tail_width for i in run]
    if len(run) < 2 or None in heads.values() or None in tails:
        return {}
    widths = {i: width for i, width in heads.items() if width is not None}
    column = max(widths.values()) + _COLUMN_GAP
    if INDENT + column + max(tail for tail in tails if tail is not None) > WIDTH:
        return {}
    return {i: column - width for i, width in widths.items()}


DECLARATIONS: Final[dict[str, Layout]] = {
    "enum_decl": enum,
    "policy_decl": policy,
    "service_decl": service,
}
