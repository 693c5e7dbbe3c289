"""The built-in functions and the arithmetic: which types they take and give."""

from __future__ import annotations

from typing import Final, NamedTuple

from sagalang.model.context import Context
from sagalang.model.fit import fits, join
from sagalang.model.types import (
    BOOL,
    DATETIME,
    DECIMAL,
    DURATION,
    INT,
    STRING,
    ListOf,
    MapOf,
    Type,
)

_NUMBERS: Final = (INT, DECIMAL)
_ORDERED: Final = (INT, DECIMAL, STRING, DURATION, DATETIME)

USAGE: Final = {
    "len": "one string, list or map",
    "sum": "one list of numbers or durations",
    "min": "one list, or two or more values that have an order",
    "max": "one list, or two or more values that have an order",
    "contains": "a list and an element, a map and a key, or two strings",
    "lower": "one string",
    "upper": "one string",
    "round": "a decimal, and the number of digits if you want any",
    "now": "nothing",
}

_ARITHMETIC: Final[dict[tuple[str, Type, Type], Type]] = {
    ("+", STRING, STRING): STRING,
    ("+", DURATION, DURATION): DURATION,
    ("-", DURATION, DURATION): DURATION,
    ("+", DATETIME, DURATION): DATETIME,
    ("+", DURATION, DATETIME): DATETIME,
    ("-", DATETIME, DURATION): DATETIME,
    ("-", DATETIME, DATETIME): DURATION,
    ("*", DURATION, INT): DURATION,
    ("*", INT, DURATION): DURATION,
    ("/", DURATION, INT): DURATION,
}


def arithmetic(operator: str, left: Type, right: Type) -> Type | None:
    """The type of `left operator right`, or None. Dividing ints gives a decimal."""
    if left in _NUMBERS and right in _NUMBERS:
        return INT if left == right == INT and operator != "/" else DECIMAL
    return _ARITHMETIC.get((operator, left, right))


class Signature(NamedTuple):
    """What each argument is converted to, and what comes out."""

    params: tuple[Type, ...]
    type: Type


def result_type(context: Context, name: str, args: tuple[Type, ...]) -> Signature | None:
    """The signature that a call of a built-in function with these types has, or None."""
    match name, args:
        case "len", (ListOf() | MapOf(),):
            return Signature(args, INT)
        case "len", (item,) if item == STRING:
            return Signature(args, INT)
        case "sum", (ListOf(item),) if item in (*_NUMBERS, DURATION):
            return Signature(args, item)
        case (("min" | "max"), (ListOf(item),)) if item in _ORDERED:
            return Signature(args, item)
        case (("min" | "max"), (first, *rest)) if rest:
            common: Type | None = first
            for item in rest:
                common = join(context, common, item) if common else None
            if common not in _ORDERED or common is None:
                return None
            return Signature((common,) * len(args), common)
        case "contains", (ListOf(item), wanted) if fits(context, wanted, item):
            return Signature((args[0], item), BOOL)
        case "contains", (MapOf(), wanted) if wanted == STRING:
            return Signature(args, BOOL)
        case "contains", (text, part) if text == part == STRING:
            return Signature(args, BOOL)
        case (("lower" | "upper"), (item,)) if item == STRING:
            return Signature(args, STRING)
        case "round", (item,) if item in _NUMBERS:
            return Signature((DECIMAL,), DECIMAL)
        case "round", (item, digits) if item in _NUMBERS and digits == INT:
            return Signature((DECIMAL, INT), DECIMAL)
        case "now", ():
            return Signature((), DATETIME)
        case _:
            return None
