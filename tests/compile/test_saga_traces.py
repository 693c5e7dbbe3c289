"""What fails in a compiled saga is told with the line of its `.saga` text."""

from __future__ import annotations

import compileall
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sagalang.compile import compile_program
from sagalang.workspace import load

SOURCE = """\
record Order { id: string, lines: list<int>, cents: int }
error Refused
service Pay {
  python "pay"
  command charge(id: string, n: int) keyed compensate refund(key)
  command refund(of: key) idempotent, absent ok, fences late
}
saga Place(order: Order) -> int {
  id order.id
  parallel {
    step Pay.charge(order.id, 1)
    for line in order.lines by order.lines[line - 1], 2 at once {
      step Pay.charge(order.id, line)
    }
  }
  if order.cents == 7 { abort Refused }
  let first = order.lines[
    order.cents
  ]
  sleep 1m
  return first
}
scenario "all is well" of Place(Order(id: "a", lines: [1], cents: 0)) {
  expect completed
}
"""
PAY = """\
def charge(id, n):
    if n == 2:
        raise KeyError("secret")

def refund(of): pass
"""


def line_of(text: str) -> str:
    """Where a text stands in the source, as messages say it."""
    return f"place.saga:{SOURCE[: SOURCE.index(text)].count(chr(10)) + 1}"


IN_LOOP = line_of("step Pay.charge(order.id, line)")
FIRST_CALL = line_of("step Pay.charge(order.id, 1)")
ABORT = line_of("abort Refused")
FIRST = line_of("let first")
SCENARIO = line_of("scenario")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "place.saga"
    source.write_text(SOURCE)
    for file in compile_program(load(str(source)).program, tests=True).files:
        tmp_path.joinpath(file.path).write_text(file.text)
    tmp_path.joinpath("pay.py").write_text(PAY)
    return tmp_path


def order(lines: list[int], cents: int) -> str:
    return f'{{"id": "a", "lines": {lines}, "cents": {cents}}}'


def python(folder: Path, *args: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def edited(folder: Path, old: str, new: str) -> None:
    """A mistake in the compiled module itself."""
    path = folder / "place.py"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_an_implementation_that_raises(folder: Path) -> None:
    done = python(folder, "place.py", given=order([1, 2], 0))
    assert done.returncode == 1
    told = f"{IN_LOOP}: compensated with Unavailable: Pay.charge raised KeyError\n"
    assert done.stderr == told  # and not what the exception says


def test_an_expression_without_a_value(folder: Path) -> None:
    done = python(folder, "place.py", given=order([1], 5))
    assert done.stderr == f"{FIRST}: compensated with BadValue: no item 5 in a list of 1\n"


def test_an_expression_below_the_function_of_a_loop(folder: Path) -> None:
    done = python(folder, "place.py", given=order([9], 0))
    at = line_of("for line in")
    assert done.stderr == f"{at}: compensated with BadValue: no item 8 in a list of 1\n"


def test_an_abort(folder: Path) -> None:
    done = python(folder, "place.py", given=order([], 7))
    assert done.stderr == f"{ABORT}: compensated with Refused\n"


def test_a_bug_in_a_branch_that_somebody_wrote_into_the_module(folder: Path) -> None:
    edited(folder, "Pay.charge(order.id, line)", "Pay.charge(order.id, lines)")
    done = python(folder, "place.py", given=order([1], 0))
    assert done.returncode == 1
    *_, raised, note = done.stderr.splitlines()
    assert raised.startswith("NameError: name 'lines' is not defined")
    assert note == f"in the saga at {IN_LOOP}"


def test_a_value_that_is_asked_of_a_saga_that_has_none(folder: Path) -> None:
    program = """
import asyncio, random
from place import PLACE, SERVICES, Order
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.saga import connect, run
from sagalang.runtime.engine import MemoryEngine

async def main():
    engine = MemoryEngine(SystemClock(), connect(SERVICES, {}, folder="."), random.random)
    return await run(PLACE(Order(id="a", lines=(), cents=7)), engine=engine)

print(asyncio.run(main()).value)
"""
    done = python(folder, "-c", program)
    *_, raised, note = done.stderr.splitlines()
    assert (raised, note) == ("place.Refused: Refused", f"in the saga at {ABORT}")


def test_an_engine_that_fails_is_told_in_a_sentence(folder: Path) -> None:
    program = """
import sys
from sagalang.runtime.engine import EngineError, MemoryEngine
import place

async def fails():
    raise EngineError("the disk is full")

def opened(*args, open=MemoryEngine.open):
    session = open(*args)
    session.next = fails
    return session

MemoryEngine.open = opened
sys.argv = ["place.py", "-"]
sys.exit(place.main())
"""
    done = python(folder, "-c", program, given=order([1], 0))
    assert done.stderr == f"error: the disk is full; in the saga at {FIRST_CALL}, {IN_LOOP}\n"
    assert done.returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_ctrl_c_twice_tells_where_it_was_left(folder: Path) -> None:
    folder.joinpath("pay.py").write_text(
        "import asyncio\nasync def charge(id, n): await asyncio.sleep(600)\ndef refund(of): pass\n"
    )
    folder.joinpath("in.json").write_text(order([], 0))
    command = [sys.executable, "place.py", "in.json", "--log-level", "debug"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        try:
            for awaited in ("attempt 1", "asking it to cancel"):
                while awaited not in (line := running.stderr.readline()):
                    assert line, awaited
                running.send_signal(signal.SIGINT)
            *_, last = running.stderr.read().splitlines()
        finally:
            running.kill()
    assert last == f"left as it is at {FIRST_CALL}: what was done is not undone"


def test_a_scenario_that_fails_in_pytest(folder: Path) -> None:
    edited(folder, "return first", "return frist")
    done = python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert f"in the saga at {line_of('return first')}" in done.stdout
    assert f"# {SCENARIO}" in done.stdout


def test_an_expectation_that_fails_in_pytest(folder: Path) -> None:
    edited(folder, "if order.cents == 7", "if order.cents == 0")
    done = python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "AssertionError" in done.stdout
    assert f"# {SCENARIO}" in done.stdout


def test_a_module_in_a_zip_file(folder: Path) -> None:
    with zipfile.ZipFile(folder / "app.zip", "w") as app:
        app.write(folder / "place.py", "place.py")
    folder.joinpath("place.py").unlink()
    program = (
        "import sys; sys.path[:0] = ['app.zip']; import place; sys.argv = ['', '-']; place.main()"
    )
    done = python(folder, "-c", program, given=order([], 7))
    assert done.stderr == f"{ABORT}: compensated with Refused\n"


def test_without_the_source_it_is_the_line_of_the_module(folder: Path) -> None:
    text = folder.joinpath("place.py").read_text()
    line = text[: text.index("raise Refused()")].count("\n") + 1
    assert compileall.compile_file(str(folder / "place.py"), quiet=1, legacy=True)
    folder.joinpath("place.py").unlink()
    done = python(folder, "place.pyc", given=order([], 7))
    assert done.stderr.endswith(f"place.py:{line}: compensated with Refused\n")
