"""A person settles what is open (language.md, section 7, "Escalation"), at the pure machine."""

from __future__ import annotations

import pytest

from sagalang.machine.events import (
    CallEnded,
    Compensated,
    Completed,
    Escalated,
    How,
    OpenItem,
    Place,
    Purpose,
    Timer,
)
from sagalang.machine.outcomes import Failure, Rejected
from sagalang.model.types import RecordRef

from .play import Play

TEAM = 'else escalate "ops"'
BEFORE = f'step a = S.do("a") step b = S.do("b") {TEAM} step c = S.do(b)'
AFTER = f'step a = S.do("a") pivot step p = S.sure("p") step b = S.sure("b") with few {TEAM}'

CHILD_OPEN = Escalated((OpenItem(Place("x"), Purpose.COMPENSATE, "S.undo", Failure("No")),))
CHILD_OVER = Escalated(
    (OpenItem(Place("x"), Purpose.COMPENSATE, "S.undo", Failure("No"), "", written_off=True),)
)


def before_pivot(outcome: str) -> Play:
    """A saga whose step `b`, before its pivot, is open."""
    play = Play(BEFORE)
    assert play.ok("a") == ["call b"]
    how = {"rejected": play.rejected, "unknown": play.unknown, "not sent": play.not_sent}[outcome]
    assert how("b")[0].startswith("escalate b")
    assert play.open() == ["b"]
    return play


def after_pivot(rest: str = "") -> Play:
    play = Play(AFTER + rest)
    play.ok("a")
    play.ok("p")
    assert play.unknown("b") == ["escalate b Timeout to ops", "escalated b"]
    return play


# --- retry -------------------------------------------------------------------------------------


def test_a_retry_in_doubt_goes_out_under_the_same_key_and_knows_since_when() -> None:
    play = Play(BEFORE)
    play.now = 50
    play.ok("a")
    first = play.call("b")
    play.now = 100
    play.unknown("b")
    play.now = 900
    assert play.settle("b", How.RETRY) == ["settled b", "call b"]
    again = play.call("b")
    assert (again.key, again.args) == (first.key, first.args)
    assert (again.first_attempt, again.unanswered) == (50, 100)
    assert play.ok("b") == ["call c"]


def test_a_retry_after_a_certain_rejection_takes_a_fresh_key_and_is_undone_by_it() -> None:
    play = before_pivot("rejected")
    assert play.settle("b", How.RETRY) == ["settled b", "call b"]
    fresh = play.call("b")
    assert fresh.first_attempt is None
    old = Play(BEFORE)
    old.ok("a")
    assert fresh.key != old.call("b").key
    play.ok("b")
    play.rejected("c")
    assert play.call("undo b").args == (fresh.key,)


def test_a_second_certain_rejection_takes_yet_another_key() -> None:
    play = before_pivot("rejected")
    play.settle("b", How.RETRY)
    second = play.call("b").key
    play.rejected("b")
    play.settle("b", How.RETRY)
    assert play.call("b").key not in (second, None)


def test_a_retry_of_what_was_not_sent_keeps_its_key_and_owes_nothing_to_the_past() -> None:
    play = before_pivot("not sent")
    play.settle("b", How.RETRY)
    again, other = play.call("b"), Play(BEFORE)
    other.ok("a")
    assert again.key == other.call("b").key
    assert again.first_attempt is None


def test_a_retry_may_fail_again_and_is_open_again() -> None:
    play = before_pivot("unknown")
    play.settle("b", How.RETRY)
    assert play.unknown("b") == ["escalate b Timeout to ops", "escalated b"]
    assert play.open() == ["b"]


def test_what_nothing_can_resolve_is_not_retried() -> None:
    play = Play(f'step b = S.fax("b") {TEAM}')
    play.unknown("b")
    assert "nothing can tell" in play.refused("b", How.RETRY)


def test_a_key_that_expired_meanwhile_is_not_used_again() -> None:
    play = before_pivot("unknown")
    play.now = 24 * 3_600_000 + 1
    assert "nothing can tell" in play.refused("b", How.RETRY)
    play.now = 24 * 3_600_000
    play.settle("b", How.RETRY)


def test_a_key_that_expired_is_no_hindrance_where_a_probe_can_tell() -> None:
    more = """service T {
      with few
      command do(name: string) -> string  keyed for 1h  probe find(name)  compensate undo(key)
      command undo(of: key)  idempotent, absent ok, fences late
      query find(name: string) -> string?
    }"""
    play = Play(f'step b = T.do("b") {TEAM}', more=more)
    play.unknown("b")
    play.now = 10 * 3_600_000
    play.settle("b", How.RETRY)
    again = play.call("b")
    assert again.first_attempt == 0
    assert again.probe is not None


