"""The runs in a journal that belong to one run: it and its child sagas, each with its lifeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sagalang.machine.events import Place
from sagalang.render.cast import ORCHESTRATOR
from sagalang.render.diagram import Participant, ParticipantKind
from sagalang.render.journal.told import Loops, iteration
from sagalang.runtime import journal as j

MANY = 8
"""Of more runs of one child saga, all share one lifeline: the picture would be too wide."""


@dataclass(frozen=True, slots=True)
class Kin:
    """A run: of which saga, and whose child it is, where."""

    saga: str
    parent: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """`name`: what stands at the lifeline. `inside`: the iterations around the run, where the
    name does not tell them."""

    name: str
    inside: Loops = ()


def family(saga_name: str, entries: Iterable[j.Entry]) -> dict[str, Kin]:
    """By its id the first run of the saga, and then all its child sagas, at any depth.

    Raises ValueError if there is none.
    """
    found: dict[str, Kin] = {}
    for entry in entries:
        match entry:
            case j.SagaStarted(saga=saga, saga_id=id_) if not found and saga == saga_name:
                found[id_] = Kin(saga)
            case j.ChildStarted(saga_id=parent, saga=saga, child_id=id_) if parent in found:
                found.setdefault(id_, Kin(saga, parent, entry.place))
            case _:
                pass
    if not found:
        raise ValueError(f"the journal has no run of {saga_name}")
    return found


def lanes(kin: Mapping[str, Kin]) -> dict[str, Lane]:
    """The lifelines by the ids of the runs: one for each of a few runs of one child saga, one for
    all of many."""
    runs: dict[str, list[str]] = {}
    for id_, one in kin.items():
        if one.parent is not None:
            runs.setdefault(one.saga, []).append(id_)
    found = {id_: Lane(one.saga) for id_, one in kin.items() if one.parent is None}
    for saga, ids in runs.items():
        around = {id_: _around(kin, id_) for id_ in ids}
        if 1 < len(ids) <= MANY:
            same = Counter(around.values())
            for id_ in ids:
                place = kin[id_].place
                apart = f" {place.path}" if place is not None and same[around[id_]] > 1 else ""
                found[id_] = Lane(f"saga {saga}{apart}{iteration(around[id_])}")
        else:
            found.update({id_: Lane(f"saga {saga}", around[id_]) for id_ in ids})
    return found


class Entrants:
    """Everybody in the picture in order of their first entry, which asking for one is."""

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        self._lanes = lanes
        self._cast: dict[tuple[ParticipantKind, str], int] = {}
        first = next(iter(lanes.values()))
        self._enter(ParticipantKind.ORCHESTRATOR, first.name)
        self._first = next(iter(lanes))

    @property
    def participants(self) -> tuple[Participant, ...]:
        return tuple(Participant(name, kind) for kind, name in self._cast)

    def service(self, label: str) -> int:
        """That of an operation or breaker: `Service.operation`, or the service."""
        return self._enter(ParticipantKind.SERVICE, label.partition(".")[0])

    def saga(self, saga_id: str) -> int:
        if saga_id == self._first:
            return ORCHESTRATOR
        return self._enter(ParticipantKind.SAGA, self._lanes[saga_id].name)

    def actor(self, name: str) -> int:
        return self._enter(ParticipantKind.ACTOR, name)

    def _enter(self, kind: ParticipantKind, name: str) -> int:
        return self._cast.setdefault((kind, name), len(self._cast))


def _around(kin: Mapping[str, Kin], saga_id: str) -> Loops:
    """The iterations around a run, the outermost first."""
    one = kin[saga_id]
    if one.parent is None or one.place is None:
        return ()
    return (*_around(kin, one.parent), *one.place.loops)
