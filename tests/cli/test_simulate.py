"""`saga simulate` as a user meets it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).parents[2]
ORDER = "examples/order/order.saga"
SAGA = Path(sys.executable).parent / "saga"
SHORT = (
    *("--clients", "20", "--processes", "2", "--duration", "8s", "--down-at", "2s"),
    *("--down-for", "3s", "--strategy", "full"),
)


def simulate(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return warm.run("saga", "simulate", *arguments, cwd=cwd)


def simulate_anew(
    *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """From nothing, as a shell starts it: once for each exit status, and for each random order."""
    return subprocess.run(
        [SAGA, "simulate", *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_preset_prints_a_line_for_each_strategy_and_what_comes_next() -> None:
    result = simulate_anew("--preset", "contention", "--clients", "5,10", "--trials", "3")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    for strategy in ("none", "exponential", "equal", "full", "decorrelated"):
        assert sum(line.startswith(f"  {strategy} ") for line in lines) == 2
    assert lines[-1] == "next: saga simulate --preset contention --plot contention.svg"


def test_the_preset_in_json_is_one_document() -> None:
    result = simulate(
        "--preset", "contention", "--clients", "5", "--trials", "3", "--format", "json"
    )
    made = json.loads(result.stdout)
    assert (made["format_version"], made["trials"]) == (1, 3)
    assert {cell["clients"] for cell in made["cells"]} == {5}
    assert all(cell["calls"] >= 5 for cell in made["cells"])


def test_an_outage_says_which_operation_it_took_and_which_clauses_it_assumed() -> None:
    result = simulate(ORDER, *SHORT)
    assert (result.returncode, result.stderr) == (0, "")
    head, _, table = result.stdout.partition("\n\n")
    assert head.startswith(f"Orders.create, the first command of {ORDER} with a retry policy\n")
    assert head.count("(a default: none is declared)") == 2
    rows = [line.split()[:2] for line in table.splitlines()[1:5]]
    assert rows == [["full", p] for p in ("plain", "breaker", "budget", "both")]
    assert result.stdout.endswith(f"next: saga simulate {ORDER} --plot outage.svg\n")


def test_an_outage_in_json_has_the_load_over_time() -> None:
    result = simulate(ORDER, "Payment.charge", *SHORT, "--failing", "hang", "--format", "json")
    made = json.loads(result.stdout)
    assert made["operation"] == "Payment.charge"
    assert made["assumed"] == ["breaker", "budget"]
    assert made["setting"]["failing"] == "hang"
    assert [len(case["load"]) for case in made["cases"]] == [80] * 4
    assert all(sum(case["load"]) == case["attempts"] for case in made["cases"])


def test_the_same_command_says_the_same_and_another_seed_something_else() -> None:
    first = simulate_anew(ORDER, *SHORT).stdout
    assert simulate_anew(ORDER, *SHORT).stdout == first
    assert simulate(ORDER, *SHORT, "--seed", "1").stdout != first


def test_pictures_are_written_where_they_were_asked_for(tmp_path: Path) -> None:
    svg, png = tmp_path / "new" / "a.svg", tmp_path / "a.PNG"
    result = simulate(ORDER, *SHORT, "--plot", str(svg), "--plot", str(png))
    assert result.returncode == 0
    assert result.stderr.splitlines() == [f"wrote {svg}", f"wrote {png}"]
    assert "<svg" in svg.read_text("utf-8")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_a_picture_is_refused_before_the_work(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['matplotlib'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hidden)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    result = simulate_anew(ORDER, "--plot", "a.svg", env={"PYTHONPATH": path})
    assert result.returncode == 2
    assert result.stdout == ""
    assert "error: pictures are drawn by matplotlib, which is not installed" in result.stderr
    assert "pip install 'sagalang[plot]'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "advice"),
    [
        ((), "there is nothing to simulate", "--preset contention"),
        ((ORDER, "Orders.creat"), "there is no operation `Orders.creat`", "`Orders.create`?"),
        ((ORDER, "--every", "soon"), "`soon` is not a duration", "500ms"),
        ((ORDER, "--every", "0s"), "has to wait between its calls", "--every 1s"),
        ((ORDER, "--down-for", "0s"), "down for a while", "--down-for 20s"),
        ((ORDER, "--down-at", "0s"), "before every client has called once", "--down-at"),
        ((ORDER, "--duration", "2h"), "too long to be simulated", "up to 1h"),
        ((ORDER, "--duration", "30s"), "ends before the service is back", "--duration"),
        ((ORDER, "--clients", "many"), "`many` is not a number of clients", "1 to 9999"),
        ((ORDER, "--clients", "5,9"), "--clients takes one number here", "--preset"),
        ((ORDER, "--clients", "3", "--processes", "4"), "more than 3 clients", "--processes 3"),
        ((ORDER, "--strategy", "ful"), "there is no strategy `ful`", "`full`?"),
        ((ORDER, "--trials", "3"), "--trials has no meaning here", "leave --trials away"),
        ((ORDER, "--plot", "a.jpg"), "`a.jpg` is not a picture", ".svg or .png"),
        (("--preset", "contention", "--down-at", "1s"), "--down-at has no meaning", "--down-at"),
        ((ORDER, "--preset", "contention"), "FILE has no meaning here", "leave FILE away"),
    ],
)
def test_what_cannot_be_simulated_is_said_with_a_way_out(
    arguments: tuple[str, ...], message: str, advice: str
) -> None:
    result = simulate(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert advice in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_with_mistakes_or_without_a_command_is_not_simulated(tmp_path: Path) -> None:
    (tmp_path / "a.saga").write_text("record A { x: nope }\n")
    result = simulate("a.saga", cwd=tmp_path)
    assert result.returncode == 2
    assert "error[SG101]" in result.stderr
    assert "nothing was simulated" in result.stderr
    (tmp_path / "b.saga").write_text("record A { x: int }\n")
    result = simulate("b.saga", cwd=tmp_path)
    assert result.returncode == 2
    assert "there is no command in b.saga that could be called" in result.stderr
    result = simulate("missing.saga", cwd=tmp_path)
    assert result.returncode == 2
    assert "cannot read" in result.stderr


def test_progress_shows_on_a_terminal_and_ctrl_c_ends_it_with_all_its_processes() -> None:
    ours, terminal = pty.openpty()
    process = subprocess.Popen(
        [SAGA, "simulate", "--preset", "contention"],
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        start_new_session=True,
    )
    os.close(terminal)
    told = ""
    try:
        while "simulating: 1 of " not in told:
            told += os.read(ours, 1_000).decode()
        os.killpg(process.pid, signal.SIGINT)
        # The stream ends when the last process that holds it does; a job takes seconds.
        out, _ = process.communicate(timeout=2)
        told += os.read(ours, 1_000).decode()
    finally:
        process.kill()
        os.close(ours)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in told


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = simulate(ORDER, *SHORT, "--plot", str(tmp_path / "file" / "a.svg"))
    assert result.returncode == 2
    assert "cannot write" in result.stderr
