"""What sagas mean (language.md, sections 1 and 7), sentence by sentence, at the pure machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sagalang.machine.events import (
    SAGA,
    Compensated,
    Completed,
    Escalated,
    OpenItem,
    Place,
    Purpose,
    Timer,
    TimerFired,
)
from sagalang.machine.keys import key
from sagalang.machine.outcomes import Failure

from .play import Play

HOUR = 3_600_000
AB = 'step a = S.do("a") step b = S.do("b")'
CHILD = "saga Inner(name: string) -> string { step x = S.do(name) return x }"
OPEN = Escalated((OpenItem(Place("x"), Purpose.STEP, "S.do", Failure("No")),))

Story = Callable[[Play], list[str]]


ENDS: list[tuple[Story, str]] = [
    (Play.cancel, "Cancelled"),
    (lambda play: play.fire(Timer.DEADLINE), "DeadlineExceeded"),
]


def after(*answers: str) -> Callable[[Play], None]:
    """Answers ok to these calls, in turn."""

    def run(play: Play) -> None:
        for what in answers:
            play.ok(what)

    return run


def answer(play: Play, what: str, outcome: str) -> list[str]:
    match outcome:
        case "ok":
            return play.ok(what)
        case "rejected":
            return play.rejected(what)
        case "not sent":
            return play.not_sent(what)
        case _:
            return play.unknown(what)


# --- 1: what happened, what did not, and what nobody knows --------------------------------------


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        ("ok", ["call c"]),
        ("rejected", ["abort No", "undo a"]),
        ("not sent", ["abort CircuitOpen", "undo a"]),
        ("unknown", ["abort Timeout", "undo b"]),
    ],
)
def test_a_step_is_compensated_if_it_is_ok_or_unknown(outcome: str, wanted: list[str]) -> None:
    play = Play(f'{AB} step c = S.do("c")')
    play.ok("a")
    assert answer(play, "b", outcome) == wanted


# --- Steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["rejected", "unknown", "not sent"])
def test_a_best_effort_step_never_fails_the_saga_and_binds_null(outcome: str) -> None:
    play = Play('step t = S.do("t") best effort step b = S.do(t ?? "nothing")')
    answer(play, "t", outcome)
    assert play.call("b").args == ("nothing",)
    assert play.rejected("b") == ["abort No", "compensated No"]


def test_a_best_effort_step_is_not_undone() -> None:
    play = Play('step t = S.do("t") best effort step b = S.do("b")')
    play.ok("t")
    assert play.rejected("b") == ["abort No", "compensated No"]


def test_a_best_effort_step_that_was_interrupted_is_not_undone_either() -> None:
    play = Play('parallel { step S.do("t") best effort step b = S.do("b") }')
    assert play.rejected("b") == ["abort No", "interrupt S.do"]
    assert play.ok("S.do") == ["compensated No"]


def test_a_best_effort_step_whose_arguments_have_no_value_is_passed_over() -> None:
    play = Play(
        'step t = S.do(xs[3]) best effort step b = S.do("b")',
        params="xs: list<string>",
        args={"xs": ()},
    )
    assert play.first == ["call b"]


def test_a_step_without_compensation_owes_nothing() -> None:
    play = Play('step t = S.do("t") compensate none "it is a note" step b = S.do("b")')
    play.ok("t")
    assert play.rejected("b") == ["abort No", "compensated No"]


def test_a_value_that_is_missing_aborts_and_can_be_caught() -> None:
    play = Play(
        'step a = S.do("a") step b = S.do(xs[3])', params="xs: list<string>", args={"xs": ()}
    )
    assert play.ok("a") == ["abort BadValue", "undo a"]
    play = Play(
        'attempt { step b = S.do(xs[3]) } on BadValue { step h = S.do("h") }',
        params="xs: list<string>",
        args={"xs": ()},
    )
    assert play.first == ["abort attempt BadValue", "call h"]


# --- parallel ----------------------------------------------------------------------------------


def test_when_a_branch_fails_nothing_new_starts_and_what_is_in_flight_is_awaited() -> None:
    play = Play(
        """parallel {
      branch { step a = S.do("a") step a2 = S.do("a2") }
      step b = S.do("b")
      branch { step c = S.do("c") sleep 1h }
      wait w: Go within 1h
      poll q = S.ask("q") until q == 1 every 1s within 1h else null
    }""".replace("within 1h\n", "within 1h else null\n")
    )
    play.ok("c")
    assert play.rejected("b") == [
        "abort No",
        "interrupt a",
        "stop sleep sleep",
        "stop wait w",
        "stop wait q",
        "interrupt q",
    ]
    assert play.ok("a") == []
    # Only now is everything certain, and branches are undone side by side.
    assert play.ok("q", 3) == ["undo a", "undo c"]


def test_the_first_recorded_failure_is_the_error() -> None:
    play = Play('parallel { step a = S.do("a") step b = S.do("b") }')
    play.rejected("b", "Other")
    assert play.rejected("a") == ["compensated Other"]


def test_what_runs_under_retry_forever_is_interrupted_with_its_clock() -> None:
    play = Play(
        """parallel {
      step a = S.do("a") with always else escalate "ops"
      step b = S.do("b")
    }""",
        head="deadline 1d",
    )
    assert play.rejected("b") == ["abort No", "interrupt a", "stop escalate a", "stop deadline"]


def test_branches_end_in_any_order() -> None:
    for order in ("ab", "ba"):
        play = Play('parallel { step a = S.do("a") step b = S.do("b") } step c = S.do(a)')
        assert play.ok(order[0]) == []
        assert play.ok(order[1]) == ["call c"]
        assert play.call("c").args == ("did a",)


# --- for ---------------------------------------------------------------------------------------

LOOP = 'for x in ["u", "v", "w"] by x{} {{ step a = S.do(x) step b = S.do(a) }}'


def test_iterations_are_compensated_on_their_own_backwards_and_each_in_its_order() -> None:
    play = Play(LOOP.format(""))
    after("a[u]", "b[u]", "a[v]")(play)
    assert play.rejected("b[v]") == ["abort No", "undo a[v]"]
    assert play.ok("undo a[v]") == ["undo b[u]"]
    assert play.ok("undo b[u]") == ["undo a[u]"]


def test_iterations_side_by_side_are_compensated_side_by_side_as_many_at_once() -> None:
    play = Play(LOOP.format(", 2 at once") + ' step z = S.do("z")')
    assert play.first == ["call a[u]", "call a[v]"]
    after("a[u]", "a[v]")(play)
    assert play.ok("b[v]") == ["call a[w]"]
    after("b[u]", "a[w]", "b[w]")(play)
    assert play.rejected("z") == ["abort No", "undo b[u]", "undo b[v]"]
    assert play.ok("undo b[v]") == ["undo a[v]"]
    assert play.ok("undo a[v]") == ["undo b[w]"]


def test_an_iteration_that_cannot_be_undone_holds_back_only_what_depends_on_it() -> None:
    play = Play(LOOP.format(", 2 at once") + ' step z = S.do("z")')
    after("a[u]", "a[v]", "b[u]", "b[v]", "a[w]", "b[w]")(play)
    play.rejected("z")
    # It takes up no room: another iteration is begun in its place.
    assert play.rejected("undo b[u]") == ["escalate undo b[u] No", "undo b[w]"]


def test_after_a_loop_its_names_are_lists_in_the_order_of_the_items() -> None:
    body = """for x in ["u", "v", "w"] by x, 3 at once { step a = S.do(x) step b = S.do(a) }
      step z = S.do(b[0])"""
    play, other = Play(body), Play(body)
    after("a[u]", "a[w]", "b[w]", "a[v]", "b[u]")(play)
    after("a[v]", "a[w]", "a[u]", "b[u]", "b[w]")(other)
    # Whatever ended first, what stands now is the same.
    assert play.state == other.state
    assert play.ok("b[v]") == ["call z"]
    assert play.call("z").args == ("did b[u]",)


def test_an_iteration_that_waits_for_a_person_holds_no_slot() -> None:
    play = Play("""for x in ["u", "v", "w"] by x, 2 at once {
      step a = S.do(x) else escalate "ops"
    }""")
    assert play.unknown("a[u]") == ["escalate a[u] Timeout to ops", "call a[w]"]


def test_return_inside_a_loop_and_an_attempt_ends_the_saga_and_all_can_still_be_undone() -> None:
    play = Play(
        """
      step s = S.do("s")
      attempt {
        for x in ["u", "v"] by x {
          step a = S.do(x)
          if x == "v" { return a }
        }
      } on No { abort Other }
      return "none"
    """,
        result="string",
    )
    after("s", "a[u]")(play)
    assert play.ok("a[v]", "found") == ["completed found"]
    assert play.undo() == ["abort No", "undo a[v]"]
    assert play.ok("undo a[v]") == ["undo a[u]"]
    assert play.ok("undo a[u]") == ["undo s"]


# --- sleep, wait, poll -------------------------------------------------------------------------


def test_a_sleep_into_the_past_is_none() -> None:
    play = Play('sleep 0s step b = S.do("b")')
    assert play.first == ["call b"]


WAITS = """
  wait x: Go where x.n > 5 within 1h else null
  wait y: Go within 1h else null
