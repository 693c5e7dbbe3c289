"""What sagas do, run by the interpreter in simulated time."""

from __future__ import annotations

import asyncio

import pytest

from sagalang.interpret.run import RunResult, begin, run
from sagalang.machine.events import Compensated, Completed, Escalated, Purpose
from sagalang.machine.keys import key
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.runtime import journal
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.engine import MemoryEngine, OtherInputError
from sagalang.runtime.values import Values

from .build import (
    BAD,
    FOREVER,
    HERE,
    KEY,
    ONCE,
    RESULT,
    TEAM,
    THRICE,
    Fault,
    World,
    abort,
    answers,
    attempt,
    binary,
    block,
    broken_after,
    call,
    const,
    crash_after,
    crash_before,
    do,
    execute,
    loop,
    lost_after,
    lost_before,
    mismatch,
    not_sent,
    ok,
    operation,
    parallel,
    param,
    program,
    ref,
    rejects,
    returns,
    saga,
    send,
    sleep,
    step,
    strings,
    undoing,
    wait,
)


def error_of(outcome: object) -> str:
    assert isinstance(outcome, Compensated), outcome
    return outcome.error.name


def labels(outcome: object) -> list[str]:
    assert isinstance(outcome, Escalated), outcome
    return [f"{item.label} {item.place}" for item in outcome.steps]


def kinds(entries: tuple[journal.Entry, ...], kind: type[journal.Entry]) -> list[journal.Entry]:
    return [entry for entry in entries if isinstance(entry, kind)]


# --- Sequences ---------------------------------------------------------------------------------


def test_steps_run_in_text_order_and_return_gives_the_value() -> None:
    result, world = execute(program(saga(do("a"), do("b"), returns(ref("b")))))
    assert result.outcome == Completed("did b")
    assert world.ends == [("done", "a"), ("done", "b")]
    assert result.owed == ()


def test_a_rejection_undoes_what_came_before_it_backwards_and_not_itself() -> None:
    world = World({"S.do(c)": [rejects]})
    result, _ = execute(program(saga(do("a"), do("b"), do("c"), do("d"))), world)
    assert error_of(result.outcome) == "No"
    assert world.log == ["S.do(a)", "S.do(b)", "S.do(c)", "S.undo(b)", "S.undo(a)"]


def test_an_unknown_step_is_compensated_first() -> None:
    world = World({"S.do(b)": [lost_after]})
    result, _ = execute(program(saga(do("a"), do("b"))), world)
    assert error_of(result.outcome) == "Timeout"
    assert world.log == ["S.do(a)", "S.do(b)", "S.undo(b)", "S.undo(a)"]
    assert world.effects == {}


def test_a_step_that_was_not_sent_is_not_compensated() -> None:
    world = World({"S.do(b)": [not_sent]})
    execute(program(saga(do("a"), do("b"))), world)
    assert world.log == ["S.do(a)", "S.do(b)", "S.undo(a)"]


def test_repeats_go_under_one_key_and_the_compensation_under_its_own() -> None:
    world = World({"S.do(a)": [broken_after, ok], "S.do(b)": [rejects]})
    execute(program(saga(do("a", policy=THRICE), do("b"))), world)
    own = key("Main", "id-1", "a")
    assert world.keys["S.do(a)"] == [own, own]
    assert world.keys["S.undo(a)"] == [key("Main", "id-1", "a", purpose="compensate")]


def test_the_intent_is_recorded_before_the_first_attempt_also_backwards() -> None:
    world = World({"S.do(b)": [rejects]})
    result, _ = execute(program(saga(do("a"), do("b"))), world)
    seen = [
        (type(entry).__name__, entry.place.path, entry.purpose)
        for entry in result.journal
        if isinstance(entry, journal.Intent | journal.AttemptStarted)
    ]
    for place, purpose in (("a", Purpose.STEP), ("b", Purpose.STEP), ("a", Purpose.COMPENSATE)):
        intent = seen.index(("Intent", place, purpose))
        assert intent < seen.index(("AttemptStarted", place, purpose))


def test_a_bad_value_aborts() -> None:
    result, world = execute(program(saga(do("a"), p.Let("x", BAD, HERE), do("b"))))
    assert error_of(result.outcome) == "BadValue"
    assert world.ends == [("done", "a"), ("undone", "a")]


def test_a_compensation_whose_arguments_have_no_value_prevents_the_step() -> None:
    bad = do("b", undo=undoing(call("S.undo", BAD)))
    result, world = execute(program(saga(do("a"), bad)))
    assert error_of(result.outcome) == "BadValue"
    assert "S.do(b)" not in world.log


