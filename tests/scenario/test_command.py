"""`saga test` as a user meets it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from sagalang.cli.main import cli

SAGA = """error Declined
service Payment {
  command charge(order: string, card: secret string)
    keyed, records rejections
    rejects Declined
    compensate refund(key)
  command refund(of: key) idempotent, absent ok, fences late
  command capture(order: string) keyed
}
saga Pay(order: string, card: secret string) {
  id order
  step Payment.charge(order, card)
  pivot step Payment.capture(order)
}
let card = "4711-0815"
"""
GOOD = """
scenario "all is well" of Pay("o-1", card) {
  when Payment.capture unavailable, 3 times
  expect completed
}
scenario "declined" of Pay("o-1", card) {
  when Payment.charge rejects Declined
  when Payment.refund unavailable
  expect compensated
}
"""
BAD = """
scenario "no money" of Pay("o-1", card) {
  when Payment.charge rejects Declined
  expect compensated with Declined
  expect Payment.refund once
}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, **files: str) -> Result:
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.saga"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return CliRunner().invoke(cli, ["test", *arguments])

    return invoke


def test_all_passed_is_0_with_a_line_each_and_a_summary(run: Run) -> None:
    result = run("shop.saga", shop=SAGA + GOOD)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "shop.saga"
    assert re.fullmatch(r"  ok    all is well  \(\d\.\d+s\)", lines[1])
    assert lines[2] == "  ok    declined  (0s)"
    assert lines[3] == "        note: line 23: this fault never struck: Payment.refund"
    assert lines[5].startswith("2 passed; ")
    assert lines[6] == "reached: 3 of 4; not reached by any scenario:"
    assert lines[7] == "  shop.saga Pay: Payment.refund for Payment.charge (line 12)"
    assert lines[8] == "next: saga test shop.saga --mutate"
    assert result.stderr == ""


def test_a_failure_is_1_with_its_line_the_difference_and_the_diagram(run: Run) -> None:
    result = run("shop.saga", shop=SAGA + GOOD + BAD)
    assert result.exit_code == 1
    assert "  FAIL  no money  (0s)" in result.stdout
    assert "FAIL shop.saga: no money" in result.stdout
    assert "error[SG503]: expected Payment.refund once; it was never called" in result.stdout
    assert "30 |   expect Payment.refund once\n   |          ^^^^^^^^^^^^^^^^^^^" in result.stdout
    assert "⊘ Declined" in result.stdout
    assert "2 passed, 1 failed; " in result.stdout
    assert 'next: saga test shop.saga -k "no money"' in result.stdout


