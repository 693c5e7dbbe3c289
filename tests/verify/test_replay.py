"""What the verifier finds, played on values and in time: the run breaks the same promise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sagalang.machine import events as m
from sagalang.model import program as p
from sagalang.runtime import saga as compiled
from sagalang.runtime.codec import dump, plain
from sagalang.runtime.fault_replay import play
from sagalang.runtime.fault_script import Kind, check, read_script, write_script
from sagalang.runtime.saga_main import decode_arguments
from sagalang.runtime.values import Values
from sagalang.scenario import run as run_scenario
from sagalang.verify.counterexample import Counterexample, counterexample
from sagalang.verify.explore import Bounds
from sagalang.verify.replay import replayed
from sagalang.verify.verify import Found, Settings, verify
from sagalang.verify.world import Breach, Options
from sagalang.workspace import load_text
from tests.compile.twin import compile_to_module

from .sagas import CONTRACTS, SHAPES, contract, saga


def program_of(text: str) -> p.Program:
    """Checked as far as it goes: the holes are what the checker warns of."""
    return load_text(text, "test.saga").program


def found(text: str, rule: str, step: str, *faults: str, detail: str | None = None) -> Found:
    """The breach of this rule at this step; `faults`: only these may happen."""
    kinds = frozenset({*faults, "failing compensation"}) if faults else None
    settings = Settings(Options(faults=kinds), Bounds(states=20_000))
    verdict = verify(program_of(text), "Main", settings=settings)
    for one in verdict.breaches:
        at = "" if one.breach.at is None else one.breach.at[1].path
        if (one.breach.rule, at) == (rule, step) and detail in (None, one.breach.detail):
            return one
    raise AssertionError([(one.breach.rule, str(one.breach.at)) for one in verdict.breaches])


def played(text: str, one: Found) -> Counterexample:
    program = program_of(text)
    made = counterexample(program, one)
    assert made.reproduced
    # What is handed on is the script: as a file it makes the same run.
    script = read_script(write_script(made.script))
    assert script == made.script
    check(script, program, Values(program))
    again = replayed(program, "Main", None, script)
    assert again.outcome == made.replay.outcome
    assert [(d.place, d.belief, d.effects) for d in again.steps] == [
        (d.place, d.belief, d.effects) for d in made.replay.steps
    ]
    assert again.played.unused == ()
    return made


def passes(text: str, scenario: str) -> bool:
    loaded = load_text(text + scenario, "test.saga")
    (only,) = loaded.program.scenarios
    result = run_scenario(loaded.program, only)
    assert not result.problem
    assert result.unused == ()
    return result.passed


def unfenced(text: str) -> str:
    return text.replace(", fences late", "")


HOLES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    # name: with the hole, mended, the step, the only faults
    "a late original after its undo": (
        saga('step S.do("a")', CONTRACTS["not fenced"]),
        saga('step S.do("a")'),
        "S.do",
        (),
    ),
    "in the second of two steps": (
        unfenced(SHAPES["two steps"]),
        SHAPES["two steps"],
        "two",
        (),
    ),
    "in one of two branches": (unfenced(SHAPES["parallel"]), SHAPES["parallel"], "two", ()),
    "in the handler of a refusal": (unfenced(SHAPES["attempt"]), SHAPES["attempt"], "alt", ()),
    "in a child": (unfenced(SHAPES["child of two"]), SHAPES["child of two"], "y", ()),
    "in a loop over a list of any length": (unfenced(SHAPES["loop"]), SHAPES["loop"], "S.do", ()),
    "where an answer decides": (unfenced(SHAPES["ask first"]), SHAPES["ask first"], "y", ()),
    "where the input decides": (unfenced(SHAPES["condition"]), SHAPES["condition"], "y", ()),
    "behind an event": (
        unfenced(SHAPES["wait or go on"]),
        SHAPES["wait or go on"],
        "S.do",
        (),
    ),
    "nothing undoes it": (
        saga('step S.do("a") abort Gone', contract("keyed")),
        saga('step S.do("a") abort Gone'),
        "S.do",
        (),
    ),
    "nothing undoes it, and it is cancelled": (
        saga('step S.do("a") sleep 1h', contract("keyed")),
        saga('step S.do("a") sleep 1h'),
        "S.do",
        ("cancel",),
    ),
    "its total runs out before its retries": (
        unfenced(SHAPES["total"]),
        SHAPES["total"],
        "S.do",
        (),
    ),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_is_seen_in_a_run_and_in_a_scenario_until_it_is_mended(name: str) -> None:
    broken, mended, step, faults = HOLES[name]
    made = played(broken, found(broken, "left", step, *faults))
    (left,) = {did.place.path for did in made.replay.left if did.place.path == step}
    assert left == step
    assert made.scenario is not None
    assert not passes(broken, made.scenario)
    assert passes(mended, made.scenario)


def test_a_late_original_between_two_attempts_to_undo_it() -> None:
    text = saga('step S.do("a")', CONTRACTS["keyed undo, not fenced"])
    made = played(text, found(text, "left", "S.do", detail=""))
    late, lost = made.script.faults
    assert (late.operation, late.kind, lost.operation) == ("S.do", Kind.LATE, "S.undo")
    attempts = [a.at for a in made.replay.played.attempts if a.operation == "S.undo"]
    start = made.replay.journal[0].at
    assert late.after is not None
    assert attempts[0] < start + late.after < attempts[1]
    assert made.scenario is not None
    assert not passes(text, made.scenario)


def test_a_crash_while_a_step_is_in_flight() -> None:
    text = saga('step S.do("a") step y = S.do("b")', contract("keyed"))
    one = found(text, "left", "y", "crash", "not sent")
    made = played(text, one)
    assert Kind.CRASH_AFTER in {fault.kind for fault in made.script.faults}
    assert any(type(entry).__name__ == "Restarted" for entry in made.replay.journal)


def test_a_step_of_which_nobody_knows() -> None:
    text = SHAPES["attempt that catches doubt"].replace("compensate undo(key)", "")
    made = played(text, found(text, "forgotten", "S.do"))
    assert isinstance(made.replay.outcome, m.Completed)
    (did,) = [did for did in made.replay.steps if did.place.path == "S.do"]
    assert (did.belief, did.effects) == ("unknown", 1)


def test_constants_of_the_program_are_preferred_and_called_by_name() -> None:
    text = unfenced(SHAPES["condition"]) + "let fine = true\nlet bad = false\n"
    made = played(text, found(text, "left", "y"))
    assert made.script.input["ok"] is False
    assert made.scenario is not None
    assert "of Main(bad)" in made.scenario


def test_the_scenario_reads_as_one_would_write_it() -> None:
    text = saga('step S.do("a") step y = S.do("b")', CONTRACTS["not fenced"])
    made = counterexample(program_of(text), found(text, "left", "y"), "a late one")
    assert made.scenario == (
        'scenario "a late one" of Main() {\n'
        '  when S.do("b") arrives late after 1m\n'
        "  expect nothing left\n"
        "}\n"
    )


@pytest.mark.parametrize(
    "name", ["a late original after its undo", "in one of two branches", "where an answer decides"]
)
def test_compiled_code_breaks_the_same_promise(name: str) -> None:
    broken, _, step, faults = HOLES[name]
    # What the checker refuses is not compiled; these it only warns of.
    program = program_of(broken)
    made = played(broken, found(broken, "left", step, *faults))
    module = compile_to_module(program)
    text = dump(plain(made.script.input, dict[str, object])) if made.script.input else b"{}"
    call = decode_arguments(module.MAIN, text)
    twin = play(program, made.script, lambda engine: compiled.begin(call, engine=engine))
    mine = made.replay.played
    assert twin.world.left() == mine.world.left()
    assert twin.world.left()
    assert twin.attempts == mine.attempts
    assert type(twin.result.outcome) is type(made.replay.outcome)


def test_where_no_run_breaks_the_promise_it_says_so() -> None:
    text = saga('step S.do("a")', CONTRACTS["not fenced"])
    mended = program_of(saga('step S.do("a")'))
    made = counterexample(mended, found(text, "left", "S.do"))
    assert made.reproduced is False
    assert made.scenario is None


def test_what_only_the_orchestrator_knows_is_not_claimed() -> None:
    text = saga('step S.do("a")', CONTRACTS["not fenced"])
    one = found(text, "left", "S.do")
    inside = replace(one, breach=Breach("out-of-order", one.breach.at))
    assert counterexample(program_of(text), inside).reproduced is None