@pytest.mark.parametrize(("flag", "expected"), [(True, "yes"), (False, "no")])
def test_an_if_runs_one_arm_and_hands_its_names_on(flag: bool, expected: str) -> None:
    yes = block(p.Let("x", const("yes"), HERE), exports=["x"])
    no = block(p.Let("x", const("no"), HERE), exports=["x"])
    result, _ = execute(program(saga(p.If(const(flag), yes, no, HERE), returns(ref("x")))))
    assert result.outcome == Completed(expected)


def test_a_name_an_arm_leaves_unbound_is_null_afterwards() -> None:
    arm = block(p.Let("x", const("yes"), HERE), exports=["x"])
    other = block(exports=["x"])
    result, _ = execute(program(saga(p.If(const(False), arm, other, HERE), returns(ref("x")))))
    assert result.outcome == Completed(None)


def test_a_best_effort_step_never_fails_the_saga_and_binds_null() -> None:
    world = World({"S.do(a)": [rejects]})
    made = program(saga(do("a", best_effort=True, undo=None), do("b"), returns(ref("a"))))
    result, _ = execute(made, world)
    assert result.outcome == Completed(None)
    assert world.effects
    assert world.log == ["S.do(a)", "S.do(b)"]


def test_compensations_take_their_arguments_as_they_were_when_the_step_completed() -> None:
    free = operation("T.free", [param("what")], idempotent=True, absent_ok=True)
    undo = undoing(call("T.free", binary("+", const("of "), RESULT, t.STRING)))
    world = World({"S.do(b)": [rejects]})
    made = program(saga(do("a", undo=undo), do("b")), operations=[free])
    result, _ = execute(made, world)
    assert error_of(result.outcome) == "No"
    assert "T.free(of did a)" in world.log


# --- Parallel parts ----------------------------------------------------------------------------


def test_branches_run_at_the_same_time() -> None:
    result, world = execute(program(saga(parallel(do("a"), do("b"), do("c")))))
    assert result.outcome == Completed()
    assert world.most_in_flight == 3


def test_a_failing_branch_lets_nothing_new_start_and_awaits_what_is_in_flight() -> None:
    world = World({"S.do(a)": [rejects]}, latency={"S.do(b)": 500})
    made = program(saga(parallel(do("a"), block(do("b"), do("c")))))
    result, _ = execute(made, world)
    assert error_of(result.outcome) == "No"
    assert world.log == ["S.do(a)", "S.do(b)", "S.undo(b)"]
    assert world.ends == [("done", "b"), ("undone", "b")]


def test_a_failing_branch_ends_the_back_off_of_another() -> None:
    world = World({"S.do(a)": [rejects], "S.do(b)": [not_sent]}, latency={"S.do(a)": 500})
    slow = p.Policy(timeout=1_000, retry=p.Retry(None, 600_000))
    result, _ = execute(program(saga(parallel(do("a"), do("b", policy=slow)))), world)
    assert result.journal[-1].at < 1_000
    assert world.log == ["S.do(a)", "S.do(b)"]


def test_the_first_recorded_failure_is_the_error() -> None:
    made = program(
        saga(
            parallel(
                block(sleep(50, "s1"), abort("First")), block(sleep(60, "s2"), abort("Second"))
            )
        )
    )
    result, _ = execute(made)
    assert error_of(result.outcome) == "First"


def test_nothing_starts_beside_a_branch_that_fails_at_once() -> None:
    result, world = execute(program(saga(parallel(abort("E"), do("a")))))
    assert error_of(result.outcome) == "E"
    assert world.log == []


def test_parallel_branches_are_compensated_in_parallel() -> None:
    world = World({"S.do(z)": [rejects]})
    execute(program(saga(parallel(do("a"), do("b")), do("z"))), world)
    world.most_in_flight = 0
    world2 = World({"S.do(z)": [rejects]}, latency={"S.undo(a)": 100})
    result, _ = execute(program(saga(parallel(do("a"), do("b")), do("z"))), world2)
    at = [entry.at for entry in kinds(result.journal, journal.Intent)][-2:]
    assert at[0] == at[1]


# --- Loops -------------------------------------------------------------------------------------


def each(item: str = "x", **options: object) -> p.Step:
    return step(
        "S.do",
        ref(item),
        path="hold",
        name="hold",
        undo=undoing(call("S.undo", KEY)),
        **options,  # type: ignore[arg-type]
    )


def test_a_sequential_loop_runs_one_iteration_after_the_other_and_binds_a_list() -> None:
    made = program(saga(loop(strings("p", "q"), each(), binds=["hold"]), returns(ref("hold"))))
    result, world = execute(made)
    assert result.outcome == Completed(("did p", "did q"))
    assert world.most_in_flight == 1


