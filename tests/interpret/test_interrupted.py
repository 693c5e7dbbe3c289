"""A call that was told to stop, and an orchestrator that dies in the same moment: it still ends."""

from __future__ import annotations

import pytest

from sagalang.interpret.run import RunResult, run
from sagalang.machine.events import Compensated, Escalated, Purpose
from sagalang.machine.outcomes import Unknown
from sagalang.model import program as p
from sagalang.runtime import journal
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.values import Values

from .build import (
    FOREVER,
    RESULT,
    TEAM,
    World,
    call,
    do,
    operation,
    param,
    program,
    saga,
    undoing,
)

FREE = operation("T.free", [param("what")], idempotent=True, absent_ok=True)


def played(
    made: p.Program, world: World, deaths: int, cancel_after: int | None = None
) -> RunResult:
    """Run `Main`; once the first call is told to stop, the orchestrator dies, so often."""
    values = Values(made)

    async def main(clock: SimulatedClock) -> RunResult:
        left = deaths

        def die(entry: journal.Entry) -> None:
            nonlocal left
            if isinstance(entry, journal.Interrupted):
                while left:
                    left -= 1
                    engine.crash("id-1")

        world.clock = clock
        engine = MemoryEngine(clock, world, lambda: 0.5, die)
        return await run(made, "Main", {}, engine=engine, cancel_after=cancel_after, values=values)

    result = simulated(main)
    restarts = [entry for entry in result.journal if isinstance(entry, journal.Restarted)]
    assert len(restarts) == deaths
    return result


def never(world: World, request: Request) -> None:
    """No answer, and no endless test where the call does not stop."""
    assert len(world.log) < 200


@pytest.mark.parametrize("deaths", [0, 1, 2, 3])
def test_a_step_that_is_cancelled_in_flight_is_undone(deaths: int) -> None:
    world = World({"S.do(a)": [never]})
    result = played(program(saga(do("a", policy=FOREVER))), world, deaths, cancel_after=5)
    assert isinstance(result.outcome, Compensated)
    assert world.log == ["S.do(a)", "S.undo(a)"]


@pytest.mark.parametrize("deaths", [0, 1, 2, 3])
def test_a_question_that_is_overdue_is_left_to_a_person(deaths: int) -> None:
    """What became of the step is asked for ever; past its time only a person can move the saga."""
    world = World({"S.do(a)": [never]})
    undo = undoing(call("T.free", RESULT), FOREVER, TEAM)
    result = played(program(saga(do("a", undo=undo)), operations=[FREE]), world, deaths)
    assert isinstance(result.outcome, Escalated)
    (item,) = result.outcome.steps
    assert (item.purpose, item.team) == (Purpose.RESOLVE, "team")
    ends = [e for e in result.journal if isinstance(e, journal.OutcomeRecorded)]
    assert [isinstance(end.value, Unknown) for end in ends] == [True, True]
    assert "T.free" not in " ".join(world.log)
