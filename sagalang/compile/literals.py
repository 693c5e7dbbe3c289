"""Literals of Python: text, times, exact numbers."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from sagalang.compile.context import Module


def string(value: str) -> str:
    """A string literal, with the quotes that need fewer escapes, as formatters choose them."""
    quote = "'" if value.count('"') > value.count("'") else '"'
    shown = "".join(_escaped(sign, quote) for sign in value)
    return quote + shown + quote


def _escaped(sign: str, quote: str) -> str:
    if sign in (quote, "\\"):
        return "\\" + sign
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


def duration(module: Module, value: timedelta) -> str:
    """`timedelta(hours=1, minutes=30)`"""
    micros = value // timedelta(microseconds=1)
    sign, left = ("-", -micros) if micros < 0 else ("", micros)
    parts = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{unit}={count}")
    return f"{sign}{module.use('timedelta')}({', '.join(parts)})"


_UNITS = (
    ("days", 86_400_000_000),
    ("hours", 3_600_000_000),
    ("minutes", 60_000_000),
    ("seconds", 1_000_000),
    ("milliseconds", 1_000),
    ("microseconds", 1),
)


def milliseconds(module: Module, value: int) -> str:
    return duration(module, timedelta(milliseconds=value))


def decimal(module: Module, value: Decimal) -> str:
    return f'{module.use("Decimal")}("{value}")'