def test_a_sequential_loop_is_undone_backwards() -> None:
    world = World({"S.do(r)": [rejects]})
    execute(program(saga(loop(strings("p", "q", "r"), each()))), world)
    assert world.log[-2:] == ["S.undo(q)", "S.undo(p)"]


def test_n_at_once_are_in_flight_and_no_more_also_backwards() -> None:
    names = [f"i{n}" for n in range(7)]
    world = World({"S.do(z)": [rejects]})
    result, _ = execute(program(saga(loop(strings(*names), each(), at_once=3), do("z"))), world)
    assert error_of(result.outcome) == "No"
    assert world.most_in_flight == 3
    assert world.effects == {}


def test_iterations_have_keys_of_their_identity_and_repeats_a_number() -> None:
    made = program(saga(loop(strings("p", "q", "p"), each(), by=ref("x"), at_once=9)))
    _, world = execute(made)
    assert world.keys["S.do(p)"] == [
        key("Main", "id-1", "hold", [("for", "p")]),
        key("Main", "id-1", "hold", [("for", "p#2")]),
    ]


def test_an_empty_loop_binds_an_empty_list() -> None:
    made = program(saga(loop(strings(), each(), binds=["hold"]), returns(ref("hold"))))
    assert execute(made)[0].outcome == Completed(())


def test_return_leaves_a_sequential_loop() -> None:
    made = program(saga(loop(strings("p", "q"), each(), returns(ref("x")))))
    result, world = execute(made)
    assert result.outcome == Completed("p")
    assert world.log == ["S.do(p)"]


def test_the_key_of_a_step_is_the_same_from_inside_a_loop() -> None:
    tell = step("T.free", p.KeyOf("a", t.KEY, HERE), path="tell")
    made = program(saga(do("a"), loop(strings("p"), tell)), operations=[FREE])
    _, world = execute(made)
    assert world.log[-1] == "T.free(a)"  # the world knows whose key it is


# --- Attempts ----------------------------------------------------------------------------------


def test_an_attempt_undoes_its_own_steps_then_handles_and_the_saga_goes_on() -> None:
    world = World({"S.do(c)": [rejects]})
    body = attempt(block(do("b"), do("c")), (["No"], block(do("h"))))
    result, _ = execute(program(saga(do("a"), body, do("d"))), world)
    assert result.outcome == Completed()
    assert world.log == ["S.do(a)", "S.do(b)", "S.do(c)", "S.undo(b)", "S.do(h)", "S.do(d)"]


def test_an_attempt_lets_other_errors_pass() -> None:
    world = World({"S.do(c)": [rejects]})
    body = attempt(block(do("b"), do("c")), (["Other"], block(do("h"))))
    result, _ = execute(program(saga(body)), world)
    assert error_of(result.outcome) == "No"
    assert "S.do(h)" not in world.log
    assert world.effects == {}


def test_what_an_attempt_and_its_handler_did_is_undone_with_the_rest() -> None:
    world = World({"S.do(c)": [rejects], "S.do(z)": [rejects]})
    body = attempt(block(do("b"), do("c")), (["No"], block(do("h"))))
    execute(program(saga(do("a"), body, do("z"))), world)
    assert world.log[-2:] == ["S.undo(h)", "S.undo(a)"]


def test_an_attempt_does_not_catch_the_sagas_cancellation() -> None:
    body = attempt(block(do("a"), sleep(1_000)), (["Cancelled"], block(do("h"))))
    result, world = execute(program(saga(body)), cancel_after=100)
    assert error_of(result.outcome) == "Cancelled"
    assert world.log == ["S.do(a)", "S.undo(a)"]


def test_no_handler_starts_once_an_outer_abort_began() -> None:
    world = World({"S.do(b)": [rejects]}, latency={"S.undo(a)": 300})
    inner = attempt(block(do("a"), do("b")), (["No"], block(do("h"))))
    made = program(saga(parallel(inner, block(sleep(100), abort("E")))))
    result, _ = execute(made, world)
    assert error_of(result.outcome) == "E"
    assert world.log == ["S.do(a)", "S.do(b)", "S.undo(a)"]


# --- Pivot, cancel, deadline -------------------------------------------------------------------


def test_a_cancel_before_the_pivot_aborts() -> None:
    made = program(saga(do("a"), sleep(1_000), do("p", pivot=True)))
    result, world = execute(made, cancel_after=500)
    assert error_of(result.outcome) == "Cancelled"
    assert world.ends == [("done", "a"), ("undone", "a")]