"""


def test_an_early_event_is_kept_for_the_wait_whose_where_it_meets() -> None:
    play = Play(f'step a = S.do("a") {WAITS}')
    assert play.event(1) == []
    assert play.event(7) == []
    # 7 meets the first wait and 1, which came before it, the second.
    assert play.ok("a") == ["completed"]


def test_an_event_is_consumed_once() -> None:
    play = Play("wait x: Go within 1h else null wait y: Go within 1h else null")
    assert play.event(7) == ["stop wait x", "start wait y 3600000"]
    assert play.event(8) == ["stop wait y", "completed"]


def test_an_event_of_an_id_that_came_before_is_not_accepted_again() -> None:
    play = Play("wait x: Go within 1h else null wait y: Go within 1h else null")
    play.event(7, id_="once")
    assert play.event(7, id_="once") == []
    assert play.event(7, id_="twice") == ["stop wait y", "completed"]


def test_an_event_of_another_name_is_not_taken() -> None:
    play = Play("wait x: Go within 1h else null")
    assert play.event(7, "Halt") == []


def test_of_two_waits_side_by_side_the_first_in_text_order_takes_it() -> None:
    play = Play(f"parallel {{ {WAITS} }}")
    assert play.event(7) == ["stop wait x"]
    assert play.event(1) == ["stop wait y", "completed"]
    play = Play(f"parallel {{ {WAITS} }}")
    assert play.event(1) == ["stop wait y"]


def test_iterations_that_wait_side_by_side_take_events_in_the_order_of_the_items() -> None:
    body = """for x in ["u", "v"] by x, 2 at once {
      step a = S.do(x)
      wait w: Go within 1h else null
    }"""
    play = Play(body)
    after("a[v]", "a[u]")(play)
    assert play.event(1) == ["stop wait w[u]"]


def test_an_event_that_one_where_cannot_judge_is_kept_for_the_next_wait() -> None:
    play = Play("""parallel {
      attempt { wait x: Go where 10 / x.n > 2 within 1h else null } on BadValue {}
      wait y: Go within 1h else null
    }""")
    assert play.event(0) == ["stop wait x", "abort attempt BadValue", "stop wait y", "completed"]


@pytest.mark.parametrize(
    ("otherwise", "wanted"),
    [
        ("null", ["call b"]),
        ("abort Other", ["abort Other", "undo a"]),
        ('escalate "ops"', ["escalate w Timeout to ops", "escalated w"]),
    ],
)
@pytest.mark.parametrize(
    "what", ["wait w: Go within 1m", 'poll w = S.ask("x") until w == 1 every 10s within 1m']
)
def test_a_wait_or_a_poll_that_runs_out(what: str, otherwise: str, wanted: list[str]) -> None:
    play = Play(f'step a = S.do("a") {what} else {otherwise} step b = S.do("b")')
    play.ok("a")
    if what.startswith("poll"):
        play.ok("w", 0)
        wanted = ["stop poll w", *wanted]
    assert play.fire(Timer.WAIT, "w") == wanted


POLL = 'poll q = S.ask("x") until q == 1 every 10s within 1h else null'


@pytest.mark.parametrize("outcome", ["ok", "rejected", "unknown", "not sent"])
def test_a_poll_asks_until_the_condition_holds_and_a_failing_query_means_not_yet(
    outcome: str,
) -> None:
    play = Play(POLL)
    assert play.first == ["start wait q 3600000", "poll q"]
    wanted = play.ok("q", 0) if outcome == "ok" else answer(play, "q", outcome)
    assert wanted == ["start poll q 10000"]
    assert play.timers["q", Timer.POLL].spread > 0
    assert play.fire(Timer.POLL, "q") == ["poll q"]
    assert play.call("q").number == 2
    assert play.ok("q", 1) == ["stop wait q", "completed"]


def test_an_answer_that_comes_just_after_the_time_of_a_poll_still_counts() -> None:
    play = Play(POLL + ' step b = S.do("b")')
    assert play.fire(Timer.WAIT, "q") == []
    assert play.ok("q", 1) == ["call b"]


def test_the_deadline_ends_a_poll_and_reaches_its_questions() -> None:
    play = Play(f'step a = S.do("a") {POLL}', head="deadline 1m")
    play.ok("a")
    assert play.call("q").deadline == 60_000
    assert play.fire(Timer.DEADLINE) == ["abort DeadlineExceeded", "stop wait q", "interrupt q"]
    assert play.ok("q", 1) == ["undo a"]


# --- attempt -----------------------------------------------------------------------------------

ATTEMPT = f"""step s = S.do("s")
  attempt {{ {AB} }} on No {{ step h = S.do("h") }}
  step z = S.do("z")"""


def test_an_attempt_undoes_its_own_steps_all_the_way_and_then_the_handler_runs() -> None:
    play = Play(ATTEMPT)
    after("s", "a")(play)
    assert play.rejected("b") == ["abort attempt No", "undo a"]
    assert play.ok("undo a") == ["call h"]
    assert play.ok("h") == ["call z"]
    assert play.rejected("z") == ["abort No", "undo h"]
    assert play.ok("undo h") == ["undo s"]


def test_an_attempt_lets_what_it_does_not_name_pass() -> None:
    play = Play(ATTEMPT)
    after("s", "a")(play)
    assert play.rejected("b", "Other") == ["abort Other", "undo a"]
    assert play.ok("undo a") == ["undo s"]


def test_a_handler_that_fails_is_not_handled_again() -> None:
    play = Play(ATTEMPT)
    play.ok("s")
    assert play.rejected("a") == ["abort attempt No", "call h"]
    assert play.rejected("h") == ["abort No", "undo s"]


@pytest.mark.parametrize(("abort", "name"), ENDS)
def test_an_attempt_never_catches_the_sagas_own_end(abort: Story, name: str) -> None:
    body = f'attempt {{ {AB} }} on {name} {{ step h = S.do("h") }}'
    play = Play(body, head="deadline 1h")
    play.ok("a")
    assert abort(play)[:2] == [f"abort {name}", "interrupt b"]
    assert play.ok("b") == ["undo b"]
    assert play.ok("undo b") == ["undo a"]
    assert play.ok("undo a") == [f"compensated {name}"]


def test_no_handler_starts_once_an_outer_abort_began() -> None:
    play = Play(f"""parallel {{
      attempt {{ {AB} }} on No {{ step h = S.do("h") }}
      step c = S.do("c")
    }}""")
    play.ok("a")
    assert play.rejected("b") == ["abort attempt No", "undo a"]
    assert play.rejected("c", "Other") == ["abort Other"]
    assert play.ok("undo a") == ["compensated Other"]


def test_an_attempt_inside_a_parallel_part_leaves_the_other_branches_alone() -> None:
    play = Play(f"""parallel {{
      attempt {{ {AB} }} on No {{ step h = S.do("h") }}
      step c = S.do("c")
    }}""")
    play.ok("a")
    assert play.rejected("b") == ["abort attempt No", "undo a"]
    assert play.ok("c") == []
    assert play.ok("undo a") == ["call h"]
    assert play.ok("h") == ["completed"]


def test_a_branch_that_fails_inside_an_attempt_stops_its_siblings_before_the_handler() -> None:
    play = Play("""attempt {
      parallel { step a = S.do("a") step b = S.do("b") }
    } on No { step h = S.do("h") }""")
    assert play.rejected("b") == ["abort attempt No", "interrupt a"]
    assert play.ok("a") == ["undo a"]
    assert play.ok("undo a") == ["call h"]


def test_a_handler_waits_for_a_compensation_that_a_person_must_settle() -> None:
    play = Play(ATTEMPT)
    after("s", "a")(play)
    play.rejected("b")
    assert play.rejected("undo a") == ["escalate undo a No", "escalated undo a"]
    assert play.open() == ["undo a"]
    # A cancel does not write it off.
    assert play.cancel() == ["abort Cancelled", "escalated undo a"]


# --- when compensated --------------------------------------------------------------------------

TOLD = f"{AB} when compensated as e {{ step S.tell(e.name) best effort }}"


def test_when_compensated_runs_after_the_last_compensation_and_changes_nothing() -> None:
    play = Play(TOLD)
    play.ok("a")
    assert play.rejected("b") == ["abort No", "undo a"]
    assert play.ok("undo a") == ["call S.tell"]
    assert play.call("S.tell").args == ("No",)
    assert play.cancel() == ["alert: cancel has no effect: the saga is compensating already"]
    assert play.unknown("S.tell") == ["compensated No"]


def test_when_compensated_does_not_run_while_a_compensation_is_open() -> None:
    play = Play(TOLD)
    play.ok("a")
    play.rejected("b")
    assert play.rejected("undo a") == ["escalate undo a No", "escalated undo a"]


# --- The pivot ---------------------------------------------------------------------------------

PIVOT = 'step a = S.do("a") pivot step p = S.do("p") with few step c = S.sure("c")'
HELD = ["alert: held until the outcome of the pivot is certain"]


def at_the_pivot() -> Play:
    play = Play(PIVOT, head="deadline 1h")
    assert play.ok("a") == ["call p"]
    return play


@pytest.mark.parametrize(("request_", "name"), ENDS)
@pytest.mark.parametrize("outcome", ["ok", "rejected", "not sent", "unknown"])
def test_cancel_and_deadline_are_held_while_the_pivot_is_uncertain(
    request_: Story, name: str, outcome: str
) -> None:
    play = at_the_pivot()
    assert play.call("p").deadline is None
    assert request_(play) == HELD
    stopped = ["stop deadline"] if name == "Cancelled" else []
    match outcome:
        case "ok":
            assert play.ok("p") == ["call c"]
        case "rejected":
            assert play.rejected("p") == [f"abort {name}", *stopped, "undo a"]
        case "not sent":
            assert play.not_sent("p") == [f"abort {name}", *stopped, "undo a"]
        case "unknown":
            assert play.unknown("p")[0] == "escalate p Timeout"
            assert play.open() == ["p"]


def test_a_pivot_that_was_rejected_aborts_and_one_that_is_unknown_stays_open() -> None:
    play = at_the_pivot()
    assert play.rejected("p") == ["abort No", "stop deadline", "undo a"]
    play = at_the_pivot()
    assert play.unknown("p") == ["escalate p Timeout", "stop deadline", "escalated p"]


def test_after_the_pivot_the_deadline_raises_an_alert_and_a_cancel_is_refused() -> None:
    play = at_the_pivot()
    play.ok("p")
    assert play.cancel() == ["alert: cancel refused after the pivot"]
    assert play.fire(Timer.DEADLINE) == ["alert: the deadline passed after the pivot"]
    assert play.call("c").deadline is None
    assert play.ok("c") == ["stop deadline", "completed"]


def test_after_the_end_the_deadline_is_void() -> None:
    play = Play('step a = S.do("a")', head="deadline 1h")
    play.ok("a")
    assert play.send(TimerFired(HOUR, SAGA, Timer.DEADLINE)) == []


def test_the_handler_around_a_pivot_runs_only_if_it_did_not_happen() -> None:
    body = """attempt { step a = S.do("a") pivot step p = S.do("p") with few }
      on No, Timeout { step h = S.do("h") }"""
    play = Play(body)
    play.ok("a")
    assert play.rejected("p") == ["abort attempt No", "undo a"]
    assert play.ok("undo a") == ["call h"]
    play = Play(body)
    play.ok("a")
    assert play.unknown("p") == ["escalate p Timeout", "escalated p"]


def test_a_held_cancel_passes_the_handler_around_the_pivot() -> None:
    body = 'attempt { pivot step p = S.do("p") } on No { step h = S.do("h") }'
    play = Play(body)
    play.cancel()
    assert play.rejected("p") == ["abort Cancelled", "compensated Cancelled"]


def test_nothing_aborts_after_the_pivot_and_siblings_run_on() -> None:
    play = Play("""pivot step p = S.sure("p")
      parallel {
        step b = S.sure("b") with few
        branch { step c = S.sure("c") step d = S.sure("d") }
      }
    """)
    play.ok("p")
    assert play.unknown("b") == ["escalate b Timeout"]
    assert play.ok("c") == ["call d"]
    assert play.ok("d") == ["escalated b"]


LAST = "saga Last(name: string) { step x = S.do(name) pivot step p = S.do(name) }"


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        (Completed(), ["call c"]),
        (Compensated(Failure("No")), ["abort Cancelled", "undo a"]),
        (OPEN, ["escalate k Unavailable", "escalated k"]),
    ],
)
def test_a_child_saga_can_be_the_pivot(outcome: object, wanted: list[str]) -> None:
    body = 'step a = S.do("a") pivot step k = saga Last("n") step c = S.sure("c")'
    play = Play(body, more=LAST)
    play.ok("a")
    assert play.cancel() == HELD
    assert play.child("k", outcome) == wanted  # type: ignore[arg-type]


# --- Cancel and deadline before the pivot ------------------------------------------------------


@pytest.mark.parametrize(("request_", "name"), ENDS)
def test_before_the_pivot_they_abort_and_compensations_are_shielded_from_them(
    request_: Story, name: str
) -> None:
    play = Play(AB, head="deadline 1h")
    play.ok("a")
    assert play.call("b").deadline == HOUR
    assert request_(play)[:2] == [f"abort {name}", "interrupt b"]
    play.rejected("b")
    assert play.call("undo a").deadline is None
    assert play.cancel() == ["alert: cancel has no effect: the saga is compensating already"]
    assert play.ok("undo a") == [f"compensated {name}"]


# --- Compensation ------------------------------------------------------------------------------


def test_arguments_are_captured_when_the_step_starts_or_completes() -> None:
    play = Play('step b = S.book("b") abort Other')
    play.ok("b", "booking 7")
    assert play.call("undo b").args == ("booking 7",)


def test_a_compensation_by_key_is_sent_at_once_without_repeating_the_step() -> None:
    play = Play('step a = S.do("a")')
    key = play.call("a").key
    assert play.unknown("a") == ["abort Timeout", "undo a"]
    assert play.call("undo a").args == (key,)
    assert play.call("undo a").key != key


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        ("ok", ["undo b"]),
        ("rejected", ["undo a"]),
        ("not sent", ["undo a"]),
        ("unknown", ["escalate resolve b Timeout", "escalated resolve b"]),
    ],
)
def test_a_compensation_that_needs_the_result_first_finds_it_out(
    outcome: str, wanted: list[str]
) -> None:
    play = Play('step a = S.do("a") step b = S.book("b")')
    play.now = 5
    play.ok("a")
    key = play.call("b").key
    play.now = 9
    assert play.unknown("b") == ["abort Timeout", "resolve b"]
    call = play.call("resolve b")
    assert (call.key, call.first_attempt, call.unanswered) == (key, 5, 9)
    assert answer(play, "resolve b", outcome) == wanted


def test_an_unfenced_compensation_waits_until_a_late_call_can_no_longer_land() -> None:
    play = Play('step f = S.fax("f")')
    play.now = 1_000
    assert play.unknown("f") == ["abort Timeout", "start lands f 61000"]
    assert play.fire(Timer.LANDS, "f") == ["undo f"]
    # Answered at once, there is nothing that could land late.
    play = Play('step f = S.fax("f") abort Other')
    assert play.ok("f") == ["abort Other", "undo f"]


@pytest.mark.parametrize("outcome", ["rejected", "unknown", "not sent"])
def test_a_failing_compensation_escalates_and_the_saga_is_not_compensated(outcome: str) -> None:
    play = Play(f'{AB} step c = S.do("c")', head='compensate with few else escalate "ops"')
    after("a", "b")(play)
    play.rejected("c")
    assert answer(play, "undo b", outcome)[-1] == "escalated undo b"
    assert play.open() == ["undo b"]


def test_an_overdue_compensation_is_told_and_settles_itself() -> None:
    play = Play(
        'step a = S.do("a") step b = S.do("b")', head='compensate with always else escalate "ops"'
    )
    play.ok("a")
    assert play.rejected("b") == ["abort No", "undo a", "start escalate a 3600000"]
    told = play.fire(Timer.ESCALATE, "a")
    assert told[0] == "escalate undo a Unavailable to ops, retrying"
    assert play.ok("undo a") == ["settled undo a", "compensated No"]


# --- Escalation --------------------------------------------------------------------------------

TEAM = 'else escalate "ops"'


@pytest.mark.parametrize("outcome", ["rejected", "unknown", "not sent"])
def test_else_escalate_catches_whatever_a_call_comes_to(outcome: str) -> None:
    play = Play(f'parallel {{ step a = S.do("a") {TEAM} step b = S.do("b") }} step c = S.do("c")')
    (told,) = answer(play, "a", outcome)
    assert told.startswith("escalate a ")
    assert told.endswith(" to ops")
    assert play.ok("b") == ["escalated a"]


def test_else_escalate_comes_before_the_attempt_around_it() -> None:
    play = Play(f'attempt {{ step a = S.do("a") {TEAM} }} on No {{ step h = S.do("h") }}')
    assert play.rejected("a") == ["escalate a No to ops", "escalated a"]


def test_under_retry_forever_it_is_raised_after_a_while_and_success_settles_it() -> None:
    body = f'parallel {{ step a = S.do("a") with always {TEAM} after 5m step b = S.do("b") }}'
    play = Play(body, head="deadline 1d")
    assert play.first[1:] == ["call a", "start escalate a 300000", "call b"]
    assert play.fire(Timer.ESCALATE, "a") == ["escalate a Timeout to ops, retrying"]
    assert play.ok("a") == ["settled a"]
    assert play.ok("b") == ["stop deadline", "completed"]


def test_a_program_in_the_foreground_ends_when_nothing_else_can_move() -> None:
    play = Play(f'step a = S.do("a") with always {TEAM}', head="deadline 1d")
    assert play.fire(Timer.ESCALATE, "a")[1:] == ["interrupt a"]
    assert play.unknown("a") == ["stop deadline", "escalated a"]


# --- Child sagas -------------------------------------------------------------------------------

PARENT = 'step a = S.do("a") step k = saga Inner("n") step d = S.do(k)'


def test_a_childs_id_is_its_parents_key() -> None:
    play = Play('step k = saga Inner("n")', more=CHILD)
    assert play.children["k"].saga_id == key("Main", "id-1", "k")


def test_a_completed_child_is_undone_by_its_own_compensations() -> None:
    play = Play(PARENT, more=CHILD)
    play.ok("a")
    assert play.child("k", Completed("v")) == ["call d"]
    assert play.rejected("d") == ["abort No", "undo k"]
    assert play.child("k", Compensated(Failure("No"))) == ["undo a"]


def test_a_compensated_child_is_a_rejection_that_can_be_caught() -> None:
    play = Play(PARENT, more=CHILD)
    play.ok("a")
    assert play.child("k", Compensated(Failure("No"))) == ["abort No", "undo a"]
    body = 'attempt { step k = saga Inner("n") } on No { step h = S.do("h") }'
    play = Play(body, more=CHILD)
    assert play.child("k", Compensated(Failure("No"))) == ["abort attempt No", "call h"]


def test_an_interrupted_parent_asks_its_child_to_cancel_and_awaits_the_outcome() -> None:
    body = 'parallel { step k = saga Inner("n") branch { step b = S.do("b") step c = S.do("c") } }'
    for outcome, wanted in (
        (Compensated(Failure("Cancelled")), ["undo b"]),
        (Completed("v"), ["undo k", "undo b"]),
        (OPEN, ["escalate k Unavailable", "undo b"]),
    ):
        play = Play(body, more=CHILD)
        play.ok("b")
        assert play.rejected("c") == ["abort No", "cancel k"]
        assert play.child("k", outcome) == wanted


def test_a_best_effort_child_is_never_undone() -> None:
    body = 'parallel { step saga Inner("n") best effort step b = S.do("b") }'
    play = Play(body, more=CHILD)
    (place,) = play.children
    assert play.rejected("b") == ["abort No", f"cancel {place}"]
    assert play.child(place, Completed("v")) == ["compensated No"]


def test_a_child_that_was_told_to_undo_itself_cannot_be_cancelled() -> None:
    play = Play(AB)
    after("a", "b")(play)
    assert play.undo() == ["abort No", "undo b"]
    assert play.cancel() == ["alert: cancel has no effect: the saga is compensating already"]
    assert play.undo() == []
