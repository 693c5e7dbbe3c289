"""A run that ended escalated goes on after a person settled it, and says so in its journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sagalang.interpret.run import Run, RunResult, SettlementRefusedError, begin
from sagalang.machine.events import Compensated, Completed, Escalated, How, OpenItem
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.runtime import journal
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.values import Values

from .build import (
    HERE,
    KEY,
    ONCE,
    TEAM,
    Fault,
    World,
    call,
    const,
    crash_before,
    do,
    lost_after,
    lost_before,
    ok,
    operation,
    parallel,
    param,
    program,
    ref,
    rejects,
    returns,
    saga,
    step,
    undoing,
)

Story = Callable[[Run, RunResult], Awaitable[RunResult]]


def play(
    made: p.Program, script: dict[str, list[Fault]], then: Story
) -> tuple[RunResult, World, MemoryEngine]:
    """Run `Main` until it is escalated, and then on as the story goes."""
    world = World(script)

    async def main(clock: SimulatedClock) -> tuple[RunResult, MemoryEngine]:
        world.clock = clock
        engine = MemoryEngine(clock, world, lambda: 0.5)
        world.crash = lambda: engine.crash("id-1")
        run = begin(made, "Main", {}, engine=engine, values=Values(made))
        first = await run.result()
        assert isinstance(first.outcome, Escalated)
        return await then(run, first), engine

    result, engine = simulated(main)
    return result, world, engine


def answer(how: How, value: object = None, number: int = 0) -> Story:
    async def then(run: Run, first: RunResult) -> RunResult:
        run.settle(first.owed[number], how, value, by="ann", why="asked the bank")
        return await run.result()

    return then


def recorded(result: RunResult, kind: type[journal.Entry]) -> list[journal.Entry]:
    return [entry for entry in result.journal if isinstance(entry, kind)]


OPEN = program(saga(do("a"), do("b", escalate=TEAM), returns(ref("b"))))


def test_a_retry_repeats_the_call_under_its_key_and_the_run_goes_on() -> None:
    result, world, _ = play(OPEN, {"S.do(b)": [lost_after, ok]}, answer(How.RETRY))
    assert result.outcome == Completed("did b")
    assert len(set(world.keys["S.do(b)"])) == 1
    assert world.ends == [("done", "a"), ("done", "b")]


def test_a_retry_after_a_rejection_takes_a_fresh_key() -> None:
    result, world, _ = play(OPEN, {"S.do(b)": [rejects, ok]}, answer(How.RETRY))
    assert result.outcome == Completed("did b")
    assert len(set(world.keys["S.do(b)"])) == 2


def test_doubt_stays_over_a_retry_whose_rejection_proves_nothing() -> None:
    plain = operation("S.plain", [param("name")], rejects=["No"], keyed=True)
    undo = undoing(call("S.undo", KEY))
    found = step("S.plain", const("b"), path="b", name="b", undo=undo, escalate=TEAM)
    made = program(saga(do("a"), found), operations=[plain])

    async def then(run: Run, first: RunResult) -> RunResult:
        run.settle(first.owed[0], How.RETRY, by="ann")
        again = await run.result()
        run.settle(again.owed[0], How.RETRY, by="ann")
        return await run.result()

    script: dict[str, list[Fault]] = {"S.plain(b)": [lost_after, rejects, ok]}
    result, world, _ = play(made, script, then)
    assert isinstance(result.outcome, Completed)
    # The rejection came after an unanswered attempt: the key is not given up.
    assert len(set(world.keys["S.plain(b)"])) == 1


def test_who_settled_it_and_why_is_on_record_before_what_follows() -> None:
    result, _, _ = play(OPEN, {"S.do(b)": [lost_before]}, answer(How.DONE, "by hand"))
    assert result.outcome == Completed("by hand")
    (entry,) = recorded(result, journal.Settlement)
    assert isinstance(entry, journal.Settlement)
    assert (str(entry.place), entry.how) == ("b", "done")
    assert (entry.by, entry.why, entry.value) == ("ann", "asked the bank", "by hand")
    kinds = [type(found).__name__ for found in result.journal]
    assert kinds[-3:] == ["Settlement", "EscalationSettled", "SagaFinished"]


def test_not_done_undoes_what_came_before() -> None:
    result, world, _ = play(OPEN, {"S.do(b)": [lost_before]}, answer(How.NOT_DONE))
    assert isinstance(result.outcome, Compensated)
    assert result.outcome.error.name == "NotDone"
    assert world.log[-1] == "S.undo(a)"
    assert world.effects == {}


def test_a_cancel_after_the_run_ended_escalated_undoes_it() -> None:
    async def then(run: Run, first: RunResult) -> RunResult:
        run.cancel()
        return await run.result()

    result, world, _ = play(OPEN, {"S.do(b)": [lost_after]}, then)
    assert isinstance(result.outcome, Compensated)
    assert world.effects == {}


def test_what_does_not_fit_is_refused_and_leaves_no_trace() -> None:
    async def then(run: Run, first: RunResult) -> RunResult:
        (item,) = first.owed
        with pytest.raises(SettlementRefusedError, match="needs a value"):
            run.settle(item, How.DONE, by="ann")
        return await run.result()

    result, _, _ = play(OPEN, {"S.do(b)": [lost_before]}, then)
    assert isinstance(result.outcome, Escalated)
    assert recorded(result, journal.Settlement) == []
    assert result.owed != ()


def test_a_run_whose_siblings_still_move_can_be_settled() -> None:
    made = program(saga(parallel(do("a", escalate=TEAM), do("b"))))
    world = World({"S.do(a)": [rejects]}, latency={"S.do(b)": 900})

    async def main(clock: SimulatedClock) -> RunResult:
        world.clock = clock
        engine = MemoryEngine(clock, world, lambda: 0.5)
        run = begin(made, "Main", {}, engine=engine, values=Values(made))

        async def person() -> None:
            await clock.sleep_until(clock.now() + 100)
            (raised,) = [e for e in engine.journal if isinstance(e, journal.EscalationRaised)]
            run.settle(raised.item, How.DONE, by="ann")

        helper = asyncio.create_task(person())
        result = await run.result()
        await helper
        return result

    result = simulated(main)
    assert result.outcome == Completed()
    assert len(recorded(result, journal.SagaFinished)) == 1


UNDO = undoing(call("S.undo", KEY), ONCE)


def test_a_compensation_that_was_settled_lets_the_rest_be_undone() -> None:
    made = program(saga(do("a"), do("b", undo=UNDO), do("c")))
    script: dict[str, list[Fault]] = {"S.do(c)": [rejects], "S.undo(b)": [rejects, ok]}
    result, world, _ = play(made, dict(script), answer(How.RETRY))
    assert isinstance(result.outcome, Compensated)
    assert world.log[-2:] == ["S.undo(b)", "S.undo(a)"]
    assert len(set(world.keys["S.undo(b)"])) == 2
    result, world, _ = play(
        made, {"S.do(c)": [rejects], "S.undo(b)": [rejects]}, answer(How.NOT_DONE)
    )
    assert isinstance(result.outcome, Escalated)
    assert [item.written_off for item in result.outcome.steps] == [True]
    assert result.owed == ()
    assert list(world.effects.values()) == ["b"]


def test_a_crash_while_a_settled_call_is_repeated_is_survived() -> None:
    result, world, _ = play(OPEN, {"S.do(b)": [lost_after, crash_before, ok]}, answer(How.RETRY))
    assert result.outcome == Completed("did b")
    assert world.ends == [("done", "a"), ("done", "b")]


def child_step(name: str) -> p.ChildStep:
    return p.ChildStep(name, name, "Inner", (const("x"),), t.STRING, None, False, False, "", HERE)


def family(*inner: p.Statement) -> p.Program:
    child = saga(*inner, name="Inner", params=[param("name")])
    return program(saga(do("a"), child_step("c"), do("d"), returns(ref("c"))), child)


def within(how: How, value: object = None) -> Story:
    async def then(run: Run, first: RunResult) -> RunResult:
        (mine,) = first.owed
        with pytest.raises(SettlementRefusedError, match="child saga"):
            run.settle(mine, How.DONE, "x", by="ann")
        child_id = next(e.child_id for e in first.journal if isinstance(e, journal.ChildStarted))
        run.settle(_raised_in(first, child_id), how, value, by="ann", child=child_id)
        return await run.result()

    return then


def _raised_in(result: RunResult, saga_id: str) -> OpenItem:
    return next(
        entry.item
        for entry in result.journal
        if isinstance(entry, journal.EscalationRaised) and entry.saga_id == saga_id
    )


@pytest.mark.parametrize("how", [How.RETRY, How.DONE])
def test_what_is_settled_in_a_child_saga_lets_its_parent_go_on(how: How) -> None:
    made = family(do("x", escalate=TEAM), returns(ref("x")))
    result, world, _ = play(made, {"S.do(x)": [lost_after, ok]}, within(how, "did x"))
    assert result.outcome == Completed("did x")
    assert world.log[-1] == "S.do(d)"


def test_a_child_saga_that_is_not_done_undoes_its_parent() -> None:
    made = family(do("x", escalate=TEAM))
    result, world, _ = play(made, {"S.do(x)": [lost_before]}, within(How.NOT_DONE))
    assert isinstance(result.outcome, Compensated)
    assert result.outcome.error.name == "NotDone"
    assert world.effects == {}


def test_a_cancelled_parent_cancels_its_escalated_child() -> None:
    async def then(run: Run, first: RunResult) -> RunResult:
        run.cancel()
        return await run.result()

    made = family(do("w"), do("x", escalate=TEAM))
    result, world, _ = play(made, {"S.do(x)": [lost_after]}, then)
    assert isinstance(result.outcome, Compensated)
    assert world.effects == {}
    assert [name for what, name in world.ends if what == "undone"] == ["x", "w", "a"]


def test_a_child_that_could_not_be_undone_is_settled_and_its_parent_undone() -> None:
    made = family(do("x", undo=UNDO))
    script: dict[str, list[Fault]] = {"S.do(d)": [rejects], "S.undo(x)": [rejects, ok]}
    result, world, _ = play(made, script, within(How.RETRY))
    assert isinstance(result.outcome, Compensated)
    assert world.effects == {}
