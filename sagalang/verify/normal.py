"""One form for all worlds that go on in the same ways: without what decides nothing any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from sagalang.machine.frames import Loop, Par, PollLeaf, Seq, Try
from sagalang.machine.frozen import EMPTY, FrozenMap
from sagalang.machine.outcomes import Failure
from sagalang.machine.state import Phase, State
from sagalang.machine.undo import Entry, Status, Undo
from sagalang.model import program as p
from sagalang.verify.service import Belief, Unit
from sagalang.verify.stage import Stage
from sagalang.verify.world import Id, Path, World

_SOME_ERROR: Final = Failure("")
"""Which error a saga is being undone for makes no difference to how."""


def normal(stage: Stage, world: World) -> World:
    """The same world without what can make no difference any more."""
    if not stage.options.normal:
        return world
    world = replace(world, units=tuple(_units(stage, world)))
    sagas = tuple((path, _saga(stage, path, state)) for path, state in world.sagas)
    world = replace(world, sagas=sagas)
    root = world.root
    if root.phase is not Phase.FORWARD:
        world = replace(world, cancelled=True, sent=())
        if root.phase is not Phase.OVER and _closing(stage, ()) is None:
            kept = {q: a for q, a in world.answers.items() if q.startswith("exists")}
            world = replace(world, answers=FrozenMap(kept), fences=frozenset(), undos=frozenset())
    return world


def _closing(stage: Stage, path: Path) -> p.WhenCompensated | None:
    return stage.definition(path).saga.when_compensated


def _units(stage: Stage, world: World) -> Iterator[tuple[Id, Unit]]:
    for id_, unit in world.units:
        if unit.late or unit.effects not in (0, 1) or unit.belief is Belief.OPEN:
            yield id_, unit
        elif unit.belief in (Belief.NOT_DONE, Belief.UNDONE) and unit.effects == 0:
            continue  # nothing of it is left, and nothing of it will come
        elif unit.belief is Belief.DONE or not stage.resolves(id_):
            # No request is sent any more, so what is kept under the key decides nothing.
            kept = unit.undo_kept
            yield (
                id_,
                Unit(unit.effects, undo_kept=kept, belief=unit.belief, sealed=unit.sealed),
            )
        else:
            yield id_, unit


def _saga(stage: Stage, path: Path, state: State) -> State:
    if state.phase is Phase.FORWARD:
        if stage.polls and state.frame is not None:
            return replace(state, frame=_first_question(state.frame))
        return state
    changes: dict[str, Any] = {"inbox": (), "seen": frozenset(), "deadline": None}
    if state.phase is Phase.BACKWARD:
        if _closing(stage, path) is None and state.error is not None:
            changes["args"] = EMPTY
            if not path:  # the error of a child saga is what its parent sees
                changes["error"] = _SOME_ERROR
        changes["tree"] = _tree(stage, path, state.tree)
    return replace(state, **changes)


def _tree(stage: Stage, path: Path, tree: Undo) -> Undo:
    if isinstance(tree, Entry):
        if tree.status is Status.SETTLING:
            return tree
        changes: dict[str, Any] = {"outcome": None}
        if tree.failure is not None:
            changes["failure"] = _SOME_ERROR
        if tree.status is Status.STUCK:  # how a person may settle it is not explored
            changes |= {"refused": False, "first_undo": None, "undo_unanswered": None}
        statement = stage.definition(path).statements[tree.place.path]
        if tree.args is not None and isinstance(statement, p.Step):
            changes["sent"] = ()
            if stage.program.operation(statement.call).promises.lands_within is None:
                changes["unanswered"] = None
        return replace(tree, **changes)
    items = tuple(_tree(stage, path, item) for item in tree.items)
    return tree if items == tree.items else replace(tree, items=items)


def _first_question(frame: Any) -> Any:
    """The same frame, whatever the number of times that its polls have asked."""
    match frame:
        case PollLeaf():
            return replace(frame, number=1)
        case Seq(child=child) | Try(child=child) if child is not None:
            return replace(frame, child=_first_question(child))
        case Par(branches=branches):
            return replace(frame, branches=tuple(map(_first_question, branches)))
        case Loop(active=active):
            return replace(frame, active=tuple((i, _first_question(f)) for i, f in active))
        case _:
            return frame
