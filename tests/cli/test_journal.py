"""`saga run --journal` and `--trace`, and `saga render --journal`, as their user meets them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sagalang.cli.journals import load_journal, picture, text_of
from sagalang.cli.main import cli
from sagalang.render import formats
from sagalang.render.formats import FORMATS
from sagalang.render.text import emit

ROOT = Path(__file__).parents[2]
ORDER = str(ROOT / "examples" / "order" / "order.saga")
SHOP = str(ROOT / "examples" / "shop" / "shop.saga")
SAGA = Path(sys.executable).parent / "saga"
REFUSED = ("--fault", "Inventory.reserve rejects OutOfStock")
PLAYED = {"version": 1, "saga": "PlaceOrder"}
SUFFIXES = ("mmd", "puml", "svg", "png", "txt", "html")
CARD = "tok-4111-do-not-show"


def saga(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def flat(drawn: str) -> str:
    """A text picture without its lines, so that a label that was wrapped can be found."""
    return " ".join(drawn.translate(dict.fromkeys(map(ord, "│┃║"), " ")).split())


def script(folder: Path, *faults: dict[str, object], **more: object) -> Path:
    """A fault script: with it a run takes no time, and the same run can be had again."""
    path = folder / "faults.json"
    path.write_text(json.dumps({**PLAYED, **more, "faults": faults}))
    return path


def fault(operation: str, kind: str, **more: object) -> dict[str, object]:
    return {"operation": operation, "kind": kind, **more}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of an order that the stock refuses; a charge was answered late before."""
    folder = tmp_path_factory.mktemp("kept")
    faults = script(
        folder,
        fault("Payment.charge", "answer lost"),
        fault("Inventory.reserve", "rejects", error="OutOfStock", fields={"sku": "tea"}),
    )
    path = folder / "run.jsonl"
    made = saga("run", ORDER, "--mock", "--faults", faults, "--journal", path)
    assert made.exit_code == 1, made.output
    return path


# --- Keeping and drawing -------------------------------------------------------------------------


def test_what_happened_is_drawn_from_the_file(kept: Path) -> None:
    drawn = saga("render", "--journal", kept, "--to", "text")
    assert drawn.exit_code == 0
    for said in (
        "on fakes of its services",
        "fault: charge answer lost",
        "unknown: no answer (Timeout)",
        "+2.1s charge, attempt 2",
        "ok (the service knew the key)",
        "⊘ OutOfStock",
        "compensated with OutOfStock",
    ):
        assert said in flat(drawn.stdout)
    assert "18.50" not in drawn.stdout
    with_values = saga("render", "--journal", kept, "--to", "text", "--values")
    assert "charge(o-1, 18.50), attempt 2" in with_values.stdout
    assert "⊘ OutOfStock {sku: tea}" in with_values.stdout


def test_the_journal_says_what_it_is_and_keeps_the_definition(kept: Path) -> None:
    header, *entries = [json.loads(line) for line in kept.read_text().splitlines()]
    assert (header["format"], header["version"]) == ("sagalang-journal", 1)
    assert (header["saga"], header["saga_id"], header["fakes"]) == ("PlaceOrder", "o-1", True)
    assert header["definition"] == {"main": ORDER, "files": {ORDER: Path(ORDER).read_text()}}
    assert entries[0]["entry"] == "saga started"
    assert entries[-1] | {"kind": "compensated"} == entries[-1]
    assert all("at" in entry for entry in entries)


def test_a_journal_is_for_its_owner_only(kept: Path) -> None:
    assert kept.stat().st_mode & 0o777 == 0o600