def test_a_cancel_while_the_pivot_is_in_flight_is_void_once_it_is_ok() -> None:
    world = World(latency={"S.do(p)": 500})
    made = program(saga(do("a"), do("p", pivot=True), do("b", after_pivot=True)))
    result, _ = execute(made, world, cancel_after=100)
    assert result.outcome == Completed()
    assert "S.undo(a)" not in world.log


def test_a_cancel_held_by_the_pivot_is_carried_out_if_it_was_rejected() -> None:
    world = World({"S.do(p)": [rejects]}, latency={"S.do(p)": 500})
    body = attempt(block(do("p", pivot=True)), (["No"], block(do("h"))))
    result, _ = execute(program(saga(do("a"), body)), world, cancel_after=100)
    assert error_of(result.outcome) == "Cancelled"
    assert world.log == ["S.do(a)", "S.do(p)", "S.undo(a)"]


def test_a_cancel_after_the_pivot_is_refused() -> None:
    made = program(saga(do("a"), do("p", pivot=True), sleep(1_000)))
    result, _world = execute(made, cancel_after=500)
    assert result.outcome == Completed()
    (alert,) = kinds(result.journal, journal.Alerted)
    assert isinstance(alert, journal.Alerted)
    assert "refused" in alert.text


def test_a_rejected_pivot_aborts() -> None:
    world = World({"S.do(p)": [rejects]})
    result, _ = execute(program(saga(do("a"), do("p", pivot=True))), world)
    assert error_of(result.outcome) == "No"
    assert world.effects == {}


def test_an_unknown_pivot_is_resolved_forwards() -> None:
    world = World({"S.do(p)": [broken_after, lost_before, ok]})
    result, _ = execute(program(saga(do("a"), do("p", pivot=True, policy=FOREVER))), world)
    assert result.outcome == Completed()
    assert world.log.count("S.do(p)") == 3


def test_a_pivot_that_stays_unknown_escalates_and_nothing_is_undone() -> None:
    world = World({"S.do(p)": [broken_after]})
    result, _ = execute(program(saga(do("a"), do("p", pivot=True))), world)
    assert labels(result.outcome) == ["S.do p"]
    assert "S.undo(a)" not in world.log


def test_after_the_pivot_a_failure_stays_open_and_siblings_run_on() -> None:
    world = World({"S.do(x)": [rejects]})
    made = program(
        saga(do("p", pivot=True), parallel(do("x"), block(do("y"), do("z"))), do("last"))
    )
    result, _ = execute(made, world)
    assert labels(result.outcome) == ["S.do x"]
    assert world.log == ["S.do(p)", "S.do(x)", "S.do(y)", "S.do(z)"]


def test_after_the_pivot_a_branch_that_fails_at_once_does_not_stop_the_others() -> None:
    made = program(saga(do("p", pivot=True), parallel(abort("E"), do("y"))))
    result, world = execute(made)
    assert isinstance(result.outcome, Escalated)
    assert world.log == ["S.do(p)", "S.do(y)"]


def test_an_attempt_whose_pivot_happened_does_not_handle_any_more() -> None:
    world = World({"S.do(x)": [rejects]})
    body = attempt(block(do("p", pivot=True), do("x")), (["No"], block(do("h"))))
    result, _ = execute(program(saga(body)), world)
    assert labels(result.outcome) == ["S.do x"]
    assert world.log == ["S.do(p)", "S.do(x)"]


def test_the_deadline_before_the_pivot_aborts() -> None:
    made = program(saga(do("a"), sleep(5_000), deadline=1_000))
    result, world = execute(made)
    assert error_of(result.outcome) == "DeadlineExceeded"
    assert world.effects == {}


def test_the_deadline_after_the_pivot_only_raises_an_alert() -> None:
    made = program(saga(do("p", pivot=True), sleep(5_000), deadline=1_000))
    result, _ = execute(made)
    assert result.outcome == Completed()
    assert len(kinds(result.journal, journal.Alerted)) == 1


def test_the_deadline_does_not_end_the_retries_of_a_step_after_the_pivot() -> None:
    world = World({"S.do(b)": [*[not_sent] * 9, ok]})
    last = do("b", after_pivot=True, undo=None, policy=FOREVER)
    result, _ = execute(program(saga(do("p", pivot=True), last, deadline=2_000)), world)
    assert result.outcome == Completed()
    assert result.journal[-1].at > 2_000


def test_compensations_are_shielded_from_cancel_and_deadline() -> None:
    world = World({"S.do(b)": [rejects]}, latency={"S.undo(a)": 900})
    made = program(saga(do("a"), do("b"), deadline=200))
    result, _ = execute(made, world, cancel_after=100)
    assert error_of(result.outcome) == "No"
    assert world.effects == {}


# --- Waits, sleeps, polls ----------------------------------------------------------------------


