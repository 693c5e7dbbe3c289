"""Cut a file into its top-level declarations before anything is parsed.

One pass over the text that knows only strings, comments, brackets and the words a declaration
begins with. A syntax error then spoils one declaration only, and an unclosed brace is told where
it was opened.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.syntax.ast import Comment
from sagalang.text import Source, Span

DECLARATION_WORDS: Final = (
    "import",
    "record",
    "enum",
    "type",
    "error",
    "event",
    "policy",
    "service",
    "saga",
    "scenario",
    "let",
    "choreograph",
)
MAX_DEPTH: Final = 100

_PIECES: Final = re.compile(
    r"(?P<string>\"(?:\\.|\$\{[^}\n]*\}|[^\"\\\n])*\"?)"
    r"|(?P<comment>//[^\n]*)"
    r"|(?P<open>[{(\[])|(?P<close>[})\]])"
    r"|(?P<word>\b(?:" + "|".join(DECLARATION_WORDS) + r")\b)"
    r"|(?P<date>(?<![\w.])\d{4}-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])(?:T[\d:]+(?:\.\d+)?Z?)?(?!\w))"
    r"|(?P<bad>[\x00-\x08\x0b\x0e-\x1f\x7f\ufffd])"
)
_BAD: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffd]")
_WORD_BEFORE: Final = re.compile(r"(\w+|[=.,:])\s*\Z")
_FROM: Final = re.compile(r"^[ \t]*from\s[^\n]*\Z", re.MULTILINE)
_BLANK: Final = re.compile(r"\s*")
_HEADING: Final = re.compile(r'\s+("|\w+\s*(\{|\(|extends\b))')
_CLOSES: Final = {"{": "}", "(": ")", "[": "]"}
_NOT_BEFORE: Final = frozenset((*DECLARATION_WORDS, "=", ".", ",", ":", "of", "extends"))


class Split(Struct, frozen=True):
    """`pieces`: the declarations' ranges. `docs`: doc text by the offset of what follows it.

    `ended_early`: ranges that a bracket ends which closes nothing, with what was said about it. A
    mistake inside may be the reason, and is then told instead.
    """

    pieces: tuple[tuple[int, int], ...]
    comments: tuple[Comment, ...]
    docs: dict[int, str]
    diagnostics: tuple[Diagnostic, ...]
    ended_early: tuple[tuple[int, int, Diagnostic], ...] = ()


def split(source: Source) -> Split:
    text = source.text
    starts: list[int] = []
    comments: list[Comment] = []
    problems: list[Diagnostic] = []
    open_at: list[tuple[str, int]] = []
    too_deep: set[int] = set()
    spoiled: set[int] = set()
    unbalanced: set[int] = set()
    early: list[tuple[int, int, Diagnostic]] = []
    leaning: list[tuple[int, int]] = []
    """Brackets whose closing one stands further left than their line: (opening, closing)."""

    def report(name: str, start: int, end: int, message: str, help: str | None) -> None:  # noqa: A002
        problems.append(diagnose(name, Span(source.name, start, end), message, help=help))
        spoiled.add(len(starts))

    def report_bad(at: int) -> None:
        report(
            "bad-character",
            at,
            at + 1,
            f"a .saga file is text; the character U+{ord(text[at]):04X} cannot stand here",
            "save the file as UTF-8 text and remove the character",
        )

    any_bad = _BAD.search(text) is not None
    for match in _PIECES.finditer(text):
        kind, start, end = match.lastgroup, match.start(), match.end()
        if any_bad and kind in ("string", "comment"):
            hidden = _BAD.search(text, start, end)
            if hidden is not None:
                report_bad(hidden.start())
        if kind == "comment":
            comments.append(_comment(source.name, text, start, end))
        elif kind == "open":
            open_at.append((text[start], start))
            if len(open_at) > MAX_DEPTH and len(starts) not in too_deep:
                too_deep.add(len(starts))
                report(
                    "nested-too-deeply",
                    start,
                    end,
                    f"this is nested more than {MAX_DEPTH} levels deep",
                    "split it: a `let`, a record of its own or a child saga keeps it readable",
                )
        elif kind == "close":
            if open_at and _leans(text, open_at[-1][1], start):
                leaning.append((open_at[-1][1], start))
            outside, before = not open_at, len(problems)
            _close(source.name, text[start], start, open_at, problems, unbalanced, len(starts))
            if outside and len(problems) > before:
                first = _before_indented(text, starts, start)
                spoiled.update(range(first, len(starts)))
                early.append((starts[first - 1] if first else 0, start, problems[-1]))
        elif kind == "word":
            if (not open_at and _begins_declaration(text, start, comments)) or (
                open_at and _must_be_declaration(text, start, end, open_at)
            ):
                if open_at:
                    place = (start, end)
                    _unclosed(
                        source.name, open_at, problems, unbalanced, len(starts), place, leaning
                    )
                    open_at.clear()
                leaning.clear()
                starts.append(start)
        elif kind == "string":
            if end - start < 2 or not text.endswith('"', start + 1, end) or _escaped(text, end):
                report(
                    "unclosed-string",
                    start,
                    end,
                    "this string does not end on its line",
                    'end it with `"`; a line break inside is written `\\n`',
                )
        elif kind == "date":
            report(
                "bad-literal",
                start,
                end,
                "a date cannot be written in a saga",
                "take it as a parameter; a time from now on is `now() + 30d`",
            )
        elif kind == "bad":
            report_bad(start)
    if open_at:
        _unclosed(source.name, open_at, problems, unbalanced, len(starts), None, leaning)

    spoiled |= unbalanced
    bounds = [*starts, len(text)]
    pieces = tuple((start, bounds[i + 1]) for i, start in enumerate(starts) if i + 1 not in spoiled)
    head = starts[0] if starts else len(text)
    if 0 not in spoiled and _has_text(text, head, comments):
        pieces = ((0, head), *pieces)
    return Split(pieces, tuple(comments), _docs(text, comments), tuple(problems), tuple(early))


def _begins_declaration(text: str, start: int, comments: list[Comment]) -> bool:
    """A declaration's word begins one unless it is used as a name: `let event = ...`."""
    end = start
    for comment in reversed(comments):
        if text[comment.span.end : end].strip():
            break
        end = comment.span.start
    if text.startswith("import", start) and _FROM.search(text, max(0, end - 200), end):
        return False
    before = _WORD_BEFORE.search(text, max(0, end - 80), end)
    return before is None or before.group(1) not in _NOT_BEFORE


