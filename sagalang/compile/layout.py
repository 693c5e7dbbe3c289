"""Lays out Python expressions as `ruff format` would: on one line where they fit, else one part
per line with a trailing comma. So what is generated needs no formatter to be formatted.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH = 100
STEP = 4

# How tightly Python binds; a part that binds less than its place needs goes into brackets.
LAMBDA, CONDITIONAL, OR, AND, NOT, COMPARE, ADD, MULTIPLY, UNARY, ATOM = range(10)


@dataclass(frozen=True, slots=True)
class Text:
    """Text that cannot be broken."""

    text: str


@dataclass(frozen=True, slots=True)
class Bracket:
    """`head(item, item)`; also `(a, b)` and `{...}`. `comma`: a lone item needs one (a tuple).
    `together`: the items stand on one line of their own where they fit into it."""

    head: Doc
    items: tuple[Doc, ...]
    open: str = "("
    close: str = ")"
    comma: bool = False
    together: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """Text between parts, broken before each: operators, conditionals, generators.

    `((“”, a), ("+ ", b))` is `a + b`.
    """

    parts: tuple[tuple[str, Doc], ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """`await x`, `name=x`, `lambda a: x`."""

    text: str
    doc: Doc


@dataclass(frozen=True, slots=True)
class Suffix:
    """`x.name`"""

    doc: Doc
    text: str


@dataclass(frozen=True, slots=True)
class Enclosed:
    """One part in brackets that takes no comma: `tuple(x for x in xs)`, `(a + b)`."""

    head: str
    doc: Doc


Doc = Text | Bracket | Parts | Prefix | Suffix | Enclosed


def call(name: str, *items: Doc) -> Bracket:
    return Bracket(Text(name), items)


def width(text: str) -> int:
    """Columns, as linters count them: wide signs of East Asia take two, marks on others none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(sign: str) -> int:
    # The later letters of a Korean syllable stand in the block of the first.
    if unicodedata.category(sign) in ("Mn", "Me", "Cf") or "\u1160" <= sign <= "\u11ff":
        return 0
    return 1 + (unicodedata.east_asian_width(sign) in "WF")


def flat(doc: Doc) -> str:
    """The expression on one line."""
    match doc:
        case Text(text):
            return text
        case Bracket(head, items, opening, closing, comma, _):
            inner = ", ".join(map(flat, items))
            return (
                flat(head) + opening + inner + ("," if comma and len(items) == 1 else "") + closing
            )
        case Parts(parts):
            return " ".join(text + flat(part) for text, part in parts)
        case Prefix(text, inner_doc):
            return text + flat(inner_doc)
        case Suffix(inner_doc, text):
            return flat(inner_doc) + text
        case Enclosed(head_text, inner_doc):
            return f"{head_text}({flat(inner_doc)})"


def lay(doc: Doc, indent: int, before: int = 0, after: int = 0) -> list[str]:
    """The lines of an expression. The first begins `before` columns to the right of `indent`,
    the last has `after` columns behind it; lines carry no indentation of their own level."""
    line = flat(doc)
    if indent + before + width(line) + after <= WIDTH:
        return [line]
    match doc:
        case Text():
            return [line]
        case Bracket(head, items, opening, closing) if items:
            start = lay(head, indent, before, len(opening))
            start[-1] += opening
            inner_line = ", ".join(map(flat, items))
            if doc.together and indent + STEP + width(inner_line) <= WIDTH:
                return [*start, *_deeper([inner_line]), closing]
            return [*start, *_items(items, indent + STEP), closing]
        case Parts(parts):
            lines: list[str] = []
            for index, (text, part) in enumerate(parts):
                used = before if index == 0 else 0
                laid = lay(
                    part, indent, used + width(text), after if index + 1 == len(parts) else 0
                )
                lines += [text + laid[0], *laid[1:]]
            return lines
        case Prefix(text, inner):
            if text.startswith(("lambda", "not ")) and isinstance(inner, Parts):
                inner = Enclosed("", inner)
            laid = lay(inner, indent, before + width(text), after)
            return [text + laid[0], *laid[1:]]
        case Suffix(inner, text):
            laid = lay(inner, indent, before, after + width(text))
            return [*laid[:-1], laid[-1] + text]
        case Enclosed(head_text, inner):
            laid = lay(inner, indent + STEP)
            return [head_text + "(", *_deeper(laid), ")"]
        case _:
            return [line]