def n_is(number: int, name: str = "e") -> p.Expr:
    value = p.Member(ref(name), "n", t.INT, HERE)
    return binary("==", value, const(number), t.BOOL)


def number_of(name: str) -> p.Expr:
    return p.Member(ref(name), "n", t.INT, HERE)


def test_an_early_event_is_not_lost() -> None:
    made = program(saga(sleep(1_000), wait("e"), returns(number_of("e"))))
    result, _ = execute(made, sends=[send(7, after=100)])
    assert result.outcome == Completed(7)
    assert result.journal[-1].at == 1_000


def test_an_early_event_is_consumed_once() -> None:
    made = program(saga(sleep(500), wait("e"), wait("f", within=1_000), returns(ref("f"))))
    result, _ = execute(made, sends=[send(1, 10)])
    assert result.outcome == Completed(None)


def test_an_event_is_accepted_once() -> None:
    made = program(saga(wait("e"), wait("f", within=1_000), returns(ref("f"))))
    result, _ = execute(made, sends=[send(1, 10, id_="same"), send(1, 20, id_="same")])
    assert result.outcome == Completed(None)


def test_an_event_goes_to_the_first_wait_in_text_order_whose_where_it_meets() -> None:
    made = program(
        saga(
            parallel(
                block(wait("e", where=n_is(2)), p.Let("a", const("first"), HERE), exports=["e"]),
                block(wait("f"), exports=["f"]),
            ),
            returns(binary("-", number_of("f"), number_of("e"))),
        )
    )
    result, _ = execute(made, sends=[send(1, 10), send(2, 20)])
    assert result.outcome == Completed(-1)
    result, _ = execute(made, sends=[send(2, 10), send(2, 20)])
    assert result.outcome == Completed(0)


def test_a_wait_runs_out_into_an_abort() -> None:
    made = program(saga(do("a"), wait("e", within=500, otherwise=abort("Late"))))
    result, world = execute(made)
    assert error_of(result.outcome) == "Late"
    assert world.effects == {}


def test_a_wait_runs_out_into_an_escalation() -> None:
    result, world = execute(program(saga(wait("e", within=500, otherwise=TEAM), do("a"))))
    assert labels(result.outcome) == ["Go e"]
    assert result.owed[0].team == "team"
    assert world.log == []


def test_a_where_without_a_value_aborts() -> None:
    made = program(saga(do("a"), wait("e", where=BAD)))
    result, world = execute(made, sends=[send(1, 100)])
    assert error_of(result.outcome) == "BadValue"
    assert world.effects == {}


def test_a_sleep_takes_its_time() -> None:
    result, _ = execute(program(saga(sleep(3_600_000))))
    assert result.journal[-1].at == 3_600_000


def poll(until: p.Expr, **options: object) -> p.Poll:
    settings: dict[str, object] = {"every": 100, "within": 1_000, "otherwise": None, **options}
    return p.Poll(
        path="v",
        name="v",
        call=call("Q.ask"),
        until=until,
        policy=ONCE,
        type=t.INT,
        span=HERE,
        **settings,  # type: ignore[arg-type]
    )


ASK = operation("Q.ask", query=True, result=t.INT)
IS_THREE = binary("==", ref("v"), const(3), t.BOOL)


def test_a_poll_asks_until_the_condition_holds_and_a_failing_query_means_not_yet() -> None:
    world = World({"Q.ask": [answers(1), not_sent, answers(3)]})
    made = program(saga(poll(IS_THREE), returns(ref("v"))), operations=[ASK])
    result, _ = execute(made, world)
    assert result.outcome == Completed(3)
    starts = [entry.at for entry in kinds(result.journal, journal.Intent)]
    assert starts == [0, 115, 230]


def test_a_poll_that_runs_out_binds_null() -> None:
    world = World({"Q.ask": [answers(1)]})
    made = program(saga(poll(IS_THREE), returns(ref("v"))), operations=[ASK])
    result, _ = execute(made, world)
    assert result.outcome == Completed(None)
    assert 1_000 <= result.journal[-1].at <= 1_010


# --- Escalation and compensation that fails ----------------------------------------------------


def test_else_escalate_keeps_the_failure_open_while_siblings_run_on() -> None:
    world = World({"S.do(x)": [rejects]})
    made = program(saga(parallel(do("x", escalate=TEAM), block(do("y"), do("z"))), do("last")))
    result, _ = execute(made, world)
    assert labels(result.outcome) == ["S.do x"]
    assert result.owed[0].team == "team"
    assert world.log == ["S.do(x)", "S.do(y)", "S.do(z)"]


