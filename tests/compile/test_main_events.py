"""The command line of a compiled module sends events and cancels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sagalang.runtime.saga_main import main

from .test_examples_run import ORDER
from .twin import checked, compile_to_module

MODULE: Any = compile_to_module(
    checked("""
record Person { name: string }
event Review { verdict: string, by: Person as "from", code: string? }
event Nod { }
saga Wait(id: string) -> string {
  id id
  wait nod: Nod within 1h else null
  wait review: Review where review.verdict != "later" within 1h else null
  if review == null { return "nobody" }
  return "${review.verdict} by ${review.by.name}"
}
""")
)
INPUT = '{"id": "a"}'
REVIEW = 'Review {"verdict": "yes", "from": {"name": "eve"}}'


def ran(folder: Path, *options: str, module: Any = MODULE) -> int:
    (folder / "input.json").write_text(INPUT)
    sagas = (module.WAIT,)
    return main(
        sagas,
        module.SERVICES,
        [str(folder / "input.json"), *options],
        events=(module.Nod, module.Review),
    )


def test_events_are_sent_at_their_times(tmp_path: Path, capfdbinary: Any) -> None:
    later = 'Review {"verdict": "later", "from": {"name": "ann"}}'
    sends = ["Nod", later, f"send {REVIEW} after 20ms"]
    assert ran(tmp_path, *(word for text in sends for word in ("--send", text))) == 0
    assert json.loads(capfdbinary.readouterr().out)["value"] == "yes by eve"


def test_it_can_be_cancelled_after_a_while(tmp_path: Path, capfdbinary: Any) -> None:
    assert ran(tmp_path, "--cancel-after", "20ms") == 1
    assert json.loads(capfdbinary.readouterr().out)["error"] == "Cancelled"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--send", "Reveiw {}"], "there is no event `Reveiw`: did you mean `Review`?"),
        (["--send", "Xyzzy"], "there is no event `Xyzzy`: there are Nod, Review"),
        (
            ["--send", 'Review(verdict: "yes") after 2s'],
            'this event cannot be read; write it as Review {"verdict": …, "from": …, "code": …}'
            " after 2s",
        ),
        (["--send", 'Review {"verdict": 3}'], "Review.verdict: expected a string, got an int"),
        (["--send", 'Review {"verdict": "yes"}'], "Review.from: this field is missing"),
        (["--send", f"{REVIEW} after soon"], "`soon` is not a duration; write it as 500ms, 2s or"),
        (["--send", "Nod {"], "this event cannot be read; write it as Nod {} after 2s"),
        (["--cancel-after", "5"], "`5` is not a duration; write it as 500ms, 2s or 1h30m"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_called(
    options: list[str], says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ran(tmp_path, *options) == 2
    told = capfd.readouterr()
    assert told.err.startswith(f"error: {says}")
    assert (told.err.count("\n"), told.out) == (1, "")


def test_values_of_events_are_not_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert ran(tmp_path, "--send", 'Review {"verdict": "y", "from": "tok-secret"}') == 2
    assert "tok-secret" not in capfd.readouterr().err


def test_a_module_without_waits_takes_no_events(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    module: Any = compile_to_module(ORDER)
    assert main((module.PLACE_ORDER,), module.SERVICES, ["--send", "Nod"]) == 2
    assert capfd.readouterr().err == "error: no saga of this module waits for an event\n"
