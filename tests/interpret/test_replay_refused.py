"""A journal that its definition does not lead to is refused, and nothing is done; what people said,
and what was left in the middle, is gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from sagalang.interpret.run import Run, RunResult, begin
from sagalang.machine.events import Completed, Escalated, How
from sagalang.model import program as p
from sagalang.runtime import journal
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.replay import ReplayError
from sagalang.runtime.values import Values

from .build import TEAM, World, do, parallel, program, rejects, saga, sleep
from .deaths import child, deaths, kid, recorded


def after(made: p.Program) -> tuple[Run, list[journal.Entry]]:
    """A run that was cut off in the middle of its second step, and its journal."""
    run = next(run for entries, run, _ in deaths(made, World) if entries == 7)
    return run, recorded(run)[:7]


TWO_STEPS = program(saga(do("a"), do("b"), sleep(100), do("c")))


def resumed(made: p.Program, found: Sequence[journal.Entry]) -> World:
    world = World()

    async def main(clock: SimulatedClock) -> None:
        world.clock = clock
        engine = MemoryEngine(clock, world, lambda: 0.5, found=found)
        run = begin(made, "Main", {}, engine=engine, saga_id="id-1", values=Values(made))
        try:
            await run.result()
        finally:
            assert tuple(engine.journal) == tuple(found), "something was done"

    simulated(main)
    return world


@pytest.mark.parametrize(
    ("other", "place"),
    [
        (program(saga(do("a"), sleep(5), do("b"))), "b"),
        (program(saga(do("x"), do("b"))), "a"),
        (program(saga(do("a"), parallel(do("x"), do("y")))), "b"),
        (program(saga(do("a"), sleep(5), deadline=10)), "a"),
        (program(saga(child(), do("b")), kid(do("k"))), "a"),
    ],
)
def test_another_definition_is_refused_and_nothing_is_called(other: p.Program, place: str) -> None:
    _, found = after(TWO_STEPS)
    with pytest.raises(ReplayError, match=rf"id-1 does not fit.*\b{place}\b.*Nothing was done"):
        resumed(other, found)


def test_a_damaged_journal_is_refused() -> None:
    """Whichever of a run's own decisions is missing, and something follows from it."""
    made = program(saga(do("a"), child(), do("z")), kid(do("k1"), do("k2")))
    *_, (_, run, _) = deaths(made, lambda: World({"S.do(z)": [rejects]}))
    whole = recorded(run)
    missing = [e for e in whole if isinstance(e, journal.AbortBegan | journal.ChildStarted)]
    assert len(missing) == 4
    for entry in missing:
        with pytest.raises(ReplayError, match="does not fit"):
            resumed(made, [e for e in whole if e is not entry])


def test_a_timer_in_place_of_another_is_told() -> None:
    run = next(run for entries, run, _ in deaths(TWO_STEPS, World) if entries == 10)
    found = recorded(run)[:10]
    with pytest.raises(ReplayError, match=r"`timer started` at sleep .* `timer started` at other"):
        resumed(program(saga(do("a"), do("b"), sleep(100, path="other"))), found)


def test_a_call_that_never_left_is_no_doubt() -> None:
    """The process died between the decision and the intent: the call is made as if anew."""
    run = next(run for entries, run, _ in deaths(TWO_STEPS, World) if entries == 1)
    first = next(e for e in recorded(run) if isinstance(e, journal.AttemptStarted))
    assert isinstance(recorded(run)[1], journal.Restarted)
    assert isinstance(recorded(run)[2], journal.Intent)
    assert first.attempt == 1


def test_what_is_sent_once_more_is_what_the_intent_says() -> None:
    """The input belongs to the key, whatever the environment says today."""
    _, found = after(TWO_STEPS)
    intent = next(e for e in reversed(found) if isinstance(e, journal.Intent))
    found[found.index(intent)] = replace(intent, args=("as it was",))
    assert "S.do(as it was)" in resumed_log(found)


def resumed_log(found: Sequence[journal.Entry]) -> list[str]:
    world = World()

    async def main(clock: SimulatedClock) -> None:
        world.clock = clock
        engine = MemoryEngine(clock, world, lambda: 0.5, found=found)
        run = begin(TWO_STEPS, "Main", {}, engine=engine, saga_id="id-1")
        await run.result()

    simulated(main)
    return world.log


def test_a_run_that_was_left_goes_on_when_it_is_awaited_again() -> None:
    world = World()

    async def main(clock: SimulatedClock) -> RunResult:
        world.clock = clock
        engine = MemoryEngine(clock, world, lambda: 0.5)
        run = begin(TWO_STEPS, "Main", {}, engine=engine, saga_id="id-1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run.result(), 0.015)  # in the middle of the second step
        return await run.result()

    assert isinstance(simulated(main).outcome, Completed)
    assert world.log == ["S.do(a)", "S.do(b)", "S.do(b)", "S.do(c)"]


# --- Operated by people --------------------------------------------------------------------------


def test_what_people_settled_is_replayed() -> None:
    made = program(saga(do("a"), do("b", escalate=TEAM), do("c")))
    lives: list[Run] = []

    async def main(clock: SimulatedClock) -> None:
        world = World({"S.do(b)": [rejects]})
        world.clock = clock
        found: Sequence[journal.Entry] = ()
        for number in range(3):
            engine = MemoryEngine(clock, world, lambda: 0.5, found=found)
            run = begin(made, "Main", {}, engine=engine, saga_id="id-1")
            result = await run.result()
            if number < 2:
                assert isinstance(result.outcome, Escalated)
                again = [How.RETRY, How.DONE][number]
                run.settle(result.owed[0], again, "by hand", by="ann", why="asked")
            found = tuple(engine.journal)  # the process ends before it goes on
            lives.append(run)
            assert result.outcome == run.outcome

    simulated(main)
    assert isinstance(lives[-1].outcome, Completed)
