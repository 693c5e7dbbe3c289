"""A saga on a file survives SIGKILL: processes die at one point after the other, the next goes on.

Each life is a forked process with an engine of its own. It kills itself at its nth record or at the
nth moment of a call (before its effect, after it), and what it appended may or may not have been
committed by then. The services stand outside: what they did is in a file of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interpret.build import do, parallel, param, program, saga, sleep
from interpret.deaths import child, kid
from msgspec.structs import replace

from sagalang.interpret.run import begin
from sagalang.machine.events import Compensated, Completed
from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected
from sagalang.model import program as p
from sagalang.runtime import journal
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import OtherInputError
from sagalang.runtime.entry_codec import EntryCodec
from sagalang.runtime.entry_types import ProgramTypes
from sagalang.runtime.replay import ReplayError
from sagalang.runtime.run_input import RunInput
from sagalang.runtime.sqlite import State, Store, open_store, reading
from sagalang.runtime.sqlite_engine import OtherDefinitionError, SqliteEngine, Stored
from sagalang.runtime.values import Values

Moment = Callable[[journal.Entry | None], None]
"""Called where a process may die: with each entry that is appended, and around what calls do."""


class Services:
    """`S.do` takes effect once per key, `S.undo(key)` takes it back; all in one file. Refuses `z`.
    Writes down where a call arrived whose intent is not on the disk."""

    def __init__(self, ledger: Path, journal_: Path, moment: Moment) -> None:
        self._ledger, self._journal, self._moment = ledger, journal_, moment

    async def call(self, request: Request) -> Outcome:
        await asyncio.sleep(0)
        assert request.key is not None
        if request.key not in intents(self._journal):
            self._write("unannounced", request.key, request.contract.label)
        self._moment(None)
        name, key = str(request.args[0]), request.key
        if request.contract.label == "S.undo":
            self._write("undone", name, "")
            self._moment(None)
            return Ok(None)
        if name == "z":
            return Rejected(Failure("No"))
        self._write("done", key, name)
        self._moment(None)
        return Ok(f"did {name}")

    def _write(self, *words: str) -> None:
        with self._ledger.open("a") as file:
            file.write(" ".join(words) + "\n")

    async def aclose(self) -> None:
        pass


def intents(path: Path) -> set[str]:
    """The keys of calls whose intents are on the disk."""
    with reading(path) as reader:
        bodies = [body for run in reader.runs() for _, body in reader.entries(run.number)]
    return {json.loads(body)["key"] for body in bodies if b'"is":"intent"' in body}


def engine(store: Store, made: p.Program, values: Values, transport: Any, seen: Any) -> Any:
    types = ProgramTypes(made, values)
    codec = EntryCodec(types, lambda s: s.decode(), lambda s: s.encode())
    stored = Stored("hash", "text", codec, RunInput(types))
    return SqliteEngine(store, stored, SystemClock(), transport, lambda: 0.5, seen)


async def life(made: p.Program, folder: Path, moment: Moment) -> Any:
    """Begin the run or go on with it, to its end."""
    path, values = folder / "journal.db", Values(made)
    with open_store(path, command="test", now=0) as store:
        services = Services(folder / "ledger", path, moment)
        made_engine = engine(store, made, values, services, moment)
        run = begin(made, "Main", {}, engine=made_engine, saga_id="o-1", values=values)
        result = await run.result()
        with reading(path) as reader:
            told = reader.run("o-1")
        assert told is not None
        assert told.state.value in type(result.outcome).__name__.lower(), "told before the commit"
        return result.outcome


def die_at(
    made: p.Program, folder: Path, moments: int, of: type[journal.Entry] | None = None
) -> bool:
    """A process that dies at this moment of its life (`of`: of those at which such an entry is
    appended); whether it did."""
    pid = os.fork()
    if pid == 0:
        left = moments

        def moment(entry: journal.Entry | None) -> None:
            nonlocal left
            left -= of is None or isinstance(entry, of)
            if left == 0:
                # Sometimes all but this turn of the loop is on the disk, sometimes less.
                time.sleep(0.02 * (moments % 2))
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            asyncio.run(life(made, folder, moment))
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


SAGAS = {
    "completes": program(saga(do("a"), sleep(2), parallel(do("b"), do("c")))),
    "is undone": program(saga(do("a"), parallel(do("b"), do("c")), do("z"))),
    "has a child that is undone": program(saga(do("a"), child(), do("z")), kid(do("k1"), do("k2"))),
}


def effects(folder: Path) -> Counter[str]:
    """What is there in the end, by name."""
    there: dict[str, str] = {}
    fenced: set[str] = set()
    for line in (folder / "ledger").read_text().splitlines():
        what, key, name = line.split(" ")
        assert what != "unannounced", f"{name} left before its intent was on the disk"
        if what == "undone":
            fenced.add(key)
            there.pop(key, None)
        elif key not in fenced:
            there[key] = name
    return Counter(there.values())


@pytest.mark.parametrize("name", SAGAS)
def test_killed_at_every_moment_of_its_life_it_goes_on(name: str, tmp_path: Path) -> None:
    made, moments, died = SAGAS[name], 0, True
    while died:
        moments += 1 if "SAGA_SLOW" in os.environ else 3
        folder = tmp_path / str(moments)
        folder.mkdir()
        died = die_at(made, folder, moments)
        outcome = asyncio.run(life(made, folder, lambda _: None))
        if name == "completes":
            assert isinstance(outcome, Completed), moments
            assert effects(folder) == {"a": 1, "b": 1, "c": 1}, moments
        else:
            assert isinstance(outcome, Compensated), moments
            assert not effects(folder), moments
    assert moments > 20


def test_killed_again_and_again_it_comes_to_its_end(tmp_path: Path) -> None:
    made = SAGAS["has a child that is undone"]
    deaths = 0
    for moments in [9, 14, 6, 11, 20, 12, 17, 8] * 5:
        if not die_at(made, tmp_path, moments):
            break
        deaths += 1
    assert 3 < deaths < 40
    assert isinstance(asyncio.run(life(made, tmp_path, lambda _: None)), Compensated)
    assert not effects(tmp_path)


def test_a_child_saga_that_had_not_begun_is_found_again(tmp_path: Path) -> None:
    made = SAGAS["has a child that is undone"]
    assert die_at(made, tmp_path, 1, journal.ChildStarted)
    with reading(tmp_path / "journal.db") as reader:
        assert [run.saga for run in reader.runs()] == ["Main"]
    assert die_at(made, tmp_path, 1, journal.AbortBegan)
    assert isinstance(asyncio.run(life(made, tmp_path, lambda _: None)), Compensated)
    with reading(tmp_path / "journal.db") as reader:
        (inner,) = reader.runs(saga="Kid")
    assert inner.parent == "o-1"


def test_a_finished_run_is_returned_and_nothing_is_called(tmp_path: Path) -> None:
    made = SAGAS["completes"]
    asyncio.run(life(made, tmp_path, lambda _: None))

    def never(_: journal.Entry | None) -> None:
        raise AssertionError("something was done")

    assert isinstance(asyncio.run(life(made, tmp_path, never)), Completed)


def test_an_event_for_a_run_that_nobody_runs_is_kept_for_it(tmp_path: Path) -> None:
    made = program(saga(do("a"), sleep(3_600_000), do("b")))
    assert die_at(made, tmp_path, 8), "in its sleep"

    async def cancel() -> Any:
        with open_store(tmp_path / "journal.db", command="test", now=0) as store:
            services = Services(tmp_path / "ledger", tmp_path / "journal.db", lambda _: None)
            made_engine = engine(store, made, Values(made), services, None)
            made_engine.request_cancel("o-1")

    asyncio.run(cancel())
    assert isinstance(asyncio.run(life(made, tmp_path, lambda _: None)), Compensated)
    assert not effects(tmp_path)


def test_lists_say_how_a_run_ended(tmp_path: Path) -> None:
    asyncio.run(life(SAGAS["has a child that is undone"], tmp_path, lambda _: None))
    with reading(tmp_path / "journal.db") as reader:
        (main,) = [run for run in reader.runs() if run.parent is None]
        (inner,) = reader.children(main.number)
    assert (main.state, main.error) == (State.COMPENSATED, "No")
    assert (inner.saga, inner.state) == ("Kid", State.COMPENSATED)


def opening(made: p.Program, folder: Path, hashed: str, saga_: str, args: dict[str, str]) -> None:
    """Open a run of this definition, in a process of its own."""

    async def main() -> None:
        with open_store(folder / "journal.db", command="test", now=0) as store:
            found = engine(store, made, Values(made), None, None)
            found.stored = replace(found.stored, hash=hashed)
            found.open("o-1", saga_, args)

    asyncio.run(main())


def test_another_definition_or_input_is_refused(tmp_path: Path) -> None:
    made = program(
        *(saga(do("a"), name=name, params=[param("what")]) for name in ("Main", "Other"))
    )

    async def started() -> None:
        with open_store(tmp_path / "journal.db", command="test", now=0) as store:
            services = Services(tmp_path / "ledger", tmp_path / "journal.db", lambda _: None)
            found = engine(store, made, Values(made), services, None)
            await begin(made, "Main", {"what": "x"}, engine=found, saga_id="o-1").result()

    asyncio.run(started())
    opening(made, tmp_path, "hash", "Main", {"what": "x"})
    with pytest.raises(OtherInputError):
        opening(made, tmp_path, "hash", "Main", {"what": "y"})
    with pytest.raises(OtherInputError):
        opening(made, tmp_path, "hash", "Other", {"what": "x"})
    with pytest.raises(OtherDefinitionError):
        opening(made, tmp_path, "another", "Main", {"what": "x"})


def test_a_journal_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    made = SAGAS["completes"]
    assert die_at(made, tmp_path, 9)
    with pytest.raises(ReplayError):
        asyncio.run(life(program(saga(do("b"), do("a"))), tmp_path, lambda _: None))
    with reading(tmp_path / "journal.db") as reader:
        (run,) = reader.runs()
        assert not any(b"restarted" in body.lower() for _, body in reader.entries(run.number))
