"""Blocks of statements in the making: where they stand, what they bind, how they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sagalang.model import types as t

from .choices import Choices
from .contracts import Contracts, Operation
from .expressions import Expressions, Scope

NAMES: Final = (*"abcdpqrsuvwz", *(f"n{number}" for number in range(1, 40)))
ODD: Final = (
    "made",
    "each",
    "caught",
    "rows",
    "error",
    "text",
    "class",
    "self",
    "str",
    "lambda",
    "each_list",
    "timedelta",
    "saga_",
    "function",
    "Saga",
)
"""Names that generated code might think are its own."""

BUILT_IN: Final = ("Timeout", "Unavailable", "NotSent", "ContractMismatch", "BadValue")
SHOWN: Final = (t.STRING, t.INT, t.DECIMAL)
Lines = list[str]


@dataclass(frozen=True)
class Here:
    """Where a statement stands."""

    scope: Scope
    depth: int = 0
    after: bool = False
    """Behind the pivot."""
    returns: bool = True
    around: frozenset[str] = frozenset()
    """Names that may not be bound again."""
    told: bool = False
    """In an attempt that handles every rejection."""
    loops: int = 0

    def bind(self, name: str, type_: t.Type | None, keyed: bool = False) -> Here:
        scope = self.scope if type_ is None else self.scope.bind(name, type_)
        scope = replace(scope, keyed=(*scope.keyed, name)) if keyed else scope
        return replace(self, scope=scope, around=self.around | {name})


@dataclass(frozen=True)
class Written:
    """A block: its lines, what holds at its end (None: it never gets there)."""

    lines: Lines
    end: Here | None


@dataclass(frozen=True)
class Shared:
    """A name that several arms bind: to a value of a type, or by a step."""

    name: str
    what: t.Type | Operation


@dataclass
class Child:
    name: str
    params: list[tuple[str, t.Type]]
    result: t.Type
    pivot: bool
    errors: set[str]


def indented(lines: Sequence[str]) -> Lines:
    return [f"  {line}" for line in lines]


def apart(here: Here, *arms: Written) -> Here:
    """The same place, where no name may be bound again that an arm has bound: their types could
    differ."""
    ends = [arm.end.around for arm in arms if arm.end is not None]
    return replace(here, around=here.around.union(*ends))


@dataclass
class Writer(ABC):
    """Writes the sagas of one program. `errors`: what the part at hand may fail with."""

    choices: Choices
    contracts: Contracts
    children: dict[str, Child] = field(default_factory=dict)
    sagas: Lines = field(default_factory=list)
    params: dict[str, t.Type] = field(default_factory=dict)
    result: t.Type = t.NULL
    errors: set[str] = field(default_factory=set)
    left: int = 0
    """How many statements may still be written."""
    count: int = 0
    """How many children there are, or are being written."""

    def __post_init__(self) -> None:
        self.exprs = Expressions(self.choices, self.param)

    @abstractmethod
    def statement(self, here: Here) -> Written:
        """A random statement that may stand here."""

    @abstractmethod
    def child_saga(self, pivot: bool) -> Child:
        """A saga to run as a step: one that is there, or a new one."""

    @abstractmethod
    def pivot_step(self, here: Here) -> Written:
        """The step from which on there is no way back."""

    # --- Names ---------------------------------------------------------------------------------

    def param(self, want: t.Type) -> str:
        """A parameter of the saga that is of this type."""
        known = [name for name, kind in self.params.items() if kind == want]
        if known and (len(known) > 1 or not self.choices.chance(20)):
            return self.choices.of(known)
        name = f"in_{len(self.params) + 1}"
        self.params[name] = want
        return name

    def name(self, here: Here) -> str:
        pool = ODD if self.choices.chance(15) else NAMES
        free = [name for name in (*pool, *NAMES) if name not in here.around]
        return free[0] if pool is NAMES or len(free) < 2 else self.choices.of(free[: len(ODD)])

    def of(self, want: t.Type, here: Here, depth: int = 2) -> str:
        return self.exprs.of(want, replace(here.scope, total=here.after), depth)

    def condition(self, here: Here) -> str:
        return self.exprs.condition(replace(here.scope, total=here.after), 1)

    # --- Blocks --------------------------------------------------------------------------------

    def block(self, here: Here, least: int = 1, most: int = 3) -> Written:
        """Statements one after the other; `here` goes on with what they bind."""
        lines: Lines = []
        count = 0
        end: Here | None = here
        while end is not None:
            found = self._next(end, count, least, most)
            if found is None:
                break
            lines += found.lines
            end = found.end
            count += 1
        return Written(lines, end)

    def _next(self, here: Here | None, count: int, least: int, most: int) -> Written | None:
        assert here is not None
        if count >= least and (count >= most or self.left <= 0 or not self.choices.chance(70)):
            return None
        self.left -= 1
        return self.statement(here)

    def inner(self, here: Here, **changes: object) -> Here:
        return replace(here, depth=here.depth + 1, **changes)  # type: ignore[arg-type]
