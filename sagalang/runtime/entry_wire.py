"""The objects that are written in place of journal entries: short names, no defaults.

They are msgspec Structs made from the classes of the entries, so that a new entry, or a new field
of one, needs nothing here; values have been made JSON by the time they stand in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple, Union, get_args

import msgspec

from sagalang.machine.events import OpenItem, Place, Purpose
from sagalang.runtime import journal as j
from sagalang.runtime.entry_kinds import ENTRIES


class Wire(NamedTuple):
    """An entry's class, and that of the object that is written in its place: first the fields
    that need nothing but a shorter name, in the order of `names`, then those that `HELD` lists.
    `held`: the field of the entry that holds values."""

    cls: type[Any]
    made: type[Any]
    names: tuple[str, ...]
    taken: Callable[[j.Entry], tuple[Any, ...]]
    given: Callable[[Any], tuple[Any, ...]]
    held: str | None


_VALUE: Final = ("value", Any, None)
_DETAIL: Final = ("detail", str, "")
HELD: Final[Mapping[type[j.Entry], tuple[str, tuple[tuple[str, Any, Any], ...]]]] = {
    j.SagaStarted: ("args", (("args", Any, None),)),
    j.Intent: ("args", (("args", list[Any], ()),)),
    j.OutcomeRecorded: (
        "value",
        (
            _VALUE,
            _DETAIL,
            ("replayed", bool, False),
            ("retry_after", int | None, None),
            ("repeat", bool, True),
        ),
    ),
    j.EventAccepted: ("value", (_VALUE,)),
    j.EscalationRaised: ("item", (("item", OpenItem | None, None),)),
    j.Settlement: ("value", (_VALUE,)),
    j.SagaFinished: ("value", (_VALUE, _DETAIL, ("steps", tuple[OpenItem, ...], ()))),
}
"""The field of an entry that holds values, and what is written for it: (name, type, default)."""


_SHORT: Final = {
    "at": "t",
    "path": "p",
    "loops": "l",
    "purpose": "for",
    "label": "call",
    "number": "n",
    "attempt": "try",
}


@lru_cache(maxsize=1)
def wires() -> Mapping[type[j.Entry], Wire]:
    return {cls: _wire(kind, cls) for kind, cls in ENTRIES.items()}


@lru_cache(maxsize=1)
def read_by() -> Mapping[type[Any], Wire]:
    return {wire.made: wire for wire in wires().values()}


@lru_cache(maxsize=1)
def decoder() -> msgspec.json.Decoder[Any]:
    every: Any = Union[tuple(read_by())]  # noqa: UP007 - of many
    return msgspec.json.Decoder(every, float_hook=Decimal)


def _wire(kind: str, cls: type[j.Entry]) -> Wire:
    held, values = HELD.get(cls, (None, ()))
    needed: list[tuple[str, str, Any, Any]] = []  # (name, where in the entry, type, default)
    optional: list[tuple[str, str, Any, Any]] = []
    for field in msgspec.structs.fields(cls):
        default = field.default
        if field.name in ("saga_id", held):
            continue
        if field.type is Place:
            needed.append(("path", "place.path", str, msgspec.NODEFAULT))
            optional.append(("loops", "place.loops", tuple[tuple[str, str], ...], ()))
            continue
        if field.type is Purpose:
            default = Purpose.STEP
        elif default is msgspec.NODEFAULT and type(None) in get_args(field.type):
            default = None
        own = needed if default is msgspec.NODEFAULT else optional
        own.append((field.name, field.name, field.type, default))
    own = [*needed, *optional]
    names = tuple(name for name, _, _, _ in own)
    fields: list[Any] = [(name, type_) for name, _, type_, _ in needed]
    fields += [(name, type_, default) for name, _, type_, default in optional]
    made = msgspec.defstruct(
        cls.__name__,
        [*fields, *values],
        module=__name__,
        tag_field="is",
        tag=kind,
        rename=_SHORT,
        omit_defaults=True,
        gc=False,
    )
    taken = _getter(*(where for _, where, _, _ in own))
    return Wire(cls, made, names, taken, _getter(*names), held)


def _getter(*names: str) -> Callable[[Any], tuple[Any, ...]]:
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda value: (get(value),)
