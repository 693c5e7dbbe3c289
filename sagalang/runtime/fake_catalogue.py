"""The services of a compiled module as fakes see them: the same values in classes of their own, and
what undoes what, written as functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from sagalang.diagnostics.suggest import hint
from sagalang.model import program as p
from sagalang.runtime.codec import decode, encode
from sagalang.runtime.contract import Contract
from sagalang.runtime.fake_program import fake_program
from sagalang.runtime.fake_relations import ANYTHING as _ANYTHING
from sagalang.runtime.fake_relations import Relation, Relations
from sagalang.runtime.fakes import Args
from sagalang.runtime.saga_errors import translated
from sagalang.runtime.saga_services import Service
from sagalang.runtime.saga_values import exactly
from sagalang.runtime.values import Values

ANYTHING: Final[Any] = _ANYTHING
"""An argument of an undoing call that the call it undoes does not determine."""


@dataclass(frozen=True, slots=True)
class Made:
    """A call that a fake service knows: its arguments by name, its key and what it answered."""

    args: Mapping[str, Any]
    key: str
    answer: Any = ANYTHING

    def __getitem__(self, parameter: str) -> Any:
        return self.args[parameter]

    def answered(self, read: Callable[[Any], Any]) -> Any:
        """Something of the answer; `ANYTHING` while there is none."""
        return ANYTHING if self.answer is ANYTHING else read(self.answer)


Given = Callable[[Made], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class About(Relation):
    """Calls of `other` are about calls of `original`: which, its arguments say."""

    given: Given = field(kw_only=True)
    determined: bool = field(default=True, kw_only=True)

    @property
    def exact(self) -> bool:
        return self.determined


@dataclass(frozen=True, slots=True)
class Undoes(About):
    """`other` undoes `original`."""


@dataclass(frozen=True, slots=True)
class AnswersFor(About):
    """`other` tells what became of `original`."""


def undoes(other: str, original: str, given: Given, *, determined: bool = True) -> Undoes:
    """`undoes("Payment.refund", "Payment.charge", lambda made: (made.key,))`.

    `given`: the arguments of the call that undoes this one. `determined`: False where some of them
    are `ANYTHING`, whatever is known of it.
    """
    return Undoes(original, other, (), given=given, determined=determined)


def answers_for(other: str, original: str, given: Given) -> AnswersFor:
    """`answers_for("Shipping.find", "Shipping.book", lambda made: (made["order"],))`: the query
    with these arguments answers what the call answered, and null where there was none."""
    return AnswersFor(original, other, (), given=given)


class Catalogue:
    """The operations of services: contracts of the compiled module, and those of the fakes."""

    def __init__(self, services: Iterable[Service[Any]]) -> None:
        self._services = tuple(services)
        self.contracts: Final = {c.label: c for s in self._services for c in s.contracts}

    def contract(self, operation: str) -> Contract:
        """Raises LookupError: there is no such operation."""
        found = self.contracts.get(operation)
        if found is None:
            meant = hint(operation, self.contracts)
            raise LookupError(
                f"there is no operation {operation}" + (f": {meant}" if meant else "")
            )
        return found

    @cached_property
    def program(self) -> p.Program:
        return fake_program(self._services)

    @cached_property
    def values(self) -> Values:
        return Values(self.program)

    def own(self, operation: str) -> Contract:
        service, _, name = operation.partition(".")
        return self.values.contract(self.program.services[service].operations[name])

    def known(self, operation: str, args: Args) -> Args:
        """The arguments of a call of a compiled module, in the values of the fakes."""
        theirs, own = self.contract(operation).params, self.own(operation).params
        return tuple(
            moved(arg, one.type, other.type)
            for arg, one, other in zip(args, theirs, own, strict=True)
        )

    def made(self, operation: str, args: Args, key: str | None, answer: Any) -> Made:
        """A call that a fake knows, in the values of the compiled module."""
        theirs, own = self.contract(operation), self.own(operation)
        named = {
            param.name: moved(arg, mine.type, param.type)
            for param, mine, arg in zip(theirs.params, own.params, args, strict=True)
        }
        if answer is not ANYTHING:
            answer = moved(answer, own.result, theirs.result)
        return Made(named, key or "", answer)


class Written(Relations):
    """Relations that were written as functions."""

    def __init__(
        self, catalogue: Catalogue, about: Iterable[About], forward: frozenset[str]
    ) -> None:
        self._catalogue = catalogue
        listed = tuple(about)
        self.undo = tuple(found for found in listed if isinstance(found, Undoes))
        self.probes = tuple(found for found in listed if isinstance(found, AnswersFor))
        self.forward = forward

    def arguments(
        self, relation: Relation, args: Args, key: str | None, result: Any
    ) -> Args | None:
        assert isinstance(relation, About)
        made = self._catalogue.made(relation.original, args, key, result)
        try:
            given = exactly(lambda: relation.given(made))
        except Exception as raised:
            if translated(raised) is None:
                raise
            return None
        theirs = self._catalogue.contract(relation.other).params
        if len(given) != len(theirs):
            raise TypeError(f"{relation.other} takes {len(theirs)} arguments, not {len(given)}")
        unknown = [value is ANYTHING for value in given]
        blank = tuple(None if value is ANYTHING else value for value in given)
        known = self._catalogue.known(relation.other, blank)
        return tuple(ANYTHING if u else k for u, k in zip(unknown, known, strict=True))


def moved(value: Any, source: Any, target: Any) -> Any:
    """The value in the classes of another set of types."""
    if value is None or source == target:
        return value
    return decode(encode(value, source), target)
