"""Compensations by inputs: what one of them undoes, and keeps out, beside its own step.

Values of which nothing is known are taken to be different, unless they are one and the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from sagalang.machine.undo import Entry
from sagalang.model import program as p
from sagalang.verify.decides import inside
from sagalang.verify.inputs import by_inputs
from sagalang.verify.service import Unit
from sagalang.verify.stage import Stage
from sagalang.verify.world import Id, Inputs, World, with_unit


@dataclass(frozen=True)
class Twins:
    """The other steps that are undone by the same inputs. `have_effects`: one of them has."""

    inputs: Inputs
    units: tuple[tuple[Id, Unit], ...]

    @property
    def have_effects(self) -> bool:
        return any(unit.effects > 0 for _, unit in self.units)


def inputs_of(stage: Stage, world: World, id_: Id) -> Inputs | None:
    """By what the step is undone, where other steps may be undone by the same; else None."""
    if not stage.shared:
        return None
    return next((inputs for other, inputs in _owed(stage, world) if other == id_), None)


def twins(stage: Stage, world: World, id_: Id) -> Twins | None:
    """None as above."""
    inputs = inputs_of(stage, world, id_)
    if inputs is None:
        return None
    same = {other for other, theirs in _owed(stage, world) if theirs == inputs and other != id_}
    return Twins(inputs, tuple((other, unit) for other, unit in world.units if other in same))


def undone_with(world: World, others: Twins, own: Unit) -> World:
    """What a compensation did to the other steps, and may do to all that come later. `own`: what it
    left of its own step."""
    for other, unit in others.units:
        effects = unit.effects if own.beside else 0  # it came, or there was nothing
        fenced, undone = unit.fenced or own.fenced, unit.undone or own.undone
        left = replace(unit, effects=effects, fenced=fenced, undone=undone)
        world = with_unit(world, other, left)
    if own.fenced:
        world = replace(world, fences=world.fences | {others.inputs})
    if own.undo_late:
        world = replace(world, undos=world.undos | {others.inputs})
    return world


def may_be_undone(stage: Stage, world: World, id_: Id) -> bool:
    """Whether the compensation of another step is under way that would undo this one."""
    return bool(world.undos) and inputs_of(stage, world, id_) in world.undos


def _owed(stage: Stage, world: World) -> Iterator[tuple[Id, Inputs]]:
    """Every step that is, or may be, to be undone by inputs which another one may have."""
    for path, state in world.sagas:
        statements = stage.definition(path).statements
        for entry in inside((state.tree, state.frame)):
            if not isinstance(entry, Entry) or entry.args is None:
                continue
            match statements[entry.place.path]:
                case p.Step(compensation=p.Compensation(call=call)):
                    if call.label in stage.shared and by_inputs(call):
                        yield (path, entry.place), (call.label, entry.args)
