"""Values as JSON in which nothing is lost: what comes back is equal and of the same class.

    forms = Forms(EXACT, sealing(seal, unseal))
    form = forms.of(Order)
    form.read(parse(dump(form.write(order)))) == order

Differs from `codec`, which speaks with services: fields and members stand under their names in the
language, a decimal keeps its exponent and its sign (it is a text, or a number with a point or an
exponent where the type is `json`), a datetime its zone, and secrets are sealed. `CANONICAL` is
for comparing: values that are equal in the language are the same bytes.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple, Union, get_args, get_origin
from uuid import UUID

import msgspec

from sagalang.machine.frozen import FrozenMap, freeze
from sagalang.runtime.codec import DecodeError, EncodeError, parse
from sagalang.runtime.data import HIDDEN, Members, member_name
from sagalang.runtime.shapes import is_enum, is_record, record_fields


class Form(NamedTuple):
    """How the values of a type are written (as `dump` takes them) and read (as `parse` gives
    them). `read` raises `DecodeError`."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


class Forms:
    """The forms of types, each made once. `scalars`: `EXACT` or `CANONICAL`. `hidden` gives the
    form of secrets of a type."""

    def __init__(self, scalars: Mapping[Any, Form], hidden: Callable[[Any], Form]) -> None:
        self._made: dict[Any, Form] = {None: _NOTHING, types.NoneType: _NOTHING, **scalars}
        self._hidden = hidden

    def of(self, type_: Any) -> Form:
        """Raises TypeError for what is no type of the language."""
        found = self._made.get(type_)
        if found is None:
            found = self._made[type_] = self._make(type_)
        return found

    def _make(self, type_: Any) -> Form:
        origin, args = get_origin(type_), get_args(type_)
        if origin is Annotated:
            return self._marked(*args)
        if origin in (Union, types.UnionType):
            (item,) = (arg for arg in args if arg is not types.NoneType)
            return _optional(self.of(item))
        if origin in (tuple, list):
            return _list(self.of(args[0]))
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return _map(self.of(args[-1]))
        if is_record(type_):
            return self._record(type_)
        if is_enum(type_):
            return _enum({member: member_name(member) for member in type_})
        raise TypeError(f"{type_!r} is no type of the language")

    def _marked(self, base: Any, *marks: Any) -> Form:
        if HIDDEN in marks:
            others = tuple(mark for mark in marks if mark is not HIDDEN)
            return self._hidden(Annotated[(base, *others)] if others else base)
        for mark in marks:
            if isinstance(mark, Members):
                return _enum({name: name for name, _ in mark.pairs})
        return self.of(base)

    def _record(self, cls: Any) -> Form:
        fields: list[tuple[str, str, Form, bool]] = []

        def write(value: Any) -> dict[str, Any]:
            found = {}
            for attr, name, form, optional in fields:
                item = getattr(value, attr)
                if item is not None:
                    found[name] = form.write(item)
                elif not optional:  # an error of which the service told no more than the name
                    found[name] = None
            return found

        def read(plain: Any) -> Any:
            _expect(plain, dict, "an object")
            found = {}
            for attr, name, form, optional in fields:
                item = plain.get(name)
                if item is None and not optional and name not in plain:
                    raise DecodeError("this field is missing", name)
                found[attr] = None if item is None else form.read(item)
            return cls(**found)

        # The form exists before those of its fields do: they may lead back to it.
        form = self._made[cls] = Form(write, read)
        fields += [(f.attr, f.name, self.of(f.type), f.optional) for f in record_fields(cls)]
        return form


MISFITS: Final = (AttributeError, KeyError, TypeError, OverflowError, DecodeError)
"""What `Form.write` raises for a value that is not of the type. Not to be passed on: it may quote
the value."""


# --- Bytes -------------------------------------------------------------------------------------


def dump(plain: Any) -> bytes:
    """What `Form.write` gave as JSON. Raises `EncodeError`."""
    try:
        return _encode(plain)
    except UnicodeError:
        raise EncodeError("a text holds half a surrogate pair") from None


def dump_canonical(plain: Any) -> bytes:
    """As `dump`; the order in which a map was made does not show."""
    try:
        return _sorter().encode(plain)
    except UnicodeError:
        raise EncodeError("a text holds half a surrogate pair") from None


_encode: Final = msgspec.json.Encoder().encode


@lru_cache(maxsize=1)
def _sorter() -> msgspec.json.Encoder:
    return msgspec.json.Encoder(order="deterministic")


# --- Secrets -----------------------------------------------------------------------------------


def sealing(seal: Callable[[bytes], str], unseal: Callable[[str], bytes]) -> Callable[[Any], Form]:
    """Secrets as sealed texts. What these functions raise goes through."""
    bare = open_forms(EXACT)

    def hidden(type_: Any) -> Form:
        inner = bare.of(type_)

        def write(value: Any) -> str | None:
            return None if value is None else seal(dump(inner.write(value)))

        def read(plain: Any) -> Any:
            return None if plain is None else inner.read(parse(unseal(_string(plain))))

        return Form(write, read)

    return hidden


def open_forms(scalars: Mapping[Any, Form]) -> Forms:
    """Secrets as all else: for what never leaves the process, or is sealed as a whole."""
    found: Forms = Forms(scalars, lambda type_: found.of(type_))
    return found


def placeholder(type_: Any) -> Form:
    """Of a secret nothing but whether it is there."""
    return Form(lambda value: value is not None, _unreadable)


# --- What values are made of -------------------------------------------------------------------


