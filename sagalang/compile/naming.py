"""Names that Python can live with: the only place where a name of the language becomes one.

Fields and operations follow `runtime.data.attribute`, which can be undone; everything else is
claimed in a `Names`, so that no two things share a name and none hides a builtin.
"""

from __future__ import annotations

import builtins
import keyword
import re
import sys
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from sagalang.runtime.data import attribute

BUILTINS: Final = frozenset(name for name in dir(builtins) if not name.startswith("_"))

AMBIGUOUS: Final = frozenset({"l", "O", "I"})
"""Letters that look like digits."""

_UNWANTED: Final = BUILTINS | AMBIGUOUS

_OF_ERRORS: Final = frozenset({"args", "with_traceback", "add_note"})

# A module of such a name would stand before the package that compiled modules run on.
_PACKAGES: Final = frozenset(sys.stdlib_module_names) | {
    "anyio",
    "h11",
    "httpcore",
    "httpx",
    "msgspec",
    "opentelemetry",
    "pytest",
    "sagalang",
}


class Names:
    """The names taken in one scope and in those around it.

    A name that is claimed after a scope inside has made its own is none of theirs either, so that
    what is declared late is not hidden there.
    """

    def __init__(self, taken: Iterable[str] = (), around: Names | None = None) -> None:
        self._taken = set(taken)
        self._around = around
        self._inside: set[str] = set()

    def claim(self, wanted: str) -> str:
        """A name as close to the wanted one as can be; it is taken from now on."""
        name = made = safe(wanted)
        number = 2
        while made in self or (self._around is None and made in self._inside):
            made = f"{name.rstrip('_')}_{number}"
            number += 1
        self._taken.add(made)
        outermost = self
        while outermost._around is not None:
            outermost = outermost._around
        outermost._inside.add(made)
        return made

    def inner(self) -> Names:
        """The names of a scope inside this one."""
        return Names(around=self)

    def __contains__(self, name: str) -> bool:
        return name in self._taken or (self._around is not None and name in self._around)


def safe(name: str) -> str:
    """A valid identifier that hides no builtin and means nothing to Python by itself."""
    # Python reads identifiers in this form, so only in this form are two names seen to be one.
    plain = unicodedata.normalize("NFKC", name)
    made = "".join(sign if ("n" + sign).isidentifier() else "_" for sign in plain)
    made = re.sub(r"^_+", "", made)
    if not made.isidentifier():
        made = "n" + made
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


def apart(wanted: Mapping[str, str], hidden: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Names in the body of one class, of which none hides what the body reads.

    `wanted`: attributes by the names they stand for. `hidden`: by the same names, what the
    attribute would hide from the rest of the body.
    """
    taken = set(wanted.values())
    made = {}
    for name, attr in wanted.items():
        if attr in hidden[name]:
            while attr in taken or attr in hidden[name]:
                attr += "_"
            taken.add(attr)
        made[name] = attr
    return made


def argument(name: str) -> str:
    """The parameter of a function, which is called by position."""
    made = safe(attribute(name))
    return made + "_" if made in ("self", "cls") else made


def module(file: str) -> str:
    """The module that a file is compiled to, without `.py`."""
    stem = re.sub(r"\.saga$", "", re.split(r"[\\/]", file)[-1])
    made = safe(stem) if stem not in ("-", "") else "sagas"
    return made + "_saga" if made in _PACKAGES else made