def test_the_picture_of_an_old_run_does_not_change_with_the_file(tmp_path: Path) -> None:
    for name in ("shop.saga", "policies.saga"):
        (tmp_path / name).write_text((Path(SHOP).parent / name).read_text())
    main_file, path = tmp_path / "shop.saga", tmp_path / "run.jsonl"
    faults = script(tmp_path)
    saga("run", main_file, "--mock", "--faults", faults, "--journal", path)
    before = saga("render", "--journal", path)
    assert before.exit_code == 0
    (tmp_path / "policies.saga").unlink()
    main_file.write_text("saga Other() {}")
    assert saga("render", "--journal", path).stdout == before.stdout


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_trace_writes_what_render_draws_from_the_journal(tmp_path: Path, suffix: str) -> None:
    path, drawn = tmp_path / "run.jsonl", tmp_path / f"run.{suffix}"
    faults = script(tmp_path, fault("Payment.charge", "late", after=9_000, times=4))
    arguments = ("run", ORDER, "--mock", "--faults", faults)
    made = saga(*arguments, "--journal", path, "--trace", drawn, "--values")
    assert made.exit_code == 1, made.output
    again = tmp_path / f"again.{suffix}"
    assert saga("render", "--journal", path, "--values", "-o", again).exit_code == 0
    if suffix == "html":  # whether it also holds the text of the saga is for `render` to say
        assert b"arrives late" in drawn.read_bytes()
    else:
        assert drawn.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(("times", "struck"), [("2 times", 2), ("always", 4)])
def test_each_attempt_that_a_fault_strikes_says_so(tmp_path: Path, times: str, struck: int) -> None:
    path = tmp_path / "run.jsonl"
    text = f"Payment.charge unavailable, {times}"
    saga("run", ORDER, "--mock", "--fault", text, "--journal", path)
    told = saga("render", "--journal", path, "--to", "mermaid").stdout
    assert told.count("fault#58; charge unavailable") == struck


