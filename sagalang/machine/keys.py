"""Idempotency keys: the same over retries, crashes, restarts and re-deploys.

A key depends on the saga's name and id, the step's path and the identities of the loops around
it, and on nothing else. The parts are joined as a JSON list, so that no two different tuples of
parts can give the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha1
from json import JSONEncoder
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from hashlib import _Hash

NAMESPACE: Final = UUID("56465dbe-a19d-598a-9090-57719065709e")
"""UUIDv5 of `urn:sagalang:keys`. Fixed for ever: changing it would change every key."""

_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}

_encode: Final = JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode

STEP: Final = ""
COMPENSATE: Final = "compensate"

Loops = Sequence[tuple[str, str]]
"""(path of the loop, identity of the iteration), outermost first."""


def key(
    saga: str, saga_id: str, path: str, loops: Loops = (), purpose: str = STEP, generation: int = 0
) -> str:
    """The key of a step, as the text of a UUID version 5.

    `purpose` sets a step's compensation apart from the step; `generation` counts the fresh keys a
    person asked for after a certain rejection. Neither changes the plain key of a step.
    """
    return _key(saga, saga_id, path, tuple(loops), purpose, generation)


@lru_cache(maxsize=4_096)
def _key(saga: str, saga_id: str, path: str, loops: Loops, purpose: str, generation: int) -> str:
    # What `uuid.uuid5(NAMESPACE, text)` does, with the hash of the run's own part made once.
    state = _run(saga, saga_id).copy()
    state.update(_place(path, loops, purpose, generation))
    text = state.hexdigest()
    variant = _VARIANT[text[16]]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


@lru_cache(maxsize=1_024)
def _run(saga: str, saga_id: str) -> _Hash:
    begun = f"[{_encode(saga)},{_encode(saga_id)},".encode()
    return sha1(NAMESPACE.bytes + begun, usedforsecurity=False)


@lru_cache(maxsize=4_096)
def _place(path: str, loops: Loops, purpose: str, generation: int) -> bytes:
    parts: list[object] = [path, loops]
    if purpose or generation:
        parts += [purpose, generation]
    return _encode(parts)[1:].encode()


def identities(values: Sequence[str]) -> tuple[str, ...]:
    """Loop identities from the values of `by`: the n-th repeat of a value gets `#n`.

    They are distinct even where a value looks like a repeat (`a#2` beside two times `a`).
    """
    used: set[str] = set()
    seen: dict[str, int] = {}
    found = []
    for value in values:
        count = seen.get(value, 0) + 1
        name = value if count == 1 else f"{value}#{count}"
        while name in used:
            count += 1
            name = f"{value}#{count}"
        seen[value] = count
        used.add(name)
        found.append(name)
    return tuple(found)
