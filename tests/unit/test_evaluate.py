"""Expressions: exact, lazy where they must be, and total but for `BadValue`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagalang.machine.evaluate import (
    BadValueError,
    Build,
    Scope,
    arithmetic,
    duration_text,
    evaluate,
    instant,
    milliseconds,
    scalar_identity,
)
from sagalang.machine.frozen import FrozenMap, freeze
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.text import Span

HERE = Span("", 0, 0)
RECORD = t.RecordRef("Order")


@dataclass(frozen=True)
class Made:
    type: t.Type
    fields: FrozenMap


def _make(type_: t.Type, fields: Any) -> Any:
    return Made(type_, FrozenMap(fields))


BUILD = Build(
    make=_make,
    get=lambda value, name: value.fields[name],
    convert=lambda value, type_: Decimal(value) if type_ == t.DECIMAL else value,
    update=lambda value, fields: Made(value.type, value.fields.plus(fields)),
)


def const(value: Any, type_: t.Type = t.UNKNOWN) -> p.Const:
    return p.Const(value, type_, HERE)


def of(expr: p.Expr, now: int = 0, **names: Any) -> Any:
    return evaluate(expr, Scope(names, BUILD, now=now))


def binary(operator: str, left: Any, right: Any) -> p.Expr:
    def made(value: Any) -> p.Expr:
        return value if hasattr(value, "span") else const(value)

    return p.Binary(operator, made(left), made(right), t.UNKNOWN, HERE)


def apply(function: str, *args: Any, type_: t.Type = t.INT) -> p.Expr:
    return p.Apply(function, tuple(const(arg) for arg in args), type_, HERE)


NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
ZERO_DIVISION = binary("/", 1, 0)


@pytest.mark.parametrize(
    ("operator", "left", "right", "expected"),
    [
        ("+", 1, 2, 3),
        ("+", "a", "b", "ab"),
        ("-", Decimal("0.3"), Decimal("0.1"), Decimal("0.2")),
        ("*", 3, Decimal("1.10"), Decimal("3.30")),
        ("/", 7, 2, Decimal("3.5")),
        ("/", Decimal(1), Decimal(8), Decimal("0.125")),
        ("/", timedelta(hours=1), 4, timedelta(minutes=15)),
        ("*", timedelta(seconds=2), Decimal("1.5"), timedelta(seconds=3)),
        (
            "+",
            datetime(2024, 1, 1, tzinfo=UTC),
            timedelta(days=1),
            datetime(2024, 1, 2, tzinfo=UTC),
        ),
        ("==", Decimal("1.0"), 1, True),
        ("<", 1, Decimal("1.5"), True),
        ("!=", "a", "b", True),
    ],
)
def test_operators(operator: str, left: Any, right: Any, expected: Any) -> None:
    assert of(binary(operator, left, right)) == expected


wide = st.decimals(
    allow_nan=False, allow_infinity=False, places=20, min_value=-(10**30), max_value=10**30
)


@given(wide, wide)
def test_sums_and_products_are_exact(left: Decimal, right: Decimal) -> None:
    assert Fraction(arithmetic("+", left, right)) == Fraction(left) + Fraction(right)
    assert Fraction(arithmetic("*", left, right)) == Fraction(left) * Fraction(right)


@pytest.mark.parametrize(
    "expr",
    [
        ZERO_DIVISION,
        binary("/", Decimal(1), Decimal(0)),
        binary("/", timedelta(1), 0),
        binary("*", Decimal("1e9999"), Decimal(10)),
        binary("+", Decimal("1e9000"), Decimal("1e-9000")),
        binary("+", datetime(9999, 12, 31, tzinfo=UTC), timedelta(days=2)),
        binary("*", timedelta.max, 2),
        apply("min", ()),
        p.Index(const((1, 2)), const(2), t.INT, HERE),
        p.Index(const((1, 2)), const(-1), t.INT, HERE),
        p.Index(const(FrozenMap({"a": 1})), const("b"), t.INT, HERE),
        p.Member(const(FrozenMap({"a": 1})), "b", t.JSON, HERE),
        p.Member(const(None), "b", t.JSON, HERE),
    ],
)
def test_what_has_no_value_is_a_bad_value(expr: p.Expr) -> None:
    with pytest.raises(BadValueError):
        of(expr)
    assert of(binary("??", expr, "instead")) == "instead"


def test_null_or_else() -> None:
    assert of(binary("??", None, 2)) == 2
    assert of(binary("??", 0, 2)) == 0
    assert of(binary("??", 1, ZERO_DIVISION)) == 1


def test_and_or_and_if_are_lazy() -> None:
    assert of(binary("and", False, ZERO_DIVISION)) is False
    assert of(binary("or", True, ZERO_DIVISION)) is True
    expr = p.Conditional(const(True), const(1), ZERO_DIVISION, t.INT, HERE)
    assert of(expr) == 1


def test_records_are_made_read_and_changed_by_what_was_injected() -> None:
    made = p.MakeRecord((("id", const("o")), ("n", const(1))), RECORD, HERE)
    changed = p.Update(made, (("n", const(2)),), RECORD, HERE)
    assert of(p.Member(changed, "n", t.INT, HERE)) == 2
    assert of(p.Member(changed, "id", t.STRING, HERE)) == "o"


def test_an_inline_record_can_be_a_map() -> None:
    made = p.MakeRecord((("a", const(1)),), t.MapOf(t.INT), HERE)
    assert of(made) == FrozenMap({"a": 1})
    assert of(p.Convert(const(3), t.DECIMAL, HERE)) == Decimal(3)


def test_a_comprehension_filters_and_its_variable_ends_with_it() -> None:
    x = p.Ref("x", t.INT, HERE)
    expr = p.Comprehension(
        binary("*", x, 2), "x", const((1, 2, 3)), binary(">", x, 1), t.ListOf(t.INT), HERE
    )
    assert of(expr, x=99) == (4, 6)
    assert of(x, x=99) == 99


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (apply("len", "abc"), 3),
        (apply("len", (1, 2)), 2),
        (apply("sum", (1, 2, 3)), 6),
        (apply("sum", (Decimal("0.1"), Decimal("0.2")), type_=t.DECIMAL), Decimal("0.3")),
        (apply("sum", (), type_=t.DURATION), timedelta(0)),
        (apply("min", (3, 1)), 1),
        (apply("max", 3, 1), 3),
        (apply("contains", (1, 2), 2), True),
        (apply("contains", "abc", "bc"), True),
        (apply("lower", "ÄB"), "äb"),
        (apply("upper", "b"), "B"),
        (apply("round", Decimal("2.5")), 2),
        (apply("round", Decimal("2.345"), 2, type_=t.DECIMAL), Decimal("2.34")),
    ],
)
def test_functions(expr: p.Expr, expected: Any) -> None:
    assert of(expr) == expected


def test_now_is_the_recorded_instant() -> None:
    assert of(p.Apply("now", (), t.DATETIME, HERE), now=1_500) == datetime(
        1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC
    )


def test_interpolation_writes_values_for_people() -> None:
    parts = [const("n="), const(Decimal("1E+2")), const(True), const(timedelta(minutes=90))]
    assert of(p.Interpolate(tuple(parts), t.STRING, HERE)) == "n=100true1h30m"


def test_constants_see_other_constants_and_nothing_else() -> None:
    a = p.Constant("a", const(2), t.INT, "", HERE)
    twice = p.Constant("b", binary("*", p.ConstantRef("a", t.INT, HERE), 2), t.INT, "", HERE)
    scope = Scope({"a": 100}, BUILD, constants={"a": a, "b": twice})
    assert evaluate(p.ConstantRef("b", t.INT, HERE), scope) == 4


def test_equal_decimals_are_one_identity() -> None:
    same = {scalar_identity(Decimal(text)) for text in ("1", "1.0", "1.00", "1E0")}
    assert same == {"1"}
    assert scalar_identity(Decimal("100")) == "100"
    assert scalar_identity(True) == "true"


@given(st.integers(0, 10**12))
def test_instants_and_milliseconds_are_inverse(ms: int) -> None:
    assert milliseconds(instant(ms)) == ms


def test_durations_are_written_as_in_the_language() -> None:
    assert duration_text(timedelta(0)) == "0s"
    assert duration_text(timedelta(days=1, milliseconds=5)) == "1d5ms"


def test_frozen_maps_are_values() -> None:
    assert hash(FrozenMap({"a": 1, "b": 2})) == hash(FrozenMap({"b": 2, "a": 1}))
    assert freeze({"a": [1, {"b": 2}]}) == FrozenMap({"a": (1, FrozenMap({"b": 2}))})
    base = FrozenMap({"a": 1})
    assert base.plus({"a": 2})["a"] == 2
    assert base["a"] == 1
