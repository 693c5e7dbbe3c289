"""Where a run stands, read from entries alone."""

from __future__ import annotations

from typing import Any

from sagalang.host.status import Following, Status, status_of
from sagalang.machine.events import SAGA, Escalated, OpenItem, Place, Purpose, Timer
from sagalang.machine.outcomes import Failure, Ok, Rejected
from sagalang.runtime import journal as j

STEP = Place("charge")
LOOPED = Place("take", (("for city", "Bern"),))


class Story:
    """Entries of the run `o-1`, a second apart."""

    def __init__(self) -> None:
        self.entries: list[j.Entry] = []
        self.add(j.SagaStarted, saga="Order", args=None)

    def add(self, entry: type[j.Entry], /, **fields: Any) -> Story:
        at = 1_000 * len(self.entries)
        self.entries.append(entry(**{"at": at, "saga_id": "o-1", **fields}))
        return self

    def begins(self, place: Place = STEP, purpose: Purpose = Purpose.STEP) -> Story:
        return self.add(j.Intent, **_call(place, purpose), args=())

    def ends(self, kind: str = "ok", place: Place = STEP, purpose: Purpose = Purpose.STEP) -> Story:
        value = Ok(None) if kind == "ok" else Rejected(Failure("No"))
        error = None if kind == "ok" else "No"
        told = {"kind": kind, "error": error, "value": value, "unanswered": None}
        return self.add(j.OutcomeRecorded, **_call(place, purpose), **told)

    def escalates(self, purpose: Purpose = Purpose.STEP) -> Story:
        item = OpenItem(STEP, purpose, "Bank.charge", Failure("No", None, "why"), "desk")
        self.add(j.EscalationRaised, item=item)
        return self.add(j.SagaFinished, kind="escalated", error=None, value=Escalated((item,)))

    def settled(self, how: str, purpose: Purpose = Purpose.STEP) -> Story:
        fields = {"place": STEP, "purpose": purpose}
        self.add(j.Settlement, **fields, how=how, by="ada", why="called them")
        return self.add(j.EscalationSettled, **fields)

    @property
    def status(self) -> Status:
        return status_of(self.entries)


def _call(place: Place, purpose: Purpose) -> dict[str, Any]:
    return {"place": place, "purpose": purpose, "label": "Bank.charge", "key": f"k-{place.path}"}


def fates(status: Status) -> dict[str, str]:
    return {step.place: step.fate for step in status.steps}


def test_a_call_without_outcome_is_under_way_and_says_what_it_waits_for() -> None:
    story = Story().begins(LOOPED)
    (call,) = story.status.under_way
    assert (call.place, call.attempt, call.note) == ("take[Bern]", 0, "")
    story.add(j.AttemptStarted, **_call(LOOPED, Purpose.STEP), attempt=3)
    waits = {"reason": "backoff", "delay": 4_000, "until": 9_000}
    story.add(j.Waiting, **_call(LOOPED, Purpose.STEP), **waits)
    (call,) = story.status.under_way
    assert (call.attempt, call.note) == (3, "again in 4 s")
    assert fates(story.status) == {"take[Bern]": "under way"}
    assert story.ends("ok", LOOPED).status.under_way == ()
    assert fates(story.status) == {"take[Bern]": "done"}


def test_what_was_undone_is_told_apart_from_what_stands() -> None:
    story = Story().begins().ends().begins(LOOPED).ends("rejected", LOOPED)
    story.add(j.AbortBegan, place=SAGA, error="No", detail="it said so")
    story.begins(purpose=Purpose.COMPENSATE)
    assert fates(story.status) == {"charge": "undoing", "take[Bern]": "rejected"}
    story.ends(purpose=Purpose.COMPENSATE)
    assert fates(story.status) == {"charge": "undone", "take[Bern]": "rejected"}
    assert (story.status.phase, story.status.error, story.status.detail) == (
        "undoing",
        "No",
        "it said so",
    )


def test_an_abort_of_an_attempt_is_not_one_of_the_saga() -> None:
    story = Story().add(j.AbortBegan, place=Place("attempt"), error="No")
    assert (story.status.phase, story.status.error) == ("forward", None)


def test_what_a_person_settled_is_owed_no_more_and_on_record() -> None:
    for how, fate in (("done", "done"), ("not done", "not done"), ("retry", "rejected")):
        story = Story().begins().ends("rejected").escalates()
        (item,) = story.status.owed
        assert (item.operation, item.team, item.key, item.since) == (
            "Bank.charge",
            "desk",
            "k-charge",
            3_000,
        )
        status = story.settled(how).status
        assert (status.owed, status.phase) == ((), "forward")
        assert fates(status) == {"charge": fate}
        assert [(each.how, each.by) for each in status.decisions] == [(how, "ada")]


def test_a_compensation_settled_by_hand_is_undone_or_written_off() -> None:
    for how, fate in (("done", "undone"), ("not done", "written off"), ("retry", "done")):
        story = Story().begins().ends().add(j.AbortBegan, place=SAGA, error="No")
        back = Purpose.COMPENSATE
        story.begins(purpose=back).ends("rejected", purpose=back).escalates(back)
        assert fates(story.status) == {"charge": "done"}
        assert story.status.owed[0].undoes == "k-charge"
        story.settled(how, back)
        assert fates(story.status) == {"charge": fate}
        assert story.status.phase == "undoing"


def test_timers_are_what_is_waited_for_until_they_end() -> None:
    story = Story().add(j.TimerStarted, place=STEP, timer=Timer.WAIT, until=9_000)
    story.add(j.TimerStarted, place=LOOPED, timer=Timer.SLEEP, until=8_000)
    story.add(j.TimerStarted, place=SAGA, timer=Timer.DEADLINE, until=7_000)
    status = story.status
    assert [(each.place, each.until) for each in status.waits] == [("charge", 9_000)]
    assert [(each.place, each.until) for each in status.sleeps] == [("take[Bern]", 8_000)]
    story.add(j.TimerEnded, place=STEP, timer=Timer.WAIT, stopped=True)
    assert story.status.waits == ()


def test_following_entry_by_entry_comes_to_the_same() -> None:
    story = Story().begins().ends("rejected").escalates().settled("retry").begins().ends()
    following = Following()
    for count, entry in enumerate(story.entries, 1):
        following.take(entry)
        assert following.status() == status_of(story.entries[:count])
