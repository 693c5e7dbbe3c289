"""Lists, and what is deleted."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from engines.stores import ended, new, opened
from sagalang.runtime.sqlite import Change, ClosedError, State, Store, connecting, reading
from sagalang.runtime.sqlite.reading import Reader

STATES = list(State)
SAGAS = ["Order", "Refund", "Audit"]


def finished(store: Store, identity: str, at: int, parent: int | None = None) -> int:
    run, _ = store.begin(new(identity, began=at, parent=parent), b"1")
    store.append(run, b"2", change=ended(at))
    return run


def filled(path: Path, runs: int) -> None:
    """Runs of all states and sagas; the clock jumped back in the middle."""

    async def main() -> None:
        with opened(path) as store:
            for n in range(runs):
                began = n if n < runs // 2 else n - runs // 4
                run, _ = store.begin(new(f"o-{n}", began, SAGAS[n % 3]), b"1")
                state = STATES[n % 7 % 4]
                if state is not State.RUNNING:
                    store.append(run, b"2", change=Change(state=state, at=n, ended=n))

    asyncio.run(main())


FILTERS = list(
    itertools.product(
        [tuple(State), State.ESCALATED, (State.RUNNING, State.COMPENSATED)],
        [None, "Refund", "Other"],
        [None, 60],
        [None, 7],
    )
)


def test_a_list_has_what_was_asked_for_newest_first(path: Path) -> None:
    filled(path, 100)
    with reading(path) as reader:
        all_runs = reader.runs(limit=None)
        order = [(run.began, run.number) for run in all_runs]
        assert len(order) == 100
        assert order == sorted(order, reverse=True)
        for states, saga, since, limit in FILTERS:
            wanted = [
                run
                for run in all_runs
                if run.state in ([states] if isinstance(states, State) else states)
                and saga in (None, run.saga)
                and (since is None or run.began >= since)
            ][:limit]
            assert reader.runs(state=states, saga=saga, since=since, limit=limit) == wanted
        assert reader.runs(state=()) == []
        assert reader.run("o-7") in all_runs
        assert reader.run("o-100") is None


def work(path: Path, states: Sequence[State] | State, saga: str | None, since: int | None) -> int:
    """How many hundreds of instructions SQLite needs for a list."""
    done = 0

    def count() -> int:
        nonlocal done
        done += 1
        return 0

    with closing(connecting.reading(path)) as db:
        db.set_progress_handler(count, 100)
        Reader(db, path).runs(state=states, saga=saga, since=since, limit=5)
    return done


def test_a_list_costs_the_same_however_many_runs_the_file_holds(tmp_path: Path) -> None:
    small, large = tmp_path / "small.db", tmp_path / "large.db"
    filled(small, 100)
    filled(large, 10_000)
    for states, saga, since, _ in FILTERS:
        assert work(large, states, saga, since) <= 2 * work(small, states, saga, since) + 5


def test_old_runs_are_deleted_with_all_that_is_theirs(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            for n in range(200):
                finished(store, f"old-{n}", n)
            finished(store, "new", 1000)
            running, _ = store.begin(new("running", began=1), b"1")
            stuck, _ = store.begin(new("stuck", began=2), b"1")
            store.append(stuck, b"2", change=Change(state=State.ESCALATED, at=3))
            parent = finished(store, "parent", 5)
            finished(store, "child", 5, parent=parent)
            waits = finished(store, "waits", 5)
            store.begin(new("runs still", began=5, parent=waits), b"1")
            finished(store, "child of running", 6, parent=running)
            kept = ["child of running", "runs still", "waits", "stuck", "running"]
            assert await store.prune(500) == 202
            assert [run.id for run in store.reader.runs()] == ["new", *kept]
            assert await store.prune(500) == 0
            assert await store.prune(2000) == 1
            assert [run.id for run in store.reader.runs()] == kept

    asyncio.run(main())
    with closing(sqlite3.connect(path)) as db:
        (orphans,) = db.execute(
            "SELECT count(*) FROM entries WHERE run NOT IN (SELECT number FROM runs)"
        ).fetchone()
    assert orphans == 0


def test_runs_go_on_while_others_are_deleted(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            for n in range(2000):
                finished(store, f"old-{n}", n)
            run, seq = store.begin(new("new", began=9000), b"")
            await store.committed(seq)
            pruning = asyncio.ensure_future(store.prune(5000))
            written = 0
            while not pruning.done():
                await store.committed(store.append(run, b""))
                written += 1
            assert pruning.result() == 2000
            assert written > 5  # between its transactions

    asyncio.run(main())


def test_deleting_can_be_stopped(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            for n in range(2000):
                finished(store, f"old-{n}", n)
            await store.committed(store.append(1, b""))
            pruning = asyncio.ensure_future(store.prune(5000))
            await asyncio.sleep(0.01)
            pruning.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pruning
        with reading(path) as reader:
            assert reader.runs(limit=1)

    asyncio.run(main())


def test_closing_ends_what_is_being_deleted(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            for n in range(2000):
                finished(store, f"old-{n}", n)
            await store.committed(store.append(1, b""))
            pruning = asyncio.ensure_future(store.prune(5000))
            await asyncio.sleep(0)
        with pytest.raises(ClosedError):
            await asyncio.wait_for(pruning, 60)

    asyncio.run(main())


def test_numbers_are_never_used_twice(path: Path) -> None:
    async def once(identity: str) -> tuple[int, int]:
        with opened(path) as store:
            run, _ = store.begin(new(identity), b"")
            seq = store.append(run, b"", change=ended(1))
            await store.committed(seq)
            assert await store.prune(10) == 1
            return run, seq

    assert asyncio.run(once("a")) == (1, 2)
    assert asyncio.run(once("b")) == (2, 4)
    assert asyncio.run(once("c")) == (3, 6)
