"""Immutable, hashable mappings: what environments and map values are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any


class Choice(Enum):
    """An enum whose members hash in C, for states are hashed by the million: there is one object
    for each of them, so their identity will do."""

    __hash__ = object.__hash__


class FrozenMap(Mapping[str, Any]):
    """A mapping with string keys that can be hashed and never changes.

    Equal to any mapping with the same items. The order of insertion is kept for iteration.
    """

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        self._items: dict[str, Any] = dict(items) if items else {}
        self._hash: int | None = None

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrozenMap):
            return self._items == other._items
        if isinstance(other, Mapping):
            return self._items == dict(other)
        return NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._items.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"FrozenMap({self._items!r})"

    def __reduce__(self) -> tuple[type[FrozenMap], tuple[dict[str, Any]]]:
        return FrozenMap, (self._items,)

    def plus(self, items: Mapping[str, Any]) -> FrozenMap:
        """A copy with `items` added; those already there are replaced."""
        return FrozenMap({**self._items, **items}) if items else self


EMPTY = FrozenMap()


def freeze(value: Any) -> Any:
    """Lists become tuples and mappings `FrozenMap`s, all the way down; the rest stays."""
    kind: Any = type(value)
    if kind is list or kind is tuple:
        return tuple([freeze(item) for item in value])
    if kind is not FrozenMap and _is_mapping(kind):
        return FrozenMap({key: freeze(item) for key, item in value.items()})
    return value


@lru_cache(maxsize=1_024)
def _is_mapping(kind: type) -> bool:
    return issubclass(kind, Mapping) and not issubclass(kind, FrozenMap)