def test_the_order_in_which_fresh_keys_were_asked_for_makes_no_difference() -> None:
    body = f'parallel {{ step a = S.do("a") {TEAM} step b = S.do("b") {TEAM} step c = S.do("c") }}'
    play, other = Play(body), Play(body)
    for one, order in ((play, "ab"), (other, "ba")):
        one.rejected("a")
        one.rejected("b")
        for name in order:
            one.settle(name, How.RETRY)
    assert play.state == other.state
    assert hash(play.state) == hash(other.state)


# --- done --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["rejected", "unknown", "not sent"])
def test_done_gives_the_value_and_what_was_done_is_undone_like_any_step(outcome: str) -> None:
    play = before_pivot(outcome)
    assert play.settle("b", How.DONE, "by hand") == ["settled b", "call c"]
    assert play.call("c").args == ("by hand",)
    assert play.rejected("c") == ["abort No", "undo b"]


def test_done_gives_the_compensation_its_result() -> None:
    play = Play(f'step b = S.book("b") {TEAM} step c = S.do("c")')
    play.unknown("b")
    assert "needs a value" in play.refused("b", How.DONE)
    play.settle("b", How.DONE, "booking 7")
    play.rejected("c")
    assert play.call("undo b").args == ("booking 7",)


def test_done_without_a_value_is_refused_only_where_one_is_needed() -> None:
    play = before_pivot("unknown")
    assert "needs a value" in play.refused("b", How.DONE)
    play = after_pivot()
    assert play.settle("b", How.DONE) == ["settled b", "completed"]


def test_a_wait_that_is_done_binds_the_event() -> None:
    body = f'wait w: Go within 1s {TEAM} step c = S.do("${{w.n}}")'
    play = Play(body)
    assert play.fire(Timer.WAIT, "w") == ["escalate w Timeout to ops", "escalated w"]
    assert "needs a value" in play.refused("w", How.DONE)
    event = play.values.make(RecordRef("Go"), {"n": 7})
    assert play.settle("w", How.DONE, event) == ["settled w", "call c"]
    assert play.call("c").args == ("7",)


def test_a_wait_that_is_retried_waits_again_as_long() -> None:
    play = Play(f"wait w: Go within 1s {TEAM}")
    play.fire(Timer.WAIT, "w")
    play.now = 5_000
    assert play.settle("w", How.RETRY) == ["settled w", "start wait w 6000"]
    assert play.event(1) == ["stop wait w", "completed"]


def test_a_wait_that_is_retried_takes_the_event_that_came_too_late() -> None:
    play = Play(f"wait w: Go within 1s {TEAM}")
    play.fire(Timer.WAIT, "w")
    assert play.event(1) == []
    assert play.settle("w", How.RETRY) == ["settled w", "completed"]


def test_a_poll_that_is_retried_asks_again() -> None:
    play = Play(f'poll q = S.ask("x") until q == 1 every 1s within 1m {TEAM}')
    play.fire(Timer.WAIT, "q")
    play.unknown("q")
    assert play.open() == ["q"]
    assert play.settle("q", How.RETRY)[0] == "settled q"


# --- not done ----------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["rejected", "unknown", "not sent"])
def test_not_done_before_the_pivot_is_a_rejection_that_owes_nothing(outcome: str) -> None:
    play = before_pivot(outcome)
    assert play.settle("b", How.NOT_DONE) == ["settled b", "abort NotDone", "undo a"]
    assert play.ok("undo a") == ["compensated NotDone"]


def test_not_done_can_be_handled() -> None:
    play = Play(f'attempt {{ step b = S.do("b") {TEAM} }} on NotDone {{ step h = S.do("h") }}')
    play.unknown("b")
    assert play.settle("b", How.NOT_DONE) == ["settled b", "abort attempt NotDone", "call h"]


def test_not_done_after_the_pivot_skips_a_step_whose_value_is_not_used() -> None:
    play = after_pivot(' step d = S.sure("d") with few ' + TEAM)
    assert play.settle("b", How.NOT_DONE) == ["settled b", "call d"]


