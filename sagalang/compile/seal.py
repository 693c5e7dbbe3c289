"""The first line of a generated file: what it was made from, and a hash of all that follows.

So an edit by hand is told from a generation that is merely old. Line ends do not count: version
control may change them on its way.
"""

from __future__ import annotations

import re
from enum import Enum
from hashlib import sha256
from typing import Final

_SEAL: Final = re.compile(
    r"# Made by `saga compile` from (?P<source>.+); what follows: sha256 (?P<hash>[0-9a-f]{16})"
)


class Origin(Enum):
    """Where the text of a file comes from."""

    MADE = "made"
    """As some `saga compile` wrote it."""
    EDITED = "edited"
    """Made by `saga compile`, and edited since."""
    FOREIGN = "foreign"
    """Not made by `saga compile`."""


def seal(text: str, source: str) -> str:
    """The text below its seal. `source`: the name of the file that it was made from."""
    shown = source.encode("unicode_escape").decode()
    return f"# Made by `saga compile` from {shown}; what follows: sha256 {_hash(text)}\n{text}"


def origin(text: str) -> Origin:
    found, below = _split(text)
    if found is None:
        return Origin.FOREIGN
    return Origin.MADE if _hash(below) == found["hash"] else Origin.EDITED


def source_of(text: str) -> str | None:
    """The name of the file that the text was made from; None where it is not sealed."""
    found, _ = _split(text)
    return None if found is None else found["source"].encode().decode("unicode_escape")


def same(one: str, other: str) -> bool:
    """Whether two texts are the same but for their line ends."""
    return _lines(one) == _lines(other)


def _split(text: str) -> tuple[re.Match[str] | None, str]:
    first, _, below = _lines(text).partition("\n")
    return _SEAL.fullmatch(first), below


def _hash(text: str) -> str:
    data = _lines(text).encode("utf-8", "surrogatepass")
    return sha256(data).hexdigest()[:16]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
