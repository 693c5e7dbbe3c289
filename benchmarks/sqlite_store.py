"""What the durable engine's storage does: records a second, and lists and starts in a full file.

python benchmarks/sqlite_store.py [--seconds S] [--rounds N] [--runs N] [--folder PATH]

Raw: one INSERT into one table a commit, in WAL with synchronous=FULL, by a plain connection. A
durable record: one that was appended, and whose writer was told that it is on the disk, before it
appended its next. Raw and ours take turns; medians are shown. The disk decides: --folder.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from statistics import median

import msgspec

from sagalang.runtime.sqlite import Change, NewRun, State, Store, open_store, reading

BODY = os.urandom(150)  # about an intent with its arguments
DEFINITION = "d" * 64
NEW = count()


def raw(folder: Path, seconds: float) -> float:
    """Commits a second."""
    with closing(sqlite3.connect(folder / f"raw{next(NEW)}.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE entries (seq INTEGER PRIMARY KEY, run INTEGER, body BLOB) STRICT")
        began, done = time.perf_counter(), 0
        while time.perf_counter() < began + seconds:
            done += 1
            db.execute("INSERT INTO entries VALUES (?, 1, ?)", (done, BODY))
        return done / (time.perf_counter() - began)


def new_run(began: int = 0) -> NewRun:
    return NewRun(id=str(uuid.uuid4()), saga="Order", definition=DEFINITION, began=began)


async def records(store: Store, writers: int, seconds: float) -> float:
    """Durable records a second, of so many who wait for each of theirs."""
    runs = [store.begin(new_run(), BODY)[0] for _ in range(writers)]
    await store.committed(store.append(runs[0], BODY))
    done = 0

    async def write(run: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await store.committed(store.append(run, BODY))
            done += 1

    began = time.perf_counter()
    end = began + seconds
    await asyncio.gather(*map(write, runs))
    return done / (time.perf_counter() - began)


async def starts(store: Store, together: int, seconds: float, random: bool, steps: int) -> float:
    """Runs a second that begin, and end after so many steps, with an intent and an outcome each.
    `random`: their ids are UUIDs, not numbers."""
    done = 0
    first = time.time_ns()

    async def start() -> None:
        nonlocal done
        while time.perf_counter() < end:
            now = time.time_ns() // 1_000_000
            new = new_run(now)
            if not random:
                new = msgspec.structs.replace(new, id=f"order {first + next(NEW)}")
            run, seq = store.begin(new, BODY)
            await store.committed(seq)
            for _ in range(2 * steps):
                await store.committed(store.append(run, BODY))
            store.append(run, BODY, change=Change(state=State.COMPLETED, at=now, ended=now))
            done += 1

    began = time.perf_counter()
    end = began + seconds
    await asyncio.gather(*(start() for _ in range(together)))
    return done / (time.perf_counter() - began)


def fill(path: Path, runs: int) -> None:
    """A file with so many finished runs, of two entries each. Not through the store: that takes
    longer, and leaves the same rows."""
    states = [State.COMPLETED] * 98 + [State.COMPENSATED] * 2
    sagas = ["Order"] * 90 + ["Refund"] * 9 + ["Audit"]

    async def begin() -> None:
        with open_store(path, command="benchmark", now=0) as store:
            store.define(DEFINITION, "saga Order {}")
            await store.committed(store.begin(new_run(), BODY)[1])

    asyncio.run(begin())
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO runs VALUES (?, ?, ?, NULL, 1, ?, ?, ?, ?, NULL)",
            (
                (n, str(uuid.uuid4()), sagas[n % 97 % 100], states[n % 101 % 100], n, n, n)
                for n in range(2, runs + 2)
            ),
        )
        db.executemany(
            "INSERT INTO entries VALUES (?, ?, ?)",
            ((n, n // 2 + 1, BODY) for n in range(2, 2 * runs + 2)),
        )
        db.execute("UPDATE runs SET state = 'escalated', ended = NULL WHERE number % 100003 = 5")
        db.execute("COMMIT")


def lists(path: Path, runs: int) -> dict[str, float]:
    """Milliseconds; each the longest of three."""
    wanted = {
        "all": {},
        "state=escalated (a few)": {"state": State.ESCALATED},
        "state=running (none)": {"state": State.RUNNING},
        "state=compensated": {"state": State.COMPENSATED},
        "saga=Order": {"saga": "Order"},
        "saga=Audit": {"saga": "Audit"},
        "saga that is not there": {"saga": "None"},
        "since a while": {"since": runs - 1000},
        "saga=Audit, state=compensated, since": {
            "saga": "Audit",
            "state": State.COMPENSATED,
            "since": runs // 2,
        },
        "since ever, 10,000 of them": {"since": 1, "limit": 10_000},
    }
    found: dict[str, float] = {}
    with reading(path) as reader:
        for name, filters in wanted.items():
            for _ in range(3):
                began = time.perf_counter()
                reader.runs(**filters)  # type: ignore[arg-type]
                took = 1000 * (time.perf_counter() - began)
                found[name] = max(found.get(name, 0), took)
    return found


def durable(folder: Path, seconds: float, rounds: int) -> None:
    figures: dict[int, list[float]] = defaultdict(list)
    ratios: dict[int, list[float]] = defaultdict(list)

    async def once(writers: int, path: Path) -> float:
        with open_store(path, command="benchmark", now=0) as store:
            store.define(DEFINITION, "")
            return await records(store, writers, seconds)

    for _ in range(rounds):
        for writers in (1, 64, 1000):
            before = raw(folder, seconds / 2)
            ours = asyncio.run(once(writers, folder / f"ours{next(NEW)}.db"))
            plain = (before + raw(folder, seconds / 2)) / 2
            figures[0].append(plain)
            figures[writers].append(ours)
            ratios[writers].append(ours / plain)
    print(f"raw commits/s: {median(figures[0]):,.0f}")
    for writers in (1, 64, 1000):
        ratio = median(ratios[writers])
        print(
            f"{writers:5,} at once: {median(figures[writers]):9,.0f} durable records/s,"
            f" {ratio:6.2f} times raw; with 2 a step {ratio / 2:.2f} times raw in steps"
        )


def full_file(folder: Path, runs: int, seconds: float, rounds: int) -> None:
    full = folder / "full.db"
    began = time.perf_counter()
    fill(full, runs)
    size = full.stat().st_size
    print(f"\n{runs:,} finished runs ({size / 1e6:,.0f} MB, {time.perf_counter() - began:.0f} s)")
    for name, took in lists(full, runs).items():
        print(f"  list {name}: {took:.1f} ms")

    async def once(path: Path, together: int, random: bool, steps: int) -> tuple[float, float]:
        with open_store(path, command="benchmark", now=0) as store:
            store.define(DEFINITION, "")
            before = time.process_time()
            rate = await starts(store, together, seconds, random, steps)
            return rate, 1e6 * (time.process_time() - before) / (rate * seconds)

    for together, random, steps in ((1, True, 0), (64, False, 0), (64, True, 0), (64, True, 3)):
        empty, there = [], []
        for _ in range(rounds):
            new = folder / f"empty{next(NEW)}.db"
            empty.append(asyncio.run(once(new, together, random, steps)))
            there.append(asyncio.run(once(full, together, random, steps)))
        ratio = median(b[0] / a[0] for a, b in zip(empty, there, strict=True))
        told = [
            f"{median(r for r, _ in found):,.0f}/s ({median(c for _, c in found):.0f} us CPU)"
            for found in (empty, there)
        ]
        ids = "UUIDs" if random else "numbers"
        print(
            f"  runs of {steps} steps, {together} at once, ids {ids}: {told[0]} in an empty file,"
            f" {told[1]} in this one: {ratio:.2f}"
        )

    opened = timed(lambda: asyncio.run(once_pruned(full, None)))
    print(f"  open and close: {1000 * opened:.0f} ms")
    some = runs // 10
    took = timed(lambda: asyncio.run(once_pruned(full, some)))
    print(f"  prune {some:,}: {took:.1f} s")


async def once_pruned(path: Path, before: int | None) -> None:
    with open_store(path, command="benchmark", now=0) as store:
        if before is not None:
            await store.prune(before)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    arguments = parser.parse_args()
    print(f"SQLite {sqlite3.sqlite_version}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        durable(Path(folder), arguments.seconds, arguments.rounds)
        full_file(Path(folder), arguments.runs, arguments.seconds, arguments.rounds)


if __name__ == "__main__":
    main()
