"""Layouts of what stands inside a saga or a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sagalang.format import documents as d
from sagalang.format.pieces import (
    Lay,
    Layout,
    Part,
    clauses,
    first,
    is_word,
    last,
    lines,
    nodes,
    open_brackets,
    row,
    spaced,
    split_at,
)
from sagalang.syntax.concrete import Node, Word

_STEP_CLAUSES: Final = ("with_clause", "compensate_by", "compensate_none", "else_escalate")
_WITH_BLOCKS: Final = frozenset(
    ("parallel", "branch", "for_loop", "if_statement", "attempt", "when_compensated")
)


def body(
    opening: Word,
    parts: Sequence[Part],
    made: Sequence[d.Doc],
    closing: Word,
    lay: Lay,
    *,
    held: bool,
) -> d.Doc:
    """Statements in braces, which break with the group around them; several always do."""
    if not parts and (closing.above or opening.beside):
        return open_brackets(opening, d.NOTHING, closing, lay, " ", held=True)
    if not parts:
        return d.cat(lay(opening), d.SPACE, lay(closing))
    held = held or len(parts) > 1 or first(parts[0]).fresh or closing.fresh
    return open_brackets(opening, lines(parts, made), closing, lay, " ", held=held)


def block(node: Node, lay: Lay) -> d.Doc:
    opening, *inner, closing = node.parts
    assert isinstance(opening, Word)
    assert isinstance(closing, Word)
    held = any(statement.kind in _WITH_BLOCKS for statement in nodes(inner))
    return body(opening, inner, [lay(part) for part in inner], closing, lay, held=held)


def with_block(node: Node, lay: Lay) -> d.Doc:
    """A heading and its block."""
    *head, inner = node.parts
    return d.group(d.cat(row(head, lay), d.SPACE, lay(inner)))


def if_statement(node: Node, lay: Lay) -> d.Doc:
    return d.group(_arms(node, lay))


def _arms(node: Node, lay: Lay) -> d.Doc:
    """All arms of an `if`; they break together."""
    parts = node.parts
    at = next((i for i, part in enumerate(parts) if is_word(part, "else")), len(parts))
    made = [spaced(parts[:at], lay)]
    if at < len(parts):
        otherwise = parts[at + 1]
        assert isinstance(otherwise, Node)
        arm = _arms(otherwise, lay) if otherwise.kind == "if_statement" else lay(otherwise)
        made += [d.SPACE, _outdented(lay(parts[at])), d.SPACE, arm]
    return d.cat(*made)


def _outdented(doc: d.Doc) -> d.Doc:
    """Behind a `}`: where a comment breaks it off, it stands below the `}`."""
    return d.nest(-d.CONTINUED, doc)


def attempt(node: Node, lay: Lay) -> d.Doc:
    made = [spaced(node.parts[:2], lay)]
    for handler in nodes(node.parts[2:]):
        on, *names, inner = handler.parts
        made += [d.SPACE, _outdented(lay(on)), d.SPACE, row(names, lay), d.SPACE, lay(inner)]
    return d.group(d.cat(*made))


def step(node: Node, lay: Lay) -> d.Doc:
    return _with_clauses(node, (*_STEP_CLAUSES, "best_effort"), lay)


def compensate_with(node: Node, lay: Lay) -> d.Doc:
    return _with_clauses(node, ("escalate",), lay)


def _with_clauses(node: Node, kinds: tuple[str, ...], lay: Lay) -> d.Doc:
    """A statement and its clauses, in the order of their kinds."""
    found = [part for part in nodes(node.parts) if part.kind in kinds]
    head = [part for part in node.parts if not (isinstance(part, Node) and part.kind in kinds)]
    found.sort(key=lambda clause: kinds.index(clause.kind))
    return clauses(head, [lay(clause) for clause in found], lay)


def wait(node: Node, lay: Lay) -> d.Doc:
    head, *tails = split_at(node.parts, "where", "until", "every", "within", "else")
    return clauses(head, [spaced(tail, lay) for tail in tails], lay)


def loop(node: Node, lay: Lay) -> d.Doc:
    *head, inner = node.parts
    start, *by = split_at(head, "by")
    heading = clauses(start, [row(clause, lay) for clause in by], lay)
    return d.group(d.cat(heading, d.SPACE, lay(inner)))


def fault(node: Node, lay: Lay) -> d.Doc:
    """What is called, and as its clause what happens to it."""
    kinds = [isinstance(part, Node) and part.kind.startswith("fault_") for part in node.parts]
    at = kinds.index(True)
    return clauses(node.parts[:at], [row(node.parts[at:], lay)], lay)


def scenario(node: Node, lay: Lay) -> d.Doc:
    at = next(i for i, part in enumerate(node.parts) if is_word(part, "{"))
    opening, closing = node.parts[at], last(node)
    assert isinstance(opening, Word)
    parts: list[Node] = []
    keyword: list[Part] = []
    for part in node.parts[at + 1 : -1]:
        keyword.append(part)
        if isinstance(part, Node):
            parts.append(Node("scenario_item", tuple(keyword)))
            keyword = []
    made = [row(part.parts, lay) for part in parts]
    inner = body(opening, parts, made, closing, lay, held=False)
    return d.group(d.cat(spaced(node.parts[:at], lay), d.SPACE, inner))


STATEMENTS: Final[dict[str, Layout]] = {
    "block": block,
    "saga_body": block,
    **dict.fromkeys(("parallel", "branch", "when_compensated", "saga_decl"), with_block),
    "for_loop": loop,
    "if_statement": if_statement,
    "attempt": attempt,
    "step": step,
    "compensate_with": compensate_with,
    "wait": wait,
    "poll": wait,
    "fault": fault,
    "scenario_decl": scenario,
}
