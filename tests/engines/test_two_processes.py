"""Two processes and one journal file: one has it, and its runs are never run twice."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from engines.definitions import Definition, defined, main
from engines.loaded import TEXT, Ledger, ends, engine, fails
from engines.processes import until
from sagalang.runtime.sqlite import InUseError, reading

WAITS = main('step S.do("a") wait go: Go within 1h else abort No step S.do("b")')
PAUSES = main('step S.do("a") sleep 300ms step S.do("b")')


def outcome(
    folder: Path, definition: Definition, saga_id: str = "o-1", args: str = "{}", **options: Any
) -> str:
    """Own the file, and begin the run or go on with it to its end."""

    async def body() -> str:
        ledger = Ledger(folder / "ledger")
        with engine(folder / "journal.db", definition, ledger, **options) as found:
            if "go" in options.get("command", ""):
                found.signal(saga_id, "Go", "e-1", definition.event("Go", '{"n": 1}'))
            result = await definition.begin(found, saga_id, args).result()
            return type(result.outcome).__name__

    return asyncio.run(body())


@contextmanager
def process(does: Callable[[], Any]) -> Iterator[int]:
    """Its pid; it ends with 0 where it did that."""
    pid = os.fork()
    if pid == 0:
        try:
            does()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def did(folder: Path, *names: str) -> Callable[[], bool]:
    return lambda: Ledger(folder / "ledger").effects() == dict.fromkeys(names, 1)


@pytest.fixture
def waiting(how: str) -> Definition:
    return defined(WAITS, how)


def test_the_second_is_refused_and_the_first_goes_on(folder: Path, waiting: Definition) -> None:
    def first() -> None:
        outcome(folder, waiting, command="saga serve")

    with process(first) as pid:
        until(did(folder, "a"))
        with pytest.raises(InUseError) as caught:
            outcome(folder, waiting)
        told = rf"journal\.db is in use by process {pid} \(saga serve, since .*\)"
        assert re.fullmatch(told, str(caught.value))
        assert "--db" in caught.value.advice
        assert did(folder, "a")()
        os.kill(pid, 0)


def test_who_waits_takes_over_from_an_owner_that_is_killed(
    folder: Path, waiting: Definition
) -> None:
    with process(lambda: outcome(folder, waiting)) as pid:
        until(did(folder, "a"))
        killing = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
        killing.start()
        assert outcome(folder, waiting, command="saga go", wait=60) == "Completed"
        killing.join()
    assert did(folder, "a", "b")()


def test_an_owner_that_was_killed_is_succeeded_at_once(folder: Path, waiting: Definition) -> None:
    with process(lambda: outcome(folder, waiting)) as pid:
        until(did(folder, "a"))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert outcome(folder, waiting, command="saga go") == "Completed"
    assert did(folder, "a", "b")()


def test_an_owner_that_is_stopped_keeps_its_runs(folder: Path, how: str) -> None:
    """However long: it goes on where it was, so nobody else may."""
    definition = defined(PAUSES, how)
    with process(lambda: outcome(folder, definition)) as pid:
        until(did(folder, "a"))
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(InUseError):
            outcome(folder, definition, wait=0.6)
        with reading(folder / "journal.db") as reader:
            assert [run.state.value for run in reader.runs()] == ["running"]
        assert did(folder, "a")()
        os.kill(pid, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert did(folder, "a", "b")()
    assert outcome(folder, definition) == "Completed"
    assert did(folder, "a", "b")()


def test_of_many_who_start_one_run_one_runs_it(folder: Path, how: str) -> None:
    definition = defined(TEXT, how)
    args = json.dumps({"name": "n", "fails": fails("o-1")})

    def one() -> None:
        assert outcome(folder, definition, args=args, wait=60) == "Completed"

    with process(one) as first, process(one) as second, process(one) as third:
        pids = {first, second, third}
        codes = {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids}
    assert codes == {0}
    assert did(folder, "n1", "n2", "n3", "n4")()
    lines = (folder / "ledger").read_text().splitlines()
    assert len(lines) == 4, "a call was made by two processes"
    assert list(ends(folder / "journal.db")) == ["o-1"]


def test_an_owner_that_ends_leaves_the_file_to_the_next(folder: Path, how: str) -> None:
    definition = defined(PAUSES, how)
    with process(lambda: outcome(folder, definition, "o-1")):
        until(did(folder, "a"))
        began = time.monotonic()
        assert outcome(folder, definition, "o-2", wait=60) == "Completed"
        assert time.monotonic() - began < 30
    assert sorted(ends(folder / "journal.db")) == ["o-1", "o-2"]
