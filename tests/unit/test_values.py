"""Values and their JSON: what goes in comes out, and what does not fit says where and why."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_program import PROGRAM, param, saga

from sagalang.machine.frozen import FrozenMap
from sagalang.model.types import (
    BOOL,
    DATETIME,
    DECIMAL,
    DURATION,
    INT,
    JSON,
    STRING,
    UUID,
    EnumRef,
    InlineRecord,
    ListOf,
    MapOf,
    Optional,
    RecordRef,
    Type,
    optional,
)
from sagalang.runtime.codec import DecodeError, EncodeError, Mode, decode, encode, read, text
from sagalang.runtime.data import attribute, field_name
from sagalang.runtime.values import Values, decode_input

VALUES = Values(PROGRAM)
ORDER = VALUES.python_type(RecordRef("Order"))
GOOD = (
    b'{"id":"o","lines":[{"sku":"A","qty":1}],"total":{"amount":9.90,"currency":"EUR"},'
    b'"card":"tok"}'
)

SCALARS: dict[Type, st.SearchStrategy[Any]] = {
    STRING: st.text(st.characters(exclude_categories=["Cs"])),
    INT: st.integers(-(2**80), 2**80),
    DECIMAL: st.decimals(allow_nan=False, allow_infinity=False),
    BOOL: st.booleans(),
    DURATION: st.timedeltas(timedelta(days=-9999), timedelta(days=9999)),
    DATETIME: st.datetimes(timezones=st.just(UTC)),
    UUID: st.uuids(),
    EnumRef("Verdict"): st.sampled_from(["Approved", "Denied"]),
}
NAMES = st.sampled_from(["a", "b", "class", "class_", "__init__", "_x", "field__x", "keys", "None"])


def typed() -> st.SearchStrategy[tuple[Type, st.SearchStrategy[Any]]]:
    leaf = st.sampled_from(list(SCALARS.items()))

    def grow(inner: Any) -> Any:
        return st.one_of(
            inner.map(lambda t: (ListOf(t[0]), st.lists(t[1], max_size=3).map(tuple))),
            inner.map(
                lambda t: (
                    MapOf(t[0]),
                    st.dictionaries(st.text('abc"é/', max_size=3), t[1]).map(FrozenMap),
                )
            ),
            inner.map(lambda t: (optional(t[0]), st.none() | t[1])),
            st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(_record),
        )

    return st.recursive(leaf, grow, max_leaves=5)


def _record(fields: dict[str, Any]) -> tuple[Type, st.SearchStrategy[Any]]:
    type_ = InlineRecord(tuple((name, t, f"{name} wire") for name, (t, _) in fields.items()))
    made = st.fixed_dictionaries({name: s for name, (_, s) in fields.items()})
    return type_, made.map(lambda f: VALUES.make(type_, f))


@given(st.data())
@settings(max_examples=150 if "SAGA_SLOW" in os.environ else 60, deadline=None)
def test_what_is_written_is_read_again(data: st.DataObject) -> None:
    type_, values = data.draw(typed())
    value = data.draw(values)
    python = VALUES.python_type(type_)
    again = decode(encode(value, python), python)
    assert again == value
    assert hash(again) == hash(value)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_keep_their_digits(value: Decimal) -> None:
    assert str(decode(encode(value, Decimal), Decimal)) in (str(value), str(value).lstrip("-"))
    assert str(decode(f'"{value}"', Decimal)) == str(value)


@given(st.lists(st.text("fieldclas_", min_size=1), min_size=2, unique=True))
def test_no_two_fields_share_an_attribute(names: list[str]) -> None:
    assert len({attribute(name) for name in names}) == len(names)
    assert [field_name(attribute(name)) for name in names] == names


@pytest.mark.parametrize(
    ("bad", "path", "message"),
    [
        (GOOD.replace(b":1}", b':"1"}'), "order.lines[0].qty", "expected an int, got a string"),
        (GOOD.replace(b":1}", b":true}"), "order.lines[0].qty", "expected an int, got a bool"),
        (GOOD.replace(b":1}", b":1.5}"), "order.lines[0].qty", "expected an int, got a decimal"),
        (GOOD.replace(b',"qty":1', b""), "order.lines[0].qty", "this field is missing"),
        (GOOD.replace(b"9.90", b'"NaN"'), "order.total.amount", "not a number"),
        (GOOD.replace(b"9.90", b'"Infinity"'), "order.total.amount", "not a number"),
        (GOOD.replace(b"9.90", b"NaN"), "order", "not JSON"),
        (GOOD.replace(b"9.90", b"1e99999999999999999999"), "order", "out of range"),
        (GOOD.replace(b'"card"', b'"crad":1,"card"'), "order", "did you mean `card`?"),
        (b"[" * 100_000, "order", "nested too deeply"),
        (b'"\xff"', "order", "UTF-8"),
        (b"", "order", "ends too early"),
        (b"9" * 5000, "order", "out of range"),
    ],
)
def test_a_misfit_says_where_and_why(bad: bytes, path: str, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(bad, ORDER, strict=True, root="order")
    assert caught.value.path == path
    assert message in caught.value.message
    assert "tok" not in str(caught.value)


def test_answers_may_have_more_fields_than_declared() -> None:
    assert decode(GOOD[:-1] + b',"new":1}', ORDER) == decode(GOOD, ORDER)


def test_secrets_are_not_in_the_repr() -> None:
    assert "tok" not in repr(decode(GOOD, ORDER))
    assert decode(GOOD, ORDER).card == "tok"


def test_null_optionals_are_left_out_and_enums_have_wire_names() -> None:
    value = VALUES.python_type(InlineRecord((("v", EnumRef("Verdict"), "v"),)))(v="Approved")
    assert encode(value, type(value)) == b'{"v":"a-1"}'
    assert b"note" not in encode(decode(GOOD, ORDER), ORDER)
    with pytest.raises(DecodeError, match="expected one of a-1, Denied"):
        decode(b'{"v":"Approved"}', type(value))


def test_json_is_immutable_all_the_way_down() -> None:
    value = decode(b'{"a":[{"b":1.10}]}', VALUES.python_type(JSON))
    assert value == FrozenMap({"a": (FrozenMap({"b": Decimal("1.10")}),)})
    hash(value)
    assert encode(value, Any) == b'{"a":[{"b":1.10}]}'


def test_what_has_no_json_form_is_refused() -> None:
    for value in (Decimal("NaN"), Decimal("-Infinity")):
        with pytest.raises(EncodeError):
            encode(value, Decimal)
    with pytest.raises(EncodeError):
        encode("\ud800", str)


def test_keys_of_maps_are_hidden_where_a_log_could_show_them() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(b'{"k\\"1":"x"}', VALUES.python_type(MapOf(INT)))
    assert (caught.value.path, caught.value.shape) == ('["k\\"1"]', "[*]")


def test_convert_fits_ints_and_inline_records() -> None:
    inline = InlineRecord((("amount", INT, "a"), ("currency", STRING, "c"), ("more", INT, "m")))
    source = VALUES.make(inline, {"amount": 3, "currency": "EUR", "more": 1})
    money = VALUES.python_type(RecordRef("Money"))(amount=Decimal(3), currency="EUR")
    assert VALUES.convert(source, RecordRef("Money")) == money
    nested = VALUES.convert(
        (FrozenMap({"k": source}),), ListOf(MapOf(Optional(RecordRef("Money"))))
    )
    assert nested == (FrozenMap({"k": money}),)
    assert VALUES.convert(None, optional(DECIMAL)) is None
    assert isinstance(VALUES.convert(True, BOOL), bool)
    assert VALUES.convert(source, JSON) == FrozenMap({"a": 3, "c": "EUR", "m": 1})
    assert VALUES.update(money, {"currency": "USD"}).currency == "USD"


def test_texts_for_urls() -> None:
    assert text("a b", str) == "a b"
    assert text(Decimal("1.10"), Decimal) == "1.10"
    assert text(True, bool) == "true"
    assert text(datetime(2030, 1, 2, tzinfo=UTC), datetime) == "2030-01-02T00:00:00Z"


def test_python_results_may_be_native() -> None:
    class Money:
        amount = 1.1
        currency = "EUR"

    money = VALUES.python_type(RecordRef("Money"))
    assert read(Money(), money, Mode.PYTHON) == money(amount=Decimal("1.1"), currency="EUR")
    for amount in (float("nan"), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(DecodeError, match="not finite"):
            read({"amount": amount, "currency": "E"}, money, Mode.PYTHON)
    with pytest.raises(DecodeError):
        read(Money(), money)


class TestInput:
    def test_by_parameter_name_or_bare(self) -> None:
        one = saga("S", param("order", RecordRef("Order")))
        wanted = {"order": decode(GOOD, ORDER)}
        assert decode_input(VALUES, one, GOOD) == wanted
        assert decode_input(VALUES, one, b'{"order":%s}' % GOOD) == wanted

    def test_mistakes_name_the_parameter(self) -> None:
        one = saga("S", param("order", RecordRef("Order")))
        for bad, path in (
            (b'{"id":1}', "order.id"),
            (b'{"order":{"id":"o"}}', "order.lines"),
            (b"{}", "order"),
            (b"[]", ""),
            (b'{"oder":{}}', ""),
        ):
            with pytest.raises(DecodeError) as caught:
                decode_input(VALUES, one, bad)
            assert caught.value.path == path

    def test_several_and_optional(self) -> None:
        two = saga("S", param("a", INT), param("b", optional(STRING)))
        assert decode_input(VALUES, two, '{"a": 1}') == {"a": 1, "b": None}
        with pytest.raises(DecodeError, match="unknown field `c`"):
            decode_input(VALUES, two, '{"a":1,"c":2}')


def test_values_load_no_network_library() -> None:
    code = "import sys, sagalang.runtime.values as v; print([m for m in sys.modules if m in "
    code += "('httpx','starlette','uvicorn','lark','jinja2','networkx')])"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert shown.stdout.strip() == "[]"
