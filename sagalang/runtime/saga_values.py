"""What expressions of the language need beyond Python's own: total, exact, and with `BadValue`
where there is no value.

In a running saga `+ - *` on decimals are exact by themselves (the run sets the context); a
quotient is rounded to 34 digits, half to even.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Protocol, TypeVar, overload
from uuid import UUID

from sagalang.machine.evaluate import scalar_identity
from sagalang.machine.evaluate import text as scalar_text
from sagalang.machine.frozen import FrozenMap
from sagalang.runtime.codec import freeze, plain
from sagalang.runtime.data import member_name
from sagalang.runtime.saga_errors import BadValue, translated

T = TypeVar("T")
U = TypeVar("U")


class Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


Sortable = TypeVar("Sortable", bound=Ordered)

_SIGNALS: Final = [decimal.Overflow, decimal.InvalidOperation, decimal.DivisionByZero]
# The numbers are those of the machine's evaluator.
_EXACT: Final = decimal.Context(
    prec=1_000, Emax=9_999, Emin=-9_999, traps=[*_SIGNALS, decimal.Inexact]
)
_QUOTIENT_DIGITS: Final = 34
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ErrorName:
    """What a handler of several errors knows of the one it caught."""

    name: str


def exact_context() -> Context:
    """A context in which decimals are exact: what needs more digits is an error, not rounded."""
    context = Context()
    context.run(decimal.setcontext, _EXACT.copy())
    return context


def exactly(work: Callable[[], T]) -> T:
    """The value of an expression outside of a running saga, with exact decimals."""
    return exact_context().run(work)


@overload
def item(values: Sequence[T], index: int) -> T: ...
@overload
def item(values: Mapping[str, T], index: str) -> T: ...
@overload
def item(values: Any, index: Any) -> Any: ...
def item(values: Any, index: Any) -> Any:
    """An element of a list, counted from 0, or an entry of a map. Raises `BadValue`."""
    if isinstance(values, Mapping):
        if index in values:
            return values[index]
        raise BadValue("no such key in a map")
    if isinstance(values, tuple):
        if isinstance(index, int) and 0 <= index < len(values):
            return values[index]
        raise BadValue(f"no item {index} in a list of {len(values)}")
    raise BadValue("this value has no items")


def value_or(value: Callable[[], T | None], otherwise: Callable[[], U]) -> T | U:
    """The value, or what stands in for it where it is null or there is none."""
    try:
        found = value()
    except Exception as raised:
        if not isinstance(translated(raised), BadValue):
            raise
        found = None
    return otherwise() if found is None else found


def smallest(values: Sequence[Sortable]) -> Sortable:
    """Raises `BadValue` for an empty list."""
    if not values:
        raise BadValue("min of an empty list")
    return min(values)


def largest(values: Sequence[Sortable]) -> Sortable:
    """Raises `BadValue` for an empty list."""
    if not values:
        raise BadValue("max of an empty list")
    return max(values)


@overload
def divide(left: timedelta, right: int) -> timedelta: ...
@overload
def divide(left: Decimal, right: Decimal) -> Decimal: ...
def divide(left: Any, right: Any) -> Any:
    """Raises `BadValue` for a division by zero."""
    if not right:
        raise BadValue("division by zero")
    if isinstance(left, timedelta):
        micros = divide(Decimal(left // _MICROSECOND), Decimal(right))
        return timedelta(microseconds=int(micros.to_integral_value(decimal.ROUND_HALF_EVEN)))
    digits = max(_QUOTIENT_DIGITS, len(left.as_tuple().digits))
    context = decimal.Context(prec=digits, Emax=9_999, Emin=-9_999, traps=list(_SIGNALS))
    return context.divide(left, right)


_ROUNDING: Final = decimal.Context(prec=3_000, Emax=9_999, Emin=-9_999, traps=list(_SIGNALS))


def rounded(value: Decimal, digits: int = 0) -> Decimal:
    """Half to even, to this many digits after the point."""
    if not -1_000 <= digits <= 1_000:
        raise BadValue("rounding to that many digits")
    return value.quantize(Decimal(1).scaleb(-digits), decimal.ROUND_HALF_EVEN, _ROUNDING)


def text(value: Any) -> str:
    """A scalar as it stands in a text: `true`, `1h30m`, `18.50`, a member's name."""
    return member_name(value) if isinstance(value, Enum) else scalar_text(value)


def identity(value: Any) -> str:
    """A scalar as the identity of an iteration: equal values give equal text."""
    return member_name(value) if isinstance(value, Enum) else scalar_identity(value)


def to_json(value: Any) -> Any:
    """A value as the type `json` holds it: immutable plain data."""
    return freeze(_plain(value))


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {name: _plain(item) for name, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case None | bool() | int() | str() | Decimal() if not isinstance(value, Enum):
            return value
        case datetime() | timedelta() | UUID():
            import msgspec

            return msgspec.to_builtins(value)
        case _:
            return plain(value, type(value))


def make_map(entries: Mapping[str, T] | Iterable[tuple[str, T]] = ()) -> Mapping[str, T]:
    """An immutable map."""
    return FrozenMap(dict(entries))