def test_colour_is_for_terminals(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in run("shop.saga", shop=SAGA + BAD).stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31mFAIL" in CliRunner().invoke(cli, ["test", "shop.saga"], color=True).stdout


def test_k_chooses_by_title_and_ignores_case(run: Run) -> None:
    result = run("-k", "NO MON", shop=SAGA + GOOD + BAD)
    assert result.exit_code == 1
    assert "1 failed" in result.stdout
    assert "all is well" not in result.stdout
    assert "reached" not in result.stdout


def test_folders_are_searched_but_not_hidden_ones_and_environments(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    files = ("a", "deep__er__b", ".hidden__c", "venv__d")
    result = run("--format", "json", **dict.fromkeys(files, SAGA + GOOD))
    found = {row["file"] for row in json.loads(result.stdout)["scenarios"]}
    assert found == {"a.saga", "deep/er/b.saga"}


def test_scenarios_of_an_imported_file_run_once(run: Run) -> None:
    more = 'import "shop.saga"\nscenario "again" of Pay("o-2", card) { expect completed }\n'
    result = run(shop=SAGA + GOOD, more=more)
    assert result.exit_code == 0
    assert "3 passed" in result.stdout


def test_a_file_with_errors_is_2_and_the_others_are_run(run: Run) -> None:
    result = run(bad=SAGA.replace("charge(order, card)", "charge(order)") + GOOD, good=SAGA + GOOD)
    assert result.exit_code == 2
    assert "error[SG202]" in result.stderr
    assert "2 passed, 1 file with errors; " in result.stdout
    assert "next: saga check bad.saga" in result.stdout


NOTHING = [
    ((), {}, "there is no .saga file in the current folder"),
    ((), {"shop": SAGA}, "there is no scenario in the current folder"),
    (("-k", "nobody"), {"shop": SAGA + GOOD}, "no scenario has `nobody` in its title"),
    (("away.saga",), {}, "there is no file or folder away.saga"),
]


@pytest.mark.parametrize(("arguments", "files", "said"), NOTHING)
def test_nothing_to_run_is_2_with_a_plain_sentence(
    run: Run, arguments: tuple[str, ...], files: dict[str, str], said: str
) -> None:
    result = run(*arguments, **files)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {said}\n  = help: ")
    assert result.stdout == ""


def test_json_says_everything_and_no_secret(run: Run) -> None:
    result = run("--format", "json", "--seed", "3", shop=SAGA + GOOD + BAD)
    assert result.exit_code == 1
    assert "4711" not in result.stdout
    told = json.loads(result.stdout)
    assert (told["format_version"], told["seed"]) == (1, 3)
    assert (told["passed"], told["failed"]) == (2, 1)
    row = told["scenarios"][2]
    assert (row["file"], row["title"], row["line"]) == ("shop.saga", "no money", 27)
    assert (row["saga"], row["id"], row["passed"]) == ("Pay", "o-1", False)
    assert row["outcome"] == {"kind": "compensated", "error": "Declined"}
    assert [e["met"] for e in row["expectations"]] == [True, False]
    assert row["expectations"][1]["message"].startswith("expected Payment.refund once; ")
    assert row["ledger"][0]["args"] == {"order": "o-1", "card": "•••"}
    assert told["scenarios"][1]["notes"][0]["line"] == 23
    (covered,) = told["coverage"]
    assert (covered["saga"], covered["reached"], covered["total"]) == ("Pay", 3, 4)
    assert covered["not_reached"][0]["kind"] == "compensation"


def test_text_for_people_shows_no_secret(run: Run) -> None:
    expecting = BAD.replace("Payment.refund once", "effect Payment.charge once")
    body = 'scenario "left" of Pay("o-1", card) { expect effect Payment.charge never }\n'
    result = run(shop=SAGA + expecting + body)
    assert 'it has 1 effect: Payment.charge("o-1", "•••") key ' in result.stdout
    assert "4711" not in result.stdout


def test_junit_is_xml_whatever_stands_in_a_title(run: Run) -> None:
    odd = GOOD.replace("all is well", "<&> \\u{1b}[31m \\u{0}")
    broken = SAGA.replace("charge(order, card)", "charge(order)") + GOOD
    result = run("--format", "junit", shop=SAGA + odd + BAD, zbad=broken)
    assert result.exit_code == 2
    root = ElementTree.fromstring(result.stdout)
    assert root.tag == "testsuites"
    shop, bad = root.findall("testsuite")
    assert (shop.get("name"), shop.get("tests"), shop.get("failures")) == ("shop.saga", "3", "1")
    names = [case.get("name") for case in shop.findall("testcase")]
    assert names[1:] == ["declined", "no money"]
    assert names[0] is not None
    assert names[0].startswith("<&> ")
    (failure,) = shop.findall("testcase/failure")
    assert failure.get("message") == "expected Payment.refund once; it was never called"
    assert "⊘ Declined" in (failure.text or "")
    assert bad.get("errors") == "1"


def test_the_scenarios_of_the_examples_reach_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    result = CliRunner().invoke(cli, ["test", "examples"])
    assert result.exit_code == 0
    assert re.search(r"^reached: all \d+ steps", result.stdout, re.MULTILINE)
    assert "note:" not in result.stdout
