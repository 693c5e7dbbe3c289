"""Follows a model through everything that may happen: the fewest faults first, then the shortest.

Worlds that were seen before are not followed again. The search ends when nothing new is found, or
at a bound, and says which.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from sagalang.machine import events as m
from sagalang.machine.saga import Phase, open_items
from sagalang.verify.model import Model
from sagalang.verify.symmetry import symmetry
from sagalang.verify.world import Breach, Edge, Successor, World

MAX_STATES = 300_000

STUCK, ENDLESS = Breach("stuck", None), Breach("endless", None)


@dataclass(frozen=True)
class Bounds:
    """`faults`: None for any number. `states`: the search gives up beyond so many."""

    faults: int | None = None
    states: int = MAX_STATES


@dataclass(frozen=True)
class Path:
    """How a world is reached: what happened, in order, and with how many faults."""

    edges: tuple[Edge, ...]
    faults: int
    ledger: World | None = None
    """What everybody knows at its end, where a promise is broken there."""


@dataclass
class Exploration:
    """`complete`: every world was followed. `beyond_faults`: the bound on faults held some back."""

    model: Model
    worlds: int = 0
    steps: int = 0
    complete: bool = True
    stopped: bool = False
    """By the user (Ctrl-C): what was found so far is still true."""
    beyond_faults: bool = False
    breaches: dict[Breach, Path] = field(default_factory=dict)
    outcomes: dict[str, Path] = field(default_factory=dict)
    errors: dict[str, Path] = field(default_factory=dict)
    """For which errors the saga is undone, and how that begins."""
    escalations: dict[tuple[str, ...], Path] = field(default_factory=dict)
    reached: set[tuple[str, str]] = field(default_factory=set)
    """(saga, what): statements begun, compensations run, handlers entered, events taken."""


Watch = Callable[[int], None]


def explore(model: Model, bounds: Bounds | None = None, watch: Watch | None = None) -> Exploration:
    """Everything that may happen to the model's saga. `watch` hears of the number of worlds."""
    bounds = bounds or Bounds()
    found = Exploration(model)
    alike = symmetry(model)
    worlds: dict[World, int] = {}
    """Where parts are alike: by what all that differ by an exchange of them have in common."""
    back: list[tuple[int, Edge | None, int]] = []
    """By number: where it came from, by what, with how many faults in all."""
    queue: list[tuple[int, int, int]] = []
    by_number: list[World] = []
    before: list[list[int]] = []
    ends: list[int] = []

    def path(number: int) -> Path:
        edges = []
        faults = back[number][2]
        while number >= 0:
            origin, edge, _ = back[number]
            if edge is not None:
                edges.append(edge)
            number = origin
        return Path(tuple(reversed(edges)), faults)

    def take(origin: int, length: int, cost: int, successor: Successor) -> None:
        edge, world, breaches = successor.edge, successor.world, successor.breaches
        total = cost + successor.faults
        found.steps += 1
        if bounds.faults is not None and total > bounds.faults:
            found.beyond_faults = True
            return
        _errors(found, origin, edge, total, path)
        key = world if alike is None else alike.canonical(world)
        number = worlds.get(key)
        if number is not None:
            if origin >= 0:
                before[number].append(origin)
            if total < back[number][2] and number not in done:
                back[number] = (origin, edge, total)
                by_number[number] = world
                heapq.heappush(queue, (total, length + 1, number))
        else:
            if len(by_number) >= bounds.states:
                found.complete = False
                return
            number = len(by_number)
            worlds[key] = number
            by_number.append(world)
            back.append((origin, edge, total))
            before.append([origin] if origin >= 0 else [])
            heapq.heappush(queue, (total, length + 1, number))
            if watch is not None and number % 5_000 == 4_999:
                watch(number)
        if breaches:
            here = path(origin) if origin >= 0 else Path((), 0)
            whole = Path((*here.edges, edge), total, successor.ledger)
            for breach in breaches:
                known = found.breaches.get(breach)
                if known is None or (known.faults, len(known.edges)) > (total, len(whole.edges)):
                    found.breaches[breach] = whole
        _note(model, found, edge)

    done: set[int] = set()
    for successor in model.begin():
        take(-1, 0, 0, successor)
    try:
        while queue:
            cost, length, number = heapq.heappop(queue)
            if number in done or cost > back[number][2]:
                continue
            done.add(number)
            world = by_number[number]
            if world.root.phase is Phase.OVER:
                ends.append(number)
                _ended(model, found, world, number, path)
                continue
            moved = False
            for successor in model.successors(world):
                moved = True
                take(number, length, cost, successor)
            if not moved and STUCK not in found.breaches:
                found.breaches[STUCK] = path(number)
    except KeyboardInterrupt:
        found.complete, found.stopped = False, True
    found.worlds = len(by_number)
    if alike is not None:
        found.reached = alike.mirrored(found.reached, model.saga)
        kinds = {alike.kind(items): items for items in reversed(found.escalations)}
        found.escalations = {k: v for k, v in found.escalations.items() if k in kinds.values()}
    if found.complete and not found.beyond_faults:
        _find_endless(found, before, ends, len(by_number), path)
    return found


def _ended(
    model: Model,
    found: Exploration,
    world: World,
    number: int,
    path: Callable[[int], Path],
) -> None:
    outcome = world.root.outcome
    match outcome:
        case m.Completed():
            name = "completed"
        case m.Compensated():
            name = "compensated"
        case m.Escalated():
            name = "escalated"
            items = open_items(model.definition(()), world.root)
            labels = tuple(f"{item.purpose.value} {item.place.path}" for item in items)
            if labels not in found.escalations:
                found.escalations[labels] = path(number)
        case _:
            raise AssertionError("a saga that is over has an outcome")
    if name not in found.outcomes:
        found.outcomes[name] = path(number)


def _errors(
    found: Exploration, origin: int, edge: Edge, faults: int, path: Callable[[int], Path]
) -> None:
    """For which errors the saga is undone."""
    for where, command in edge.commands:
        if not where and isinstance(command, m.AbortStarted) and command.scope == m.SAGA:
            known = found.errors.get(command.failure.name)
            if known is None or known.faults > faults:
                before = path(origin).edges if origin >= 0 else ()
                found.errors[command.failure.name] = Path((*before, edge), faults)


def _note(model: Model, found: Exploration, edge: Edge) -> None:
    for where, command in edge.commands:
        name = model.name(where)
        match command:
            case m.RunCall(place=place, purpose=purpose):
                found.reached.add((name, f"{purpose.value} {place.path}"))
            case m.RunChild(place=place):
                found.reached.add((name, f"step {place.path}"))
            case m.UndoChild(place=place):
                found.reached.add((name, f"compensate {place.path}"))
            case m.StartTimer(place=place, timer=timer):
                found.reached.add((name, f"{timer.value} {place.path}"))
            case m.AbortStarted(scope=scope, failure=failure):
                found.reached.add((name, f"abort {scope.path} {failure.name}"))
            case _:
                pass


def _find_endless(
    found: Exploration,
    before: list[list[int]],
    ends: list[int],
    worlds: int,
    path: Callable[[int], Path],
) -> None:
    """Worlds from which no end can be reached any more."""
    alive = bytearray(worlds)
    stack = list(ends)
    for number in ends:
        alive[number] = 1
    while stack:
        for origin in before[stack.pop()]:
            if not alive[origin]:
                alive[origin] = 1
                stack.append(origin)
    for number in range(worlds):
        if not alive[number]:
            found.breaches[ENDLESS] = path(number)
            return
