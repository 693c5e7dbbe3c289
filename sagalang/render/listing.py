"""The text of a saga as a page can show it: its own lines, and no secret literal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from msgspec import Struct

from sagalang.model import program as p
from sagalang.model.secret_literals import secret_literals, without_secrets
from sagalang.text import Source, Span


@dataclass(frozen=True, slots=True)
class Line:
    """`start` and `end`: its offsets in the file, so that a span can be found."""

    number: int
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Listing:
    file: str
    lines: tuple[Line, ...]

    def line_of(self, span: Span | None) -> int | None:
        """The number of the line on which a span begins; None if it is not in the listing."""
        if span is None or span.file != self.file:
            return None
        return next((x.number for x in self.lines if x.start <= span.start <= x.end), None)


def listing(program: p.Program, saga: p.Saga, source: Source) -> Listing:
    """The lines of the saga. Inputs and scenarios around it hold payloads and are left out."""
    here = (one for one in secret_literals(program) if one.span.file == source.name)
    shown = without_secrets(source.text, here).split("\n")
    written = source.text.split("\n")
    starts = list(accumulate((len(line) + 1 for line in written), initial=0))
    first = source.position(saga.span.start).line
    last = max(source.position(span.start).line for span in _spans(saga, source.name))
    while last < len(written) and not written[last].strip(" \t\r}"):
        last += 1
        if written[last - 1].startswith("}"):
            break  # the brace that closes the saga
    lines = (
        Line(n, shown[n - 1].rstrip("\r"), starts[n - 1], starts[n] - 1)
        for n in range(first, last + 1)
    )
    return Listing(source.name, tuple(lines))


def _spans(node: Any, file: str) -> Iterator[Span]:
    match node:
        case Span():
            if node.file == file:
                yield node
        case Struct():
            for name in node.__struct_fields__:
                yield from _spans(getattr(node, name), file)
        case tuple():
            for item in node:
                yield from _spans(item, file)