def test_a_failing_sibling_closes_an_escalation_and_compensates() -> None:
    world = World({"S.do(x)": [broken_after], "S.do(y)": [rejects]}, latency={"S.do(y)": 500})
    result, _ = execute(program(saga(parallel(do("x", escalate=TEAM), do("y")))), world)
    assert error_of(result.outcome) == "No"
    assert world.effects == {}


def test_retry_for_ever_is_escalated_after_a_while_and_success_settles_it() -> None:
    world = World({"S.do(x)": [*[not_sent] * 200, ok]})
    made = program(saga(parallel(do("x", policy=FOREVER, escalate=TEAM), sleep(10**6))))
    result, _ = execute(made, world)
    assert result.outcome == Completed()
    assert len(kinds(result.journal, journal.EscalationRaised)) == 1
    assert len(kinds(result.journal, journal.EscalationSettled)) == 1


def test_a_run_ends_escalated_when_nothing_else_can_move() -> None:
    world = World({"S.do(x)": [not_sent]})
    result, _ = execute(program(saga(do("x", policy=FOREVER, escalate=TEAM), do("y"))), world)
    assert labels(result.outcome) == ["S.do x"]
    assert 60_000 <= result.journal[-1].at < 80_000


def test_a_rejected_compensation_escalates_at_once_and_holds_back_what_depends_on_it() -> None:
    world = World({"S.do(z)": [rejects], "S.undo(b)": [rejects]})
    made = program(saga(do("a"), parallel(do("b"), block(do("c"), do("d"))), do("z")))
    result, _ = execute(made, world)
    assert labels(result.outcome) == ["S.undo b"]
    assert world.log.count("S.undo(b)") == 1
    assert [name for what, name in world.ends if what == "undone"] == ["d", "c"]
    assert sorted(world.effects.values()) == ["a", "b"]


def test_a_failing_compensation_is_retried_under_its_policy_then_escalated() -> None:
    world = World({"S.do(z)": [rejects], "S.undo(a)": [not_sent]})
    result, _ = execute(program(saga(do("a", undo_policy=THRICE), do("z"))), world)
    assert labels(result.outcome) == ["S.undo a"]
    assert world.log.count("S.undo(a)") == 3


def test_by_default_a_compensation_is_retried_for_ever() -> None:
    world = World({"S.do(z)": [rejects], "S.undo(a)": [*[not_sent] * 50, ok]})
    result, _ = execute(program(saga(do("a"), do("z"))), world)
    assert error_of(result.outcome) == "No"
    assert world.effects == {}


def test_an_overdue_compensation_is_escalated_and_its_success_settles_it() -> None:
    world = World({"S.do(z)": [rejects], "S.undo(a)": [*[not_sent] * 200, ok]})
    world.latency["S.undo(b)"] = 999
    world.script["S.undo(b)"] = [*[not_sent] * 300, ok]
    undo = undoing(call("S.undo", KEY), FOREVER, TEAM)
    made = program(saga(parallel(do("a", undo=undo), do("b")), do("z")))
    result, _ = execute(made, world)
    assert error_of(result.outcome) == "No"
    assert len(kinds(result.journal, journal.EscalationRaised)) == 1
    assert len(kinds(result.journal, journal.EscalationSettled)) == 1


def test_when_compensated_runs_after_the_last_compensation() -> None:
    after = p.WhenCompensated(None, block(do("tell", best_effort=True, undo=None)), HERE)
    world = World({"S.do(b)": [rejects], "S.do(tell)": [rejects]})
    result, _ = execute(program(saga(do("a"), do("b"), after=after)), world)
    assert error_of(result.outcome) == "No"
    assert world.log[-2:] == ["S.undo(a)", "S.do(tell)"]


# --- Finding out -------------------------------------------------------------------------------

FREE = operation("T.free", [param("what")], idempotent=True, absent_ok=True)
BY_RESULT = undoing(call("T.free", RESULT), THRICE)


def test_a_compensation_that_needs_the_result_repeats_the_unknown_step_under_its_key() -> None:
    world = World({"S.do(a)": [broken_after, ok]})
    made = program(saga(do("a", undo=BY_RESULT)), operations=[FREE])
    result, _ = execute(made, world)
    assert error_of(result.outcome) == "Unavailable"
    assert world.log == ["S.do(a)", "S.do(a)", "T.free(did a)"]
    assert len(set(world.keys["S.do(a)"])) == 1


def test_a_compensation_that_needs_the_result_is_not_owed_if_the_repeat_is_refused() -> None:
    world = World({"S.do(a)": [lost_before, rejects]})
    made = program(saga(do("a", undo=BY_RESULT)), operations=[FREE])
    result, _ = execute(made, world)
    assert isinstance(result.outcome, Compensated)
    assert world.log == ["S.do(a)", "S.do(a)"]