def test_trace_alone_keeps_no_file(tmp_path: Path) -> None:
    saga("run", ORDER, "--mock", *REFUSED, "--trace", tmp_path / "run.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["run.txt"]
    assert "fault: reserve rejects OutOfStock" in (tmp_path / "run.txt").read_text()


def test_late_arrivals_and_crashes_of_a_mock_run_are_drawn(tmp_path: Path) -> None:
    drawn, hasty = tmp_path / "run.txt", tmp_path / "hasty.saga"
    hasty.write_text(Path(ORDER).read_text().replace("timeout 2s", "timeout 400ms"))
    faults = ("Payment.charge arrives late after 600ms", "crash after Inventory.reserve")
    given = [part for text in faults for part in ("--fault", text)]
    made = saga("run", hasty, "--mock", *given, "--trace", drawn)
    assert made.exit_code == 0, made.output
    told = drawn.read_text()
    assert "fault: charge arrives late" in told
    assert flat(told).count("charge arrives late") == 2  # the fault, and then the call
    assert "the orchestrator dies" in told


def test_a_late_call_stands_where_it_arrives(tmp_path: Path) -> None:
    drawn = tmp_path / "run.txt"
    faults = script(tmp_path, fault("Payment.charge", "late", after=2_050))
    saga("run", ORDER, "--mock", "--faults", faults, "--trace", drawn)
    told = drawn.read_text()
    times = [told.index(text) for text in ("again in", "charge arrives late", "attempt 2")]
    arrives = told.index("charge arrives late", times[0])
    assert times[0] < arrives < times[2]


def test_a_run_that_did_not_complete_says_how_to_draw_it(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    faults = script(tmp_path, fault("Payment.charge", "rejects", error="Declined"))
    made = saga("run", ORDER, "--mock", "--faults", faults, "--journal", path)
    last = made.stdout.splitlines()[-1]
    assert last == f"next: saga render --journal {path} -o {tmp_path / 'run.svg'}"
    assert saga(*last.split()[2:]).exit_code == 0
    assert (tmp_path / "run.svg").read_text().startswith("<")


# --- Secrets -------------------------------------------------------------------------------------


def test_no_secret_reaches_the_journal_or_any_picture(tmp_path: Path) -> None:
    """The card is secret: as input, as an argument, and as a literal of the definition."""
    text = Path(SHOP).read_text().replace('card: "tok"', f'card: "{CARD}"')
    text += (
        f'\nscenario "x" of PlaceOrder(sample with {{ card: "{CARD}" }}) {{ expect completed }}\n'
    )
    (tmp_path / "shop.saga").write_text(text)
    (tmp_path / "policies.saga").write_text((Path(SHOP).parent / "policies.saga").read_text())
    path = tmp_path / "run.jsonl"
    faults = script(tmp_path, fault("Payment.authorize", "answer lost"))
    for values in ((), ("--values",)):
        path.unlink(missing_ok=True)
        drawn = tmp_path / f"run{len(values)}.svg"
        arguments = ("run", tmp_path / "shop.saga", "--mock", "--faults", faults, *values)
        made = saga(*arguments, "--journal", path, "--trace", drawn)
        assert made.exit_code == 0, made.output
        assert CARD not in made.output
        assert CARD.encode() not in drawn.read_bytes()
    assert CARD.encode() not in path.read_bytes()
    assert "Main St 1" in path.read_text()
    found = load_journal(str(path))
    for name in FORMATS:
        for shown in (False, True):
            diagram = picture(found, values=shown)
            assert CARD not in repr(diagram)
            content = formats.emit(diagram, name, text_of=text_of(found))
            data = content.encode() if isinstance(content, str) else content
            assert CARD.encode() not in data
    assert "authorize(o-1, {amount: 90.00, currency: EUR}, •••)" in flat(emit(diagram))


# --- What cannot be ------------------------------------------------------------------------------


def test_a_file_that_is_there_is_never_touched(tmp_path: Path, kept: Path) -> None:
    before = kept.read_bytes()
    made = saga("run", ORDER, "--mock", "--journal", kept)
    assert made.exit_code == 2
    assert "is the journal of another run already, of PlaceOrder o-1" in made.stderr
    assert kept.read_bytes() == before
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    made = saga("run", ORDER, "--mock", "--journal", other)
    assert made.exit_code == 2
    assert "exists and is not a journal; it is left as it is" in made.stderr
    assert other.read_text() == "mine"
    assert "attempt" not in made.output


def test_an_empty_file_may_be_filled(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    made = saga("run", ORDER, "--mock", "--faults", script(tmp_path), "--journal", path)
    assert made.exit_code == 0, made.output
    assert load_journal(str(path)).saga == "PlaceOrder"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--journal", "nowhere/run.jsonl"), "cannot write the journal nowhere/run.jsonl: No such"),
        (("--journal", "-"), "a journal needs a file of its own"),
        (("--journal", "."), "cannot write the journal .: Is a directory"),
        (
            ("--trace", "run.jpeg"),
            "run.jpeg does not say what kind of picture of a run it is to be",
        ),
        (("--trace", "a.txt", "--journal", "./a.txt"), "--journal and --trace both name a.txt"),
        (("--values",), "--values is about the picture of the run, and none was asked for"),
    ],
)
def test_what_cannot_be_kept_is_told_before_anything_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    made = saga("run", ORDER, "--mock", "--faults", script(tmp_path), *options)
    assert made.exit_code == 2, made.output
    assert said in made.stderr
    assert "Orders.create" not in made.output
    assert [p.name for p in tmp_path.iterdir()] == ["faults.json"]


def test_a_run_that_could_not_begin_leaves_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    made = saga("run", SHOP, "--journal", path)
    assert made.exit_code == 2  # no credentials for the services
    assert not path.exists()


def on_a_disk_of(size: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.run(
        [SAGA, *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        timeout=60,
    )


def test_a_full_disk_stops_the_journal_and_not_the_run(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    arguments = ("run", ORDER, "--mock", "--faults", script(tmp_path), "--journal", path)
    made = on_a_disk_of(6_000, *arguments)
    assert made.returncode == 0, made.stderr
    assert f"warning: the journal {path} is not complete: File too large" in made.stderr
    found = load_journal(str(path))
    assert found.cut
    shown = emit(picture(found))
    assert "the journal ends here: its last line was not written to the end" in flat(shown)


def test_a_disk_without_room_for_the_first_line_stops_the_run(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    arguments = ("run", ORDER, "--mock", "--faults", script(tmp_path), "--journal", path)
    made = on_a_disk_of(1_000, *arguments)
    assert made.returncode == 2
    assert "cannot write the journal" in made.stderr
    assert "nothing was called" in made.stderr
    assert not path.exists()


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def test_a_killed_run_leaves_a_journal_that_can_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    arguments: list[str | Path] = [
        SAGA,
        "run",
        ORDER,
        "--mock",
        "--fault",
        "Payment.charge times out after effect",
    ]
    with subprocess.Popen(
        [*arguments, "--journal", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            started = [x for x in lines_of(path) if '"entry":"attempt started"' in x]
            if any('"label":"Payment.charge"' in x for x in started):
                break
            time.sleep(0.02)
        run.kill()
    shown = saga("render", "--journal", path, "--to", "text").stdout
    assert "charge" in shown
    assert "the journal ends here" in shown


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: "", "this file is empty, no run has begun to write it"),
        (lambda text: Path(ORDER).read_text(), "this is not the journal of a run"),
        (lambda text: text.replace('"version":1', '"version":7', 1), "version 7 of the format"),
        (
            lambda text: text.replace('"entry":"intent"', '"entry":"whim"', 1),
            "run.jsonl:3: this line is damaged: entry: there is no such entry",
        ),
        (
            lambda text: text.replace("command charge", "kommand charge"),
            "the definition stored in it cannot be used: ",
        ),
        (lambda text: text.splitlines(keepends=True)[0], "has nothing to draw"),
    ],
)
def test_what_is_no_journal_is_told_plainly_and_exits_2(
    tmp_path: Path, kept: Path, spoil: Callable[[str], str], said: str
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(spoil(kept.read_text()))
    made = saga("render", "--journal", path)
    assert made.exit_code == 2, made.output
    assert said in made.stderr
    assert "help: " in made.stderr
    assert made.stdout == ""


def test_the_help_for_a_damaged_line_helps(tmp_path: Path, kept: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = kept.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:9], "broken\n", *lines[9:]]))
    made = saga("render", "--journal", path)
    command = made.stderr.partition(": head ")[2].partition(" >")[0]
    mended = tmp_path / "mended.jsonl"
    mended.write_bytes(
        subprocess.run(["head", *command.split()], capture_output=True, check=True).stdout
    )
    assert "the journal ends here" in saga("render", "--journal", mended, "--to", "text").stdout


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    made = saga("render", "--journal", tmp_path / "none.jsonl")
    assert made.exit_code == 2
    assert "No such file or directory" in made.stderr


def test_a_picture_that_cannot_be_written_changes_no_exit_status(tmp_path: Path) -> None:
    (tmp_path / "taken.svg").mkdir()
    made = saga(
        "run", ORDER, "--mock", "--faults", script(tmp_path), "--trace", tmp_path / "taken.svg"
    )
    assert made.exit_code == 0, made.output
    assert "taken.svg was not written: Is a directory" in made.stderr
    assert os.listdir(tmp_path / "taken.svg") == []


def test_a_journal_whose_lines_changed_places_is_refused(tmp_path: Path, kept: Path) -> None:
    header, first, *lines = kept.read_text("utf-8").splitlines()
    identity = json.loads(first)["saga_id"]
    strange = first.replace(f'"saga_id":"{identity}"', '"saga_id":"another"')
    assert strange != first
    broken = tmp_path / "run.jsonl"
    broken.write_text("\n".join([header, strange, *lines]) + "\n", "utf-8")
    refused = saga("render", "--journal", broken)
    assert refused.exit_code == 2
    assert f"{broken}:2: this line stands before the beginning of its saga" in refused.stderr


def test_a_picture_of_a_run_in_a_format_of_graphs_is_refused_before_it_begins() -> None:
    refused = saga("run", ORDER, "--mock", "--trace", "run.pdf")
    assert refused.exit_code == 2
    assert ".svg" in refused.stderr
    assert ".pdf," not in refused.stderr