def _items(items: Sequence[Doc], indent: int) -> list[str]:
    lines: list[str] = []
    for item in items:
        laid = lay(item, indent, 0, 1)
        laid[-1] += ","
        lines += _deeper(laid)
    return lines


def _deeper(lines: Sequence[str]) -> list[str]:
    return [" " * STEP + line for line in lines]


def statement(prefix: str, doc: Doc, indent: int, suffix: str = "") -> list[str]:
    """A statement around an expression: `x = ...`, `return ...`, `if ...:`.

    What has no brackets of its own is put into some when it does not fit.
    """
    behind = width(suffix)
    fits = indent + width(prefix) + width(flat(doc)) + behind <= WIDTH
    lines = None
    if not fits and isinstance(doc, Parts):
        lines = _in_one_go(doc, indent, width(prefix), behind)
        doc = Enclosed("", doc)
    if not fits and isinstance(doc, Text) and indent + STEP + width(doc.text) <= WIDTH:
        doc = Enclosed("", doc)  # a string: nothing else is that long
    lines = lines or lay(doc, indent, width(prefix), behind)
    lines[0] = prefix + lines[0]
    lines[-1] += suffix
    return [" " * indent + line for line in lines]


def _in_one_go(doc: Parts, indent: int, before: int, after: int) -> list[str] | None:
    """One operator between parts of which the first begins or the last ends with brackets: these
    are broken, not the line before the operator. None where that is not the way."""
    parts = tuple(_leaves(doc))
    signs = [text for text, _ in doc.parts[1:]]
    first, last = parts[0][1], parts[-1][1]
    begins = _opens(first) and flat(first).startswith(("(", "[", "{"))
    if len(signs) != 1 or not (begins or _opens(last)):
        return None
    lines = [""]
    for index, (text, part) in enumerate(parts):
        lines[-1] += (" " if index else "") + text
        used = width(lines[-1]) + (before if len(lines) == 1 else 0)
        laid = lay(part, indent, used, _reach(parts[index + 1 :]) or after)
        lines = [*lines[:-1], lines[-1] + laid[0], *laid[1:]]
    columns = [width(line) for line in lines]
    columns[0] += before
    columns[-1] += after
    return lines if indent + max(columns) <= WIDTH else None


def _leaves(doc: Parts) -> Iterator[tuple[str, Doc]]:
    for text, part in doc.parts:
        if isinstance(part, Parts):
            (_, first), *rest = _leaves(part)
            yield text, first
            yield from rest
        else:
            yield text, part


def _opens(doc: Doc) -> bool:
    return isinstance(doc, Enclosed) or (isinstance(doc, Bracket) and bool(doc.items))


def _reach(parts: Sequence[tuple[str, Doc]]) -> int:
    """How far what follows goes on before it can be broken."""
    found = 0
    for text, part in parts:
        found += 1 + width(text)
        match part:
            case Bracket(head, items, opening) if items:
                return found + width(flat(head) + opening)
            case Enclosed(head_text):
                return found + width(head_text) + 1
            case _:
                found += width(flat(part))
    return found


def sequence(items: Sequence[Doc]) -> Bracket:
    """A tuple."""
    return Bracket(Text(""), tuple(items), comma=True)


def joined(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def docstring(text: str, indent: int, otherwise: str = "") -> str:
    """The docstring with its quotes, its lines wrapped and indented."""
    source = text.strip() or otherwise
    source = source.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if source.endswith('"'):
        source = source[:-1] + '\\"'
    room = WIDTH - indent
    lines: list[str] = []
    for index, line in enumerate(source.splitlines()):
        lines += wrap(line, room - (6 if index == 0 else 0)) or [""]
    if len(lines) == 1 and width(lines[0]) + 6 <= room:
        return f'"""{lines[0]}"""'
    pad = "\n" + " " * indent
    return (
        '"""' + pad.join(line.rstrip() for line in lines).replace(pad + "\n", "\n\n") + pad + '"""'
    )


def wrap(text: str, room: int) -> list[str]:
    """The words of a text in lines of at most `room` columns; longer words are cut."""
    if text.isascii():
        return textwrap.wrap(text, room)
    lines = [""]
    for word in text.split():
        if lines[-1] and width(lines[-1]) + 1 + width(word) > room:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
        while width(lines[-1]) > room:
            cut = next(n for n in range(len(lines[-1])) if width(lines[-1][: n + 1]) > room)
            lines[-1:] = [lines[-1][:cut], lines[-1][cut:]]
    return lines if lines[0] else []
