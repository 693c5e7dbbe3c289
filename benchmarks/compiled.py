"""What a step costs on the memory engine: by hand, compiled, interpreted.

python benchmarks/compiled.py [--sagas N] [--rounds N]

The services are Python functions that answer at once, no policy is given, and what is left is what
sagalang adds. By hand is the limit: plain asyncio with try and except, which records nothing,
makes no keys, has no timeouts, and takes a lost answer for a refusal.

Each saga runs to its end, and once more with its last step refused, so that all others are
compensated. Microseconds per call made (a step or a compensation), best of several rounds taken in
turn. Exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module, invalidate_caches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from front_end import program as long_program

from sagalang.compile import compile_program
from sagalang.interpret import run as interpreter
from sagalang.machine.events import Compensated, Completed
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.python_binding import PythonTransport
from sagalang.runtime.values import Values
from sagalang.workspace import load_text

LENGTHS = (3, 10, 30)
AT_ONCE = 1_000
COMPILED, INTERPRETED = 15.0, 60.0
"""Microseconds per call at most."""
SHARE = 1 / 3
"""Of the interpreted time that a compiled call may take."""
THROUGHPUT = 0.8
"""Of that with one saga at a time, with `AT_ONCE`."""
LINES, SECONDS = 4_000, 3.0

Start = Callable[[str, bool], Awaitable[bool]]
"""Runs a saga of this id, refused at its last step or not; gives whether it completed."""


# --- The same sagas, three times ---------------------------------------------------------------


def saga_text(steps: int) -> str:
    operations = "\n".join(
        f"  command do{n}(id: string, refused: bool) -> {{ n: string }}\n"
        f"    keyed rejects Refused compensate undo{n}(key)\n"
        f"  command undo{n}(of: key) idempotent, absent ok, fences late"
        for n in range(steps)
    )
    body = "\n".join(
        f"  step s{n} = S.do{n}(id, {'refused' if n == steps - 1 else 'false'})"
        for n in range(steps)
    )
    return (
        f'error Refused\nservice S {{\n  python "functions_{steps}"\n{operations}\n}}\n'
        f"saga T(id: string, refused: bool) {{\n  id id\n{body}\n}}\n"
    )


def functions_text(steps: int) -> str:
    """The services, and the saga by hand."""
    operations = "\n".join(
        f"async def do{n}(id, refused, key=None):\n"
        f"    if refused:\n        raise Refused\n    return ANSWER\n"
        f"async def undo{n}(of):\n    pass\n"
        for n in range(steps)
    )
    body = "\n".join(
        f"        await do{n}(id, {'refused' if n == steps - 1 else 'False'})\n"
        f"        undo.append(undo{n})"
        for n in range(steps)
    )
    return (
        'ANSWER = {"n": "x"}\n'
        "class Refused(Exception):\n    pass\n"
        f"{operations}\n"
        "async def saga(id, refused):\n"
        f"    undo = []\n    try:\n{body}\n        return True\n"
        "    except Refused:\n        for back in reversed(undo):\n            await back(id)\n"
        "        return False\n"
    )


@dataclass(frozen=True)
class Made:
    """A saga of some length in its three forms; each start is for one fresh engine."""

    steps: int
    fresh: dict[str, Callable[[], Start]]


def make(steps: int, folder: Path) -> Made:
    (folder / f"functions_{steps}.py").write_text(functions_text(steps), "utf-8")
    loaded = load_text(saga_text(steps), "t.saga")
    assert not loaded.has_errors, [d.message for d in loaded.diagnostics if d.is_error]
    program = loaded.program
    (file,) = compile_program(program).files
    (folder / f"saga_{steps}.py").write_text(file.text, "utf-8")
    invalidate_caches()
    module = import_module(f"saga_{steps}")
    hand = import_module(f"functions_{steps}").saga
    values = Values(program)
    contracts = [values.contract(o) for o in program.services["S"].operations.values()]

    def by_hand() -> Start:
        start: Start = hand
        return start

    def as_compiled() -> Start:
        transport = compiled.connect(module.SERVICES, {}, folder=str(folder))
        engine = MemoryEngine(SystemClock(), transport, random.random)

        async def start(id_: str, refused: bool) -> bool:
            call = module.T(id_=id_, refused=refused)
            return completed((await compiled.run(call, engine=engine)).outcome)

        return start

    def as_interpreted() -> Start:
        transport = PythonTransport(f"functions_{steps}", str(folder), contracts)
        engine = MemoryEngine(SystemClock(), transport, random.random)

        async def start(id_: str, refused: bool) -> bool:
            args = {"id": id_, "refused": refused}
            found = await interpreter.run(program, "T", args, engine=engine, values=values)
            return completed(found.outcome)

        return start

    return Made(steps, {"by hand": by_hand, "compiled": as_compiled, "interpreted": as_interpreted})


def completed(outcome: Any) -> bool:
    assert isinstance(outcome, Completed | Compensated), outcome
    return isinstance(outcome, Completed)


# --- Measuring ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Took:
    """Microseconds per call."""

    process: float
    wall: float


async def timed(start: Start, made: Made, sagas: int, at_once: int, refused: bool) -> Took:
    gc.collect()
    wall, process = time.perf_counter(), time.process_time()
    for first in range(0, sagas, at_once):
        ids = range(first, first + at_once)
        if at_once == 1:
            ends = [await start(f"t-{first}", refused)]
        else:
            ends = await asyncio.gather(*(start(f"t-{n}", refused) for n in ids))
        assert ends == [not refused] * at_once
    process, wall = time.process_time() - process, time.perf_counter() - wall
    calls = sagas * (2 * made.steps - 1 if refused else made.steps)
    return Took(process / calls * 1e6, wall / calls * 1e6)


Column = dict[str, list[Took]]


async def column(made: Made, sagas: int, at_once: int, refused: bool, rounds: int) -> Column:
    found: Column = {name: [] for name in made.fresh}
    for _ in range(rounds):  # in turn, so that a noisy moment hits all of them
        for name, fresh in made.fresh.items():
            found[name].append(await timed(fresh(), made, sagas, at_once, refused))
    return found


def best(found: list[Took]) -> float:
    return min(took.process for took in found)


def row(what: str, column: Column) -> None:
    cells = "  ".join(
        f"{name} {best(found):6.2f} (wall {min(took.wall for took in found):6.2f}) us"
        for name, found in column.items()
    )
    share = best(column["compiled"]) / best(column["interpreted"])
    print(f"{what:<30} {cells}  compiled/interpreted {share:4.2f}", flush=True)


async def measure(sagas: int, rounds: int, folder: Path) -> list[str]:
    """What missed its target."""
    missed = []
    for steps in LENGTHS:
        made = make(steps, folder)
        for refused in (False, True):
            what = f"{steps} steps, {'compensated' if refused else 'completed'}"
            found = await column(made, max(sagas * 3 // steps, 1), 1, refused, rounds)
            row(what, found)
            quick, slow = best(found["compiled"]), best(found["interpreted"])
            if quick > COMPILED:
                missed.append(f"{what}: compiled {quick:.1f} us, target {COMPILED:.0f}")
            if quick > slow * SHARE:
                missed.append(f"{what}: compiled/interpreted {quick / slow:.2f}, target 0.33")
            if slow > INTERPRETED:
                missed.append(f"{what}: interpreted {slow:.1f} us, target {INTERPRETED:.0f}")
    made = make(10, folder)
    one = await column(made, AT_ONCE, 1, False, rounds)
    many = await column(made, AT_ONCE, AT_ONCE, False, rounds)
    row(f"10 steps, {AT_ONCE:,} in turn", one)
    row(f"10 steps, {AT_ONCE:,} at once", many)
    for name in ("compiled", "interpreted"):
        kept = best(one[name]) / best(many[name])
        print(f"{name}: throughput with {AT_ONCE:,} at once {kept:.2f} of that with one")
        if kept < THROUGHPUT:
            missed.append(f"{name}: throughput {kept:.2f} with {AT_ONCE:,}, target {THROUGHPUT}")
    return missed


def compile_time(rounds: int) -> list[str]:
    loaded = load_text(long_program(LINES), "generated.saga")
    assert not loaded.has_errors
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        made = compile_program(loaded.program)
        found.append(time.process_time() - begun)
        assert not made.problems
    begun = time.process_time()
    load_text(long_program(LINES), "generated.saga")
    front = time.process_time() - begun
    lines = sum(file.text.count("\n") for file in made.files)
    print(
        f"compile {LINES:,} lines: first {found[0]:.2f} s, best {min(found):.2f} s"
        f" (and parse and check {front:.2f} s), {lines:,} lines of Python"
    )
    total = found[0] + front
    return [f"compile time {total:.2f} s, target {SECONDS:.0f}"] if total > SECONDS else []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sagas", type=int, default=500, help="of three steps, in one round")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        missed = asyncio.run(measure(given.sagas, given.rounds, Path(folder)))
    missed += compile_time(min(given.rounds, 3))
    for what in missed:
        print(f"missed: {what}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
