"""What a durable saga costs: steps a second on the `sqlite` engine, against raw commits and DBOS.

python benchmarks/durable.py [--seconds S] [--rounds N] [--recover N] [--folder PATH]

The saga has three steps in this process that answer at once; the failing one is refused at its
third and undoes two, so that it makes five calls. Raw: one INSERT a commit, WAL, synchronous=FULL.
DBOS: the same saga written by hand on DBOS Transact with SQLite, its steps and compensations
`@DBOS.step`s. All take turns on one disk; medians. The disk decides: --folder.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from compiled import functions_text, saga_text
from sqlite_store import raw

STEPS = {False: 3, True: 5}
"""Calls that a saga makes, by whether it fails."""
AT_ONCE = (1, 64, 1_000)


class Refused(Exception):  # noqa: N818 - named as the saga names it
    """At module level: DBOS pickles it."""


Start = Callable[[str, bool], Awaitable[object]]


# --- Ours --------------------------------------------------------------------------------------


class Ours:
    """The saga on the `sqlite` engine, in both forms."""

    def __init__(self, folder: Path) -> None:
        from sagalang.compile import compile_program
        from sagalang.runtime.values import Values
        from sagalang.workspace import load_text

        (folder / "functions_3.py").write_text(functions_text(3), "utf-8")
        loaded = load_text(saga_text(3), "t.saga")
        (file,) = compile_program(loaded.program).files
        (folder / "saga_3.py").write_text(file.text, "utf-8")
        sys.path.insert(0, str(folder))
        self.module = import_module("saga_3")
        self.loaded, self.values = loaded, Values(loaded.program)

    def engine(self, store: Any, types: Any) -> Any:
        from sagalang.runtime.clock import SystemClock
        from sagalang.runtime.entry_codec import EntryCodec
        from sagalang.runtime.python_binding import PythonTransport
        from sagalang.runtime.run_input import RunInput
        from sagalang.runtime.sqlite_engine import SqliteEngine, Stored

        operations = self.loaded.program.services["S"].operations.values()
        contracts = [self.values.contract(operation) for operation in operations]
        transport = PythonTransport("functions_3", "", contracts)
        codec = EntryCodec(types, lambda b: b.decode(), lambda s: s.encode())
        stored = Stored("d" * 64, "", codec, RunInput(types))
        return SqliteEngine(store, stored, SystemClock(), transport, random.random)

    def interpreted(self, store: Any) -> Start:
        from sagalang.interpret.run import run
        from sagalang.runtime.entry_types import ProgramTypes

        engine = self.engine(store, ProgramTypes(self.loaded.program, self.values))

        def start(saga_id: str, fails: bool) -> Awaitable[object]:
            args = {"id": saga_id, "refused": fails}
            return run(self.loaded.program, "T", args, engine=engine, values=self.values)

        return start

    def compiled(self, store: Any) -> Start:
        from sagalang.runtime.entry_types import ModuleTypes
        from sagalang.runtime.saga import run

        engine = self.engine(store, ModuleTypes.around(self.module.T))

        def start(saga_id: str, fails: bool) -> Awaitable[object]:
            return run(self.module.T(saga_id, fails), engine=engine)

        return start


async def rate(start: Start, fails: bool, at_once: int, seconds: float) -> tuple[float, float]:
    """Calls a second of so many sagas at once, and microseconds of CPU a call: those count also
    where others use the machine."""
    done = 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await start(str(uuid4()), fails)
            done += 1

    began, spent = time.perf_counter(), time.process_time()
    end = began + seconds
    await asyncio.gather(*(one() for _ in range(at_once)))
    took, spent = time.perf_counter() - began, time.process_time() - spent
    return done * STEPS[fails] / took, 1e6 * spent / (done * STEPS[fails])


def ours(
    made: Ours, form: str, path: Path, fails: bool, at_once: int, seconds: float
) -> tuple[float, float]:
    from sagalang.runtime.sqlite import open_store

    async def measure() -> tuple[float, float]:
        with open_store(path, command="benchmark", now=0) as store:
            start: Start = getattr(made, form)(store)
            await start(str(uuid4()), fails)
            return await rate(start, fails, at_once, seconds)

    return asyncio.run(measure())


# --- DBOS, in a process of its own -------------------------------------------------------------


def dbos(path: Path, fails: bool, at_once: int, seconds: float) -> float:
    arguments = [str(path), str(int(fails)), str(at_once), str(seconds)]
    done = subprocess.run(
        [sys.executable, __file__, "--dbos", *arguments], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"DBOS failed (pip install dbos):\n{done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def on_dbos(path: str, fails: bool, at_once: int, seconds: float) -> None:
    from dbos import DBOS

    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{path}", "log_level": "ERROR"})

    @DBOS.step()
    async def do(n: int, key: str, refused: bool) -> dict[str, str]:
        if refused:
            raise Refused
        return {"n": "x"}

    @DBOS.step()
    async def undo(n: int, of: str) -> None: ...

    @DBOS.workflow()
    async def saga(saga_id: str, refused: bool) -> bool:
        undoing = []
        try:
            for n in range(3):
                await do(n, f"{saga_id}/{n}", refused and n == 2)
                undoing.append(n)
        except Refused:
            for n in reversed(undoing):
                await undo(n, f"{saga_id}/{n}")
            return False
        return True

    DBOS.launch()

    async def start(saga_id: str, refused: bool) -> None:
        handle = await DBOS.start_workflow_async(saga, saga_id, refused)
        await handle.get_result()

    async def measure() -> float:
        await start("warm", fails)
        return (await rate(start, fails, at_once, seconds))[0]

    print(asyncio.run(measure()), flush=True)
    os._exit(0)


# --- Recovery, in a process of its own ---------------------------------------------------------


def recover(folder: Path, runs: int) -> None:
    """Leave so many sagas unfinished, then go on with all of them."""
    from sagalang.runtime.sqlite import State, open_store, reading

    made, path = Ours(folder), folder / "left.db"

    async def leave() -> None:
        with open_store(path, command="benchmark", now=0) as store:
            engine = made.engine(store, _types(made))
            calls = engine.transport.call

            async def stuck(request: Any) -> Any:
                if request.contract.operation == "do1":
                    await asyncio.get_running_loop().create_future()
                return await calls(request)

            engine.transport.call = stuck
            tasks = [asyncio.create_task(_start(made, engine, f"o{n}")) for n in range(runs)]
            while not _all_stuck(store, runs):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(leave())

    async def go_on() -> float:
        before = time.perf_counter()
        with open_store(path, command="benchmark", now=0) as store:
            engine = made.engine(store, _types(made))
            left = store.reader.runs(state=State.RUNNING, limit=None)
            assert len(left) == runs
            await asyncio.gather(*(_start(made, engine, row.id) for row in left))
        return time.perf_counter() - before

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took = asyncio.run(go_on())
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    with reading(path) as reader:
        assert len(reader.runs(state=State.COMPLETED, limit=None)) == runs
    print(
        f"{runs:,} unfinished sagas went on and ended in {took:.1f} s ({runs / took:,.0f}/s),"
        f" {grown / 1024:.0f} MiB more than leaving them took"
    )


def _types(made: Ours) -> Any:
    from sagalang.runtime.entry_types import ProgramTypes

    return ProgramTypes(made.loaded.program, made.values)


def _start(made: Ours, engine: Any, saga_id: str) -> Any:
    from sagalang.interpret.run import run

    args = {"id": saga_id, "refused": False}
    return run(made.loaded.program, "T", args, engine=engine, values=made.values)


def _all_stuck(store: Any, runs: int) -> bool:
    last = store.reader.run(f"o{runs - 1}")
    return last is not None and any(
        b'"is":"intent"' in body and b"do1" in body for _, body in store.reader.entries(last.number)
    )


# --- Everything --------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recover", type=int, default=10_000)
    parser.add_argument("--folder", default=None, help="where the files are written")
    parser.add_argument("--dbos", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.dbos:
        path, fails, at_once, seconds = given.dbos
        on_dbos(path, fails == "1", int(at_once), float(seconds))
    print("CPU: of both threads, a step")
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        made = Ours(folder)
        new = iter(range(10**6))
        for fails in (False, True):
            for at_once in AT_ONCE:
                found: dict[str, list[float]] = {"raw": [], "compiled": [], "interpreted": []}
                spent: dict[str, list[float]] = {"compiled": [], "interpreted": []}
                for _ in range(given.rounds):
                    found["raw"].append(raw(folder, given.seconds / 2))
                    for form in ("compiled", "interpreted"):
                        path = folder / f"{next(new)}.db"
                        calls, cpu = ours(made, form, path, fails, at_once, given.seconds)
                        found[form].append(calls)
                        spent[form].append(cpu)
                peer = dbos(folder / f"{next(new)}.dbos", fails, at_once, given.seconds)
                commits = median(found["raw"])
                print(
                    f"{'failing' if fails else 'completing'}, {at_once:5,} at once: raw"
                    f" {commits:7,.0f} commits/s; DBOS {peer:5,.0f} steps/s"
                )
                for form in ("compiled", "interpreted"):
                    ratios = [o / r for o, r in zip(found[form], found["raw"], strict=True)]
                    steps = median(found[form])
                    print(
                        f"    {form:<12}{steps:8,.0f} steps/s, {median(ratios):5.2f} times raw,"
                        f" {steps / peer:5,.0f} times DBOS; {median(spent[form]):4,.0f} us of CPU"
                    )
        sizes = folder / "size.db"
        steps = ours(made, "interpreted", sizes, False, 64, 2)[0] * 2
        print(f"{sizes.stat().st_size / steps:,.0f} bytes a step in the file")
        recover(folder, given.recover)


if __name__ == "__main__":
    main()
