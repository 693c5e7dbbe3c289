"""`saga compile`: what it writes, what it says, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sagalang.cli.compile import command
from sagalang.compile import compile_program
from sagalang.workspace import load

ROOT = Path(__file__).parents[2]
ORDER = str(ROOT / "examples/order/order.saga")


def test_it_writes_once_and_names_the_next_command(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    done = CliRunner().invoke(command, [ORDER, "-o", str(folder)])
    made = folder / "order.py"
    assert (done.exit_code, done.stdout) == (0, f"wrote  {made}\nnext: python {made} input.json\n")
    stamp = made.stat().st_mtime_ns
    again = CliRunner().invoke(command, [ORDER, "-o", str(folder)])
    assert again.stdout.startswith("unchanged")
    assert made.stat().st_mtime_ns == stamp
    assert [path.name for path in folder.iterdir()] == ["order.py"]


def test_errors_stop_it(tmp_path: Path) -> None:
    source = tmp_path / "bad.saga"
    source.write_text("saga A() { step B.c() }")
    done = CliRunner().invoke(command, [str(source), "-o", str(tmp_path)])
    assert done.exit_code == 1
    assert "nothing was written" in done.stderr
    assert not (tmp_path / "bad.py").exists()


def test_warnings_do_not(tmp_path: Path) -> None:
    source = tmp_path / "odd.saga"
    source.write_text('saga A(x: string) { id "a" }')
    done = CliRunner().invoke(command, [str(source), "-o", str(tmp_path)])
    assert done.exit_code == 0
    assert "is never used" in done.stderr


@pytest.mark.parametrize("name", ["nowhere.saga", "."])
def test_a_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(command, [str(tmp_path / name)]).exit_code == 2


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    done = CliRunner().invoke(command, [ORDER, "-o", str(tmp_path / "file" / "x")])
    assert done.exit_code == 2
    assert "cannot write" in done.stderr


SLEEPS = """
service S {
  python "svc"
  command do(n: string) keyed compensate undo(n)
  command undo(n: string) idempotent, absent ok, fences late
}
saga Slow(n: string) {
  id n
  step S.do(n)
  sleep 20s
}
"""
SERVICE = """
import asyncio
def do(n): print("do", flush=True)
async def undo(n):
    await asyncio.sleep(1)
    print("undo", flush=True)
"""


@pytest.mark.parametrize(
    ("presses", "status", "says"), [(1, 1, '"outcome":"compensated"'), (2, 130, "left as it is")]
)
def test_ctrl_c_undoes_and_twice_leaves_it_as_it_is(
    tmp_path: Path, presses: int, status: int, says: str
) -> None:
    (tmp_path / "slow.saga").write_text(SLEEPS)
    (tmp_path / "svc.py").write_text(SERVICE)
    (file,) = compile_program(load(tmp_path / "slow.saga").program).files
    (tmp_path / "slow.py").write_text(file.text)
    process = subprocess.Popen(
        [sys.executable, "slow.py", "-"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write('{"n": "a"}')
    process.stdin.close()
    try:
        assert process.stdout.readline() == "do\n"
        told = ""
        for _ in range(presses):  # one by one: the system merges signals that nobody took yet
            process.send_signal(signal.SIGINT)
            told += process.stdout.readline()
        told += process.stdout.read()
        assert process.wait(10) == status
    finally:
        process.kill()
    assert says in told
    assert ("undo" in told.splitlines()) == (presses == 1)
    assert "Traceback" not in told
