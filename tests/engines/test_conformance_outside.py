"""Conformance: what comes from outside (events, cancels, time) comes once, whoever lives then."""

from __future__ import annotations

from typing import Any

import pytest

from engines.definitions import defined, main
from engines.lives import Cancel, Life, Lived, Signal, Story, from_outside, live
from engines.outside import Services
from engines.under_test import Bench, EngineUnderTest
from sagalang.runtime import journal
from sagalang.runtime.clock import Clock
from sagalang.runtime.engine import NoSuchRunError

HOUR = 3_600_000
WAITS = main(
    'step S.do("a") wait go: Go within 1m else null step S.do("n${if go != null then go.n else 0}")'
)


def entries(under: EngineUnderTest, kind: type[journal.Entry]) -> list[Any]:
    return [entry for entry in under.inspect("o-1") if isinstance(entry, kind)]


# --- Events --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sends", "last", "accepted"),
    [
        ([Signal(0)], "n1", 1),  # before anything was done
        ([Signal(5)], "n1", 1),  # before it waits
        ([Signal(1_000)], "n1", 1),
        ([Signal(1_000, "e-1", 1), Signal(1_000, "e-2", 2)], "n1", 2),
        ([Signal(5, "e-1", 1), Signal(6, "e-1", 1)], "n1", 2),  # the same one twice
        ([Signal(70_000)], "n0", 0),  # nobody waits any more, and the run is over
        ([], "n0", 0),
    ],
)
@pytest.mark.parametrize("dies_after", [None, 3, 25, 2_000])
def test_an_event_is_taken_once_whenever_it_comes(
    bench: Bench, how: str, sends: list[Signal], last: str, accepted: int, dies_after: int | None
) -> None:
    story, under = Story(defined(WAITS, how), sends=list(sends)), bench.fresh()
    lived = live(under, story, dies_after=dies_after)
    if lived.died:
        lived = live(under, story, start=lived.until)
    assert lived.outcome == "Completed"
    assert story.services.effects == {"a": 1, last: 1}
    assert len(entries(under, journal.EventAccepted)) >= min(accepted, 1)


def test_an_event_that_came_before_its_wait_is_kept_over_a_death(bench: Bench, how: str) -> None:
    text = main('step S.do("a") sleep 1m wait go: Go within 1m else abort No')
    story, under = Story(defined(text, how), sends=[Signal(20)]), bench.fresh()
    assert live(under, story, dies_after=30_000).died
    assert story.sends == []
    assert live(under, story, start=40_000).outcome == "Completed"


def test_an_event_is_known_again_after_a_death(bench: Bench, how: str) -> None:
    """It is sent again, for who sent it was not told: it must not serve the second wait."""
    text = main(
        "wait one: Go within 1m else abort No sleep 10s wait two: Go within 1m else null"
        ' step S.do("n${if two != null then two.n else 0}")'
    )
    story, under = Story(defined(text, how), sends=[Signal(5, "e-1", 7)]), bench.fresh()
    assert live(under, story, dies_after=2_000).died
    story.sends = [Signal(3_000, "e-1", 7)]
    assert live(under, story, start=3_000).outcome == "Completed"
    assert story.services.effects == {"n0": 1}


def test_an_event_for_a_run_that_nobody_runs_is_kept_for_it(bench: Bench, how: str) -> None:
    story, under = Story(defined(WAITS, how)), bench.fresh()
    assert live(under, story, dies_after=1_000).died
    from_outside(under, story, "signal", 2_000)
    assert live(under, story, start=50_000).outcome == "Completed"
    assert story.services.effects == {"a": 1, "n5": 1}


@pytest.mark.parametrize("word", ["signal", "cancel"])
def test_what_comes_right_before_a_run_is_gone_on_with_is_not_missed(
    bench: Bench, how: str, word: str
) -> None:
    story, under = Story(defined(WAITS, how)), bench.fresh()
    assert live(under, story, dies_after=1_000).died

    async def body(clock: Clock) -> Any:
        engine = under.open(story.definition, clock, Life(under, story, clock, None))
        if word == "cancel":
            engine.request_cancel("o-1")
        else:
            engine.signal("o-1", "Go", "e-1", story.definition.event("Go", '{"n": 5}'))
        return await story.definition.begin(engine, "o-1").result()

    try:
        under.live(body, 2_000)
    finally:
        under.close()
    assert story.services.effects == ({} if word == "cancel" else {"a": 1, "n5": 1})


@pytest.mark.parametrize("word", ["signal", "cancel"])
def test_what_comes_before_a_run_has_done_anything_is_kept_over_deaths(
    bench: Bench, how: str, word: str
) -> None:
    """It stands in the journal before the start of the run."""
    text = WAITS.replace('go.n else 0}")', 'go.n else 0}") sleep 1h')
    story, under = Story(defined(text, how)), bench.fresh()

    async def body(clock: Clock) -> None:
        engine = under.open(story.definition, clock, Life(under, story, clock, None))
        run = story.definition.begin(engine, "o-1")
        if word == "cancel":
            run.cancel()
        else:
            engine.signal("o-1", "Go", "e-1", story.definition.event("Go", '{"n": 5}'))
        await run.session.committed()
        under.kill()

    try:
        under.live(body, 0)
    finally:
        under.close()
    lived = live(under, story, start=100, dies_after=1_000)
    if word == "signal":
        assert lived.died
        lived = live(under, story, start=2_000)
    assert story.services.effects == ({} if word == "cancel" else {"a": 1, "n5": 1})
    assert lived.outcome == ("Compensated" if word == "cancel" else "Completed")