def test_not_done_after_the_pivot_is_refused_where_the_value_is_used() -> None:
    play = after_pivot(" step d = S.sure(b) with few " + TEAM)
    assert "point of no return" in play.refused("b", How.NOT_DONE)
    assert play.settle("b", How.DONE, "x") == ["settled b", "call d"]


def test_a_wait_that_is_not_done_before_the_pivot_aborts() -> None:
    play = Play(f'step a = S.do("a") wait w: Go within 1s {TEAM}')
    play.ok("a")
    play.fire(Timer.WAIT, "w")
    assert play.settle("w", How.NOT_DONE) == ["settled w", "abort NotDone", "undo a"]


# --- The pivot ---------------------------------------------------------------------------------


PIVOT = f"""
    step a = S.do("a")
    pivot step p = S.do("p") with few {TEAM}
    step c = S.sure("c") with few {TEAM}
"""


def open_pivot(outcome: str) -> Play:
    play = Play(PIVOT)
    play.ok("a")
    play.unknown("p") if outcome == "unknown" else play.rejected("p")
    assert play.open() == ["p"]
    return play


def test_an_unknown_pivot_that_is_not_done_aborts() -> None:
    play = open_pivot("unknown")
    assert play.settle("p", How.NOT_DONE) == ["settled p", "abort NotDone", "undo a"]


def test_an_unknown_pivot_that_is_done_is_passed() -> None:
    play = open_pivot("unknown")
    assert play.settle("p", How.DONE, "x") == ["settled p", "call c"]
    assert play.cancel() == ["alert: cancel refused after the pivot"]


def test_a_cancel_held_by_an_open_pivot_is_carried_out_once_it_is_not_done() -> None:
    play = open_pivot("unknown")
    held = "alert: held until the outcome of the pivot is certain"
    assert play.cancel() == [held, "escalated p"]
    assert play.settle("p", How.NOT_DONE)[1] == "abort Cancelled"


def test_a_cancel_held_by_an_open_pivot_is_void_once_it_is_done() -> None:
    play = open_pivot("unknown")
    play.cancel()
    assert play.settle("p", How.DONE, "x") == ["settled p", "call c"]
    assert play.state.held is None


def test_a_retried_pivot_holds_a_cancel_again() -> None:
    play = open_pivot("rejected")
    assert play.settle("p", How.RETRY) == ["settled p", "call p"]
    assert play.cancel() == ["alert: held until the outcome of the pivot is certain"]
    assert play.rejected("p") == ["abort Cancelled", "undo a"]


# --- Compensations -----------------------------------------------------------------------------

UNDO = 'step a = S.do("a") step b = S.do("b") step c = S.do("c")'


def stuck(outcome: str = "unknown") -> Play:
    """A saga that cannot undo `b`, so that `a` is held back."""
    play = Play(UNDO)
    play.ok("a")
    play.ok("b")
    play.rejected("c")
    if outcome == "unknown":
        play.unknown("undo b")
    else:
        play.rejected("undo b")
    assert play.open() == ["undo b"]
    return play


def test_a_compensation_in_doubt_is_retried_under_its_key() -> None:
    before = Play(UNDO)
    before.ok("a")
    before.ok("b")
    before.rejected("c")
    play = stuck()
    assert play.settle("undo b", How.RETRY) == ["settled undo b", "undo b"]
    assert play.call("undo b").key == before.call("undo b").key
    assert play.ok("undo b") == ["undo a"]
    assert play.ok("undo a") == ["compensated No"]


def test_a_compensation_that_was_rejected_is_retried_under_a_fresh_key() -> None:
    before = stuck()
    before.settle("undo b", How.RETRY)
    play = stuck("rejected")
    play.settle("undo b", How.RETRY)
    assert play.call("undo b").key != before.call("undo b").key
    assert play.call("undo b").args == before.call("undo b").args


def test_a_compensation_that_was_done_by_hand_lets_the_next_go_on() -> None:
    play = stuck()
    assert play.settle("undo b", How.DONE) == ["settled undo b", "undo a"]
    assert play.ok("undo a") == ["compensated No"]


def test_a_compensation_that_is_written_off_stays_visible_while_the_others_go_on() -> None:
    play = stuck()
    assert play.settle("undo b", How.NOT_DONE) == ["settled undo b", "undo a"]
    assert play.ok("undo a") == ["escalated undo b (written off)"]
    assert play.open() == []
    assert "not open" in play.refused("undo b", How.RETRY)


