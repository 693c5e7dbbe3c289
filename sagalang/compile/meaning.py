"""What a saga means, as a short hash: its words, and those of all declarations that it leads to.

Comments, layout, scenarios and what the saga has nothing to do with change nothing, nor does the
file that a declaration stands in. A compiled saga is stored with its runs under this hash, so that
none goes on by another meaning unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from sagalang.syntax.split import split
from sagalang.text import Source

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
    """Of the sagas of a program without errors, by its texts."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._declared: dict[str, list[Declaration]] = {}
        for source in sources.values():
            for start, end in split(source).pieces:
                words = tuple(_words(source.text[start:end]))
                if words[0] not in _NOT_MEANT:
                    for name in _declared(words):
                        self._declared.setdefault(name, []).append(words)

    def of(self, saga: str) -> str:
        """16 hexadecimal digits."""
        reached: dict[str, None] = {saga: None}
        found: set[Declaration] = set()
        for name in (names := list(reached)):  # it grows
            for words in self._declared.get(name, ()):
                found.add(words)
                for each in _named(words):
                    if each not in reached:
                        reached[each] = None
                        names.append(each)
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
    for before, word in zip(words[1:], words[2:], strict=False):
        depth += (before in "{([") - (before in "})]")
        if words[0] == "error" and depth == 0 and before == ",":
            yield word


def _named(words: Sequence[str]) -> Iterator[str]:
    """All names that it reads, and some that only look so: strings may hold any."""
    for word in words[1:]:
        yield from _NAMES.findall(word) if word.startswith('"') else (word,)
