"""Chance: all choices of one saga and its cases."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Choices:
    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def of(self, options: Sequence[T]) -> T:
        return options[self.number(0, len(options) - 1)]

    def pick(self, *options: T) -> T:
        return self.of(options)

    def chance(self, percent: int) -> bool:
        """True that often."""
        return self.number(1, 100) <= percent

    def weighted(self, *options: tuple[int, T]) -> T:
        """Each option as often as its weight says; those of weight 0 never."""
        left = self.number(0, sum(weight for weight, _ in options) - 1)
        for weight, option in options:
            if left < weight:
                return option
            left -= weight
        raise AssertionError("the weights add up to their sum")