def test_no_customer_is_told_that_all_is_undone_when_something_was_written_off() -> None:
    play = Play('step a = S.do("a") abort Other when compensated { step S.tell("x") best effort }')
    play.ok("a")
    play.rejected("undo a")
    assert play.settle("undo a", How.NOT_DONE)[-1] == "escalated undo a (written off)"


def test_a_saga_that_wrote_something_off_in_an_attempt_ends_escalated() -> None:
    play = Play('attempt { step b = S.do("b") abort Other } on Other { step h = S.do("h") }')
    play.ok("b")
    play.rejected("undo b")
    assert play.settle("undo b", How.NOT_DONE) == ["settled undo b", "call h"]
    assert play.ok("h") == ["escalated undo b (written off)"]


def test_a_resolution_is_retried_or_answered() -> None:
    def unresolved() -> Play:
        play = Play('step b = S.book("b")')
        assert play.unknown("b") == ["abort Timeout", "resolve b"]
        play.unknown("resolve b")
        assert play.open() == ["resolve b"]
        return play

    play = unresolved()
    assert play.settle("resolve b", How.RETRY) == ["settled resolve b", "resolve b"]
    assert play.call("resolve b").first_attempt == 0
    play = unresolved()
    assert "needs a value" in play.refused("resolve b", How.DONE)
    assert play.settle("resolve b", How.DONE, "booking 7") == ["settled resolve b", "undo b"]
    assert play.call("undo b").args == ("booking 7",)
    play = unresolved()
    assert play.settle("resolve b", How.NOT_DONE)[-1] == "compensated Timeout"


def test_a_resolution_is_not_retried_once_its_key_has_expired() -> None:
    play = Play('step b = S.book("b")')
    play.unknown("b")
    play.unknown("resolve b")
    play.now = 24 * 3_600_000 + 1
    assert "nothing can tell" in play.refused("resolve b", How.RETRY)


def test_a_keyed_compensation_is_not_repeated_once_its_key_has_expired() -> None:
    more = """service T {
      with few
      command do(name: string)  keyed  compensate undo(key)
      command undo(of: key)  keyed for 1h, absent ok, fences late
    }"""
    play = Play('step T.do("b") abort Other', more=more)
    play.now = 1_000
    play.ok("T.do")
    play.unknown("undo T.do")
    play.now = 3_601_001
    assert "nothing can tell" in play.refused("undo T.do", How.RETRY)
    play.now = 3_601_000
    play.settle("undo T.do", How.RETRY)
    assert play.call("undo T.do").first_attempt == 1_000


def test_a_compensation_whose_arguments_have_no_value_is_only_done_by_hand() -> None:
    more = """service T {
      with once
      command all(name: string) -> list<string>  keyed  compensate drop(result[0])
      command drop(name: string)  idempotent, absent ok, fences late
    }"""
    play = Play('step a = S.do("a") step t = T.all("t") abort Other', more=more)
    play.ok("a")
    assert play.ok("t", ()) == ["abort Other", "escalate undo t BadValue", "escalated undo t"]
    assert "has no value" in play.refused("undo t", How.RETRY)
    assert play.settle("undo t", How.DONE) == ["settled undo t", "undo a"]


# --- While it is open --------------------------------------------------------------------------


def test_siblings_run_on_and_it_can_be_settled_while_they_do() -> None:
    play = Play(f'parallel {{ step a = S.do("a") {TEAM} step b = S.do("b") }}')
    assert play.unknown("a") == ["escalate a Timeout to ops"]
    assert play.settle("a", How.DONE) == ["settled a"]
    assert play.ok("b") == ["completed"]


@pytest.mark.parametrize("close", ["cancel", "deadline", "sibling"])
def test_before_the_pivot_an_abort_closes_it_and_compensates(close: str) -> None:
    body = f'parallel {{ step a = S.do("a") {TEAM} step b = S.do("b") }}'
    play = Play(body, head="deadline 5s")
    play.unknown("a")
    if close == "cancel":
        wanted = play.cancel()
    elif close == "deadline":
        wanted = play.fire(Timer.DEADLINE)
    else:
        wanted = play.rejected("b")
    assert wanted[0].startswith("abort")
    if close != "sibling":
        wanted = play.ok("b")
        assert "undo b" in wanted
    assert "undo a" in wanted
    assert play.open() == []
    assert "not open" in play.refused("a", How.DONE)


def test_a_run_that_ended_escalated_before_its_pivot_can_be_cancelled() -> None:
    play = before_pivot("unknown")
    assert play.cancel() == ["abort Cancelled", "undo b"]
    assert play.ok("undo b") == ["undo a"]
    assert play.ok("undo a") == ["compensated Cancelled"]