def _expect(plain: Any, kind: type, name: str) -> None:
    if type(plain) is not kind:
        raise DecodeError(f"expected {name}")


def _same(value: Any) -> Any:
    return value


def _optional(item: Form) -> Form:
    write, read = item
    return Form(
        lambda value: None if value is None else write(value),
        lambda plain: None if plain is None else read(plain),
    )


def _list(item: Form) -> Form:
    write, read = item

    def read_list(plain: Any) -> tuple[Any, ...]:
        _expect(plain, list, "a list")
        return tuple([read(element) for element in plain])

    return Form(lambda value: [write(element) for element in value], read_list)


def _map(item: Form) -> Form:
    write, read = item

    def read_map(plain: Any) -> FrozenMap:
        _expect(plain, dict, "an object")
        return FrozenMap({key: read(element) for key, element in plain.items()})

    return Form(lambda value: {key: write(element) for key, element in value.items()}, read_map)


def _enum(names: Mapping[Any, str]) -> Form:
    """`names`: of the members, as they are in memory."""
    members = {name: member for member, name in names.items()}

    def read(plain: Any) -> Enum | str:
        found: Enum | str | None = members.get(plain) if isinstance(plain, str) else None
        if found is None:
            raise DecodeError("expected a member of an enum")
        return found

    return Form(names.__getitem__, read)


def _nothing(value: Any) -> None:
    if value is not None:
        raise DecodeError("expected null")


def _string(plain: Any) -> str:
    _expect(plain, str, "a string")
    return str(plain)


def _int(plain: Any) -> Any:
    _expect(plain, int, "an int")
    return plain


def _bool(plain: Any) -> Any:
    _expect(plain, bool, "a bool")
    return plain


def _decimal(plain: Any) -> Decimal:
    try:
        return Decimal(_string(plain))
    except ArithmeticError:
        raise DecodeError("expected a decimal") from None


def _duration(plain: Any) -> timedelta:
    try:
        return msgspec.convert(_string(plain), timedelta)
    except (msgspec.ValidationError, OverflowError):
        raise DecodeError("expected a duration") from None


def _uuid(plain: Any) -> UUID:
    try:
        return UUID(_string(plain))
    except ValueError:
        raise DecodeError("expected a uuid") from None


def _write_datetime(value: datetime) -> str:
    zone = getattr(value.tzinfo, "key", None)  # that of a ZoneInfo, as RFC 9557 writes it
    return f"{value.isoformat()}[{zone}]" if zone else value.isoformat()


def _read_datetime(plain: Any) -> datetime:
    text, _, zone = _string(plain).removesuffix("]").partition("[")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DecodeError("expected a datetime") from None
    return _in_zone(found, zone) if zone else found


def _in_zone(found: datetime, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    try:
        known = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return found
    for fold in (0, 1):  # the hour that comes twice when summer ends
        there = found.replace(tzinfo=known, fold=fold)
        if there.utcoffset() == found.utcoffset():
            return there
    return found  # the zone has other rules here than where this was written


def _write_json(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is str or kind is bool or kind is int:
        return value
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(key): _write_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_write_json(item) for item in value]
    if isinstance(value, datetime | timedelta | UUID):
        return msgspec.to_builtins(value)
    raise EncodeError(f"{kind.__name__} has no JSON form")


def _number(value: Decimal) -> msgspec.Raw:
    """With a point or an exponent, which tell it from an int."""
    if not value.is_finite():
        raise EncodeError("a decimal that is not finite has no JSON form")
    text = str(value)
    return msgspec.Raw(text if "." in text or "E" in text else f"{text}e0")


EXACT: Final[Mapping[Any, Form]] = {
    str: Form(_same, _string),
    int: Form(_same, _int),
    bool: Form(_same, _bool),
    Decimal: Form(_same, _decimal),
    timedelta: Form(_same, _duration),
    datetime: Form(_write_datetime, _read_datetime),
    UUID: Form(_same, _uuid),
    Any: Form(_write_json, freeze),
}
_NOTHING: Final = Form(_nothing, _nothing)


# --- Equal values, same bytes ------------------------------------------------------------------


def _unreadable(plain: Any) -> Any:
    raise DecodeError("the canonical form is for comparing only")


def _canonical_number(value: Decimal | int) -> str:
    sign, digits, exponent = Decimal(value).as_tuple()
    if not isinstance(exponent, int):
        raise EncodeError("a decimal that is not finite has no JSON form")
    text = "".join(map(str, digits)).lstrip("0")
    bare = text.rstrip("0")
    if not bare:
        return "0"
    return f"{'-' if sign else ''}{bare}e{exponent + len(text) - len(bare)}"


_MICROSECOND: Final = timedelta(microseconds=1)


def _instant(value: datetime) -> int:
    """Microseconds since the year 1 in UTC."""
    local = (value.replace(tzinfo=None) - datetime.min) // _MICROSECOND  # noqa: DTZ901
    return local - (value.utcoffset() or timedelta()) // _MICROSECOND


def _canonical_json(value: Any) -> Any:
    if isinstance(value, Decimal) or type(value) is int:
        return msgspec.Raw(_canonical_number(value))
    if isinstance(value, Mapping):
        return {str(key): _canonical_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_canonical_json(item) for item in value]
    return _write_json(value)


CANONICAL: Final[Mapping[Any, Form]] = {
    **{kind: Form(form.write, _unreadable) for kind, form in EXACT.items()},
    Decimal: Form(_canonical_number, _unreadable),
    datetime: Form(_instant, _unreadable),
    Any: Form(_canonical_json, _unreadable),
}
