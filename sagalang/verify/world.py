"""A saga and the world around it as one value, and the words for what happens to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine import events as m
from sagalang.machine.frozen import EMPTY, FrozenMap
from sagalang.machine.state import State
from sagalang.verify import call as one
from sagalang.verify.service import Unit
from sagalang.verify.values import Question

Path = tuple[m.Place, ...]
"""Which saga: () is the one that is explored, then the places of child sagas."""
Id = tuple[Path, m.Place]
Loops = tuple[tuple[str, str], ...]


Inputs = tuple[str, tuple[Any, ...]]
"""A compensation by inputs: the operation, and its arguments."""


class Flight(Struct, frozen=True, gc=False):
    """A call under way. `variant`: what struck from outside since it began (`call.results`).
    `unit`: where its service stood when it began; None for a query."""

    path: Path
    place: m.Place
    purpose: m.Purpose
    limited: bool
    variant: str = ""


class Branch(Struct, frozen=True, gc=False):
    """The rest of a parallel part, of which only the interface counts (`modular`)."""

    path: Path
    place: m.Place
    name: str
    interrupted: bool = False
    undoing: bool = False


Courses = dict[Any, tuple[one.Result, ...]]
"""What calls come to, by what decides it: may be shared by all models with the same options."""


class World(Struct, frozen=True, gc=False):
    """`answers`: what this path has decided about values that are not known."""

    sagas: tuple[tuple[Path, State], ...]
    flights: tuple[Flight, ...] = ()
    branches: tuple[Branch, ...] = ()
    timers: tuple[tuple[Path, m.Place, m.Timer], ...] = ()
    units: tuple[tuple[Id, Unit], ...] = ()
    answers: FrozenMap = EMPTY
    crashes: int = 0
    sent: tuple[tuple[str, int], ...] = ()
    cancelled: bool = False
    aborted: tuple[Path, ...] = ()
    fences: frozenset[Inputs] = frozenset()
    """The compensations by inputs that keep out what comes after them."""
    undos: frozenset[Inputs] = frozenset()
    """Those of which a late copy is under way."""

    @property
    def root(self) -> State:
        return self.sagas[0][1]


class Breach(Struct, frozen=True, gc=False):
    """A promise of the language that does not hold. `rule` names it; `at` is the step."""

    rule: str
    at: Id | None
    detail: str = ""


class Edge(Struct, frozen=True, gc=False):
    """What happened. `kind`: `call`, `timer`, `event`, `cancel`, `crash`, `branch`. `decided`
    are the questions answered on the way."""

    kind: str
    label: str
    path: Path = ()
    place: m.Place | None = None
    purpose: m.Purpose | None = None
    outcome: Any = None
    story: tuple[one.Happening, ...] = ()
    decided: tuple[tuple[Question, Any], ...] = ()
    commands: tuple[tuple[Path, m.Command], ...] = ()


@dataclass(frozen=True)
class Options:
    """`faults`: which kinds may happen at all; None for every kind. `crashes`: how often the
    orchestrator may die. The reductions: `inert` drops late copies that can never do
    anything any more, `normal` leaves out of a world what decides nothing, `symmetry` takes
    worlds that differ by an exchange of like branches for one."""

    crashes: int = 1
    faults: frozenset[str] | None = None
    inert: bool = True
    normal: bool = True
    symmetry: bool = True
    cancel: bool = True
    late_events: bool = True


@dataclass(frozen=True)
class Interface:
    """What the rest of a parallel part may do to a branch. Faults by error."""

    completes: bool
    errors: tuple[tuple[str, int], ...]
    escalates: int | None


@dataclass
class Successor:
    """`ledger`: the world with all its units, where a promise is broken."""

    faults: int
    edge: Edge
    world: World
    breaches: tuple[Breach, ...]
    ledger: World | None = None


# --- Changing a world ----------------------------------------------------------------------------


def with_saga(world: World, path: Path, state: State) -> World:
    sagas = tuple((known, state if known == path else old) for known, old in world.sagas)
    return replace(world, sagas=sagas)


def with_unit(world: World, id_: Id, unit: Unit) -> World:
    units = world.units
    for index, (known, _) in enumerate(units):
        if known == id_:
            return replace(world, units=(*units[:index], (id_, unit), *units[index + 1 :]))
    return replace(world, units=(*units, (id_, unit)))


def interrupted_at(world: World, path: Path, place: m.Place, purpose: m.Purpose) -> World:
    flights = tuple(
        replace(f, variant=f.variant + one.INTERRUPTION)
        if (f.path, f.place, f.purpose) == (path, place, purpose)
        and one.INTERRUPTION not in f.variant
        else f
        for f in world.flights
    )
    return replace(world, flights=flights)


def in_order(world: World) -> World:
    """The same world whatever the order in which things came about."""
    return replace(
        world,
        flights=tuple(sorted(world.flights, key=_flight_order)),
        timers=tuple(sorted(set(world.timers), key=_timer_order)),
        units=tuple(sorted(world.units, key=_unit_order)),
    )


def _flight_order(flight: Flight) -> Any:
    return str(flight.place), flight.purpose.value, len(flight.path), str(flight.path)


def _timer_order(timer: tuple[Path, m.Place, m.Timer]) -> Any:
    path, place, what = timer
    return str(place), what.value, len(path), str(path)


def _unit_order(item: tuple[Id, Unit]) -> Any:
    (path, place), _ = item
    return str(place), len(path), str(path)


def unit_at(world: World, path: Path, place: m.Place) -> Unit | None:
    """What its service knows of the step; None for a query, and before its first call."""
    wanted = (path, place)
    for id_, unit in world.units:
        if id_ == wanted:
            return unit
    return None
