"""JSON in and out, directed by the Python types of the values.

One reader serves answers of services, input of sagas (strict: an unknown field is refused) and
results of Python functions (native values are welcome). Decimals keep their exact digits, lists
arrive as tuples and maps as `FrozenMap`. Messages never quote a value: it could be a secret.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Final, Union, get_args, get_origin
from uuid import UUID

import msgspec

from sagalang.diagnostics.suggest import nearest
from sagalang.machine.frozen import Choice, FrozenMap
from sagalang.runtime.data import Members, member_name
from sagalang.runtime.shapes import is_enum, is_record, record_fields

Part = str | int | tuple[str]
"""A step of a path: a field, an index, or (in a tuple) the key of a map."""


class DecodeError(ValueError):
    """What was read does not fit. `message` is a plain sentence without any value.

    `path` reads like `order.lines[0].qty`, empty for the value as a whole. `shape` is the path
    with the keys of maps hidden: for logs, where a key may not be shown.
    """

    def __init__(self, message: str, *parts: Part) -> None:
        super().__init__(message)
        self.message = message
        self.parts: list[Part] = list(parts)
        self.hide_keys = False

    @property
    def path(self) -> str:
        return _join(self.parts, show_keys=not self.hide_keys)

    @property
    def shape(self) -> str:
        return _join(self.parts, show_keys=False)

    def within(self, part: Part) -> None:
        """Puts a step before the path: that of the value which held this one."""
        self.parts.insert(0, part)

    def __str__(self) -> str:
        return f"{self.shape}: {self.message}" if self.parts else self.message


class EncodeError(ValueError):
    """A value that has no JSON form: not a finite number, or text that is not Unicode."""


class Mode(Choice):
    """Where the value comes from."""

    ANSWER = "answer"
    """JSON of a service: unknown fields are ignored."""
    INPUT = "input"
    """JSON of a user: unknown fields are refused."""
    PYTHON = "python"
    """A Python function: native values, and objects with attributes, are accepted too."""
    GIVEN = "given"
    """A Python program, as input: the same, and unknown fields are refused."""


_NATIVE: Final = frozenset({Mode.PYTHON, Mode.GIVEN})

Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]

_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_WEEKS: Final = re.compile(r"([+-]?)P(\d{1,8})W", re.ASCII)
_AWARE: Final = Annotated[datetime, msgspec.Meta(tz=True)]


# --- Bytes -------------------------------------------------------------------------------------


def parse(data: bytes | str) -> Any:
    """JSON as plain values; a number with a fraction or an exponent becomes an exact Decimal."""
    try:
        return _parser().decode(data)
    except msgspec.MsgspecError as error:
        raise DecodeError(_plain(str(error))) from None
    except UnicodeError:
        raise DecodeError("this is not UTF-8 text") from None
    except RecursionError:
        raise DecodeError("this is nested too deeply") from None
    except ArithmeticError:
        raise DecodeError("a number in here is out of range") from None


def dump(plain: Any) -> bytes:
    """Plain values as JSON: decimals as numbers with their exact digits."""
    try:
        return _encoder().encode(plain)
    except UnicodeError:
        raise EncodeError("a text holds half a surrogate pair") from None


def decode(data: bytes | str, type_: Any, *, strict: bool = False, root: str = "") -> Any:
    """The value of this type that the JSON text holds, or `DecodeError`.

    `strict` refuses fields the type does not have. `root` begins the path of an error.
    """
    try:
        return _reader(type_, Mode.INPUT if strict else Mode.ANSWER)(parse(data))
    except DecodeError as error:
        if root:
            error.within(root)
        raise


def read(plain: Any, type_: Any, mode: Mode = Mode.ANSWER) -> Any:
    """Like `decode`, for JSON that `parse` has read, or (Mode.PYTHON) for native values."""
    return _reader(type_, mode)(plain)


def reader(type_: Any, mode: Mode) -> Reader:
    """What `read` does for this type, made once."""
    return _reader(type_, mode)


def encode(value: Any, type_: Any) -> bytes:
    """The value as JSON; optional fields that are null are left out."""
    return dump(_writer(type_)(value))


def plain(value: Any, type_: Any) -> Any:
    """The value as `dump` takes it: dicts, lists and scalars, with the names of the wire."""
    return _writer(type_)(value)


def text(value: Any, type_: Any) -> str:
    """The value as it stands in a path or a query string: text bare, all else as in JSON."""
    encoded = dump(_writer(type_)(value))
    return str(parse(encoded)) if encoded.startswith(b'"') else encoded.decode()


def freeze(plain: Any) -> Any:
    """Plain JSON values, deeply immutable: what the type `json` holds in memory."""
    if isinstance(plain, dict | FrozenMap):
        return FrozenMap({str(name): freeze(item) for name, item in plain.items()})
    if isinstance(plain, list | tuple):
        return tuple(freeze(item) for item in plain)
    if isinstance(plain, float):
        return _decimal(plain)
    return plain


@lru_cache(maxsize=1)
def _parser() -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(float_hook=Decimal)


@lru_cache(maxsize=1)
def _encoder() -> msgspec.json.Encoder:
    return msgspec.json.Encoder(decimal_format="number")


def _plain(message: str) -> str:
    if "truncated" in message:
        return "the JSON text ends too early"
    if "out of range" in message:
        return "a number in here is out of range"
    return "this is not JSON: " + message.removeprefix("JSON is malformed: ")


# --- Reading -----------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _reader(type_: Any, mode: Mode) -> Reader:
    origin = get_origin(type_)
    if origin is Annotated:
        base, *marks = get_args(type_)
        members = next((m for m in marks if isinstance(m, Members)), None)
        return _enum_reader(members, mode) if members else _reader(base, mode)
    if origin in (Union, types.UnionType):
        arms = [arm for arm in get_args(type_) if arm is not types.NoneType]
        if len(arms) != 1:
            raise TypeError(f"a union has no JSON form: {type_}")
        inner = _reader(arms[0], mode)
        return lambda value: None if value is None else inner(value)
    if origin in (tuple, list):
        return _list_reader(_reader(get_args(type_)[0], mode), mode)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _map_reader(_reader(get_args(type_)[-1], mode))
    if is_record(type_):
        return _record_reader(type_, mode)
    if is_enum(type_):
        return _enum_class_reader(type_, mode)
    if type_ is None or type_ is types.NoneType:
        return _nothing
    if type_ is Any:
        return freeze
    reader = _SCALARS.get(type_)
    if reader is None:
        raise TypeError(f"no JSON form for {type_!r}")
    return reader


def _wrong(expected: str, value: Any) -> DecodeError:
    return DecodeError(f"expected {expected}, got {_kind(value)}")


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a bool"
        case int():
            return "an int"
        case float() | Decimal():
            return "a decimal"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _nothing(value: Any) -> None:
    return None


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _wrong("a string", value)


def _int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # 1.0 is an integer to JSON; the bound keeps 1e999999999 from becoming a gigabyte of digits.
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 19:
        whole = int(value)
        if whole == value:
            return whole
    raise _wrong("an int", value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise _wrong("a decimal", value)
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(value))
    if isinstance(value, str):
        if _NUMBER.fullmatch(value):
            try:
                return Decimal(value)
            except ArithmeticError:
                pass
        raise DecodeError("expected a decimal, got a string that is not a number")
    if isinstance(value, Decimal | float):
        raise DecodeError("expected a decimal, got one that is not finite")
    raise _wrong("a decimal", value)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong("a bool", value)


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise _wrong("a duration", value)
    weeks = _WEEKS.fullmatch(value)
    try:
        if weeks:
            span = timedelta(weeks=int(weeks[2]))
            return -span if weeks[1] == "-" else span
        return msgspec.convert(value, timedelta)
    except (msgspec.ValidationError, OverflowError):
        raise DecodeError(
            "expected a duration (ISO 8601, such as PT1H30M), got another string"
        ) from None


def _datetime(value: Any) -> datetime:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise DecodeError("expected a datetime with an offset, got one without")
        return value
    if not isinstance(value, str):
        raise _wrong("a datetime", value)
    try:
        found: datetime = msgspec.convert(value, _AWARE)
    except msgspec.ValidationError:
        raise DecodeError(
            "expected a datetime (RFC 3339, such as 2030-01-31T12:00:00Z), got another string"
        ) from None
    return found


def _uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str):
        raise _wrong("a uuid", value)
    try:
        return msgspec.convert(value, UUID)
    except msgspec.ValidationError:
        raise DecodeError("expected a uuid, got another string") from None


_SCALARS: Final[dict[Any, Reader]] = {
    str: _string,
    int: _int,
    Decimal: _decimal,
    bool: _bool,
    timedelta: _duration,
    datetime: _datetime,
    UUID: _uuid,
}


def _enum_reader(members: Members, mode: Mode) -> Reader:
    by_wire = {wire: name for name, wire in members.pairs}
    native = mode in _NATIVE
    if native:
        by_wire |= {name: name for name, _ in members.pairs}
    expected = ", ".join(wire for _, wire in members.pairs)

    def read_enum(value: Any) -> str:
        if native and isinstance(value, Enum):
            value = value.name
        if not isinstance(value, str):
            raise _wrong("a string", value)
        name = by_wire.get(value)
        if name is None:
            raise DecodeError(f"expected one of {expected}, got another string")
        return name

    return read_enum


def _enum_class_reader(cls: type[Enum], mode: Mode) -> Reader:
    by_wire: dict[str, Enum] = {member.value: member for member in cls}
    native = mode in _NATIVE
    if native:
        by_wire |= {member_name(member): member for member in cls}
    expected = ", ".join(member.value for member in cls)

    def read_enum(value: Any) -> Enum:
        if native and isinstance(value, Enum):
            value = member_name(value)
        if not isinstance(value, str):
            raise _wrong("a string", value)
        member = by_wire.get(value)
        if member is None:
            raise DecodeError(f"expected one of {expected}, got another string")
        return member

    return read_enum


def _list_reader(item: Reader, mode: Mode) -> Reader:
    kinds: tuple[type, ...] = (list, tuple, set, frozenset) if mode in _NATIVE else (list,)

    def read_list(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, kinds):
            raise _wrong("a list", value)
        found: list[Any] = []
        elements: Any = value
        for index, element in enumerate(elements):
            try:
                found.append(item(element))
            except DecodeError as error:
                error.within(index)
                raise
        return tuple(found)

    return read_list


def _map_reader(item: Reader) -> Reader:
    def read_map(value: Any) -> FrozenMap:
        if not isinstance(value, Mapping):
            raise _wrong("an object", value)
        found = {}
        for name, element in value.items():
            if not isinstance(name, str):
                raise DecodeError("the keys of a map must be strings")
            try:
                found[name] = item(element)
            except DecodeError as error:
                error.within((name,))
                raise
        return FrozenMap(found)

    return read_map


_MISSING: Final = object()


def _record_reader(cls: type, mode: Mode) -> Reader:
    native = mode in _NATIVE

    @lru_cache(maxsize=1)
    def table() -> tuple[tuple[str, str, str, Reader, bool], ...]:
        # Built at the first use and not before: a record may contain itself.
        return tuple(
            (f.attr, f.name, f.wire, _reader(f.type, mode), f.optional) for f in record_fields(cls)
        )

    def read_record(value: Any) -> Any:
        is_mapping = type(value) is dict or isinstance(value, Mapping)
        if not is_mapping and (not native or _is_scalar(value)):
            raise _wrong("an object", value)
        if mode is Mode.INPUT:
            # Before anything is missed: a misspelt field is both unknown and missing.
            refuse_unknown(value, [wire for _, _, wire, _, _ in table()])
        elif mode is Mode.GIVEN and is_mapping:
            known = (name for _, name, wire, _, _ in table() for name in (name, wire))
            refuse_unknown(value, list(dict.fromkeys(known)))
        found = {}
        for attr, name, wire, reader, optional in table():
            if not is_mapping:
                # Also of an instance of the class itself: nothing has checked what it holds.
                raw = getattr(value, attr, _MISSING)
            elif native and name in value:
                raw = value[name]
            else:
                raw = value.get(wire, _MISSING)
            if raw is _MISSING:
                if not optional:
                    raise DecodeError("this field is missing", wire)
                continue
            try:
                found[attr] = reader(raw)
            except DecodeError as error:
                error.within(wire)
                raise
        return cls(**found)

    return read_record


def refuse_unknown(fields: Mapping[str, Any], known: list[str]) -> None:
    """Raises `DecodeError` for the first field that is not known."""
    for name in fields:
        if name not in known:
            meant = nearest(name, known)
            help_ = f"did you mean `{meant}`?" if meant else _known(known)
            raise DecodeError(f"unknown field `{name}`; {help_}")


def _known(known: list[str]) -> str:
    names = ", ".join(f"`{name}`" for name in known)
    return f"known are {names}" if known else "no field is expected here"


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(
        value, str | bytes | int | float | Decimal | list | tuple | datetime | timedelta | UUID
    )


# --- Writing -----------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _writer(type_: Any) -> Writer:
    origin = get_origin(type_)
    if origin is Annotated:
        base, *marks = get_args(type_)
        members = next((m for m in marks if isinstance(m, Members)), None)
        return _enum_writer(members) if members else _writer(base)
    if origin in (Union, types.UnionType):
        arms = [arm for arm in get_args(type_) if arm is not types.NoneType]
        inner = _writer(arms[0])
        return lambda value: None if value is None else inner(value)
    if origin in (tuple, list):
        item = _writer(get_args(type_)[0])
        return lambda value: [item(element) for element in value]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        entry = _writer(get_args(type_)[-1])
        return lambda value: {name: entry(element) for name, element in value.items()}
    if is_record(type_):
        return _record_writer(type_)
    if is_enum(type_):
        return lambda value: value.value
    if type_ is Decimal:
        return _finite
    if type_ is Any:
        return _write_json
    return lambda value: value


def _finite(value: Any) -> Any:
    if isinstance(value, Decimal) and not value.is_finite():
        raise EncodeError("a decimal that is not finite has no JSON form")
    return value


def _enum_writer(members: Members) -> Writer:
    by_name = dict(members.pairs)

    def write_enum(value: Any) -> str:
        wire = by_name.get(value)
        if wire is None:
            raise EncodeError("a value that is not a member of its enum")
        return wire

    return write_enum


def _record_writer(cls: type) -> Writer:
    @lru_cache(maxsize=1)
    def table() -> tuple[tuple[str, str, Writer, bool], ...]:
        return tuple((f.attr, f.wire, _writer(f.type), f.optional) for f in record_fields(cls))

    def write_record(value: Any) -> dict[str, Any]:
        found = {}
        for attr, wire, writer, omit in table():
            item = getattr(value, attr)
            if item is not None or not omit:
                found[wire] = writer(item)
        return found

    return write_record


def _write_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _write_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_write_json(item) for item in value]
    if is_record(type(value)):
        kind: Any = type(value)
        return _writer(kind)(value)
    return _finite(value)


# --- Paths -------------------------------------------------------------------------------------


def _join(parts: list[Part], *, show_keys: bool) -> str:
    shown = ""
    for part in parts:
        match part:
            case int():
                shown += f"[{part}]"
            case (key,):
                shown += f"[{msgspec.json.encode(key).decode()}]" if show_keys else "[*]"
            case str():
                shown += f".{part}" if shown else part
    return shown
