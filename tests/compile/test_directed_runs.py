"""Courses that chance seldom takes: interpreted and compiled alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sagalang.runtime.faults import PlannedFault
from sagalang.workspace import load

from .test_corpus_runs import copy
from .twin import Signal, Told, same

SAGAS = Path(__file__).parent / "sagas"
THING = {
    "id": "t-1",
    "parts": [{"name": "x", "qty": 1}, {"name": "y", "qty": 2}],
    "price": 5,
    "due": "PT1M",
}


def run(name: str, *faults: PlannedFault, thing: dict[str, Any] | None = None, **more: Any) -> Told:
    loaded = load(str(SAGAS / f"{name}.saga"))
    assert not loaded.has_errors
    given: dict[str, Any] = {"thing": thing or THING, **more.pop("given", {})}
    return same(
        loaded.program,
        json.dumps(given),
        saga="Main",
        faults=lambda values: [copy(found) for found in faults],
        **more,
    )


def labels(told: Told) -> list[str]:
    return [sent.label for sent in told.sent]


def reply(n: int, answer: str = "y", to: str = "t-1", **more: Any) -> Signal:
    fields = json.dumps({"answer": answer, "to": to, "n": n})
    return Signal("Reply", fields, **more)


def found() -> PlannedFault:
    return PlannedFault("returns", "S.look", remaining=None)


@pytest.mark.parametrize("again", [True, False])
def test_an_event_is_accepted_once(again: bool) -> None:
    twice = [reply(5, id="one"), reply(6, id="one" if again else "two", after=10)]
    told = run("waiting", found(), signals=twice, given={"again": True})
    # The second `Reply` is waited for by a wait that escalates.
    assert told.outcome[0] == ("Escalated" if again else "Completed")


def test_an_event_that_does_not_meet_the_condition_is_kept() -> None:
    signals = [reply(1), reply(5, to="other"), reply(2, after=1_000), Signal("Go", "{}", 2_000)]
    told = run("waiting", found(), signals=signals, given={"again": False})
    assert told.outcome[0] == "Completed"


def test_an_event_that_one_wait_cannot_judge_is_there_for_the_others() -> None:
    assert run("two_waits", signals=[reply(1, after=10)]).outcome[0] == "Completed"


def test_nothing_comes_in_time() -> None:
    assert run("waiting", given={"again": False}).outcome[0] == "Compensated"


def test_no_sleep_is_started_that_would_cross_the_deadline() -> None:
    down = PlannedFault("unavailable", "S.plain", remaining=None)
    told = run("deadline", down)
    assert told.outcome[0] == "Compensated"
    assert told.ended < 2_500


@pytest.mark.parametrize("latency", [0, 150, 301, 640, 900])
def test_a_deadline_at_any_time(latency: int) -> None:
    run("deadline", latency=latency)


@pytest.mark.parametrize("price", [5, 50])
@pytest.mark.parametrize("error", ["No", None])
@pytest.mark.parametrize("cancel_after", [None, *range(5, 140, 10)])
def test_a_cancel_meets_a_pivot(price: int, error: str | None, cancel_after: int | None) -> None:
    """A held cancel is carried out once the pivot certainly did not happen."""
    faults = []
    if error is not None:
        made = [("pivot dear",), ("instead",)]
        faults = [PlannedFault("rejects", "S.do", args, error) for args in made]
        faults.append(PlannedFault("rejects", "S.booked", error=error))
    told = run("pivots", *faults, thing={**THING, "price": price}, cancel_after=cancel_after)
    if error is None and cancel_after is None:
        assert told.outcome[0] == "Completed"


def test_a_held_cancel_is_carried_out_and_not_escalated() -> None:
    rejected = PlannedFault("rejects", "S.do", ("pivot",), "No")
    slow = {"thing": {**THING, "parts": []}}
    told = run("deadline", rejected, given=slow, cancel_after=30)
    assert told.outcome[0] == "Compensated"
    assert told.outcome[1][1] == ("name", "Cancelled") or "Cancelled" in repr(told.outcome)
