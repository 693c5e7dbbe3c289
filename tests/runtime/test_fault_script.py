"""Fault scripts: how they are read, and that each kind of fault does what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sagalang.cli.run import command as run_command
from sagalang.interpret import run as interpret
from sagalang.machine import events as m
from sagalang.model.program import Program
from sagalang.runtime import saga as compiled
from sagalang.runtime.fault_replay import Played, play
from sagalang.runtime.fault_script import (
    Script,
    ScriptError,
    check,
    event_value,
    read_script,
    saga_args,
    write_script,
)
from sagalang.runtime.saga_main import decode_arguments
from sagalang.runtime.values import Values
from sagalang.workspace import load_text
from tests.compile.twin import compile_to_module

SAGA = """
error No { why: string }
event Word { yes: bool }
policy once { timeout 1s retry 1 times backoff 100ms * 2 up to 1s jitter full }
service S {
  with once
  command do(a: string) -> { id: string } keyed, records rejections rejects No compensate undo(key)
  // saga: allow(compensation-not-fenced) "to see what comes of it"
  command soon(a: string) keyed, lands within 5m compensate drop(key)
  command drop(of: key) idempotent, absent ok
  command undo(of: key) idempotent, absent ok
  command seal(a: string) idempotent
}
saga Main(a: string) -> string {
  id a
  compensate with once
  // saga: allow(compensation-not-fenced) "to see what comes of it"
  step one = S.do("one")
  step two = S.do("two")
  step S.soon("x")
  wait word: Word within 1h else null
  pivot step S.seal(a)
  return two.id
}
"""


@pytest.fixture(scope="module")
def program() -> Program:
    return load_text(SAGA, "test.saga").program


def script(*faults: dict[str, Any], **more: Any) -> Script:
    given = {"version": 1, "saga": "Main", "input": {"a": "o-1"}, "faults": list(faults), **more}
    return read_script(json.dumps(given))


def run(program: Program, made: Script) -> Played:
    values = Values(program)
    check(made, program, values)
    args = saga_args(made, program, values)
    assert args is not None
    sends = [interpret.Send(e.event, event_value(values, e), e.after) for e in made.events]
    return play(
        program,
        made,
        lambda engine: interpret.begin(program, "Main", args, engine=engine, values=values),
        sends=sends,
        values=values,
    )


def effects(played: Played) -> list[str]:
    return [f"{e.operation}({e.args[0]})" for e in played.world.left()]


ALL = ["S.do(one)", "S.do(two)", "S.soon(x)", "S.seal(o-1)"]
TWO: dict[str, Any] = {"operation": "S.do", "call": 2}


# --- What a fault does -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "outcome", "left", "attempts"),
    [
        ({"kind": "rejects", "error": "No"}, "No", [], 1),
        ({"kind": "not sent"}, None, ALL, 2),
        ({"kind": "not sent", "times": 2}, "NotSent", [], 2),
        ({"kind": "request lost"}, None, ALL, 2),
        ({"kind": "request lost", "times": 2}, "Timeout", [], 2),
        ({"kind": "answer lost"}, None, ALL, 2),
        ({"kind": "answer lost", "times": 2}, "Timeout", [], 2),
        ({"kind": "duplicated"}, None, ALL, 1),
        ({"kind": "strange answer"}, "ContractMismatch", [], 1),
        ({"kind": "late", "times": 2}, "Timeout", ["S.do(two)"], 2),
        ({"kind": "late", "times": 2, "after": 1500}, "Timeout", [], 2),
        ({"kind": "crash before"}, None, ALL, 2),
        ({"kind": "crash after"}, None, ALL, 2),
        ({"kind": "crash during"}, None, ALL, 2),
    ],
)
def test_each_kind_does_what_it_says(
    program: Program, fault: dict[str, Any], outcome: str | None, left: list[str], attempts: int
) -> None:
    played = run(program, script({**TWO, **fault}))
    assert sorted(effects(played)) == sorted(left)
    ended = played.result.outcome
    if outcome is None:
        assert isinstance(ended, m.Completed)
    else:
        assert ended.error.name == outcome
    assert sum(a.call == 2 for a in played.attempts if a.operation == "S.do") == attempts
    assert played.unused == ()


def test_the_first_call_is_not_struck_by_a_fault_of_the_second(program: Program) -> None:
    played = run(program, script({**TWO, "kind": "rejects", "error": "No"}))
    assert [a.operation for a in played.attempts] == ["S.do", "S.do", "S.undo"]


def test_attempts_are_counted_over_a_crash(program: Program) -> None:
    faults = [{**TWO, "kind": "crash after"}, {**TWO, "attempt": 2, "kind": "answer lost"}]
    played = run(program, script(*faults))
    assert [a.attempt for a in played.attempts if (a.operation, a.call) == ("S.do", 2)] == [1, 2, 3]
    assert sorted(effects(played)) == sorted(ALL)


def test_before_a_crash_the_service_was_reached_or_not(program: Program) -> None:
    reached = {
        kind: run(program, script({**TWO, "kind": kind})).world.count("S.do")
        for kind in ("crash before", "crash after")
    }
    assert reached == {"crash before": 2, "crash after": 3}


def test_a_fault_strikes_its_call_and_not_one_like_it() -> None:
    text = SAGA.replace('step one = S.do("one")', "parallel {").replace(
        'step two = S.do("two")', 'step one = S.do("two") step two = S.do("two") }'
    )
    made = script({**TWO, "kind": "rejects", "error": "No"}, latency=20)
    played = run(load_text(text, "test.saga").program, made)
    refused = [e for e in played.journal if getattr(e, "kind", "") == "rejected"]
    assert {entry.place.path for entry in refused} == {"two"}  # type: ignore[attr-defined]


def test_a_request_under_way_at_a_crash_still_arrives(program: Program) -> None:
    lost = {**TWO, "attempt": 2, "times": 2, "kind": "request lost"}
    played = run(program, script({**TWO, "kind": "crash during"}, lost))
    assert played.result.outcome.error.name == "Timeout"
    assert effects(played) == ["S.do(two)"]
    before = run(program, script({**TWO, "kind": "crash before"}, lost))
    assert effects(before) == []


def test_a_late_request_arrives_within_what_is_promised(program: Program) -> None:
    played = run(program, script({"operation": "S.soon", "kind": "late", "times": 2}))
    assert isinstance(played.result.outcome, m.Compensated)
    assert effects(played) == []


def test_values_of_answers_and_errors_are_those_of_the_script(program: Program) -> None:
    answered = run(program, script({**TWO, "kind": "answers", "value": {"id": "here"}}))
    assert answered.result.outcome == m.Completed("here")
    fault = {**TWO, "kind": "rejects", "error": "No", "fields": {"why": "full"}}
    assert run(program, script(fault)).result.outcome.error.value.why == "full"


def test_events_and_a_request_to_cancel_come_at_their_time(program: Program) -> None:
    word = {"event": "Word", "fields": {"yes": True}, "after": 60_000}
    ended = run(program, script(events=[word])).journal[-1].at
    assert ended - run(program, script(events=[word])).journal[0].at == 60_000
    cancelled = run(program, script(events=[word], cancel=30_000))
    assert cancelled.result.outcome.error.name == "Cancelled"
    assert effects(cancelled) == []


def test_an_answer_from_memory_is_not_changed_and_the_fault_is_told(program: Program) -> None:
    faults = [
        {**TWO, "kind": "answer lost"},
        {**TWO, "attempt": 2, "kind": "rejects", "error": "No"},
        {"operation": "S.undo", "kind": "not sent"},
    ]
    played = run(program, script(*faults))
    assert isinstance(played.result.outcome, m.Completed)
    assert [fault.operation for fault in played.unused] == ["S.do", "S.undo"]


def test_a_run_that_never_ends_says_so() -> None:
    endless = """
    service S { command seal(a: string) idempotent }
    saga Main(a: string) { id a pivot step S.seal(a) }
    """
    fault = {"operation": "S.seal", "kind": "request lost", "times": 3_000}
    played = run(load_text(endless, "test.saga").program, script(fault))
    assert played.result is None
    assert played.problem == "it never ends: S.seal was tried 2,000 times"


@pytest.mark.parametrize(
    "fault",
    [
        {**TWO, "kind": "late", "times": 2},
        {**TWO, "kind": "crash during"},
        {**TWO, "kind": "crash after"},
        {"operation": "S.soon", "kind": "strange answer"},
    ],
)
def test_compiled_code_makes_the_same_run(program: Program, fault: dict[str, Any]) -> None:
    made = script(fault, events=[{"event": "Word", "fields": {"yes": True}, "after": 60_000}])
    module = compile_to_module(program)
    call = decode_arguments(module.MAIN, json.dumps({"a": "o-1"}))
    sends = [compiled.Send(module.Word(yes=True), 60_000)]
    twin = play(program, made, lambda engine: compiled.begin(call, engine=engine), sends=sends)
    one = run(program, made)
    assert effects(twin) == effects(one)
    assert type(twin.result.outcome) is type(one.result.outcome)
    assert twin.attempts == one.attempts
    assert [type(entry) for entry in twin.journal] == [type(entry) for entry in one.journal]
    assert twin.unused == one.unused == ()


# --- Reading -----------------------------------------------------------------------------------


def test_what_is_written_reads_as_the_same_script() -> None:
    fault = {**TWO, "kind": "late", "after": 5}
    made = script(fault, events=[{"event": "Word", "fields": {"yes": True}}], cancel=3, latency=20)
    assert read_script(write_script(made)) == made


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "this is not a fault script: the JSON text ends too early"),
        ('{"version": 1}', "this is not a fault script: saga: this field is missing"),
        ('{"version": 2, "saga": "M"}', "the script is of version 2, and this sagalang reads 1"),
        (
            '{"version": 1, "saga": "M", "fault": []}',
            "this is not a fault script: unknown field `fault`; did you mean `faults`?",
        ),
        (
            '{"version": 1, "saga": "M", "faults": [{"operation": "S.do", "kind": "lost"}]}',
            "this is not a fault script: faults[0].kind: expected one of rejects, answers, not"
            " sent, request lost, answer lost, late, duplicated, strange answer, crash before,"
            " crash after, crash during, got another string",
        ),
        ({"kind": "late", "call": 0}, "faults[0].call is 0"),
        ({"kind": "late", "after": -1}, "faults[0].after is -1"),
        ({"kind": "rejects"}, "faults[0]: `rejects` needs `error`"),
        ({"kind": "late", "error": "No"}, "faults[0]: `late` takes no `error`"),
        ({"kind": "late", "fields": {}}, "faults[0]: `fields` are those of an `error`"),
        ({"kind": "not sent", "after": 5}, "faults[0]: only a late request has an `after`"),
        ({"kind": "late", "value": 5}, "faults[0]: only `answers` has a `value`"),
    ],
)
def test_a_text_that_is_no_script_is_refused(text: str | dict[str, Any], told: str) -> None:
    if isinstance(text, dict):
        fault = {"operation": "S.do", **text}
        text = json.dumps({"version": 1, "saga": "M", "faults": [fault]})
    with pytest.raises(ScriptError) as refused:
        read_script(text)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"operation": "S.doo", "kind": "late"}, "faults[0]: there is no operation `S.doo`"),
        (
            {"operation": "S.seal", "kind": "rejects", "error": "No"},
            "faults[0]: `S.seal` never rejects with `No`",
        ),
        (
            {"operation": "S.soon", "kind": "late", "after": 300_001},
            "faults[0]: `S.soon` promises to take effect within 300000 ms, or never",
        ),
        (
            {"operation": "S.seal", "kind": "answers", "value": 5},
            "faults[0]: `S.seal` answers nothing",
        ),
        (
            {"operation": "S.do", "kind": "answers", "value": {"id": 5}},
            "faults[0].value.id: expected a string, got an int",
        ),
        (
            {"operation": "S.do", "kind": "rejects", "error": "No", "fields": {"wy": "x"}},
            "faults[0]: `No` has no field `wy`",
        ),
    ],
)
def test_a_script_that_does_not_fit_the_program_is_refused(
    program: Program, fault: dict[str, Any], told: str
) -> None:
    with pytest.raises(ScriptError) as refused:
        check(script(fault), program, Values(program))
    assert str(refused.value) == told


def test_events_and_input_are_checked_too(program: Program) -> None:
    values = Values(program)
    with pytest.raises(ScriptError, match="there is no event `Wort`"):
        check(script(events=[{"event": "Wort"}]), program, values)
    with pytest.raises(ScriptError, match=r"events\[0\].fields.yes: this field is missing"):
        check(script(events=[{"event": "Word"}]), program, values)
    with pytest.raises(ScriptError, match="input is not right: a: expected a string"):
        check(script(input={"a": 5}), program, values)


# --- The command -------------------------------------------------------------------------------


def command(folder: Path, made: str, *more: str) -> Any:
    (folder / "main.saga").write_text(SAGA)
    (folder / "faults.json").write_text(made)
    file, faults = str(folder / "main.saga"), str(folder / "faults.json")
    return CliRunner().invoke(run_command, [file, "--mock", "--faults", faults, *more])


def test_the_command_plays_it_in_simulated_time(tmp_path: Path) -> None:
    faults = [{**TWO, "kind": "late", "times": 2}, {"operation": "S.seal", "kind": "not sent"}]
    made = command(tmp_path, write_script(script(*faults)))
    assert made.exit_code == 1
    assert "compensated with Timeout  Main o-1, 2" in made.stdout
    assert "LEFT      S.do: it took effect after S.undo had undone it" in made.stdout
    unused = "note: this fault never happened: S.seal not sent (call 1, attempt 1)"
    assert unused in made.stdout


def test_hours_pass_at_once(tmp_path: Path) -> None:
    made = command(tmp_path, write_script(script()))
    assert made.exit_code == 0
    assert "completed  Main o-1, 1 h" in made.stdout


def test_mistakes_in_a_script_are_told_before_anything_runs(tmp_path: Path) -> None:
    made = command(tmp_path, '{"version": 1, "saga": "Mainn"}')
    assert made.exit_code == 2
    assert "faults.json: there is no saga `Mainn`" in made.stderr
    assert "did you mean `Main`?" in made.stderr


def test_real_services_cannot_be_told_to_fail(tmp_path: Path) -> None:
    (tmp_path / "main.saga").write_text(SAGA)
    made = CliRunner().invoke(run_command, [str(tmp_path / "main.saga"), "--faults", "x.json"])
    assert made.exit_code == 2
    assert "--faults goes with --mock" in made.stderr
