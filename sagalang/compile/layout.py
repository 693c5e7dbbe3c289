"""Lays out Python expressions as `ruff format` would: on one line where they fit, else one part
per line with a trailing comma. So what is generated needs no formatter to be formatted.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100
STEP = 4


@dataclass(frozen=True, slots=True)
class Text:
    """Text that cannot be broken."""

    text: str


@dataclass(frozen=True, slots=True)
class Bracket:
    """`head(item, item)`; also `(a, b)` and `{...}`. `comma`: a lone item needs one (a tuple)."""

    head: Doc
    items: tuple[Doc, ...]
    open: str = "("
    close: str = ")"
    comma: bool = False


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


def flat(doc: Doc) -> str:
    """The expression on one line."""
    match doc:
        case Text(text):
            return text
        case Bracket(head, items, opening, closing, comma):
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
    if indent + before + len(line) + after <= WIDTH:
        return [line]
    match doc:
        case Text():
            return [line]
        case Bracket(head, items, opening, closing) if items:
            start = lay(head, indent, before, len(opening))
            start[-1] += opening
            return [*start, *_items(items, indent + STEP), closing]
        case Parts(parts):
            lines: list[str] = []
            for index, (text, part) in enumerate(parts):
                used = before if index == 0 else 0
                laid = lay(part, indent, used + len(text), after if index + 1 == len(parts) else 0)
                lines += [text + laid[0], *laid[1:]]
            return lines
        case Prefix(text, inner):
            laid = lay(inner, indent, before + len(text), after)
            return [text + laid[0], *laid[1:]]
        case Suffix(inner, text):
            laid = lay(inner, indent, before, after + len(text))
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
    fits = indent + len(prefix) + len(flat(doc)) + len(suffix) <= WIDTH
    if not fits and isinstance(doc, Parts):
        doc = Enclosed("", doc)
    lines = lay(doc, indent, len(prefix), len(suffix))
    lines[0] = prefix + lines[0]
    lines[-1] += suffix
    return [" " * indent + line for line in lines]


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
        lines += textwrap.wrap(line, room - (6 if index == 0 else 0)) or [""]
    if len(lines) == 1 and len(lines[0]) + 6 <= room:
        return f'"""{lines[0]}"""'
    pad = "\n" + " " * indent
    return (
        '"""' + pad.join(line.rstrip() for line in lines).replace(pad + "\n", "\n\n") + pad + '"""'
    )
