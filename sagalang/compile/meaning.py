"""What a saga means, as a short hash: its words, and those of all declarations that it leads to.

Comments, layout, scenarios and what the saga has nothing to do with change nothing, nor does the
file that a declaration stands in. A compiled saga is stored with its runs under this hash, so that
none goes on by another meaning unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Final

from sagalang.model.program import Program, Saga
from sagalang.syntax.split import split

_DIGITS: Final = 16

_WORD: Final = re.compile(
    r"(?P<comment>//[^\n]*)"
    r"|(?P<string>\"(?:\\.|\$\{[^}\n]*\}|[^\"\\\n])*\"?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<other>\d[\w.]*|\S)"
)
_NAMES: Final = re.compile(r"[^\W\d]\w*")
_NOT_MEANT: Final = ("scenario", "import")

Declaration = tuple[str, ...]
"""Its words."""


class Meanings:
    """Of the sagas of a program without errors."""

    def __init__(self, program: Program) -> None:
        self._sees = program.sees
        self._declared: dict[str, list[tuple[str, Declaration]]] = {}
        """By name: the file that it stands in, and its words."""
        for file, source in program.sources.items():
            for start, end in split(source).pieces:
                words = tuple(_words(source.text[start:end]))
                if words[0] not in _NOT_MEANT:
                    for name in _declared(words):
                        self._declared.setdefault(name, []).append((file, words))

    def of(self, saga: Saga) -> str:
        """16 hexadecimal digits; the same whichever file imports that of the saga."""
        seen = self._sees.get(saga.span.file, frozenset()) | {saga.span.file}
        names, found = [saga.name], set[Declaration]()
        for name in names:  # it grows
            for file, words in self._declared.get(name, ()):
                if file in seen and words not in found:
                    found.add(words)
                    names += _named(words)
        text = "\n".join(sorted("\0".join(words) for words in found))
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def _words(text: str) -> Iterator[str]:
    """Without comments, and without the commas that may or may not stand before a bracket."""
    comma = False
    for match in _WORD.finditer(text):
        if match.lastgroup == "comment":
            continue
        word = match[0]
        if comma and word not in ")]}":
            yield ","
        comma = word == ","
        if not comma:
            yield word
    if comma:
        yield ","


def _declared(words: Sequence[str]) -> Iterator[str]:
    """One declaration may declare several errors."""
    yield words[1]
    depth = 0
    for before, word in pairwise(words):
        depth += (before in "{([") - (before in "})]")
        if words[0] == "error" and depth == 0 and before == ",":
            yield word


def _named(words: Sequence[str]) -> Iterator[str]:
    """All names that it reads, and some that only look so: strings may hold any."""
    for word in words[1:]:
        yield from _NAMES.findall(word) if word.startswith('"') else (word,)