def test_what_stays_unknown_escalates() -> None:
    world = World({"S.do(a)": [lost_before]})
    made = program(saga(do("a", undo=BY_RESULT)), operations=[FREE])
    result, _ = execute(made, world)
    assert labels(result.outcome) == ["S.do a"] or labels(result.outcome) == ["T.free a"]
    assert result.owed[0].purpose is Purpose.RESOLVE


PROBED = operation(
    "L.book",
    [param("order")],
    probe=call("L.find", ref("order")),
    lands_within=5_000,
)
FIND = operation("L.find", [param("order")], query=True, result=t.Optional(t.STRING))


def test_a_probe_finds_the_result_that_a_compensation_needs() -> None:
    world = World({"L.book": [mismatch], "L.find": [not_sent, answers("T-1")]})
    book = step("L.book", const("o"), undo=BY_RESULT)
    made = program(saga(book), operations=[PROBED, FIND, FREE])
    result, _ = execute(made, world)
    assert isinstance(result.outcome, Compensated)
    assert world.log == ["L.book(o)", "L.find(o)", "L.find(o)", "T.free(T-1)"]


def test_an_unfenced_compensation_waits_until_a_late_call_can_no_longer_land() -> None:
    world = World({"L.book": [lost_before], "L.find": [not_sent]})
    book = step("L.book", const("o"), undo=undoing(call("T.free", const("o"))))
    made = program(saga(book), operations=[PROBED, FIND, FREE])
    result, _ = execute(made, world)
    assert world.log == ["L.book(o)", "L.find(o)", "T.free(o)"]
    free = [e for e in kinds(result.journal, journal.Intent) if e.purpose is Purpose.COMPENSATE]  # type: ignore[attr-defined]
    assert free[0].at == 1_000 + 5_000


# --- Crashes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [crash_before, crash_after])
def test_after_a_crash_a_keyed_step_is_repeated_under_its_key(crash: Fault) -> None:
    world = World({"S.do(b)": [crash, ok]})
    result, _ = execute(program(saga(do("a"), do("b"), returns(ref("b")))), world)
    assert result.outcome == Completed("did b")
    assert world.ends == [("done", "a"), ("done", "b")]
    assert len(set(world.keys["S.do(b)"])) == 1
    intents = [e for e in kinds(result.journal, journal.Intent) if e.place.path == "b"]  # type: ignore[attr-defined]
    assert len(intents) == 1


def test_after_a_crash_a_step_that_may_not_be_repeated_is_unknown() -> None:
    world = World({"P.go": [crash_before]})
    plain = step("P.go", undo=undoing(call("T.free", const("x"))))
    made = program(saga(plain), operations=[operation("P.go"), FREE])
    result, _ = execute(made, world)
    assert error_of(result.outcome) == "Unavailable"
    assert world.log == ["P.go", "T.free(x)"]


def test_a_crash_while_undoing_goes_on_undoing() -> None:
    world = World({"S.do(z)": [rejects], "S.undo(b)": [crash_after, ok]})
    result, _ = execute(program(saga(do("a"), do("b"), do("z"))), world)
    assert error_of(result.outcome) == "No"
    assert world.ends[-2:] == [("undone", "b"), ("undone", "a")]


def test_timers_events_and_cancellation_survive_a_crash() -> None:
    world = World({"S.do(a)": [crash_after, ok]})
    made = program(saga(parallel(do("a"), sleep(500)), wait("e"), sleep(10_000, "s2")))
    result, _ = execute(made, world, sends=[send(1, after=700)], cancel_after=3_000)
    assert error_of(result.outcome) == "Cancelled"
    fired = [e for e in kinds(result.journal, journal.TimerEnded) if e.place.path == "sleep"]  # type: ignore[attr-defined]
    assert [e.at for e in fired] == [500]


def test_a_crash_inside_a_child_saga_is_survived() -> None:
    world = World(
        {"S.do(k2)": [crash_after, ok], "S.do(z)": [rejects], "S.undo(k1)": [crash_before, ok]}
    )
    result, _ = execute(program(saga(do("a"), child(), do("z")), KID), world)
    assert error_of(result.outcome) == "No"
    assert world.effects == {}


# --- Child sagas -------------------------------------------------------------------------------


def child(**options: object) -> p.ChildStep:
    settings: dict[str, object] = {
        "path": "kid",
        "name": "kid",
        "saga": "Kid",
        "args": (const("k"),),
        "type": t.STRING,
        "escalate": None,
        "best_effort": False,
        "pivot": False,
        "doc": "",
        "span": HERE,
        **options,
    }
    return p.ChildStep(**settings)  # type: ignore[arg-type]


