"""An owner that is killed at any moment, again and again: what was said to be durable is there.

SAGALANG_KILLS: how many owners are killed (30).
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from engines.processes import Nursery, nursery, until
from sagalang.runtime.sqlite import check, open_store

KILLS = int(os.environ.get("SAGALANG_KILLS", "30"))


def reported(report: Path) -> int:
    """The last number of which the owner was told that it is durable."""
    numbers = report.read_text().rpartition("\n")[0].split() if report.exists() else []
    return max(map(int, numbers), default=0)


def kill(nursery: Nursery, mode: str, path: Path, report: Path, rng: random.Random) -> None:
    nursery.bear(mode, path, report)
    if rng.random() < 0.8:
        until(report.exists)
        until(lambda: report.stat().st_size)
        time.sleep(rng.uniform(0, 0.05))
    else:  # perhaps while it opens the file, or makes it
        time.sleep(rng.uniform(0, 0.03))
    nursery.kill()


def missing(path: Path, durable: int) -> list[str]:
    """What is wrong with a file of which so much was said to be durable."""
    wrong: list[str] = []
    with closing(sqlite3.connect(path)) as db:
        entries = db.execute("SELECT seq, run, body FROM entries ORDER BY seq").fetchall()
        runs = db.execute("SELECT number, state FROM runs").fetchall()
    if [seq for seq, _, _ in entries] != list(range(1, len(entries) + 1)):
        wrong.append("there are gaps")
    if len(entries) < durable:
        wrong.append(f"{durable} were durable, {len(entries)} are there")
    counts: dict[int, int] = {}
    for _, run, body in entries:
        counts[run] = counts.get(run, 0) + 1
        if body != b"%d" % counts[run]:
            wrong.append(f"run {run} is out of order")
    # An entry and what it means for the lists are in one transaction.
    if dict(runs) != {r: "completed" if n == 4 else "running" for r, n in counts.items()}:
        wrong.append("the lists say something else than the entries")
    return wrong


def test_nothing_that_was_durable_is_lost_whenever_the_owner_is_killed(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    print(f"seed {seed}")
    path, durable, told = tmp_path / "0.db", 0, 0
    with nursery() as children:
        for n in range(KILLS):
            report = tmp_path / f"report-{n}"
            kill(children, "write", path, report, rng)
            durable = max(durable, reported(report))
            told += report.read_text().count("\n") if report.exists() else 0
            if not path.exists():
                continue
            # The next owner takes over at once, and finds everything.
            with open_store(path, command="test", now=0):
                assert missing(path, durable) == []
            if rng.random() < 0.2:
                path, durable = tmp_path / f"{n + 1}.db", 0
    assert check(path) == () if path.exists() else True
    assert told > KILLS  # they did write


def test_it_would_show_a_store_that_tells_too_early(tmp_path: Path) -> None:
    rng, found = random.Random(1), False
    with nursery() as children:
        for n in range(20):
            path, report = tmp_path / f"{n}.db", tmp_path / f"report-{n}"
            kill(children, "lying", path, report, rng)
            if path.exists():
                with open_store(path, command="test", now=0):
                    found = missing(path, reported(report)) != []
            if found:
                return
    raise AssertionError("twenty owners were killed, and none had told too early")
