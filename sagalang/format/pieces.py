"""What all layouts are made of: words with their comments, rows, and lists in brackets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sagalang.format import documents as d
from sagalang.syntax.concrete import Node, Word, read_expression

Part = Node | Word
Lay = Callable[[Part], d.Doc]
"""The layout of any part; each layout is given it for the parts inside."""
Layout = Callable[[Node, Lay], d.Doc]

INDENT: Final = 2
_NO_SPACE_BEFORE: Final = frozenset(",.:?)]")
_NO_SPACE_BEHIND: Final = frozenset(".([")
_CALLED: Final = ("args", "params")
_TEMPLATE: Final = re.compile(r"(\\.|\$\{[^}\n]*\})")


def first(part: Part) -> Word:
    while isinstance(part, Node):
        part = part.parts[0]
    return part


def last(part: Part) -> Word:
    while isinstance(part, Node):
        part = part.parts[-1]
    return part


def is_word(part: Part, *texts: str) -> bool:
    return isinstance(part, Word) and part.text in texts


def nodes(parts: Iterable[Part]) -> list[Node]:
    return [part for part in parts if isinstance(part, Node)]


def word(word: Word, lay: Lay) -> d.Doc:
    spelled = d.text(_template(word.text, lay) if "${" in word.text else word.text)
    if not word.above and not word.beside:
        return spelled
    return d.cat(*above(word), spelled, *beside(word))


def above(word: Word, *, closes: bool = False) -> tuple[d.Doc, ...]:
    """The comments above a word; none leaves a blank line before a word that closes."""
    remarks = word.above
    return tuple(
        d.Above(remark.text, remark.spaced, word.spaced and not closes and remark is remarks[-1])
        for remark in remarks
    )


def beside(word: Word) -> tuple[d.Doc, ...]:
    return (d.Beside(word.beside),) if word.beside else ()


def _template(text: str, lay: Lay) -> str:
    """A string with the expressions inside it laid out, each on one line."""
    pieces = _TEMPLATE.split(text)
    for i, piece in enumerate(pieces):
        if piece.startswith("${"):
            pieces[i] = "${" + d.flat(lay(read_expression(piece[2:-1]))) + "}"
    return "".join(pieces)


def blank_before(part: Part) -> bool:
    """Whether a blank line stood before a part and the comments above it."""
    begin = first(part)
    return begin.above[0].spaced if begin.above else begin.spaced


def row(parts: Sequence[Part], lay: Lay) -> d.Doc:
    """Words one after the other, which may be broken behind their commas."""
    segments: list[list[Part]] = [[]]
    for part in parts:
        segments[-1].append(part)
        if is_word(part, ",") and part is not parts[-1]:
            segments.append([])
    if len(segments) == 1:
        return spaced(parts, lay)
    before, rest = d.split_front(d.fill(spaced(segment, lay) for segment in segments))
    return d.cat(*before, d.nest(INDENT, rest))


def spaced(parts: Sequence[Part], lay: Lay) -> d.Doc:
    made: list[d.Doc] = []
    for i, part in enumerate(parts):
        if i and not _tight(parts[i - 1], part):
            made.append(d.SPACE)
        made.append(lay(part))
    return d.cat(*made)


def tight(node: Node, lay: Lay) -> d.Doc:
    return d.cat(*(lay(part) for part in node.parts))


def _tight(left: Part, right: Part) -> bool:
    if isinstance(left, Word) and left.text in _NO_SPACE_BEHIND:
        return True
    if isinstance(right, Word):
        return right.text in _NO_SPACE_BEFORE
    return right.kind in _CALLED or first(right).text == ","


def clauses(head: Sequence[Part], tails: Sequence[d.Doc], lay: Lay) -> d.Doc:
    """A head and its clauses: on one line; else the clauses on the next; else each on its own."""
    if not tails:
        return row(head, lay)
    behind = d.group(d.join(d.LINE, tails))
    return d.group(d.cat(row(head, lay), d.nest(INDENT, d.cat(d.LINE, behind))))


def split_at(parts: Sequence[Part], *words: str) -> list[list[Part]]:
    """The parts in runs, a new one beginning with each of these words."""
    runs: list[list[Part]] = [[]]
    for part in parts:
        if is_word(part, *words):
            runs.append([])
        runs[-1].append(part)
    return runs


def listed(
    opening: Word, inner: Sequence[Part], closing: Word, lay: Lay, pad: str, *, held: bool, by: str
) -> d.Doc:
    """A list in brackets, on one line or broken behind the opening bracket.

    A broken list has an item on each line if it was written so, and as many as fit if it was
    written on several lines otherwise. `by` says which for a list from one line: `line` or
    `fill`. `held`: with an item on each line it stays so, also where it would fit on one.
    """
    items = [part for part in inner if not is_word(part, ",")]
    commas = [part for part in inner if is_word(part, ",")]
    if not items:
        return _empty(opening, closing, lay, pad)
    made = [d.cat(lay(item), lay(comma)) for item, comma in zip(items, commas, strict=False)] + [
        lay(items[-1])
    ]
    fresh = [first(item).fresh for item in items]
    alone = all(fresh[1:]) if any(fresh) else by == "line"
    held = held and alone and fresh[0]
    if not alone:
        body = d.fill(made)
    elif held:
        body = lines(items, made)
    else:
        body = d.join(d.LINE, made)
    return bracketed(opening, body, closing, lay, pad, held=held)


def lines(parts: Sequence[Part], made: Sequence[d.Doc]) -> d.Doc:
    """Each on a line of its own, with the blank lines that were written."""
    docs: list[d.Doc] = [made[0]]
    for part, doc in zip(parts[1:], made[1:], strict=True):
        docs += (d.BLANK if blank_before(part) else d.HARD, doc)
    return d.cat(*docs)


def bracketed(
    opening: Word, body: d.Doc, closing: Word, lay: Lay, pad: str, *, held: bool
) -> d.Doc:
    return d.group(open_brackets(opening, body, closing, lay, pad, held=held))


def open_brackets(
    opening: Word, body: d.Doc, closing: Word, lay: Lay, pad: str, *, held: bool
) -> d.Doc:
    """Brackets that break with the group around them; `held`: always."""
    line: d.Doc = d.HARD if held else d.LINE if pad else d.SOFT
    end = above(closing, closes=True)
    inside = d.nest(INDENT, d.cat(line, body, *((d.HARD, *end) if end else ())))
    return d.cat(lay(opening), inside, line, d.text(closing.text), *beside(closing))


def _empty(opening: Word, closing: Word, lay: Lay, pad: str) -> d.Doc:
    end = above(closing, closes=True)
    if not end:
        gap = d.HARD if opening.beside else d.text(pad)
        return d.cat(lay(opening), gap, d.text(closing.text), *beside(closing))
    inside = d.nest(INDENT, d.cat(d.HARD, *end))
    return d.cat(lay(opening), inside, d.HARD, d.text(closing.text), *beside(closing))
