"""The words of a text in the order and grouping of the grammar, comments with them.

The syntax tree says what was meant; this says how it was written. Whoever lays a text out anew
needs every word, every comment, and which rule of the grammar they belong to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from lark import Token as LarkToken
from lark import Tree
from msgspec import Struct

from sagalang.diagnostics import Diagnostic
from sagalang.syntax.parse import parse_expression, parse_with
from sagalang.text import Source

_WORDS: Final = re.compile(
    r"(?P<comment>//[^\n]*)"
    r"|(?P<word>\"(?:\\.|\$\{[^}\n]*\}|[^\"\\\n])*\"|\d+\.\d+|\w+%?|->|[=!<>]=|\?\?|[^\s\w])"
)
_CLOSING: Final = frozenset(")]}")


class Remark(Struct, frozen=True, gc=False):
    """A comment on lines of its own; `text` with its slashes. `spaced`: a blank line precedes."""

    text: str
    spaced: bool


class Word(Struct, frozen=True, gc=False):
    """One word, number, string or sign.

    `above`: the comments on the lines before it. `beside`: the comment behind it on its line, or
    "". `fresh`: it began a line. `spaced`: a blank line preceded it. `start`, `end`: offsets;
    `column`: characters before it on its line.
    """

    text: str
    start: int
    end: int
    column: int
    above: tuple[Remark, ...] = ()
    beside: str = ""
    fresh: bool = False
    spaced: bool = False


class Node(Struct, frozen=True):
    """What one rule of the grammar took in; `kind` is the name of the rule or its alias."""

    kind: str
    parts: tuple[Node | Word, ...]


class Written(Struct, frozen=True):
    """The declarations of a text, and the end of it as a word without text.

    With diagnostics there are no declarations.
    """

    declarations: tuple[Node, ...]
    end: Word
    diagnostics: tuple[Diagnostic, ...]


def read(source: Source) -> Written:
    """The words of a text by rule. A comma before a closing bracket means nothing: left out."""
    trees: list[tuple[int, Tree[LarkToken]]] = []
    parsed = parse_with(source, lambda start, tree: trees.append((start, tree)))
    *words, end = _words(source.text)
    if parsed.diagnostics:
        return Written((), end, parsed.diagnostics)
    trees.sort(key=lambda pair: pair[0])
    rest = _Ahead(words)
    return Written(tuple(_node(tree, start, rest) for start, tree in trees), end, ())


def read_expression(text: str) -> Node | Word:
    """The same for an expression that is right, as inside `"${…}"`."""
    return _node(parse_expression(text), 0, _Ahead(_words(text)[:-1]))


class _Ahead:
    """Words that were not taken yet."""

    def __init__(self, words: list[Word]) -> None:
        self._words, self._at = words, 0

    def before(self, offset: int) -> Iterator[Word]:
        words, at = self._words, self._at
        while at < len(words) and words[at].start < offset:
            yield words[at]
            at += 1
        self._at = at


def _node(tree: Tree[LarkToken], base: int, ahead: _Ahead) -> Node:
    parts: list[Node | Word] = []
    for child in tree.children:
        if isinstance(child, Tree):
            parts += ahead.before(base + child.meta.start_pos)
            parts.append(_node(child, base, ahead))
    parts += ahead.before(base + tree.meta.end_pos)
    return Node(str(tree.data), tuple(parts))


class _Comment(Struct, frozen=True, gc=False):
    text: str
    own_line: bool
    spaced: bool


def _words(text: str) -> list[Word]:
    """All words with their comments, and the end as the last.

    A comment behind a word on its line is beside that word, unless it is a `///`, which belongs
    to what follows. All others are above the next word.
    """
    made: list[Word] = []
    gap: list[_Comment] = []
    at = line = 0
    fresh = False
    matches = [(m.lastgroup, m.start(), m.end()) for m in _WORDS.finditer(text)]
    matches.append(("end", len(text), len(text)))
    for number, (kind, start, end) in enumerate(matches):
        breaks = text.count("\n", at, start)
        if breaks:
            line = text.rfind("\n", at, start) + 1
        fresh = fresh or breaks > 0
        spaced = breaks > 1
        at = end
        if kind == "comment":
            gap.append(_Comment(_spelled(text[start:end]), breaks > 0, spaced))
            continue
        if text[start:end] == "," and _dropped(text, matches, number):
            continue
        held: list[_Comment] = []
        if text[start:end] == "," and not any(_is_doc(c.text) for c in gap):
            gap, held = held, gap
        if made and gap and not gap[0].own_line and not _is_doc(gap[0].text):
            made[-1] = _beside(made[-1], gap.pop(0).text)
        above = tuple(Remark(c.text, c.spaced) for c in gap)
        made.append(
            Word(text[start:end], start, end, start - line, above, "", fresh or not made, spaced)
        )
        gap = held
        # What follows a comma that began a line was meant to begin one.
        fresh = fresh and text[start:end] == "," and not above
    return made


def _dropped(text: str, matches: list[tuple[Any, int, int]], comma: int) -> bool:
    for kind, start, end in matches[comma + 1 :]:
        if kind != "comment":
            return text[start:end] in _CLOSING
    return False


def _beside(word: Word, comment: str) -> Word:
    return Word(
        word.text, word.start, word.end, word.column, word.above, comment, word.fresh, word.spaced
    )


def _is_doc(comment: str) -> bool:
    return comment.startswith("///") and not comment.startswith("////")


def _spelled(comment: str) -> str:
    """A comment with a space behind its slashes, and none at its end."""
    slashes = "///" if _is_doc(comment) else "//"
    body = comment[len(slashes) :].rstrip()
    glued = body[:1].isalnum() or body.startswith(("`", '"', "("))
    return f"{slashes} {body}" if glued else slashes + body
