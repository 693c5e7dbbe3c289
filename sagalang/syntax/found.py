"""What a syntax error is about: the token, its surroundings, and what could stand there."""

from __future__ import annotations

from typing import NamedTuple

from lark import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from sagalang.text import Source, Span

_BEHIND = 400
_AHEAD = 120


class Found(NamedTuple):
    """What stands at the place of the error, and what could."""

    kind: str
    text: str
    span: Span
    accepts: frozenset[str]
    before: str
    """The last word or sign before the place."""
    behind: str
    """The text that leads to the place; only its end, if it is long."""
    ahead: str
    """The text from the place on; only its beginning, if it is long."""

    @property
    def statement(self) -> bool:
        """Whether a statement of a saga could begin here."""
        return "STEP" in self.accepts

    @property
    def declaration(self) -> bool:
        """Whether a declaration could begin here."""
        return not self.statement and ("$END" in self.accepts or not self.before)

    @property
    def type(self) -> bool:
        """Whether a type stands before the place."""
        return "QMARK" in self.accepts


def find(source: Source, error: UnexpectedInput, base: int, end: int) -> Found:
    """The place of an error in the piece of `source` from `base` to `end`."""
    text = source.text
    accepts: frozenset[str] = frozenset()

    def made(kind: str, shown: str, start: int, stop: int, at: int) -> Found:
        behind, ahead = text[max(base, at - _BEHIND) : at], text[at : min(end, at + _AHEAD)]
        span = Span(source.name, start, stop)
        return Found(kind, shown, span, accepts, word_before(text, at), behind, ahead)

    if isinstance(error, UnexpectedToken):
        token = error.token
        accepts = frozenset(error.accepts or error.expected)
        if token.type == "$END":
            at = len(text[:end].rstrip())
            return made("$END", "", max(at - 1, 0), max(at, 1), at)
        start = base + (token.start_pos or 0)
        return made(token.type, str(token), start, base + (token.end_pos or 0), start)
    start = base + (error.pos_in_stream or 0)
    if isinstance(error, UnexpectedCharacters):
        accepts = frozenset(error.allowed or ())
    return made("", text[start : start + 1], start, start + 1, start)


def word_before(text: str, at: int) -> str:
    """The last token before `at`, comments skipped as far as a line tells."""
    while True:
        head = text[max(0, at - 400) : at].rstrip()
        line = head.rsplit("\n", 1)[-1]
        comment = line.find("//")
        if comment < 0 or line[:comment].count('"') % 2:
            break
        at -= len(text[max(0, at - 400) : at]) - len(head) + len(line) - comment
        if at <= 0:
            return ""
    if not head:
        return ""
    if head[-2:] in ("->", "==", "!=", "<=", ">=", "??"):
        return head[-2:]
    start = len(head) - 1
    while start > 0 and is_word(head[start]) and is_word(head[start - 1]):
        start -= 1
    return head[start:]


def is_word(char: str) -> bool:
    return char.isalnum() or char == "_"
