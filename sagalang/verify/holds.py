"""What must hold in every world: the promises of the language, as rules."""

from __future__ import annotations

from sagalang.machine import events as m
from sagalang.machine.state import Phase
from sagalang.verify.service import Belief, threatens
from sagalang.verify.shared import may_be_undone
from sagalang.verify.stage import Stage
from sagalang.verify.world import Breach, World


def broken(stage: Stage, world: World) -> list[Breach]:
    found: list[Breach] = []
    outcome = world.root.outcome if world.root.phase is Phase.OVER else None
    for id_, unit in world.units:
        if stage.exempt(id_):
            continue
        if unit.effects > 1:
            found.append(Breach("done-twice", id_))
        if unit.effects < 0:
            found.append(Breach("undone-before-done", id_))
    if outcome is None:
        return found
    if world.flights:
        found.append(Breach("ended-with-calls-in-flight", None))
    for id_, unit in world.units:
        if stage.exempt(id_):
            continue
        operation = stage.command(id_)
        late = threatens(operation, unit, stage.rules)
        match unit.belief:
            case Belief.DONE if unit.effects == 1 and late:
                found.append(Breach("done-twice", id_, "late"))
            case Belief.DONE if unit.effects == 0 and isinstance(outcome, m.Completed):
                found.append(Breach("not-done", id_))
            case Belief.DONE if isinstance(outcome, m.Completed) and may_be_undone(
                stage, world, id_
            ):
                found.append(Breach("not-done", id_, "late"))
            case Belief.NOT_DONE | Belief.UNDONE if unit.effects or late:
                found.append(Breach("left", id_, "late" if late else ""))
            case Belief.OPEN | Belief.UNDOING:
                if not isinstance(outcome, m.Escalated):
                    found.append(Breach("forgotten", id_))
            case Belief.UNKNOWN | Belief.DONE if isinstance(outcome, m.Compensated):
                if unit.effects or late or unit.belief is Belief.UNKNOWN:
                    found.append(Breach("left", id_, "late" if late else ""))
            case Belief.UNKNOWN if isinstance(outcome, m.Completed):
                found.append(Breach("forgotten", id_))
            case _:
                pass
    return found