def _must_be_declaration(text: str, start: int, end: int, open_at: list[tuple[str, int]]) -> bool:
    """Inside brackets a word at the start of a line shows that one of them was never closed.

    `let` may begin a line of an unindented saga, and `scenario "..."`, `service X {` may not.
    """
    if start and text[start - 1] != "\n":
        return False
    word = text[start:end]
    if word in ("let", "type", "error", "event", "import"):
        return False
    return _HEADING.match(text, end) is not None


def _close(
    file: str,
    char: str,
    at: int,
    open_at: list[tuple[str, int]],
    problems: list[Diagnostic],
    unbalanced: set[int],
    piece: int,
) -> None:
    """Take a closing bracket. Of a declaration's brackets only the first mistake is told."""
    if open_at and _CLOSES[open_at[-1][0]] == char:
        open_at.pop()
        return
    told = piece in unbalanced
    unbalanced.add(piece)
    here = Span(file, at, at + 1)
    own = _opener(char)
    known = any(opener == own for opener, _ in open_at)
    if not known and (not open_at or open_at[-1][0] == "{"):
        if not told:
            problems.append(
                diagnose(
                    "unclosed-brace",
                    here,
                    f"this `{char}` closes nothing",
                    help=f"remove it, or open it with `{own}` before",
                )
            )
        return
    opener, where = open_at.pop()
    if not told:
        problems.append(
            diagnose(
                "unclosed-brace",
                here,
                f"`{char}` does not close the `{opener}` that is open here",
                other=(Span(file, where, where + 1), "opened here"),
                help=f"close it with `{_CLOSES[opener]}` first",
            )
        )
    # Go on as if the right one stood there, or as if the missing ones had come before.
    while known and opener != own:
        opener, _ = open_at.pop()


def _leans(text: str, opening: int, closing: int) -> bool:
    """Whether a `}` begins its line, further left than the line of its `{`."""
    line = text.rfind("\n", 0, closing) + 1
    if text[closing] != "}" or text[opening] != "{" or text[line:closing].strip():
        return False
    first = text.rfind("\n", 0, opening) + 1
    indent = _skip_blank(text, first) - first
    return closing - line < indent


def _before_indented(text: str, starts: list[int], closing: int) -> int:
    """The number of the piece a stray bracket may end: the last that stands as far left as it."""
    column = closing - (text.rfind("\n", 0, closing) + 1)
    number = len(starts)
    while number > 1:
        start = starts[number - 1]
        line = text.rfind("\n", 0, start) + 1
        if text[line:start].strip() or start - line <= column:
            break
        number -= 1
    return number


def _opener(char: str) -> str:
    return next(opener for opener, closer in _CLOSES.items() if closer == char)


def _unclosed(
    file: str,
    open_at: list[tuple[str, int]],
    problems: list[Diagnostic],
    unbalanced: set[int],
    piece: int,
    next_word: tuple[int, int] | None,
    leaning: list[tuple[int, int]],
) -> None:
    """Tell a bracket that is open at the end. The text's indentation may show an inner one."""
    opener, at = open_at[-1]
    if piece in unbalanced:
        return
    unbalanced.add(piece)
    other = (Span(file, *next_word), "the next declaration begins here") if next_word else None
    if leaning and opener == "{":
        at, closer = leaning[0]
        other = (Span(file, closer, closer + 1), "by its place, this one closes an outer `{`")
    problems.append(
        diagnose(
            "unclosed-brace",
            Span(file, at, at + 1),
            f"this `{opener}` is never closed",
            other=other,
            help=f"add the missing `{_CLOSES[opener]}`",
        )
    )


def _escaped(text: str, end: int) -> bool:
    """Whether the quote before `end` is escaped, so that the string goes on."""
    slashes = 0
    while text[end - 2 - slashes] == "\\":
        slashes += 1
    return slashes % 2 == 1


def _comment(file: str, text: str, start: int, end: int) -> Comment:
    line = text[start:end].rstrip("\r")
    is_doc = line.startswith("///") and not line.startswith("////")
    body = line[3:] if is_doc else line[2:]
    return Comment(body.removeprefix(" "), is_doc, Span(file, start, start + len(line)))


def _docs(text: str, comments: list[Comment]) -> dict[int, str]:
    """Doc comments by the offset of what follows them; plain comments may stand between."""
    docs: dict[int, str] = {}
    run: list[str] = []
    for i, comment in enumerate(comments):
        if comment.is_doc:
            run.append(comment.text.rstrip())
        following = _skip_blank(text, comment.span.end)
        if i + 1 < len(comments) and comments[i + 1].span.start == following:
            continue
        if run:
            docs[following] = "\n".join(run).strip()
            run.clear()
    return docs


def _skip_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _has_text(text: str, end: int, comments: list[Comment]) -> bool:
    at = 0
    for comment in comments:
        if comment.span.start >= end:
            break
        if text[at : comment.span.start].strip():
            return True
        at = comment.span.end
    return bool(text[at:end].strip())
