"""Documents: a text with all the ways in which it may be broken into lines, and the choice.

The algebra is that of C. Lindig, "Strictly Pretty" (2000): a group stands on one line if it fits
there, else each line break of it that is in no inner group is taken; the choice needs bounded
look-ahead, so that rendering is linear. Added are P. Wadler's `fill` ("A prettier printer", 2003),
which takes only the breaks it needs, and comments: nothing can stand behind one on its line, and a
comment at the edge of a group does not break the group.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

CONTINUED: Final = 2
"""Columns by which a line is indented that only a comment broke off."""


class Text(Struct, frozen=True, gc=False):
    """Never broken. Blank space at the end or the beginning of a line is left out."""

    value: str
    width: int | None


class Line(Struct, frozen=True, gc=False):
    """A line break, or `flat` where the group around it stands on one line."""

    flat: str
    width: int | None


class Hard(Struct, frozen=True, gc=False):
    """A line break always; `blank`: with a blank line."""

    blank: bool
    width: None = None


class Above(Struct, frozen=True, gc=False):
    """A comment on a line of its own; `before`, `behind`: blank lines around it."""

    comment: str
    before: bool
    behind: bool
    width: None = None


class Beside(Struct, frozen=True, gc=False):
    """A comment behind what stands before it."""

    comment: str
    width: None = None


class Nest(Struct, frozen=True, gc=False):
    by: int
    inner: Doc
    width: int | None


class Group(Struct, frozen=True, gc=False):
    inner: Doc
    width: int | None


class Cat(Struct, frozen=True, gc=False):
    parts: tuple[Doc, ...]
    width: int | None


class Fill(Struct, frozen=True, gc=False):
    """`parts` with a `Line(" ")` between any two."""

    parts: tuple[Doc, ...]
    width: int | None


class Rest(Struct, frozen=True, gc=False):
    """What is left of a `Fill` while it is written."""

    parts: tuple[Doc, ...]
    width: int | None


Doc = Text | Line | Hard | Above | Beside | Nest | Group | Cat | Fill | Rest
"""`width`: columns on one line; None if it cannot stand on one."""

LINE: Final = Line(" ", 1)
SOFT: Final = Line("", 0)
HARD: Final = Hard(False)
BLANK: Final = Hard(True)
SPACE: Final = Text(" ", 1)
NOTHING: Final = Cat((), 0)


def text(value: str) -> Text:
    return Text(value, len(value))


def cat(*parts: Doc) -> Doc:
    return parts[0] if len(parts) == 1 else Cat(parts, _sum(parts))


def nest(by: int, inner: Doc) -> Doc:
    return Nest(by, inner, inner.width)


def fill(parts: Iterable[Doc]) -> Doc:
    kept = tuple(parts)
    width = _sum(kept)
    return Fill(kept, None if width is None else width + max(len(kept) - 1, 0))


def join(between: Doc, parts: Iterable[Doc]) -> Doc:
    made: list[Doc] = []
    for part in parts:
        made += (between, part) if made else (part,)
    return cat(*made)


def group(inner: Doc) -> Doc:
    """On one line if it fits; comments at its edges stand outside of it."""
    if inner.width is not None:
        return Group(inner, inner.width)
    before, rest = split_front(inner)
    rest, behind = split_back(rest)
    return cat(*before, Group(rest, rest.width), *behind)


def split_front(doc: Doc) -> tuple[tuple[Doc, ...], Doc]:
    """The comments a document begins with, and the rest of it."""
    if isinstance(doc, Above):
        return (doc,), NOTHING
    if isinstance(doc, Nest) and doc.width is None:
        before, rest = split_front(doc.inner)
        return before, nest(doc.by, rest)
    if isinstance(doc, Fill) and doc.width is None:
        before, rest = split_front(doc.parts[0])
        return before, fill((rest, *doc.parts[1:]))
    if isinstance(doc, Cat) and doc.width is None:
        taken: list[Doc] = []
        for i, part in enumerate(doc.parts):
            before, rest = split_front(part)
            taken += before
            if rest is not NOTHING:
                return tuple(taken), cat(rest, *doc.parts[i + 1 :])
        return tuple(taken), NOTHING
    return (), doc


def split_back(doc: Doc) -> tuple[Doc, tuple[Doc, ...]]:
    """A document without the comment it ends with, and that comment."""
    if isinstance(doc, Beside):
        return NOTHING, (doc,)
    if isinstance(doc, Nest) and doc.width is None:
        rest, behind = split_back(doc.inner)
        return nest(doc.by, rest), behind
    if isinstance(doc, Fill) and doc.width is None:
        rest, behind = split_back(doc.parts[-1])
        return fill((*doc.parts[:-1], rest)), behind
    if isinstance(doc, Cat) and doc.width is None and doc.parts:
        rest, behind = split_back(doc.parts[-1])
        if behind:
            return cat(*doc.parts[:-1], rest), behind
    return doc, ()


def flat(doc: Doc) -> str:
    """A document without comments on one line, however long."""
    return render(Group(doc, doc.width), doc.width or 0)


def code_width(doc: Doc) -> int | None:
    """The width of a document without the comments at its edges."""
    return split_back(split_front(doc)[1])[0].width


def _sum(parts: Iterable[Doc]) -> int | None:
    total = 0
    for part in parts:
        if part.width is None:
            return None
        total += part.width
    return total


Task = tuple[int, bool, Doc]
"""A document to be written, with its indentation and whether its group stands on one line."""


class _Page:
    """What is written so far; line breaks and blanks wait for the text behind them."""

    def __init__(self) -> None:
        self.chunks: list[str] = []
        self.breaks = 0
        self.indent = 0
        self.gap = ""
        self.column = 0
        self.opened = True
        """An opening bracket came last: no blank line follows it."""
        self.behind: tuple[int | None, bool] | None = None
        """A comment came last: the indentation it gives what follows, if any, and a blank line."""

    def newline(self, indent: int, blank: bool = False) -> None:
        if self.behind is not None:
            blank = blank or self.behind[1]
            self.behind = None
        blank = blank and not self.opened
        self.breaks = max(self.breaks, 1 + blank) if self.chunks else 0
        self.indent = self.column = indent
        self.gap = ""

    @property
    def fresh(self) -> bool:
        return self.breaks > 0 or not self.chunks

    def column_of_next(self, indent: int) -> int:
        if self.behind is None:
            return self.column
        given = self.behind[0]
        return indent + CONTINUED if given is None else given

    def put(self, value: str, indent: int) -> None:
        if self.behind is not None:
            if value.isspace():
                return
            self.newline(self.column_of_next(indent))
        if value.isspace():
            if not self.fresh:
                self.gap += value
                self.column += len(value)
            return
        if self.breaks:
            self.chunks.append("\n" * self.breaks + " " * self.indent)
            self.breaks = 0
        elif self.gap:
            self.chunks.append(self.gap)
        self.gap = ""
        self.chunks.append(value)
        self.column += len(value)
        if value:
            self.opened = value in ("{", "(", "[")

    def put_above(self, doc: Above, indent: int) -> None:
        if self.behind is not None or not self.fresh:
            at = indent + CONTINUED if self.behind is None else self.column_of_next(indent)
            self.newline(at, doc.before)
        elif doc.before and not self.opened:
            self.breaks = max(self.breaks, 2) if self.chunks else 0
        at = self.indent if self.chunks else indent
        self.put(doc.comment, at)
        self.opened = False
        self.behind = (at, doc.behind)

    def put_beside(self, doc: Beside, indent: int) -> None:
        if self.behind is not None or self.fresh:
            self.put_above(Above(doc.comment, False, False), indent)
            return
        opened = self.opened
        self.gap = ""
        self.chunks.append(f"  {doc.comment}")
        self.opened = opened
        self.behind = (None, False)


def render(doc: Doc, width: int) -> str:
    """The text of a document, in lines of at most `width` columns where that is possible."""
    page = _Page()
    tasks: list[Task] = [(0, False, doc)]
    while tasks:
        indent, flat, doc = tasks.pop()
        match doc:
            case Text(value):
                page.put(value, indent)
            case Cat(parts):
                tasks += [(indent, flat, part) for part in reversed(parts)]
            case Nest(by, inner):
                tasks.append((indent + by, flat, inner))
            case Group(inner):
                left = width - page.column_of_next(indent)
                tasks.append((indent, flat or _fits(left, inner, tasks), inner))
            case Line(value):
                if flat and page.behind is None:
                    page.put(value, indent)
                else:
                    page.newline(indent)
            case Hard(blank):
                page.newline(indent, blank)
            case Fill(parts):
                if len(parts) > 1:
                    tasks.append((indent, flat, Rest(parts[1:], None)))
                tasks += [(indent, flat, part) for part in parts[:1]]
            case Rest(parts):
                following = parts[0]
                if len(parts) > 1:
                    tasks.append((indent, flat, Rest(parts[1:], None)))
                left = width - page.column - 1
                if flat or (page.behind is None and _fits(left, following, tasks)):
                    page.put(" ", indent)
                else:
                    page.newline(indent)
                tasks.append((indent, flat, following))
            case Above():
                page.put_above(doc, indent)
            case Beside():
                page.put_beside(doc, indent)
    return "".join(page.chunks)


def _fits(left: int, doc: Doc, tasks: list[Task]) -> bool:
    """Whether `doc` on one line, and what follows it up to a possible break, fits into `left`.

    What follows is in no flat group: those are written without asking.
    """
    if doc.width is None:
        return False
    left -= doc.width
    waiting: list[Doc] = []
    following = len(tasks)
    while left >= 0:
        if waiting:
            doc = waiting.pop()
        elif following:
            following -= 1
            doc = tasks[following][2]
        else:
            return True
        match doc:
            case Text(_, width):
                left -= width or 0
            case Line() | Hard() | Above() | Beside() | Rest():
                return True
            case Nest(_, inner) | Group(inner):
                waiting.append(inner)
            case Cat(parts):
                waiting += reversed(parts)
            case Fill(parts):
                waiting += (LINE, parts[0]) if len(parts) > 1 else parts
    return False
