"""The journal of a run as a text: JSON lines, a header and then an entry a line.

    lines = [header_line(header), *map(entry_line, entries)]
    journal = read("".join(lines))

Pure; docs/journal.md describes the format. The values in it are those that people may see
(`journal_values`): a value that was not covered is refused.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final, Union, get_args, get_origin

from msgspec import NODEFAULT, Struct, structs

from sagalang.model.program import Ms
from sagalang.runtime import journal as j
from sagalang.runtime.codec import DecodeError, dump, freeze, parse
from sagalang.runtime.codec import plain as unfreeze
from sagalang.runtime.codec import read as read_plain
from sagalang.runtime.entry_kinds import ENDS, ENTRIES, OUTCOMES
from sagalang.runtime.journal_values import Kept
from sagalang.runtime.shapes import is_record, record_fields

FORMAT: Final = "sagalang-journal"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class LateArrival:
    """Stands among the entries of a journal: a call of `label` (`Service.operation`) that reaches
    its service when nobody waits for it any more. `text` says what comes of it."""

    at: Ms
    label: str
    text: str = "arrives late"


@dataclass(frozen=True, slots=True)
class FaultStruck:
    """Stands among the entries of a run on fakes: a fault that was asked for strikes
    a call of `label` (`Service.operation`)."""

    at: Ms
    label: str
    text: str


Line = j.Entry | LateArrival | FaultStruck
"""What a line behind the header holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """The texts that a run went by: of the file that was run and of its imports, by their paths
    as they were given. Literals that are secrets are replaced."""

    main: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """`began`: ms since the Unix epoch. `sagalang`: the version that wrote it. `fakes`: whether
    the services were fakes."""

    sagalang: str
    saga: str
    saga_id: str
    began: Ms
    fakes: bool
    definition: Definition


@dataclass(frozen=True, slots=True)
class Journal:
    """`cut`: the last line was written in part and was left out; the writer was killed."""

    header: Header
    lines: tuple[Line, ...]
    cut: bool = False


