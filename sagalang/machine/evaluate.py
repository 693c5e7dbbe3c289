"""Expressions: pure and total. What has no value raises `BadValueError`, and nothing else.

Values are plain: `str int Decimal bool timedelta datetime UUID None`, tuples for lists,
`FrozenMap` for maps and json objects, the member's name for an enum. Records are whatever the
injected `Build` makes, so that this module knows nothing of how they are represented.
"""

from __future__ import annotations

import decimal
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sagalang.machine.frozen import FrozenMap
from sagalang.machine.outcomes import Failure
from sagalang.model import program as p
from sagalang.model.errors import BAD_VALUE
from sagalang.model.types import INT, JSON, MapOf, Type, required, reveal


class BadValueError(Exception):
    """An expression has no value: a missing index, a division by zero, an overflow."""

    @property
    def failure(self) -> Failure:
        return Failure(BAD_VALUE, None, str(self))


@dataclass(frozen=True, slots=True)
class Build:
    """How records are made and read. Field names are those of the language.

    `evaluate` and `known` are for a domain of values that are not plain, such as the verifier's:
    the one evaluates instead of this module, the other gives the plain value where the machine
    itself must know it (whether a condition holds, what a loop runs over, when a sleep ends).
    """

    make: Callable[[Type, Mapping[str, Any]], Any]
    get: Callable[[Any, str], Any]
    convert: Callable[[Any, Type], Any]
    update: Callable[[Any, Mapping[str, Any]], Any]
    evaluate: Callable[[p.Expr, Scope], Any] | None = None
    known: Callable[[Any, Type], Any] | None = None


