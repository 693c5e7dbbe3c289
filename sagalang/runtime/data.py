"""The shapes that values have in memory: records, enums and the names of their fields.

All of them are immutable and hashable, so that a state that holds them can be compared, hashed
and forked. A list is a tuple, a map a `FrozenMap`, a record a frozen msgspec Struct, and an enum
value the member's name.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from typing import ClassVar

import msgspec


class RecordValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of all records. Its repr hides secret fields, so that a log cannot show them."""

    __secret_fields__: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        hidden = self.__secret_fields__
        shown = (
            f"{name}=***" if name in hidden else f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Members:
    """Marks a `str` as an enum: `Annotated[str, Members((("Approved", "A"), ...))]`.

    Pairs of the member's name, which is its value in memory, and its name on the wire.
    """

    pairs: tuple[tuple[str, str], ...]


_UNDERSCORED = re.compile(r"(field_)*_")


def attribute(name: str) -> str:
    """The Python attribute of a field: the name itself, unless Python could not live with it.

    A keyword gets a trailing underscore (`class_`); a name with a leading underscore, which could
    be one of Python's own (`__init__`), gets the prefix `field_`. No two names share an attribute.
    """
    if keyword.iskeyword(name.rstrip("_")):
        return name + "_"
    if _UNDERSCORED.match(name):
        return "field_" + name
    return name


def field_name(attr: str) -> str:
    """The field whose attribute this is: undoes `attribute`."""
    if attr.endswith("_") and keyword.iskeyword(attr.rstrip("_")):
        return attr[:-1]
    if attr.startswith("field_") and _UNDERSCORED.match(attr):
        return attr.removeprefix("field_")
    return attr