def test_a_run_that_goes_on_has_its_deadline_again() -> None:
    play = Play(BEFORE, head="deadline 5s")
    play.ok("a")
    assert play.unknown("b") == ["escalate b Timeout to ops", "stop deadline", "escalated b"]
    assert play.settle("b", How.RETRY) == ["start deadline 5000", "settled b", "call b"]
    assert play.fire(Timer.DEADLINE)[0] == "abort DeadlineExceeded"


def test_a_run_that_ended_escalated_after_its_pivot_refuses_a_cancel() -> None:
    play = after_pivot()
    assert play.cancel() == ["alert: cancel refused after the pivot", "escalated b"]
    assert play.open() == ["b"]


def test_a_run_that_is_stuck_while_undoing_answers_a_cancel_with_its_end() -> None:
    play = stuck()
    told = "alert: cancel has no effect: the saga is compensating already"
    assert play.cancel() == [told, "escalated undo b"]


def test_what_is_not_open_cannot_be_settled() -> None:
    play = Play(BEFORE)
    assert play.refused("b", How.DONE) == "b is not open: there is nothing to settle"
    play = before_pivot("unknown")
    play.settle("b", How.RETRY)
    assert "not open" in play.refused("b", How.RETRY)


def test_what_is_still_being_retried_is_settled_once_that_has_ended() -> None:
    body = f'parallel {{ step a = S.do("a") with always {TEAM} step b = S.do("b") }}'
    play = Play(body, head="deadline 1d")
    play.fire(Timer.ESCALATE, "a")
    assert "still being retried" in play.refused("a", How.DONE)
    # Nothing else can move: the call is ended, and then a person may answer.
    assert play.ok("b") == ["interrupt a"]
    assert play.unknown("a")[-1] == "escalated a"
    assert play.settle("a", How.DONE)[-1] == "completed"
    play = Play(AFTER_ALL, head='compensate with always else escalate "ops"')
    play.ok("a")
    play.ok("b")
    play.rejected("c")
    play.fire(Timer.ESCALATE, "a")
    assert "still being retried" in play.refused("a", How.DONE)


AFTER_ALL = 'parallel { step a = S.do("a") step b = S.do("b") } step c = S.do("c")'


def test_a_query_that_is_retried_is_just_asked_again() -> None:
    play = Play(f'step q = S.ask("q") {TEAM}')
    play.unknown("q")
    play.settle("q", How.RETRY)
    assert play.call("q").first_attempt is None


def test_a_failure_after_the_pivot_that_nothing_caught_is_settled_like_the_others() -> None:
    play = Play('pivot step p = S.sure("p") step b = S.sure("b") with few')
    play.ok("p")
    assert play.unknown("b") == ["escalate b Timeout", "escalated b"]
    assert play.settle("b", How.RETRY) == ["settled b", "call b"]
    assert play.call("b").first_attempt == 0
    assert play.ok("b") == ["completed"]


def test_an_iteration_is_settled_on_its_own() -> None:
    body = f'for x in ["u", "v"] by x, 2 at once {{ step a = S.do(x) {TEAM} }}'
    play = Play(body)
    play.unknown("a[u]")
    play.unknown("a[v]")
    assert play.open() == ["a[u]", "a[v]"]
    assert play.settle("a[v]", How.DONE) == ["settled a[v]", "escalated a[u]"]
    assert play.settle("a[u]", How.DONE) == ["settled a[u]", "completed"]


# --- Child sagas -------------------------------------------------------------------------------

CHILD = """
saga Inner(name: string) -> string {
  step x = S.do(name)
  return x
}
"""
PARENT = 'step a = S.do("a") step c = saga Inner("n") step d = S.do(c)'


def parent(outcome: Escalated = CHILD_OPEN) -> Play:
    play = Play(PARENT, more=CHILD)
    play.ok("a")
    assert play.child("c", outcome)[0] == "escalate c " + (
        "Unavailable" if outcome is CHILD_OPEN else "NotDone"
    )
    return play


@pytest.mark.parametrize("how", list(How))
def test_a_child_saga_is_settled_in_the_child(how: How) -> None:
    play = parent()
    assert "is settled in its child saga" in play.refused("c", how, "x")


def test_a_child_that_ends_differently_settles_its_parent() -> None:
    play = parent()
    assert play.child("c", CHILD_OPEN) == []
    assert play.child("c", Completed("v")) == ["settled c", "call d"]
    assert play.call("d").args == ("v",)
    play = parent()
    assert play.child("c", Compensated(Failure("No"))) == ["settled c", "abort No", "undo a"]


