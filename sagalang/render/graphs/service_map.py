"""Which saga calls which operation of which service: a map of a file or of a folder.

A declaration is one thing however many files import it: its name and the file it stands in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from sagalang.graph.structure import bodies, statements
from sagalang.model import program as p


class Place(Enum):
    SAGA = "saga"
    SERVICE = "service"
    EVENT = "event"


class Use(Enum):
    """What a saga uses an operation, another saga or an event for."""

    STEP = "step"
    COMPENSATION = "compensation"
    PROBE = "probe"
    POLL = "poll"
    CHILD = "child saga"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class MapNode:
    """`file` tells declarations of the same name apart. `operations`: those of a service that
    are called, in the order of the text."""

    place: Place
    name: str
    file: str
    operations: tuple[str, ...] = ()
    doc: str = ""


@dataclass(frozen=True, slots=True)
class MapEdge:
    """`source` and `target` are indexes of nodes; `operation` is empty but for a service."""

    source: int
    target: int
    use: Use
    operation: str = ""


@dataclass(frozen=True, slots=True)
class ServiceMap:
    """Sagas, then services, then events; each in order of first appearance."""

    nodes: tuple[MapNode, ...]
    edges: tuple[MapEdge, ...]


_Key = tuple[Place, str, str]
_Declared = TypeVar("_Declared", p.Saga, p.Service, p.Record)


def service_map(programs: Iterable[p.Program]) -> ServiceMap:
    """The map of checked programs, of which several may import the same files."""
    sagas: dict[_Key, tuple[p.Program, p.Saga]] = {}
    for program in programs:
        for saga in program.sagas.values():
            sagas.setdefault(_key(Place.SAGA, saga), (program, saga))
    found = {key: MapNode(*key, doc=saga.doc) for key, (_, saga) in sagas.items()}
    called: dict[_Key, dict[str, None]] = {}
    uses: dict[tuple[_Key, _Key, Use, str], None] = {}
    for key, (program, saga) in sagas.items():
        for use, target, declared, operation in _uses(program, saga):
            found.setdefault(target, MapNode(*target, doc=declared.doc))
            if operation:
                called.setdefault(target, {})[operation] = None
            uses[key, target, use, operation] = None
    order = list(Place)
    nodes = sorted(found, key=lambda key: order.index(key[0]))
    index = {key: at for at, key in enumerate(nodes)}
    return ServiceMap(
        tuple(replace(found[key], operations=tuple(called.get(key, ()))) for key in nodes),
        tuple(
            MapEdge(index[source], index[target], use, operation)
            for source, target, use, operation in uses
        ),
    )


def shown_names(map_: ServiceMap) -> tuple[str, ...]:
    """The names of the nodes, with the file where a name of the same kind stands twice."""
    often = Counter((node.place, node.name) for node in map_.nodes)
    return tuple(
        f"{node.name} ({node.file})" if often[node.place, node.name] > 1 else node.name
        for node in map_.nodes
    )


_Used = tuple[Use, _Key, p.Saga | p.Service | p.Record, str]


def _uses(program: p.Program, saga: p.Saga) -> Iterator[_Used]:
    for block in bodies(saga):
        for statement in statements(block):
            match statement:
                case p.Step(call=call, compensation=compensation):
                    yield from _calls(program, call, Use.STEP)
                    if isinstance(compensation, p.Compensation):
                        yield from _calls(program, compensation.call, Use.COMPENSATION)
                case p.Poll(call=call):
                    yield from _calls(program, call, Use.POLL)
                case p.ChildStep(saga=name):
                    child = program.sagas[name]
                    yield Use.CHILD, _key(Place.SAGA, child), child, ""
                case p.Wait(event=name):
                    event = program.events[name]
                    yield Use.WAIT, _key(Place.EVENT, event), event, ""
                case _:
                    pass


def _calls(program: p.Program, call: p.Call, use: Use) -> Iterator[_Used]:
    """The call, and the probe by which the service is asked when its answer is lost."""
    service = program.services[call.service]
    yield use, _key(Place.SERVICE, service), service, call.operation
    probe = program.operation(call).probe
    if probe is not None and use is not Use.POLL:
        asked = program.services[probe.service]
        yield Use.PROBE, _key(Place.SERVICE, asked), asked, probe.operation


def _key(place: Place, declared: _Declared) -> _Key:
    return place, declared.name, declared.span.file