class JournalError(ValueError):
    """A text that is not a journal. The message is a plain sentence without any value, `advice`
    what to do, `line` the number of the line it is about (None: the text as a whole)."""

    def __init__(self, message: str, advice: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.advice, self.line = advice, line


_LINES: Final[Mapping[str, type[Line]]] = {
    **ENTRIES,
    "late arrival": LateArrival,
    "fault": FaultStruck,
}
_ALTERNATIVES: Final[Mapping[str, type]] = {**OUTCOMES, **ENDS}
"""Of outcomes, which are one of several classes; told apart by the field `is`."""
_LINE_NAMES: Final = {cls: name for name, cls in _LINES.items()}
_ALTERNATIVE_NAMES: Final = {cls: name for name, cls in _ALTERNATIVES.items()}


# --- Writing -----------------------------------------------------------------------------------


def header_line(header: Header) -> str:
    return _line({"format": FORMAT, "version": VERSION, **_fields(header)})


def entry_line(entry: Line) -> str:
    """An entry, with the values that `journal_values.covering` left in it; it ends with a newline.

    Raises TypeError for a value that was not covered, `EncodeError` for a text that is not Unicode.
    """
    return _line({"entry": _LINE_NAMES[type(entry)], **_fields(entry)})


def _line(fields: Mapping[str, Any]) -> str:
    return dump(fields).decode() + "\n"


def _fields(value: Any) -> dict[str, Any]:
    """The fields by name, without those that have their default."""
    cls: type = type(value)
    defaults = _defaults(cls)
    return {
        field.name: _plain(item, field.type)
        for field in record_fields(cls)
        if (item := getattr(value, field.attr)) != defaults.get(field.attr, _NONE)
    }


_NONE: Final = object()


@lru_cache(maxsize=64)
def _defaults(cls: Hashable) -> Mapping[str, Any]:
    found: Any = cls
    if issubclass(found, Struct):
        return {f.name: f.default for f in structs.fields(found) if f.default is not NODEFAULT}
    own: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(found)
    return {f.name: f.default for f in own if f.default is not dataclasses.MISSING}


def _plain(value: Any, type_: Any) -> Any:
    origin = get_origin(type_)
    if type_ is Any:
        if isinstance(value, Kept):
            return unfreeze(value.plain, Any)
        if value is None:
            return None
        raise TypeError("a value that was not covered does not go into a journal")
    if value is None:
        return None
    if origin in (Union, types.UnionType):
        arms = _arms(type_)
        if len(arms) == 1:
            return _plain(value, arms[0])
        return {"is": _ALTERNATIVE_NAMES[type(value)], **_fields(value)}
    if origin is tuple:
        return [_plain(item, get_args(type_)[0]) for item in value]
    if isinstance(value, Enum):
        return value.value
    return _fields(value) if is_record(type_) else value


def _arms(type_: Any) -> list[Any]:
    return [arm for arm in get_args(type_) if arm is not types.NoneType]


# --- Reading -----------------------------------------------------------------------------------


def read(data: bytes | str) -> Journal:
    """The journal that this text holds. Raises `JournalError`.

    A last line that was not written to its end is left out, and said.
    """
    raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    first, _, rest = raw.partition(b"\n")
    header = _header(first)
    lines: list[Line] = []
    *whole, last = rest.split(b"\n")
    for number, text in enumerate(whole, 2):
        try:
            lines.append(_entry(text))
        except DecodeError as error:
            raise JournalError(f"this line is damaged: {error}", MEND, number) from None
    cut = False
    if last:
        try:
            lines.append(_entry(last))
        except DecodeError:
            cut = True
    return Journal(header, tuple(lines), cut)


MEND: Final = "the file was changed after it was written; the lines before this one are a journal"
_MADE: Final = "`saga run FILE --journal NEW` writes one"


def _header(first: bytes) -> Header:
    if not first.strip():
        raise JournalError("this file is empty, no run has begun to write it", _MADE)
    try:
        plain = parse(first)
    except DecodeError:
        plain = None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise JournalError("this is not the journal of a run", _MADE)
    if plain.get("version") != VERSION:
        raise JournalError(
            f"this journal has version {plain.get('version')} of the format, "
            f"and this sagalang reads version {VERSION}",
            "draw it with the sagalang that wrote it, or a later one",
        )
    try:
        found: Header = _record(plain, Header)
    except DecodeError as error:
        raise JournalError(f"the header is damaged: {error}", None, 1) from None
    if found.definition.main not in found.definition.files:
        raise JournalError("the header is damaged: the text of the saga is missing", None, 1)
    return found


def _entry(text: bytes) -> Line:
    plain = parse(text)
    if not isinstance(plain, dict):
        raise DecodeError("expected an object")
    name = plain.get("entry")
    cls = _LINES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise DecodeError("there is no such entry", "entry")
    made: Line = _record(plain, cls)
    return made


def _record(plain: Any, cls: Any) -> Any:
    """A dataclass or Struct from its fields; fields that are not known are ignored, so that a
    later version can add some."""
    if not isinstance(plain, dict):
        raise DecodeError("expected an object")
    found = {}
    for field in record_fields(cls):
        if field.name not in plain:
            if not field.optional:
                raise DecodeError("this field is missing", field.name)
            continue
        try:
            found[field.attr] = _value(plain[field.name], field.type)
        except DecodeError as error:
            error.within(field.name)
            raise
    return cls(**found)


def _value(plain: Any, type_: Any) -> Any:
    origin = get_origin(type_)
    if type_ is Any:
        return None if plain is None else Kept(freeze(plain))
    if origin in (Union, types.UnionType):
        arms = _arms(type_)
        if len(arms) == 1:
            return None if plain is None else _value(plain, arms[0])
        name = plain.get("is") if isinstance(plain, dict) else None
        cls = _ALTERNATIVES.get(name) if isinstance(name, str) else None
        if cls not in arms:
            raise DecodeError("there is no such outcome", "is")
        return _record(plain, cls)
    if origin is tuple:
        if not isinstance(plain, list):
            raise DecodeError("expected a list")
        return tuple(_value(item, get_args(type_)[0]) for item in plain)
    return _record(plain, type_) if is_record(type_) else read_plain(plain, type_)
