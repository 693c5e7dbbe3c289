"""Runs: what a seed decides, what made no difference, what never ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagalang.scenario import Result, Stage, run
from sagalang.scenario.told import diagnostics
from sagalang.workspace import load, load_text

ROOT = Path(__file__).parents[2]
EXAMPLES = [ROOT / "examples/order/order.saga", ROOT / "examples/shop/shop.saga"]
CORPUS = sorted(ROOT.glob("tests/corpus/correct/*.saga"))

SAGAS = """
error Declined
event Review { by: string }
policy patient { timeout 2s retry forever backoff 200ms * 2 up to 1m jitter full }
service Payment {
  command charge(order: string) -> { id: string, fee: int }
    keyed, records rejections
    rejects Declined
    compensate refund(key)
  command refund(of: key) idempotent, absent ok, fences late
  command capture(order: string) keyed
}
saga Pay(order: string) -> int {
  id order
  step paid = Payment.charge(order)
  wait review: Review where review.by != "nobody" within 1h else null
  pivot step Payment.capture(order) with patient
  return paid.fee
}
saga Ratio(order: string, parts: int) {
  id "${order}-${12 / parts}"
  pivot step Payment.capture(order)
}
"""


def one(body: str, saga: str = 'Pay("o-1")', seed: int = 0) -> Result:
    loaded = load_text(f'{SAGAS}\nscenario "s" of {saga} {{\n{body}\n}}\n', "shop.saga")
    assert [d.message for d in loaded.diagnostics if d.is_error] == []
    return run(loaded.program, loaded.program.scenarios[0], seed)


def scenarios() -> list[tuple[Stage, int, str]]:
    made = []
    for file in [*EXAMPLES, *CORPUS]:
        stage = Stage(load(str(file)).program)
        made += [
            (stage, i, f"{file.stem}::{s.title}") for i, s in enumerate(stage.program.scenarios)
        ]
    return made


ALL = scenarios()


@pytest.mark.parametrize(("stage", "index"), [c[:2] for c in ALL], ids=[c[2] for c in ALL])
def test_scenarios_of_the_examples_and_the_corpus_pass(stage: Stage, index: int) -> None:
    result = run(stage.program, stage.program.scenarios[index], stage=stage)
    assert [d.message for d in diagnostics(result)] == []


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_examples_pass_whatever_the_seed(seed: int) -> None:
    for file in EXAMPLES:
        stage = Stage(load(str(file)).program)
        for scenario in stage.program.scenarios:
            assert run(stage.program, scenario, seed, stage=stage).passed, scenario.title


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    body = "when Payment.capture unavailable, 5 times expect completed"
    first, again, other = one(body), one(body), one(body, seed=1)
    assert repr(first.course.journal) == repr(again.course.journal)
    assert first.course.outcome == again.course.outcome
    assert first.took != other.took  # jitter
    assert first.course.outcome != other.course.outcome  # values


def test_a_run_does_not_depend_on_the_scenarios_before_it() -> None:
    program = load(str(EXAMPLES[1])).program
    shared = Stage(program)
    for scenario in program.scenarios:
        alone, among = run(program, scenario), run(program, scenario, stage=shared)
        assert repr(among.course.journal) == repr(alone.course.journal)


NOTED = [
    ("when Payment.refund unavailable", "this fault never struck: Payment.refund"),
    ('when Payment.charge("o-2") unavailable', "this fault never struck: Payment.charge"),
    ("when crash after Payment.refund", "this fault never struck: Payment.refund"),
    (
        'send Review(by: "eve") after 2h',
        "this Review was never consumed: the saga had ended at +1h",
    ),
    ('send Review(by: "nobody")', "this Review was never consumed: no wait took it"),
    (
        'send Review(by: "eve") send Review(by: "eve")',
        "this Review was never consumed: the same event had been sent before",
    ),
    ("cancel after 61m", "this cancel came too late: the saga had ended at +1h"),
]


@pytest.mark.parametrize(("body", "text"), NOTED)
def test_what_made_no_difference_is_noted_and_fails_nothing(body: str, text: str) -> None:
    result = one(f"{body} expect completed")
    assert result.passed
    assert [unused.text for unused in result.unused] == [text]


def test_what_made_a_difference_is_not_noted() -> None:
    body = """when Payment.charge times out after effect
      when crash after Payment.refund
      send Review(by: "eve") after 1m
      cancel after 1s
      expect compensated"""
    assert [u.text for u in one(body).unused] == [
        "this Review was never consumed: the saga had ended at +10s"
    ]
    assert one('send Review(by: "eve") expect within 0s').unused == ()
    assert one('send Review(by: "eve") after 1m expect within 1m').unused == ()


PROBLEMS = [
    ('Pay("o-1")', "when Payment.charge unavailable", "it expects nothing, so it proves nothing"),
    (
        'Pay("o-1")',
        "when Payment.capture unavailable, always expect Payment.charge once",
        "it never ends: Payment.capture was tried 1,000 times until +",
    ),
    (
        'Pay("o-1")',
        "when crash before Payment.capture, always expect Payment.charge once",
        "it never ends: the orchestrator died 1,000 times, at Payment.capture",
    ),
    ('Pay(["a"][3])', "expect completed", "it could not be run: "),
    ('Ratio("o-1", 0)', "expect completed", "it could not be run: its id has no value: "),
]


@pytest.mark.parametrize(("saga", "body", "problem"), PROBLEMS)
def test_a_scenario_without_a_verdict_fails_and_says_why(
    saga: str, body: str, problem: str
) -> None:
    result = one(body, saga)
    assert not result.passed
    assert result.problem.startswith(problem)
    (told,) = diagnostics(result)
    assert told.code == "SG504"


def test_the_world_is_settled_before_it_is_judged() -> None:
    result = one(
        """when Payment.charge arrives late after 1d
        expect compensated with Timeout
        expect Payment.charge once
        expect effect Payment.charge never
        expect nothing left"""
    )
    assert [found.text for found in result.findings if not found.met] == []


def test_six_hours_take_no_time() -> None:
    from time import process_time

    stage = Stage(load(str(EXAMPLES[1])).program)
    scenario = next(s for s in stage.program.scenarios if "holiday" in s.title)
    run(stage.program, scenario, stage=stage)
    began = process_time()
    result = run(stage.program, scenario, stage=stage)
    assert result.took == 4 * 3_600_000
    assert process_time() - began < 2, "25 ms on a quiet machine"
