"""A compiled module on a journal file: real processes, real services over HTTP, real kills."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sagalang.compile import compile_program
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.mock_server import serve
from sagalang.runtime.sqlite import State, reading, send

from .twin import checked

PATIENCE = 60.0
TEXT = """
error No
event Review { verdict: string }
service Bank {
  http "http://127.0.0.1:1" env BANK_URL
  command take(order: string, card: secret string) -> { taken: string }
    keyed, records rejections
    POST "/takes"
    compensate give(key)
  command give(of: key) idempotent, absent ok, fences late
    DELETE "/takes/{of}"
  command ship(order: string) keyed, records rejections
    POST "/ships"
    rejects No 402
    compensate unship(key)
  command unship(of: key) idempotent, absent ok, fences late
    DELETE "/ships/{of}"
}
saga Buy(id: string, card: secret string, big: bool) -> string {
  id id
  step t = Bank.take(id, card)
  if big {
    wait review: Review within 4h else abort No
    if review.verdict != "yes" { abort No }
  }
  step Bank.ship(id) else escalate "crew"
  return t.taken
}
"""


@dataclass
class Module:
    """The module in a folder of its own, and its services."""

    folder: Path
    world: FakeWorld
    url: str

    @property
    def db(self) -> Path:
        return self.folder / ".saga" / "journal.db"

    def write(self, text: str = TEXT) -> None:
        (file,) = compile_program(checked(text)).files
        (self.folder / "buy.py").write_text(file.text)

    def start(self, *options: str, big: bool = False, **env: str) -> subprocess.Popen[str]:
        given = {"id": "o-1", "card": "card-of-4711", "big": big}
        (self.folder / "input.json").write_text(json.dumps(given))
        inherited = {k: v for k, v in os.environ.items() if k != "SAGA_DB"}
        return subprocess.Popen(
            [sys.executable, "buy.py", "input.json", *options],
            cwd=self.folder,
            env={**inherited, "BANK_URL": self.url, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *options: str, big: bool = False, **env: str) -> tuple[int, Any, str]:
        out, err = (process := self.start(*options, big=big, **env)).communicate(timeout=PATIENCE)
        return process.returncode, json.loads(out) if out else None, err

    def killed(self, when: Callable[[], bool], *options: str, big: bool = False) -> None:
        process = self.start(*options, big=big)
        eventually(when, process)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)

    def effects(self) -> list[str]:
        return sorted(e.operation for e in self.world.ledger if e.effect == "done")

    def said(self, word: str) -> bool:
        """Whether the journal has an entry of this kind."""
        try:
            with reading(self.db) as reader:
                run = reader.run("o-1")
                entries = [] if run is None else reader.entries(run.number)
                return any(f'"{word}"'.encode() in body for _, body in entries)
        except Exception:
            return False


def eventually(when: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE
    while not when():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Module]:
    world = FakeWorld(checked(TEXT))
    up: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = Future()

    async def main() -> None:
        done = asyncio.Event()
        async with serve(world) as mock:
            up.set_result((asyncio.get_running_loop(), done, mock.urls["Bank"]))
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    loop, done, url = up.result(PATIENCE)
    made = Module(tmp_path, world, url)
    made.write()
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(PATIENCE)


def test_killed_in_the_middle_of_a_call_it_goes_on_and_nothing_happens_twice(
    module: Module,
) -> None:
    module.world.faults.append(PlannedFault("times out after effect", "Bank.ship"))
    module.killed(lambda: module.world.count("Bank.ship") == 1)
    status, told, err = module.run()
    assert (status, told["outcome"]) == (0, "completed"), err
    assert re.search(r"^note: o-1 began .* ago and goes on from its journal$", err, re.MULTILINE)
    assert module.effects() == ["Bank.ship", "Bank.take"]
    assert (module.world.count("Bank.take"), module.world.count("Bank.ship")) == (1, 2)
    assert b"card-of-4711" not in module.db.read_bytes()


def test_a_finished_run_is_returned_and_nothing_is_called(module: Module) -> None:
    first = module.run()
    status, told, err = module.run(BANK_URL="http://127.0.0.1:9")
    assert (status, told) == first[:2]
    assert re.fullmatch(
        r"note: o-1 was completed .* ago already; nothing was called; run another with --id\n", err
    )
    assert module.world.count("Bank.take") == 1
    status, told, err = module.run("--id", "o-2")
    assert (status, told["saga_id"], err) == (0, "o-2", "")


def test_other_input_of_the_same_id_is_refused(module: Module) -> None:
    module.run()
    status, told, err = module.run(big=True)
    assert (status, told) == (2, None)
    assert err == "error: o-1 is on record, with other input\n"


def test_an_event_for_a_run_that_waits_reaches_the_next_process(module: Module) -> None:
    module.killed(lambda: module.said("timer"), big=True)
    status, told, err = module.run("--send", 'Review {"verdict": "yes"}', big=True)
    assert (status, told["outcome"]) == (0, "completed"), err
    assert module.world.count("Bank.take") == 1


def test_a_run_that_waits_can_be_cancelled_from_outside(module: Module) -> None:
    process = module.start(big=True)
    eventually(lambda: module.said("timer"), process)
    send(module.db, "o-1", "settle", "e-1", b"", 0)
    command = [sys.executable, "-m", "sagalang", "cancel", "o-1", "--db", module.db]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, "asked o-1 to cancel; taken\n"), done.stderr
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, json.loads(out)["error"]) == (1, "Cancelled"), err
    assert module.effects() == []
    with reading(module.db) as reader:
        run = reader.run("o-1")
        assert run is not None
        settled, cancelled = reader.messages(run.number)
        assert settled.refused == ("o-1 is a run of a compiled saga: only cancel can be sent to it")
        assert cancelled.taken is not None


@pytest.mark.skipif(os.name == "nt", reason="needs SIGTERM")
def test_a_process_that_is_told_to_end_leaves_the_run_to_the_next(module: Module) -> None:
    process = module.start(big=True)
    eventually(lambda: module.said("timer"), process)
    process.terminate()
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert re.fullmatch(r"left as it is at test.saga:\d+: the same command goes on with it\n", err)
    assert module.effects() == ["Bank.take"]
    process = module.start(big=True)
    eventually(lambda: module.said("restarted"), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, json.loads(out)["error"]) == (1, "Cancelled"), err
    assert module.effects() == []


def test_another_version_does_not_go_on_with_it_unless_it_is_told_to(module: Module) -> None:
    module.killed(lambda: module.said("timer"), big=True)
    module.write(TEXT.replace("within 4h", "within 3h"))
    status, _, err = module.run("--send", 'Review {"verdict": "yes"}', big=True)
    found = re.match(
        r"error: o-1 began with version (\w+) of Buy, and this is \w+: let the module", err
    )
    assert (status, found is not None) == (2, True), err
    assert found is not None
    module.write("// A comment.\n" + TEXT.replace("within 3h", "within 4h"))
    module.killed(lambda: module.said("restarted"), big=True)
    module.write(TEXT.replace("within 4h", "within 3h"))
    accepting = ("--accept", found[1], "--send", 'Review {"verdict": "yes"}')
    status, told, err = module.run(*accepting, big=True)
    assert (status, told["outcome"]) == (0, "completed"), err


def test_what_keeps_nothing_leaves_nothing(module: Module) -> None:
    assert module.run("--db", ":memory:")[0] == 0
    assert module.run(SAGA_DB=":memory:")[0] == 0
    assert not module.db.parent.exists()


def test_a_file_that_is_no_journal_is_told(module: Module) -> None:
    status, _, err = module.run("--db", "input.json")
    assert status == 2
    assert err.startswith("error: input.json is not a journal of sagalang\n  = help: ")
    assert module.world.count("Bank.take") == 0


def test_without_a_cipher_no_secret_is_written_and_nothing_is_called(module: Module) -> None:
    (module.folder / "cryptography.py").write_text("raise ImportError")
    status, _, err = module.run()
    assert status == 2
    assert err.startswith("error: the saga has secrets, which are kept encrypted, and `crypto")
    assert module.world.count("Bank.take") == 0
    assert module.run("--db", ":memory:")[0] == 0


def test_an_earlier_run_that_no_journal_knows_of_is_not_undone(module: Module) -> None:
    module.run("--db", ":memory:")
    denied = ("--send", 'Review {"verdict": "no"}')
    status, _, err = module.run("--db", "one.db", *denied, big=True)
    assert status == 2
    assert "o-1 was run before (Bank.take had seen its key)" in err
    again = module.run("--db", "one.db", big=True)
    assert again[0] == 2
    assert "o-1 was run before" in again[2]
    assert module.effects() == ["Bank.ship", "Bank.take"]
    taken_over = module.run("--db", "one.db", "--take-over", big=True)
    assert (taken_over[0], taken_over[1]["error"]) == (1, "No")
    with reading(module.folder / "one.db") as reader:
        run = reader.run("o-1")
        assert run is not None
        assert run.state is State.COMPENSATED