def test_an_event_for_a_run_that_is_over_changes_nothing(bench: Bench, how: str) -> None:
    story, under = Story(defined(WAITS, how)), bench.fresh()
    first = live(under, story)
    for word in ("signal", "cancel"):
        from_outside(under, story, word, 80_000)
    calls = list(story.services.log)
    again = live(under, story, start=90_000)
    assert (again.outcome, story.services.log) == (first.outcome, calls)


@pytest.mark.parametrize("word", ["signal", "cancel"])
def test_what_is_sent_to_nobody_is_refused(bench: Bench, how: str, word: str) -> None:
    with pytest.raises(NoSuchRunError, match="o-7"):
        from_outside(bench.fresh(), Story(defined(WAITS, how), saga_id="o-7"), word, 0)


# --- Time ----------------------------------------------------------------------------------------


def lived_twice(
    under: EngineUnderTest, story: Story, dies_after: int, starts_again: int
) -> tuple[Lived, Any]:
    """The second life, and its timer's end."""
    assert live(under, story, dies_after=dies_after).died
    lived = live(under, story, start=starts_again)
    ends = [end for end in entries(under, journal.TimerEnded) if not end.stopped]
    return lived, ends[-1]


@pytest.mark.parametrize(
    ("starts_again", "ends"),
    [
        (HOUR // 2, HOUR + 10),  # half over
        (3 * HOUR, 3 * HOUR),  # overdue
        (0, HOUR + 10),  # the clock was set back
        (-1000 * HOUR, HOUR + 10),
    ],
)
def test_a_sleep_ends_when_it_was_to_end(
    bench: Bench, how: str, starts_again: int, ends: int
) -> None:
    story = Story(defined(main('step S.do("a") sleep 1h step S.do("b")'), how))
    lived, end = lived_twice(bench.fresh(), story, 60_000, starts_again)
    assert (lived.outcome, end.at) == ("Completed", ends)
    assert story.services.effects == {"a": 1, "b": 1}


@pytest.mark.parametrize(("starts_again", "ends"), [(60_000, HOUR), (3 * HOUR, 3 * HOUR)])
def test_a_deadline_is_kept_by_the_next_process(
    bench: Bench, how: str, starts_again: int, ends: int
) -> None:
    text = main('step S.do("a") sleep 2h step S.do("b")', clauses="deadline 1h")
    story, under = Story(defined(text, how)), bench.fresh()
    lived, end = lived_twice(under, story, 60_000, starts_again)
    assert (lived.outcome, story.services.effects) == ("Compensated", {})
    assert end.at == ends
    assert story.services.log == ["do(a)", "undo(a)"]


@pytest.mark.parametrize(("starts_again", "ends"), [(30_000, 60_010), (HOUR, HOUR)])
def test_a_wait_gives_up_when_it_was_to_give_up(
    bench: Bench, how: str, starts_again: int, ends: int
) -> None:
    story, under = Story(defined(WAITS, how)), bench.fresh()
    lived, end = lived_twice(under, story, 1_000, starts_again)
    assert (lived.outcome, end.at) == ("Completed", ends)
    assert story.services.effects == {"a": 1, "n0": 1}


def test_of_an_overdue_sleep_and_an_overdue_deadline_the_run_takes_one(
    bench: Bench, how: str
) -> None:
    text = main('step S.do("a") sleep 30m step S.do("b") sleep 2h', clauses="deadline 1h")
    story, under = Story(defined(text, how)), bench.fresh()
    lived, _ = lived_twice(under, story, 60_000, 5 * HOUR)
    assert (lived.outcome, story.services.effects) == ("Compensated", {})


def test_a_clock_that_jumps_between_any_two_lives_loses_nothing(bench: Bench, how: str) -> None:
    text = main(
        'parallel { step S.do("a") sleep 10s } step S.do("b") sleep 20s step S.do("z")',
        clauses="deadline 30d",
    )
    story, under = Story(defined(text, how), Services({"z"})), bench.fresh()
    outcome = "died"
    for jump in (0, 500_000, -500_000, 20 * HOUR, 3, -40 * HOUR, 0):
        lived = live(under, story, start=jump, dies_at=14 if jump else None)
        outcome = lived.outcome
        if not lived.died:
            break
    assert (outcome, story.services.effects) == ("Compensated", {})


# --- Cancels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies_after", [None, 12, 25, 35, 45])
def test_a_cancel_undoes_all_that_was_done_over_a_death(
    bench: Bench, how: str, dies_after: int | None
) -> None:
    text = main('step S.do("a") step S.do("b") sleep 1h step S.do("c")')
    story, under = Story(defined(text, how), sends=[Cancel(15), Cancel(16)]), bench.fresh()
    lived = live(under, story, dies_after=dies_after)
    if lived.died:
        lived = live(under, story, start=lived.until)
    assert (lived.outcome, story.services.effects) == ("Compensated", {})
    assert lived.result.outcome.error.name == "Cancelled"
    assert len(entries(under, journal.AbortBegan)) == 1


def test_a_cancel_for_a_run_that_nobody_runs_is_kept_for_it(bench: Bench, how: str) -> None:
    story, under = Story(defined(WAITS, how)), bench.fresh()
    assert live(under, story, dies_after=1_000).died
    from_outside(under, story, "cancel", 2_000)
    lived = live(under, story, start=3_000)
    assert (lived.outcome, story.services.effects) == ("Compensated", {})
    assert story.services.log == ["do(a)", "undo(a)"]