KID = saga(do("k1"), do("k2"), returns(ref("k2")), name="Kid", params=[param("what")])


def test_a_child_saga_gives_its_value_and_runs_under_the_parents_key() -> None:
    result, world = execute(program(saga(child(), returns(ref("kid"))), KID))
    assert result.outcome == Completed("did k2")
    assert world.keys["S.do(k1)"] == [key("Kid", key("Main", "id-1", "kid"), "k1")]


def test_a_completed_child_is_undone_backwards() -> None:
    world = World({"S.do(z)": [rejects]})
    result, _ = execute(program(saga(do("a"), child(), do("z")), KID), world)
    assert error_of(result.outcome) == "No"
    assert world.log[-3:] == ["S.undo(k2)", "S.undo(k1)", "S.undo(a)"]


def test_a_compensated_child_is_a_rejection() -> None:
    world = World({"S.do(k2)": [rejects]})
    result, _ = execute(program(saga(do("a"), child()), KID), world)
    assert error_of(result.outcome) == "No"
    assert world.effects == {}


def test_an_escalated_child_leaves_its_parent_escalated() -> None:
    world = World({"S.do(k2)": [rejects], "S.undo(k1)": [rejects]})
    result, _ = execute(program(saga(do("a"), child()), KID), world)
    assert labels(result.outcome) == ["Kid kid"]
    assert sorted(world.effects.values()) == ["a", "k1"]


def test_an_interrupted_parent_asks_its_child_to_cancel_and_awaits_it() -> None:
    world = World({"S.do(y)": [rejects]}, latency={"S.do(y)": 15, "S.do(k2)": 300})
    kid = saga(do("k1"), do("k2"), do("k3"), name="Kid", params=[param("what")])
    result, _ = execute(program(saga(parallel(child(), do("y"))), kid), world)
    assert error_of(result.outcome) == "No"
    assert world.effects == {}
    assert world.ends == [("done", "k1"), ("done", "k2"), ("undone", "k2"), ("undone", "k1")]


def test_a_handler_sees_the_name_of_what_it_caught() -> None:
    world = World({"S.do(a)": [rejects]})
    name = p.Member(ref("e"), "name", t.STRING, HERE)
    body = attempt(block(do("a")), (["No", "Other"], block(returns(name))), binder="e")
    result, _ = execute(program(saga(body)), world)
    assert result.outcome == Completed("No")


def test_a_run_of_the_same_id_is_the_same_run_and_other_input_is_refused() -> None:
    made = program(saga(do("a"), params=[param("x")]))
    values = Values(made)

    async def main(clock: SimulatedClock) -> None:
        world = World(clock=clock)
        engine = MemoryEngine(clock, world, lambda: 0.5)
        first = begin(made, "Main", {"x": "1"}, engine=engine, values=values)
        assert begin(made, "Main", {"x": "1"}, engine=engine, values=values) is first
        with pytest.raises(OtherInputError):
            begin(made, "Main", {"x": "2"}, engine=engine, values=values)
        one = await first.result()
        two = await begin(made, "Main", {"x": "1"}, engine=engine, values=values).result()
        assert one.outcome == two.outcome == Completed()
        assert world.log == ["S.do(a)"]

    simulated(main)


def test_a_run_can_be_signalled_and_cancelled_from_outside() -> None:
    made = program(saga(do("a"), wait("e", within=10**6), sleep(10**6)))
    values = Values(made)

    async def main(clock: SimulatedClock) -> RunResult:
        engine = MemoryEngine(clock, World(clock=clock), lambda: 0.5)
        begun = begin(made, "Main", {}, engine=engine, values=values)

        async def outside() -> None:
            await clock.sleep_until(100)
            begun.signal("Go", values.make(t.RecordRef("Go"), {"n": 1}))
            await clock.sleep_until(300)
            begun.cancel()

        result, _ = await asyncio.gather(begun.result(), outside())
        return result

    result = simulated(main)
    assert error_of(result.outcome) == "Cancelled"
    assert len(kinds(result.journal, journal.EventAccepted)) == 1


def test_an_ended_task_is_not_an_outcome() -> None:
    made = program(saga(do("a")))

    async def main(clock: SimulatedClock) -> None:
        world = World({"S.do": [lost_before]}, clock=clock)
        engine = MemoryEngine(clock, world, lambda: 0.5)
        task = asyncio.create_task(run(made, "Main", {}, engine=engine))
        await clock.sleep_until(100)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.log == ["S.do(a)"]
        assert not kinds(tuple(engine.journal), journal.OutcomeRecorded)

    simulated(main)
