"""What scenarios reach, goal by goal."""

from __future__ import annotations

import pytest

from sagalang.scenario import Stage, run
from sagalang.scenario.coverage import goals, key, reached, sagas_of
from sagalang.workspace import load_text

SAGAS = """
error Declined, Full
event Review { good: bool }
service Payment {
  command charge(order: string) keyed, records rejections rejects Declined compensate refund(key)
  command refund(of: key) idempotent, absent ok, fences late
  command capture(order: string) keyed
  query status(order: string) -> { done: bool }
  command tell(order: string) keyed
}
service Hotel {
  command book(order: string) keyed, records rejections rejects Full compensate free(key)
  command free(of: key) idempotent, absent ok, fences late
}
saga Stay(order: string) {
  attempt { step Hotel.book(order) } on Full { step Payment.tell(order) best effort }
}
saga Pay(order: string) {
  id order
  step Payment.charge(order)
  step saga Stay(order)
  wait first: Review within 1h else null
  wait second: Review within 1h else null
  poll ready = Payment.status(order) until ready.done every 1m within 1h else null
  pivot step Payment.capture(order)
  when compensated { step Payment.tell(order) best effort }
}
saga Alone(order: string) { id order  pivot step Payment.capture(order) }
"""
WAITED = "send Review(good: true) after 1m send Review(good: false) after 2m"

HANDLED = {"handler on Full", "step Payment.tell"}
FORWARD = {"step Payment.charge", "step saga Stay", "step Hotel.book", "step Payment.capture"}
POLLED = "arrives poll ready meets its condition"

CASES = [
    (
        WAITED,
        FORWARD | {"arrives wait first arrives", "arrives wait second arrives", POLLED},
    ),
    (
        "send Review(good: true)",
        FORWARD | {"arrives wait first arrives", "runs out wait second runs out", POLLED},
    ),
    (
        "when Payment.status returns { done: false }, always",
        FORWARD
        | {
            "runs out wait first runs out",
            "runs out wait second runs out",
            "runs out poll ready runs out",
        },
    ),
    (
        "when Payment.charge rejects Declined",
        {
            "step Payment.charge",
            "rejection Payment.charge rejects Declined",
            "when compensated when compensated",
            "step Payment.tell",
        },
    ),
    (
        "cancel after 10m",
        {
            "step Payment.charge",
            "step saga Stay",
            "step Hotel.book",
            "compensation saga Stay undone",
            "compensation Hotel.free for Hotel.book",
            "compensation Payment.refund for Payment.charge",
            "when compensated when compensated",
            "step Payment.tell",
        },
    ),
    (
        "when Hotel.book rejects Full " + WAITED,
        FORWARD
        | HANDLED
        | {
            "rejection Hotel.book rejects Full",
            "arrives wait first arrives",
            "arrives wait second arrives",
            POLLED,
        },
    ),
]


@pytest.mark.parametrize(("body", "wanted"), CASES, ids=[case[0][:40] for case in CASES])
def test_a_run_reaches(body: str, wanted: set[str]) -> None:
    loaded = load_text(f'{SAGAS}\nscenario "s" of Pay("o-1") {{ {body} expect completed }}\n')
    assert not loaded.has_errors
    program = loaded.program
    stage = Stage(program)
    result = run(program, program.scenarios[0], stage=stage)
    assert result.problem == ""
    found = reached(stage, result.course)
    there = [goal for saga in program.sagas.values() for goal in goals(program, saga)]
    assert found <= {key(goal) for goal in there}
    assert {f"{goal.kind} {goal.what}" for goal in there if key(goal) in found} == wanted


def test_goals_are_those_of_the_sagas_that_scenarios_run_and_of_the_file() -> None:
    loaded = load_text(f'{SAGAS}\nscenario "s" of Pay("o-1") {{ expect completed }}\n')
    assert sagas_of(loaded.program, loaded.program.scenarios) == ["Pay", "Stay", "Alone"]


def test_a_pivot_and_best_effort_have_no_compensation_to_reach() -> None:
    program = load_text(SAGAS).program
    kinds = [(goal.kind, goal.what) for goal in goals(program, program.sagas["Pay"])]
    assert ("step", "Payment.capture") in kinds
    assert [what for kind, what in kinds if kind == "compensation"] == [
        "Payment.refund for Payment.charge",
        "saga Stay undone",
    ]
