"""Names that Python can live with: the only place where a name of the language becomes one.

Fields and parameters follow `runtime.data.attribute`, which can be undone; everything else is
claimed in a `Names`, so that no two things share a name and none hides a builtin.
"""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from collections.abc import Iterable
from typing import Final

from sagalang.runtime.data import attribute

BUILTINS: Final = frozenset(name for name in dir(builtins) if not name.startswith("_"))

AMBIGUOUS: Final = frozenset({"l", "O", "I"})
"""Letters that look like digits."""

_UNWANTED: Final = BUILTINS | AMBIGUOUS

# Attributes that a StrEnum, an exception or a dataclass has already.
_OF_ENUMS: Final = frozenset(dir(str)) | {"name", "value", "mro"}
_OF_ERRORS: Final = frozenset({"args", "with_traceback", "add_note"})


class Names:
    """Names taken in one scope, and in the scopes around it."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def claim(self, wanted: str) -> str:
        """A name as close to the wanted one as can be; it is taken from now on."""
        name = made = safe(wanted)
        number = 2
        while made in self._taken:
            made = f"{name.rstrip('_')}_{number}"
            number += 1
        self._taken.add(made)
        return made

    def inner(self) -> Names:
        """The names of a scope inside this one."""
        return Names(self._taken)

    def __contains__(self, name: str) -> bool:
        return name in self._taken


def safe(name: str) -> str:
    """A valid identifier that hides no builtin and means nothing to Python by itself."""
    made = re.sub(r"\W", "_", name)
    if not made or made[0].isdigit():
        made = "n" + made
    made = re.sub(r"^_+", "", made) or "n"
    if keyword.iskeyword(made) or keyword.issoftkeyword(made) or made in _UNWANTED:
        return made + "_"
    return made


def snake(name: str) -> str:
    """`PlaceOrder` as `place_order`."""
    parts = re.sub(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3_\2\4", name)
    return re.sub(r"\W+", "_", parts).strip("_").lower() or "n"


def constant(name: str) -> str:
    """`PlaceOrder` as `PLACE_ORDER`."""
    return snake(name).upper()


def camel(name: str) -> str:
    """`authorize` as `Authorize`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[\W_]+", name))


def field(name: str, *, error: bool = False) -> str:
    """The attribute of a field; `error`: of an exception."""
    if error and name.rstrip("_") in _OF_ERRORS:
        return name + "_"
    return attribute(name)


def member(name: str) -> str:
    """The member of an enum class."""
    made = attribute(name)
    return made + "_" if made.rstrip("_") in _OF_ENUMS else made


def argument(name: str) -> str:
    """The parameter of a function, which is called by position."""
    return safe(attribute(name))


def module(file: str) -> str:
    """The module that a file is compiled to, without `.py`."""
    stem = re.sub(r"\.saga$", "", re.split(r"[\\/]", file)[-1])
    made = safe(stem) if stem not in ("-", "") else "sagas"
    return made + "_saga" if made in sys.stdlib_module_names else made
