"""A counterexample as a story that can be told again: what happens to which attempt, in order.

A path speaks of symbols and of what a service knows; a script speaks of attempts, times and values.
What lies between is a list of cues, which the replay places one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine import events as m
from sagalang.machine.outcomes import Ok
from sagalang.runtime.fault_script import Kind
from sagalang.verify.explore import Path
from sagalang.verify.values import Symbol
from sagalang.verify.world import Edge

FAULTS: Final[Mapping[str, Kind]] = {
    "rejects": Kind.REJECTS,
    "not sent": Kind.NOT_SENT,
    "request lost": Kind.REQUEST_LOST,
    "answer lost": Kind.ANSWER_LOST,
    "late": Kind.LATE,
    "duplicated": Kind.DUPLICATED,
    "strange answer": Kind.STRANGE_ANSWER,
    "no answer": Kind.REQUEST_LOST,
}
"""What the exploration calls a fault of one attempt, and what a script calls it."""

_DEATHS: Final = (Kind.CRASH_AFTER, Kind.CRASH_BEFORE, Kind.CRASH_DURING)
_BESIDE: Final = (Kind.ANSWER_LOST, Kind.REQUEST_LOST, Kind.LATE)
"""What becomes of the other calls in flight when the orchestrator dies: the same three, and the
death itself happens in the call that was made last."""


class Spot(Struct, frozen=True):
    """A statement as it ran: the `nth` time, from 0, that this path was begun in its saga. What an
    iteration is called differs between a run on symbols and one on values; their order does not."""

    path: str
    nth: int


class CallId(Struct, frozen=True):
    """A call of a step: forward, or (`back`) its compensation; `probe`: what asks about it."""

    sagas: tuple[Spot, ...]
    spot: Spot
    back: bool = False
    probe: bool = False


class Tried(Struct, frozen=True):
    """An attempt; `kind` is None where nothing goes wrong. `symbol`: what its answer is called."""

    call: CallId
    attempt: int
    kind: Kind | None = None
    error: str | None = None
    symbol: str = ""
    value: Any = None


class Lands(Struct, frozen=True):
    """What is still under way of this call arrives."""

    call: CallId


class Ended(Struct, frozen=True):
    """A call ends, for good."""

    call: CallId


class Fired(Struct, frozen=True):
    call: CallId
    timer: m.Timer


class Sent(Struct, frozen=True):
    """An event from outside. `symbol`: what its value is called."""

    event: str
    symbol: str


class Cancelled(Struct, frozen=True):
    pass


Cue = Tried | Lands | Ended | Fired | Sent | Cancelled


def cues(path: Path) -> Iterator[tuple[Cue, ...]]:
    """The cues of a path, in order; several lists, where the path does not say how far the calls
    in flight had come when the orchestrator died."""
    spots = _spots(path)
    carriers = _carriers(path, spots)
    flights = [call for calls in carriers.values() for call in calls]
    for choice in product(range(3), repeat=len(flights)):
        chosen = dict(zip(flights, choice, strict=True))
        yield tuple(_told(path, spots, carriers, chosen))


Id = tuple[tuple[m.Place, ...], m.Place]


def _spots(path: Path) -> dict[Id, Spot]:
    """Which statements are begun, numbered in the order in which they are."""
    found: dict[Id, Spot] = {}
    counts: dict[tuple[tuple[m.Place, ...], str], int] = {}
    for edge in path.edges:
        begun = [
            (where, command.place)
            for where, command in edge.commands
            if isinstance(command, m.RunCall | m.RunChild | m.StartTimer)
        ]
        for id_ in begun:
            if id_ not in found:
                where, place = id_
                nth = counts.get((where, place.path), 0)
                counts[where, place.path] = nth + 1
                found[id_] = Spot(place.path, nth)
    return found


def _call(spots: Mapping[Id, Spot], edge: Edge) -> CallId:
    assert edge.place is not None
    sagas = tuple(
        spots.get((edge.path[:i], place), Spot(place.path, 0)) for i, place in enumerate(edge.path)
    )
    spot = spots.get((edge.path, edge.place), Spot(edge.place.path, 0))
    return CallId(sagas, spot, edge.purpose is m.Purpose.COMPENSATE)


def _carriers(path: Path, spots: Mapping[Id, Spot]) -> dict[int, list[tuple[CallId, int]]]:
    """By crash: the calls that were in flight, as (call, how many deaths it saw before), in the
    order in which they began."""
    order: dict[tuple[Id, m.Purpose], int] = {}
    crashes = 0
    found: dict[int, list[tuple[int, CallId, int]]] = {}
    for edge in path.edges:
        crashes += edge.kind == "crash"
        if edge.kind == "call":
            assert edge.place is not None
            assert edge.purpose is not None
            began = order.get(((edge.path, edge.place), edge.purpose), 0)
            seen = sum(happening.what == "crash" for happening in edge.story)
            for nth in range(seen):
                crash = crashes - seen + nth
                found.setdefault(crash, []).append((began, _call(spots, edge), nth))
        for where, command in edge.commands:
            if isinstance(command, m.RunCall):
                order[(where, command.place), command.purpose] = len(order)
    return {
        crash: [(call, nth) for _, call, nth in sorted(flights, key=lambda one: one[0])]
        for crash, flights in found.items()
    }


def _told(
    path: Path,
    spots: Mapping[Id, Spot],
    carriers: Mapping[int, list[tuple[CallId, int]]],
    chosen: Mapping[tuple[CallId, int], int],
) -> Iterator[Cue]:
    last = {calls[-1] for calls in carriers.values()}
    counts: dict[CallId, int] = {}
    events: dict[str, int] = {}

    def tried(call: CallId) -> Tried:
        counts[call] = counts.get(call, 0) + 1
        return Tried(call, counts[call])

    for edge in path.edges:
        match edge.kind:
            case "cancel":
                yield Cancelled()
            case "event":
                events[edge.label] = events.get(edge.label, 0) + 1
                yield Sent(edge.label, f"{edge.label} {events[edge.label]}")
            case "timer":
                yield Fired(_call(spots, edge), m.Timer(edge.label))
            case "call":
                call = _call(spots, edge)
                deaths = 0
                for happening in edge.story:
                    what = happening.what
                    if what == "late lands":
                        yield Lands(replace(call, back=False))
                    elif what == "crash":
                        flight = (call, deaths)
                        kinds = _DEATHS if flight in last else _BESIDE
                        yield replace(tried(call), kind=kinds[chosen[flight]])
                        deaths += 1
                    elif what not in ("key expires", "time is up", "interrupted"):
                        made = tried(replace(call, probe=happening.asking))
                        error = happening.error or None
                        made = replace(made, kind=FAULTS.get(what), error=error)
                        if what == "ok" and isinstance(edge.outcome, Ok):
                            value = edge.outcome.value
                            text = value.text if isinstance(value, Symbol) else ""
                            made = replace(made, symbol=text)
                        yield made
                yield Ended(call)
            case _:
                pass
