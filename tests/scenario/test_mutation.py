"""Mutants: which there are, and which scenarios notice them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sagalang.cli.main import cli
from sagalang.scenario.mutation import mutants, try_all
from sagalang.workspace import load_text

SAGAS = """
error Full
event Sign { by: string }
policy patient { timeout 2s retry 3 times backoff 200ms * 2 up to 2s jitter full }
service Payment {
  command charge(order: string) -> { id: string }
    keyed
    compensate refund(key)
  command refund(of: key) idempotent, absent ok, fences late
  command capture(id: string) keyed
}
service Hotel {
  with patient
  command book(order: string) keyed, records rejections rejects Full compensate free(key)
  command free(of: key) idempotent, absent ok, fences late
  command tell(order: string) idempotent
}
saga Pay(order: string) {
  id order
  step paid = Payment.charge(order)
  parallel {
    attempt { step Hotel.book(order) } on Full { step Hotel.tell(order) best effort }
    wait sign: Sign within 1m else null
  }
  pivot step Payment.capture(paid.id)
  step Hotel.tell(order)
}
"""
MUTANTS = {
    ("compensation", "Payment.charge is not undone by Payment.refund"),
    ("compensation", "Hotel.book is not undone by Hotel.free"),
    ("order", "Hotel.tell comes before Payment.capture"),
    ("policy", "Payment.refund, which undoes Payment.charge, is not retried"),
    ("policy", "Payment.capture is not retried"),
    ("policy", "Hotel.book is not retried"),
    ("policy", "Hotel.free, which undoes Hotel.book, is not retried"),
    ("policy", "Hotel.tell is not retried"),
    ("key", "Payment.charge has no key"),
    ("key", "Payment.capture has no key"),
    ("key", "Hotel.book has no key"),
}


def test_mutants_of_a_saga_at_any_depth() -> None:
    program = load_text(SAGAS).program
    before = repr(program)
    found = list(mutants(program, program.sagas["Pay"]))
    assert {(mutant.kind, mutant.what) for mutant in found} == MUTANTS
    assert all(mutant.program != program for mutant in found)
    assert repr(program) == before


def test_steps_are_not_swapped_where_the_second_needs_the_first() -> None:
    text = """
    service Payment {
      command charge(order: string) -> { id: string } keyed compensate refund(key)
      command refund(of: key) idempotent, absent ok, fences late
      command note(id: string) idempotent compensate refund2(id)
      command refund2(id: string) idempotent, absent ok, fences late
    }
    saga Pay(order: string) {
      id order
      step paid = Payment.charge(order)
      step Payment.note(paid.id)
    }"""
    program = load_text(text).program
    kinds = [mutant.kind for mutant in mutants(program, program.sagas["Pay"])]
    assert "order" not in kinds
    assert "compensation" in kinds


LOST = """scenario "a lost answer" of Pay("o-1") {
  when Payment.charge times out after effect
  expect compensated
  expect nothing left
}"""
WELL = 'scenario "all is well" of Pay("o-1") { expect completed }'
DOWN = """scenario "down" of Pay("o-1") {
  when Payment.capture unavailable, 5 times
  expect completed
}"""
NOTICED = [
    (WELL, "Payment.charge is not undone by Payment.refund", None),
    (LOST, "Payment.charge is not undone by Payment.refund", "a lost answer"),
    (WELL, "Payment.capture is not retried", None),
    (DOWN, "Payment.capture is not retried", "down"),
    (WELL + LOST, "Payment.charge has no key", "a lost answer"),
]


@pytest.mark.parametrize(("scenarios", "what", "by"), NOTICED)
def test_a_mutant_is_noticed_by_a_scenario_that_fails_on_it(
    scenarios: str, what: str, by: str | None
) -> None:
    loaded = load_text(f"{SAGAS}\n{scenarios}\n")
    assert not loaded.has_errors
    found = {v.mutant.what: v.noticed for v in try_all(loaded.program, loaded.program.scenarios)}
    assert found[what] == by


def test_the_command_lists_what_nobody_noticed(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mutants")
    file = folder / "pay.saga"
    file.write_text(f"{SAGAS}\n{LOST}\n{DOWN}\n", "utf-8")
    result = CliRunner().invoke(cli, ["test", str(file), "--mutate"])
    assert result.exit_code == 1
    assert f"  {file}:19: Payment.charge is not undone" not in result.stdout
    assert f"  {file}:22: Hotel.book is not undone by Hotel.free\n" in result.stdout
    told = json.loads(
        CliRunner().invoke(cli, ["test", str(file), "--mutate", "--format", "json"]).stdout
    )
    assert {(m["kind"], m["what"]) for m in told["mutants"]} == MUTANTS
    noticed = {m["what"]: m["noticed_by"] for m in told["mutants"]}
    assert noticed["Payment.charge is not undone by Payment.refund"] == "a lost answer"


def test_nothing_is_broken_on_purpose_where_a_scenario_fails_as_it_is(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = tmp_path_factory.mktemp("mutants") / "pay.saga"
    file.write_text(SAGAS + WELL.replace("completed", "compensated"), "utf-8")
    result = CliRunner().invoke(cli, ["test", str(file), "--mutate"])
    assert result.exit_code == 1
    assert "mutants: not tried, because a scenario fails as it is" in result.stdout