def _no_key(step: str | None) -> str:
    raise AssertionError(f"no key here: {step}")


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression sees. `now` is the recorded instant, in ms since the Unix epoch."""

    names: Mapping[str, Any]
    build: Build
    now: p.Ms = 0
    constants: Mapping[str, p.Constant] = FrozenMap()
    key: Callable[[str | None], str] = _no_key
    result: Any = None

    def bind(self, name: str, value: Any) -> Scope:
        return replace(self, names={**self.names, name: value})


# Sums and products are exact: what needs more digits than this is an overflow, never rounded.
# Exponents are bounded too, so that adding a huge to a tiny number cannot exhaust the memory.
_SIGNALS: Final = [decimal.Overflow, decimal.InvalidOperation, decimal.DivisionByZero]
_EXACT: Final = decimal.Context(
    prec=1_000, Emax=9_999, Emin=-9_999, traps=[*_SIGNALS, decimal.Inexact]
)
# A quotient has no exact digits in general; it is rounded once, half to even.
_QUOTIENT_DIGITS: Final = 34

_EXACT_OPERATIONS: Final[Mapping[str, Callable[[Decimal, Decimal], Decimal]]] = {
    "+": _EXACT.add,
    "-": _EXACT.subtract,
    "*": _EXACT.multiply,
}
_PLAIN_OPERATIONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def evaluate(expr: p.Expr, scope: Scope) -> Any:
    """The value of a checked expression; raises `BadValueError` where it has none."""
    if scope.build.evaluate is not None:
        return scope.build.evaluate(expr, scope)
    return plain(expr, scope)


def known(expr: p.Expr, scope: Scope) -> Any:
    """The same, where the machine itself must know the value."""
    value = evaluate(expr, scope)
    return value if scope.build.known is None else scope.build.known(value, expr.type)


def plain(expr: p.Expr, scope: Scope) -> Any:
    """The value over plain values; raises `BadValueError` where it has none."""
    try:
        return _evaluate(expr, scope)
    except (ArithmeticError, OverflowError) as error:
        raise BadValueError(f"not representable: {type(error).__name__}") from error


def _evaluate(expr: p.Expr, scope: Scope) -> Any:
    # The most frequent by their type: `match` asks each class in turn.
    if type(expr) is p.Const:
        return expr.value
    if type(expr) is p.Ref:
        return scope.names[expr.name]
    if type(expr) is p.Member:
        return _member(_evaluate(expr.value, scope), expr.name, scope.build)
    match expr:
        case p.ConstantRef(name=name):
            return _evaluate(scope.constants[name].value, replace(scope, names={}))
        case p.KeyOf(step=step):
            return scope.key(step)
        case p.ResultOf():
            return scope.result
        case p.Index(value=value, index=index):
            return _index(_evaluate(value, scope), _evaluate(index, scope))
        case p.Unary(operator=sign, operand=operand):
            value = _evaluate(operand, scope)
            if sign == "not":
                return not value
            return value.copy_negate() if isinstance(value, Decimal) and value else -value
        case p.Binary():
            return _binary(expr, scope)
        case p.Conditional(condition=condition, then=then, otherwise=otherwise):
            return _evaluate(then if _evaluate(condition, scope) else otherwise, scope)
        case p.MakeRecord(fields=fields, type=type_):
            made = {name: _evaluate(value, scope) for name, value in fields}
            bare = required(reveal(type_))
            if isinstance(bare, MapOf) or bare == JSON:
                return FrozenMap(made)
            return scope.build.make(bare, made)
        case p.Update(value=value, fields=fields):
            base = _evaluate(value, scope)
            changes = {name: _evaluate(item, scope) for name, item in fields}
            return _update(base, changes, scope)
        case p.MakeList(items=items):
            return tuple(_evaluate(item, scope) for item in items)
        case p.Comprehension():
            return _comprehension(expr, scope)
        case p.Apply(function=function, args=args, type=type_):
            if function == "now":
                return instant(scope.now)
            return _apply(function, [_evaluate(arg, scope) for arg in args], type_)
        case p.Interpolate(parts=parts):
            return "".join(text(_evaluate(part, scope)) for part in parts)
        case p.Convert(value=value, type=type_):
            return scope.build.convert(_evaluate(value, scope), type_)


def instant(ms: p.Ms) -> datetime:
    """The aware UTC time of a count of milliseconds since the Unix epoch."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def milliseconds(value: timedelta | datetime) -> p.Ms:
    """A duration, or the time since the Unix epoch, rounded up to whole milliseconds."""
    span = value if isinstance(value, timedelta) else value - instant(0)
    return -(-span // timedelta(milliseconds=1))


def text(value: Any) -> str:
    """A scalar as interpolation writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return duration_text(value)
        case _:
            return str(value)


def duration_text(value: timedelta) -> str:
    """`1h30m`: as the language writes a duration."""
    left = milliseconds(abs(value))
    parts = ["-"] if value < timedelta(0) else []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def scalar_identity(value: Any) -> str:
    """A loop identity: equal values give equal text (1.0 and 1.00 are one decimal)."""
    if isinstance(value, Decimal):
        exact = format(value, "f")
        return (exact.rstrip("0").rstrip(".") if "." in exact else exact) or "0"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return text(value)


def _member(value: Any, name: str, build: Build) -> Any:
    if value is None:
        raise BadValueError(f"null has no field {name}")
    if isinstance(value, Mapping):
        return _index(value, name)
    if isinstance(value, tuple | str | int | Decimal):  # json that is no object
        raise BadValueError(f"this value has no field {name}")
    return build.get(value, name)


def _index(value: Any, index: Any) -> Any:
    match value:
        case tuple():
            if not 0 <= index < len(value):
                raise BadValueError(f"no item {index} in a list of {len(value)}")
            return value[index]
        case Mapping():
            if index not in value:
                raise BadValueError("no such key in a map")
            return value[index]
        case _:
            raise BadValueError("this value has no items")


def _update(base: Any, changes: Mapping[str, Any], scope: Scope) -> Any:
    if base is None:
        raise BadValueError("null has no fields")
    if isinstance(base, FrozenMap):
        return base.plus(changes)
    return scope.build.update(base, changes)


def _binary(expr: p.Binary, scope: Scope) -> Any:
    match expr.operator:
        case "and":
            return _evaluate(expr.left, scope) and _evaluate(expr.right, scope)
        case "or":
            return _evaluate(expr.left, scope) or _evaluate(expr.right, scope)
        case "??":
            try:
                left = evaluate(expr.left, scope)
            except BadValueError:
                left = None
            return _evaluate(expr.right, scope) if left is None else left
    left, right = _evaluate(expr.left, scope), _evaluate(expr.right, scope)
    if expr.operator == "/":
        return _divide(left, right)
    return arithmetic(expr.operator, left, right)


def arithmetic(sign: str, left: Any, right: Any) -> Any:
    """`+ - * == != < <= > >=` on values whose types are known to agree."""
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        if isinstance(left, timedelta) or isinstance(right, timedelta):
            return _scale(left, right)
        if sign in _EXACT_OPERATIONS:
            return _EXACT_OPERATIONS[sign](Decimal(left), Decimal(right))
    try:
        return _PLAIN_OPERATIONS[sign](left, right)
    except TypeError as error:  # only `json` operands get here: their types are not known before
        raise BadValueError(f"{sign} does not apply to these values") from error


def _scale(left: Any, right: Any) -> timedelta:
    span, factor = (left, right) if isinstance(left, timedelta) else (right, left)
    micros = _EXACT.multiply(Decimal(span // timedelta(microseconds=1)), Decimal(factor))
    return timedelta(microseconds=int(micros.to_integral_value(decimal.ROUND_HALF_EVEN)))


def _divide(left: Any, right: Any) -> Any:
    if not right:
        raise BadValueError("division by zero")
    if isinstance(left, timedelta):
        if isinstance(right, timedelta):
            unit = timedelta(microseconds=1)
            return _divide(Decimal(left // unit), Decimal(right // unit))
        micros = _divide(Decimal(left // timedelta(microseconds=1)), right)
        return timedelta(microseconds=int(micros.to_integral_value(decimal.ROUND_HALF_EVEN)))
    dividend, divisor = Decimal(left), Decimal(right)
    digits = max(_QUOTIENT_DIGITS, len(dividend.as_tuple().digits))
    context = decimal.Context(prec=digits, Emax=9_999, Emin=-9_999, traps=list(_SIGNALS))
    return context.divide(dividend, divisor)


def _comprehension(expr: p.Comprehension, scope: Scope) -> tuple[Any, ...]:
    found = []
    for item in _evaluate(expr.source, scope):
        inner = scope.bind(expr.variable, item)
        if expr.condition is None or _evaluate(expr.condition, inner):
            found.append(_evaluate(expr.element, inner))
    return tuple(found)


def _apply(function: str, args: list[Any], type_: Type) -> Any:
    match function, args:
        case "len", [value]:
            return len(value)
        case "sum", [values]:
            return _sum(values, type_)
        case (("min" | "max"), _):
            values = args[0] if len(args) == 1 else args
            if not values:
                raise BadValueError(f"{function} of an empty list")
            return min(values) if function == "min" else max(values)
        case "contains", [whole, part]:
            return part in whole
        case "lower", [value]:
            return value.lower()
        case "upper", [value]:
            return value.upper()
        case "round", [value, *digits]:
            return _round(value, digits[0] if digits else 0, type_)
        case _:
            raise AssertionError(f"no such function: {function}/{len(args)}")


def _sum(values: tuple[Any, ...], type_: Type) -> Any:
    total: Any = values[0] if values else _zero(type_)
    for value in values[1:]:
        total = arithmetic("+", total, value)
    return total


def _zero(type_: Type) -> Any:
    match getattr(reveal(type_), "name", "int"):
        case "decimal":
            return Decimal(0)
        case "duration":
            return timedelta(0)
        case _:
            return 0


def _round(value: Any, digits: int, type_: Type) -> Any:
    if isinstance(value, int):
        value = Decimal(value)
    if not -1_000 <= digits <= 1_000:
        raise BadValueError("rounding to that many digits")
    rounded = value.quantize(Decimal(1).scaleb(-digits), decimal.ROUND_HALF_EVEN, _ROUNDING)
    return int(rounded) if reveal(type_) == INT else rounded


_ROUNDING: Final = decimal.Context(prec=3_000, Emax=9_999, Emin=-9_999, traps=list(_SIGNALS))
