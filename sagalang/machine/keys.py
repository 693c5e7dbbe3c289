"""Idempotency keys: the same over retries, crashes, restarts and re-deploys.

A key depends on the saga's name and id, the step's path and the identities of the loops around
it, and on nothing else. The parts are joined as a JSON list, so that no two different tuples of
parts can give the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from json import JSONEncoder
from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("56465dbe-a19d-598a-9090-57719065709e")
"""UUIDv5 of `urn:sagalang:keys`. Fixed for ever: changing it would change every key."""

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
    parts: list[object] = [saga, saga_id, path, [list(pair) for pair in loops]]
    if purpose or generation:
        parts += [purpose, generation]
    return str(uuid5(NAMESPACE, _encode(parts)))


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
