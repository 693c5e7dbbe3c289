"""`saga verify` at the command line: what it says, what it writes, how it leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import warm

SAGA = Path(sys.executable).parent / "saga"
ROOT = Path(__file__).parents[2]
ORDER = ROOT / "examples" / "order" / "order.saga"

HOLDS = """
service Stock {
  command reserve(order: string) keyed compensate free(key)
  command free(of: key) idempotent, absent ok, fences late
}
saga Buy(order: string, big: bool) {
  id order
  step Stock.reserve(order)
  if big { sleep 1h }
}
"""
LEAKS = HOLDS.replace(", fences late", "")


def verify(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "buy.saga").write_text(text, "utf-8")
    return run(folder, "verify", "buy.saga", *options)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run("saga", *arguments, cwd=folder)


def verify_anew(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """From nothing, as a shell starts it: once for each exit status."""
    (folder / "buy.saga").write_text(text, "utf-8")
    return subprocess.run(
        [SAGA, "verify", "buy.saga"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_saga_that_holds_is_told_so(tmp_path: Path) -> None:
    done = verify_anew(tmp_path, HOLDS)
    assert done.returncode == 0
    assert "ok  Buy: nothing found; complete (every combination of faults, 1 crash)" in done.stdout
    assert "next: saga test buy.saga" in done.stdout
    assert done.stderr == ""


def test_a_hole_is_shown_with_its_promise_its_picture_its_ledger_and_a_scenario(
    tmp_path: Path,
) -> None:
    done = verify_anew(tmp_path, LEAKS)
    assert done.returncode == 1
    assert "error[SG601]: Buy is compensated, and `Stock.reserve` may still happen" in done.stdout
    assert "`fences late` is missing here" in done.stdout
    assert "reached by 1 fault: Stock.reserve arrives late" in done.stdout
    assert "⚡ now the late request arrives" in done.stdout
    assert "undone                     no effect, and a request under way" in done.stdout
    assert 'scenario "Stock.reserve leaves nothing behind" of Buy(' in done.stdout


def test_the_proposed_scenario_fails_until_the_promise_is_made(tmp_path: Path) -> None:
    told = json.loads(verify(tmp_path, LEAKS, "--format", "json").stdout)
    scenario = told["verdicts"][0]["breaches"][0]["scenario"]
    for text, status in ((LEAKS, 1), (HOLDS, 0)):
        (tmp_path / "buy.saga").write_text(f"{text}\n{scenario}", "utf-8")
        assert run(tmp_path, "test", "buy.saga").returncode == status


def test_the_script_plays_the_same_failure_again(tmp_path: Path) -> None:
    done = verify(tmp_path, LEAKS, "--script", "faults.json")
    assert done.returncode == 1
    assert "wrote faults.json" in done.stderr
    played = run(tmp_path, "run", "buy.saga", "--mock", "--faults", "faults.json")
    assert "LEFT      Stock.reserve" in played.stdout


def test_json_tells_all_of_it(tmp_path: Path) -> None:
    told = json.loads(verify(tmp_path, LEAKS, "--format", "json").stdout)
    assert told["format_version"] == 1
    (verdict,) = told["verdicts"]
    assert (verdict["saga"], verdict["holds"], verdict["complete"]) == ("Buy", False, True)
    (breach,) = verdict["breaches"]
    assert breach["code"] == "SG601"
    assert breach["faults"] == 1
    assert breach["reproduced"] is True
    assert breach["ledger"][0]["wrong"] is True
    assert set(verdict["outcomes"]) == {"completed", "compensated", "escalated"}


def test_concise_is_one_line_for_each_finding(tmp_path: Path) -> None:
    done = verify(tmp_path, LEAKS, "--format", "concise")
    first, last = done.stdout.splitlines()
    assert first.startswith("buy.saga:4:11: error[SG601] effect-left:")
    assert last == "Buy: 1 finding, complete (every combination of faults, 1 crash)"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--faults", "1"], "complete up to 1 fault,"),
        (["--crashes", "0"], "every combination of faults, 0 crashes"),
        (["--max-states", "3"], "not complete: cut at 3 worlds"),
    ],
)
def test_a_bound_is_said_honestly(tmp_path: Path, options: list[str], said: str) -> None:
    done = verify(tmp_path, HOLDS, *options)
    assert said in done.stdout
    assert done.returncode == (1 if "--max-states" in options else 0)


@pytest.mark.parametrize("flag", ["--no-inert", "--no-normal", "--no-symmetry", "--no-branches"])
def test_without_a_reduction_the_verdict_is_the_same(tmp_path: Path, flag: str) -> None:
    assert verify(tmp_path, LEAKS, flag, "--format", "concise").returncode == 1


def test_exact_data_leaves_one_way(tmp_path: Path) -> None:
    data = '{"order": "o-1", "big": false}'
    any_data = json.loads(verify(tmp_path, HOLDS, "--format", "json").stdout)
    exact = json.loads(verify(tmp_path, HOLDS, "--input", data, "--format", "json").stdout)
    assert exact["verdicts"][0]["worlds"] < any_data["verdicts"][0]["worlds"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--faults", "some"], "`some` is not a number of faults"),
        (["Sell"], "there is no saga `Sell`"),
        (["--input", '{"order": 1}'], "the input is not right"),
        (["--crashes", "-1"], "a bound cannot be negative"),
        (["--max-states", "0"], "--max-states 0 leaves no world"),
        (["--script", "-"], "the script goes to a file, not to standard output"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, options: list[str], said: str) -> None:
    done = verify(tmp_path, HOLDS, *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_saga_with_errors_is_not_explored(tmp_path: Path) -> None:
    done = verify_anew(tmp_path, HOLDS.replace("keyed ", ""))
    assert done.returncode == 2
    assert "nothing was explored" in done.stderr


def test_a_script_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    done = verify(tmp_path, LEAKS, "--script", "buy.saga/faults.json")
    assert done.returncode == 2
    assert "cannot write buy.saga/faults.json" in done.stderr


def test_ctrl_c_keeps_what_was_found(tmp_path: Path) -> None:
    """It comes once one saga was explored; the other has more worlds than it takes time to come."""
    steps = "".join(f"  if n > {i} {{ step Stock.reserve(order) }}\n" for i in range(10))
    much = f"saga Much(order: string, n: int) {{\n  id order\n{steps}}}\n"
    (tmp_path / "buy.saga").write_text(LEAKS + much, "utf-8")
    began = subprocess.Popen(
        [SAGA, "verify", "buy.saga"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert began.stdout is not None
    first = ""
    while "FAIL  Buy: 1 finding" not in first:
        line = began.stdout.readline()
        assert line, first
        first += line
    time.sleep(0.5)
    began.send_signal(signal.SIGINT)
    told, _ = began.communicate(timeout=30)
    assert began.returncode == 1
    assert "error[SG601]" in first
    assert "Much: nothing found; not complete: stopped" in told


def test_a_child_saga_is_explored_with_its_own_errors_and_events(tmp_path: Path) -> None:
    """The handler of a child's timeout, and what a child does after its event."""
    text = """
event Go { }
service Pay {
  command note(who: string) keyed compensate undo(key)
  command undo(of: key) idempotent, absent ok, fences late
  command plan(who: string) keyed compensate unplan(key)
  command unplan(of: key) idempotent, absent ok
  command close(run: string) keyed
}
saga One(who: string) { step Pay.note(who) }
saga Two(who: string) { wait go: Go within 1h else null if go != null { step Pay.plan(who) } }
saga Run(x: string) {
  id x
  attempt { step saga One(x) } on Timeout { step Pay.plan(x) }
  pivot step Pay.close(x)
}
saga Other(x: string) {
  id x
  step saga Two(x)
  pivot step Pay.close(x)
}
"""
    done = verify(tmp_path, text, "Run", "--format", "concise")
    assert "`Pay.plan` may still happen" in done.stdout
    done = verify(tmp_path, text, "Other", "--format", "concise")
    assert "`Pay.plan` may still happen" in done.stdout


def test_that_nobody_answers_is_no_fault(tmp_path: Path) -> None:
    text = HOLDS.replace("saga Buy", "event Go { }\nsaga Buy").replace(
        "if big { sleep 1h }", "wait go: Go within 1h else null"
    )
    told = json.loads(verify(tmp_path, text, "--faults", "0", "--format", "json").stdout)
    assert "completed" in told["verdicts"][0]["outcomes"]
