"""The ways through a piece of a saga: past it, to the saga's end in it, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sagalang.model.errors import BUILT_IN_ERRORS
from sagalang.verify.closed_form import ZERO, Form, covers, longest, plus

BUILT_IN: Final = frozenset(BUILT_IN_ERRORS)


@dataclass(frozen=True)
class Route:
    """A way forward. `after`: what follows the intent of a pivot on it, None if it has none."""

    before: Form
    after: Form | None = None

    def then(self, other: Route) -> Route:
        if self.after is None:
            return Route(plus(self.before, other.before), other.after)
        return Route(self.before, plus(self.after, other.before, other.after or ZERO))


@dataclass(frozen=True)
class Fall:
    """A way to fail: forward until nothing is in flight any more, perhaps through a pivot that
    did not happen, then back to where the piece began. `errors`: which ones it may bring."""

    before: Form
    undo: Form = ZERO
    pivot: Form | None = None
    errors: frozenset[str] = BUILT_IN

    @property
    def whole(self) -> Form:
        return plus(self.before, self.pivot or ZERO, self.undo)

    def covers(self, other: Fall) -> bool:
        return (
            self.errors >= other.errors
            and (self.pivot is None) == (other.pivot is None)
            and covers(self.before, other.before)
            and covers(self.pivot or ZERO, other.pivot or ZERO)
            and covers(self.undo, other.undo)
        )


@dataclass(frozen=True)
class Piece:
    """`on`: ways past it; `ended`: ways on which the saga completes in it. `undo`: what undoes all
    of it. `settle`: what is still in flight when it is interrupted."""

    on: tuple[Route, ...] = (Route(ZERO),)
    ended: tuple[Route, ...] = ()
    falls: tuple[Fall, ...] = ()
    undo: Form = ZERO
    settle: Form = ZERO


@dataclass(frozen=True)
class Totals:
    """Of a whole saga. `undo`: of one that had completed. `settle`: from a cancel on."""

    until_pivot: Form | None
    forward: Form
    undone: Form
    undo: Form
    settle: Form

    @cached_property
    def whole(self) -> Form:
        return longest(self.forward, self.undone)


def fewest_routes(routes: Iterable[Route]) -> tuple[Route, ...]:
    """At most two of them: without a pivot and with one."""
    every = tuple(dict.fromkeys(routes))
    found = []
    for passed in (False, True):
        some = [route for route in every if (route.after is not None) is passed]
        if some:
            after = longest(*(route.after or ZERO for route in some)) if passed else None
            found.append(Route(longest(*(route.before for route in some)), after))
    return tuple(found)


def worst_falls(falls: Iterable[Fall]) -> tuple[Fall, ...]:
    left: list[Fall] = []
    for fall in falls:
        if not any(known.covers(fall) for known in left):
            left = [known for known in left if not fall.covers(known)]
            left.append(fall)
    return tuple(left)


def length(routes: Iterable[Route]) -> Form:
    return longest(*(plus(route.before, route.after or ZERO) for route in routes))
