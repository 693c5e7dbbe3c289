"""The shapes that values have in memory: records, enums and the names of their fields.

All of them are immutable and hashable, so that a state that holds them can be compared, hashed
and forked. A list is a tuple, a map a `FrozenMap`, a record a frozen msgspec Struct, and an enum
value the member's name.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, ClassVar, Final, TypeVar

import msgspec

T = TypeVar("T")


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


class Hidden:
    """Marks the type of a secret; see `Secret`."""


HIDDEN: Final = Hidden()
Secret = Annotated[T, HIDDEN]
"""`Secret[str]`: a text that is encrypted where it is stored, and never shown. In memory it is
the text itself, and a type checker takes it for one."""


_UNDERSCORED = re.compile(r"(field_)*_")
_ODD = re.compile(r"[^\x00-\x7f]|_(?=u[0-9a-f]+(_|[^\x00-\x7f]))")
_ESCAPED = re.compile(r"_u([0-9a-f]+)_")
_NO_MEMBERS: Final = frozenset(dir(str)) | {"name", "value", "mro"} | {"l", "O", "I"}
"""What a `StrEnum` has already, and letters that look like digits."""


def attribute(name: str) -> str:
    """The Python attribute of a field: the name itself, unless Python could not live with it.

    A keyword gets a trailing underscore (`class_`); a name with a leading underscore, which could
    be one of Python's own (`__init__`), gets the prefix `field_`. In a name that Python reads as
    another (the ligature in `ﬁeld`) or not at all (`x²`), signs are written as their numbers
    (`x_ub2_`). No two names share an attribute.
    """
    if not _is_identifier(name) or _ESCAPED.search(name):
        name = _ODD.sub(lambda found: f"_u{ord(found[0]):x}_", name)
    if keyword.iskeyword(name.rstrip("_")):
        return name + "_"
    if _UNDERSCORED.match(name):
        return "field_" + name
    return name


def field_name(attr: str) -> str:
    """The field whose attribute this is: undoes `attribute`."""
    if attr.endswith("_") and keyword.iskeyword(attr.rstrip("_")):
        attr = attr[:-1]
    elif attr.startswith("field_") and _UNDERSCORED.match(attr):
        attr = attr.removeprefix("field_")
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), attr)


def _is_identifier(name: str) -> bool:
    """Whether Python takes the name as it is: it reads identifiers in their NFKC form."""
    return name.isidentifier() and unicodedata.normalize("NFKC", name) == name


def member(name: str) -> str:
    """The member of a `StrEnum`; an underscore keeps it apart from what such a class has."""
    made = attribute(name)
    return made + "_" if made.rstrip("_") in _NO_MEMBERS else made


def member_name(found: Enum) -> str:
    """The name in the language of a member of a compiled enum: undoes `member`."""
    name = found.name
    return field_name(name[:-1] if name.rstrip("_") in _NO_MEMBERS else name)
