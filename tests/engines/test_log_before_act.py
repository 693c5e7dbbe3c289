"""Log before act, shown: what a loaded process did and when its commits returned; then it is
killed at each of those points, one by one.

SAGA_SLOW: 16 runs at once are killed at every point, otherwise 6.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engines.definitions import defined
from engines.loaded import TEXT, Ledger, ends, engine, expected, ids, intents, last, run_all
from sagalang.runtime.engine import LocalSession
from sagalang.runtime.sqlite import Store, check, writer
from sagalang.runtime.sqlite.batch import Batch
from sagalang.runtime.sqlite_engine import SqliteSession

SLOW = "SAGA_SLOW" in os.environ
Trace = list[tuple[str, Any]]
"""`committing` and `committed` with the last number of the commit, `left`, `told`; in order."""


class Points:
    """Writes down each point in the order in which it is reached, in whichever thread; dies at one
    of them."""

    def __init__(self, report: Path | None = None, dies_at: int = 0) -> None:
        self.trace: Trace = []
        self._report, self._dies_at = report, dies_at
        self._lock = threading.Lock()

    def reach(self, what: str, which: Any) -> None:
        with self._lock:
            self.trace.append((what, which))
            if self._report is not None and what in ("left", "told"):
                with self._report.open("a") as file:
                    file.write(f"{what} {which}\n")
            if len(self.trace) == self._dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def of_commits(self) -> Iterator[None]:
        writing = writer.write

        def write(connection: Any, batch: Batch) -> None:
            self.reach("committing", batch.last)
            writing(connection, batch)
            self.reach("committed", batch.last)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer, "write", write)
            yield


async def life(folder: Path, how: str, runs: int, points: Points) -> list[Any]:
    definition, path = defined(TEXT, how), folder / "journal.db"
    ledger = Ledger(folder / "ledger", points.reach)
    with points.of_commits(), engine(path, definition, ledger) as found:
        return await run_all(found, definition, ids(runs), points.reach)


def too_early(trace: Trace, path: Path, durable: int = 0) -> list[str]:
    """What left or was told before the commit that holds it had returned. `durable`: what was on
    the disk before."""
    intended, ended = intents(path), ends(path)
    wrong = []
    for what, which in trace:
        match what:
            case "committed":
                durable = which or durable
            case "left" if intended.get(which, durable + 1) > durable:
                wrong.append(f"a call left before its intent was committed: {which}")
            case "told" if ended.get(which, durable + 1) > durable:
                wrong.append(f"the end of {which} was told before it was committed")
            case _:
                pass
    return wrong


def test_nothing_leaves_and_nothing_is_told_before_its_commit_returned(
    folder: Path, how: str
) -> None:
    points = Points()
    outcomes = asyncio.run(life(folder, how, 64, points))
    wanted, effects = expected(ids(64))
    assert (outcomes, Ledger(folder / "ledger").effects()) == (wanted, effects)
    whats = [what for what, _ in points.trace]
    assert whats.count("left") == 43 * 4 + 21 * 7
    assert whats.count("told") == 64
    assert whats.count("committed") < whats.count("left") / 2, "it was not loaded"
    assert too_early(points.trace, folder / "journal.db") == []


async def _at_once(*_: Any) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("fault", ["a call left", "was told"])
def test_the_trace_would_show_it(folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    if fault == "a call left":
        monkeypatch.setattr(SqliteSession, "step", LocalSession.step)
    else:
        monkeypatch.setattr(Store, "committed", _at_once)
    points = Points()
    asyncio.run(life(folder, "interpreted", 64, points))
    assert any(fault in wrong for wrong in too_early(points.trace, folder / "journal.db"))


def killed_at(folder: Path, how: str, runs: int, point: int) -> bool:
    """A process that dies at this point, if it gets there; whether it did."""
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(life(folder, how, runs, Points(folder / "report", point)))
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def lost(folder: Path) -> list[str]:
    """What was done or told by a process that died, and is not on the disk."""
    path, report = folder / "journal.db", folder / "report"
    if not report.exists():
        return []
    intended, ended = intents(path), ends(path)
    told = [line.split(" ") for line in report.read_text().splitlines()]
    return [which for what, which in told if which not in (intended if what == "left" else ended)]


def test_killed_at_each_of_these_points_it_loses_nothing(folder: Path, how: str) -> None:
    runs, point, died = 16 if SLOW else 6, 0, True
    wanted, effects = expected(ids(runs))
    defined(TEXT, how)  # before anything is forked
    while died:
        point += 1 if SLOW or how == "interpreted" else 4
        inner = folder / str(point)
        inner.mkdir()
        died = killed_at(inner, how, runs, point)
        assert lost(inner) == [], point
        points, before = Points(), last(inner / "journal.db")
        outcomes = asyncio.run(life(inner, how, runs, points))
        assert (outcomes, Ledger(inner / "ledger").effects()) == (wanted, effects), point
        assert too_early(points.trace, inner / "journal.db", before) == [], point
    assert point > 40
    assert check(inner / "journal.db") == ()


def test_a_kill_would_show_what_was_told_too_early(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "committed", _at_once)
    for point in range(1, 200):
        inner = folder / str(point)
        inner.mkdir()
        assert killed_at(inner, "interpreted", 6, point), "it lived on"
        if (inner / "journal.db").exists() and lost(inner):
            return
