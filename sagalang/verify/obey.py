"""Carries out what the machines of a saga and of its child sagas want of the world around them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from sagalang.machine import events as m
from sagalang.machine.frames import trees as in_frames
from sagalang.machine.saga import State, advance, start
from sagalang.machine.turn import Pivot
from sagalang.machine.undo import Status, entries
from sagalang.model import program as p
from sagalang.verify.service import Belief, Unit
from sagalang.verify.shared import inputs_of
from sagalang.verify.stage import Stage
from sagalang.verify.world import (
    Branch,
    Breach,
    Flight,
    Path,
    World,
    interrupted_at,
    unit_at,
    with_saga,
    with_unit,
)

Wanted = list[tuple[Path, m.Command]]
"""What the machine at each path wants, in order."""


def obey(stage: Stage, world: World, wanted: Wanted) -> tuple[World, Wanted, list[Breach]]:
    """The world afterwards, all that was wanted on the way, and the promises that it broke."""
    told: Wanted = []
    breaches: list[Breach] = []
    queue = list(wanted)
    while queue:
        path, command = queue.pop(0)
        told.append((path, command))
        match command:
            case m.RunCall():
                stage.begun(path, command.place.loops)
                breaches += _forbidden(stage, world, path, command)
                world = _called(stage, world, path, command)
            case m.Interrupt(place, purpose):
                world = interrupted_at(world, path, place, purpose)
            case m.StartTimer(place, timer):
                world = replace(world, timers=(*world.timers, (path, place, timer)))
            case m.StopTimer(place, timer):
                gone = (path, place, timer)
                world = replace(world, timers=tuple(t for t in world.timers if t != gone))
            case m.RunChild(place, saga, _, args):
                if saga in stage.interfaces:
                    world = _with_branch(world, Branch(path, place, saga))
                    continue
                inner = (*path, place)
                stage.christen(inner, saga)
                params = stage.program.sagas[saga].params
                given = {q.name: a for q, a in zip(params, args, strict=True)}
                state, more = start(stage.definition(inner), "id", given, 0)
                world = replace(world, sagas=(*world.sagas, (inner, state)))
                queue += [(inner, c) for c in more]
            case m.CancelChild(place):
                child = stage.definition(path).statements[place.path]
                assert isinstance(child, p.ChildStep)
                if child.saga in stage.interfaces:
                    # One that had ended escalated goes on, to be undone.
                    others = [b for b in world.branches if (b.path, b.place) != (path, place)]
                    world = replace(world, branches=tuple(others))
                    world = _with_branch(world, Branch(path, place, child.saga, interrupted=True))
                    continue
                world, more_ = tell(stage, world, (*path, place), m.CancelRequested(0))
                queue += more_
            case m.UndoChild(place, saga, _, error):
                if saga in stage.interfaces:
                    world = _with_branch(world, Branch(path, place, saga, undoing=True))
                    continue
                world, more_ = tell(stage, world, (*path, place), m.UndoRequested(0, error))
                queue += more_
            case m.AbortStarted(scope, _):
                if scope == m.SAGA and dict(world.sagas)[path].pivot is not Pivot.AHEAD:
                    breaches.append(Breach("abort-after-pivot", None))
                if path not in world.aborted:
                    aborted = tuple(sorted((*world.aborted, path), key=repr))
                    world = replace(world, aborted=aborted)
            case m.Finished(outcome) if path:
                parent, place = path[:-1], path[-1]
                undoing = _undoing_child(dict(world.sagas)[parent], place)
                purpose = m.Purpose.COMPENSATE if undoing else m.Purpose.STEP
                ended = m.ChildEnded(0, place, purpose, outcome)
                world, more_ = tell(stage, world, parent, ended)
                queue += more_
    return _seal(stage, world), told, breaches


def tell(stage: Stage, world: World, path: Path, event: m.Event) -> tuple[World, Wanted]:
    """The saga at `path` hears of the event."""
    state, commands = advance(stage.definition(path), dict(world.sagas)[path], event)
    return with_saga(world, path, state), [(path, c) for c in commands]


def _with_branch(world: World, branch: Branch) -> World:
    return replace(world, branches=(*world.branches, branch))


def _forbidden(stage: Stage, world: World, path: Path, command: m.RunCall) -> Iterator[Breach]:
    """Why a compensation must not begin now."""
    if command.purpose is not m.Purpose.COMPENSATE:
        return
    place = command.place
    unit = unit_at(world, path, place)
    if path not in world.aborted:
        yield Breach("compensation-before-fault", (path, place))
    if unit is not None and unit.sealed:
        yield Breach("compensation-after-pivot", (path, place))
    for (other, where), later in world.units:
        if (
            other == path
            and later.belief in (Belief.DONE, Belief.UNKNOWN, Belief.OPEN, Belief.UNDOING)
            and stage.owed(path, where)
            and stage.follows(path, place, where)
        ):
            yield Breach("out-of-order", (path, place), str(where))


def _called(stage: Stage, world: World, path: Path, command: m.RunCall) -> World:
    place, purpose = command.place, command.purpose
    flight = Flight(path, place, purpose, command.deadline is not None)
    world = replace(world, flights=(*world.flights, flight))
    operation = stage.program.services[command.service].operations[command.operation]
    unit = unit_at(world, path, place)
    if unit is not None:
        belief = Belief.OPEN if purpose is m.Purpose.STEP else Belief.UNDOING
        return with_unit(world, (path, place), replace(unit, belief=belief))
    if purpose is m.Purpose.STEP and not operation.is_query:
        kept_out = inputs_of(stage, world, (path, place)) in world.fences
        return with_unit(world, (path, place), Unit(fenced=kept_out))
    return world


def _seal(stage: Stage, world: World) -> World:
    """Mark what was done when a saga passed its pivot."""
    for path, state in world.sagas:
        if state.pivot is not Pivot.PASSED:
            continue
        for (other, place), unit in world.units:
            if other == path and not unit.sealed and unit.belief is Belief.DONE:
                statement = stage.definition(path).statements[place.path]
                if isinstance(statement, p.Step) and (statement.pivot or not statement.after_pivot):
                    world = with_unit(world, (path, place), replace(unit, sealed=True))
    return world


def _undoing_child(state: State, place: m.Place) -> bool:
    trees = [state.tree]
    if state.frame is not None:
        trees += in_frames(state.frame)
    return any(
        entry.place == place and entry.status is Status.RUNNING
        for tree in trees
        for entry in entries(tree)
    )