def test_an_aborting_parent_asks_its_escalated_child_to_cancel_and_awaits_it() -> None:
    play = parent()
    assert play.cancel() == ["abort Cancelled", "cancel c"]
    assert play.child("c", Compensated(Failure("Cancelled"))) == ["undo a"]


def test_an_escalated_child_that_cannot_cancel_holds_back_what_came_before_it() -> None:
    play = parent()
    play.cancel()
    assert play.child("c", CHILD_OPEN) == ["escalate c Unavailable", "escalated c"]
    assert play.child("c", Compensated(Failure("No"))) == ["settled c", "undo a"]


def test_a_child_that_wrote_something_off_while_its_parent_aborts_is_open_here_from_then_on() -> (
    None
):
    play = parent()
    play.cancel()
    play.child("c", CHILD_OPEN)
    assert play.child("c", CHILD_OVER) == ["settled c", "escalate c NotDone", "escalated c"]
    assert play.settle("c", How.NOT_DONE) == ["settled c", "undo a"]
    assert play.ok("undo a") == ["escalated c (written off)"]


def test_a_child_that_completes_after_all_is_undone_by_an_aborting_parent() -> None:
    play = parent()
    play.cancel()
    play.child("c", CHILD_OPEN)
    assert play.child("c", Completed("v")) == ["settled c", "undo c"]
    assert play.child("c", Compensated(Failure("No"))) == ["undo a"]


def test_a_child_that_could_not_be_undone_is_settled_in_the_child() -> None:
    play = Play(PARENT, more=CHILD)
    play.ok("a")
    play.child("c", Completed("v"))
    assert play.rejected("d") == ["abort No", "undo c"]
    assert play.child("c", CHILD_OPEN) == ["escalate undo c NotDone", "escalated undo c"]
    assert "child saga" in play.refused("undo c", How.DONE)
    assert play.child("c", Compensated(Failure("No"))) == ["settled undo c", "undo a"]


def test_a_child_that_wrote_something_off_is_settled_in_the_parent() -> None:
    play = parent(CHILD_OVER)
    assert "its child saga is over" in play.refused("c", How.RETRY)
    assert play.settle("c", How.NOT_DONE) == ["settled c", "abort NotDone", "undo a"]
    play = parent(CHILD_OVER)
    assert play.settle("c", How.DONE, "v") == ["settled c", "call d"]
    # What a person did in its place, only a person can undo.
    assert play.rejected("d") == ["abort No", "escalate undo c NotDone", "escalated undo c"]


def test_a_compensated_child_is_retried_under_a_new_id() -> None:
    body = f'step c = saga Inner("n") {TEAM}'
    play = Play(body, more=CHILD)
    first = play.children["c"].saga_id
    play.child("c", Compensated(Failure("No")))
    assert play.settle("c", How.RETRY) == ["settled c", "run c"]
    assert play.children["c"].saga_id != first


def test_a_child_whose_compensation_was_settled_reopens() -> None:
    """The child's own view: it completed, was asked to undo itself, and got stuck."""
    play = Play('step a = S.do("a") step b = S.do("b")')
    play.ok("a")
    assert play.ok("b") == ["completed"]
    assert play.undo() == ["abort No", "undo b"]
    assert play.rejected("undo b")[-1] == "escalated undo b"
    assert play.settle("undo b", How.DONE) == ["settled undo b", "undo a"]
    assert play.ok("undo a") == ["compensated No"]


def test_the_pivot_of_a_child_saga_is_held_until_a_person_settled_it() -> None:
    body = 'step a = S.do("a") pivot step c = saga Last("n")'
    more = "saga Last(name: string) { pivot step p = S.sure(name) }"
    play = Play(body, more=more)
    play.ok("a")
    play.child("c", CHILD_OPEN)
    held = "alert: held until the outcome of the pivot is certain"
    assert play.cancel() == [held, "escalated c"]
    assert play.child("c", Compensated(Failure("No"))) == ["settled c", "abort Cancelled", "undo a"]


def test_an_outcome_is_of_no_account_once_it_was_settled_by_hand() -> None:
    play = before_pivot("unknown")
    place = Place("b")
    play.settle("b", How.DONE, "x")
    assert play.send(CallEnded(0, place, Purpose.STEP, Rejected(Failure("No")))) == []
