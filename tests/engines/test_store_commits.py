"""What is durable, when one is told, and in which order."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from engines.stores import ended, new, opened
from sagalang.runtime.sqlite import (
    Change,
    ClosedError,
    RunExistsError,
    State,
    batch,
    connecting,
    reading,
    writer,
)


def on_disk(path: Path) -> list[tuple[int, int, bytes]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT seq, run, body FROM entries ORDER BY seq").fetchall()


def test_a_run_is_there_again_with_its_entries_in_order(path: Path) -> None:
    async def before() -> None:
        with opened(path) as store:
            one, _ = store.begin(new("o-1", began=5), b"started")
            store.begin(new("o-2", began=6, parent=one), b"child")
            store.append(one, b"\0intent\xff")
            last = store.append(one, b"outcome")
            await store.committed(last)

    async def after() -> None:
        with opened(path) as store:
            run = store.reader.run("o-1")
            assert run is not None
            assert store.reader.entries(run.number) == [
                (1, b"started"),
                (3, b"\0intent\xff"),
                (4, b"outcome"),
            ]
            assert store.reader.entries(run.number, after=3) == [(4, b"outcome")]
            (child,) = store.reader.children(run.number)
            assert (child.id, child.parent, child.state) == ("o-2", "o-1", State.RUNNING)
            assert store.reader.definition(run.definition) == "saga Order {}"
            assert store.append(run.number, b"goes on") == 5

    asyncio.run(before())
    asyncio.run(after())
    assert on_disk(path)[-1] == (5, 1, b"goes on")  # closing writes what was appended


def test_what_is_committed_is_on_the_disk_and_what_is_not_is_not_said_to_be(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            run, seq = store.begin(new("o-1"), b"1")
            told = asyncio.ensure_future(store.committed(seq))
            assert on_disk(path) == []
            await told
            assert on_disk(path) == [(1, run, b"1")]
            later = store.append(run, b"2")
            assert not told.exception()
            assert on_disk(path) == [(1, run, b"1")]
            await store.committed(later)
            assert len(on_disk(path)) == 2
            await store.committed(1)
            with pytest.raises(ValueError, match="no entry 99"):
                await store.committed(99)

    asyncio.run(main())


def test_a_commit_wakes_those_it_holds_and_no_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(connection: sqlite3.Connection, found: batch.Batch) -> None:
        time.sleep(0.1)
        batch.write(connection, found)

    async def main() -> None:
        monkeypatch.setattr(writer, "write", slowly)
        with opened(path) as store:
            run, first = store.begin(new("o-1"), b"")
            one = asyncio.ensure_future(store.committed(first))
            await asyncio.sleep(0.02)  # it is being written
            two = asyncio.ensure_future(store.committed(store.append(run, b"")))
            await one
            assert not two.done()
            await two
            assert len(on_disk(path)) == 2

    asyncio.run(main())


def test_one_commit_serves_all_runs_that_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def write(connection: sqlite3.Connection, found: batch.Batch) -> None:
        sizes.append(len(found.entries))
        batch.write(connection, found)

    async def main() -> None:
        monkeypatch.setattr(writer, "write", write)
        with opened(path) as store:

            async def saga(n: int) -> None:
                run, seq = store.begin(new(str(n)), b"")
                for _ in range(20):
                    await store.committed(seq)
                    seq = store.append(run, b"")

            await asyncio.gather(*map(saga, range(64)))

    asyncio.run(main())
    assert sum(sizes) == 64 * 21
    assert len(sizes) < 64 * 21 / 10


def test_who_waits_goes_on_in_the_order_of_the_entries(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            run, first = store.begin(new("o-1"), b"")
            numbers = [first, *(store.append(run, b"") for _ in range(20))]
            woken: list[int] = []

            async def wait(seq: int) -> None:
                await store.committed(seq)
                woken.append(seq)

            await asyncio.gather(*map(wait, reversed(numbers)))
            assert woken == numbers

    asyncio.run(main())


def test_a_waiter_that_is_cancelled_harms_nobody(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            _, seq = store.begin(new("o-1"), b"")
            one, two = (asyncio.ensure_future(store.committed(seq)) for _ in range(2))
            await asyncio.sleep(0)
            one.cancel()
            await two
            assert one.cancelled()

    asyncio.run(main())


def test_many_sizes_of_batches_arrive_whole(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            run, seq = store.begin(new("o-1"), b"0")
            for size in (1, 2, 3, 63, 64, 65, 1023, 1024, 1025, 2500):
                for _ in range(size):
                    seq = store.append(run, b"%d" % (seq + 1))
                await store.committed(seq)

    asyncio.run(main())
    found = on_disk(path)
    assert [seq for seq, _, _ in found] == list(range(1, len(found) + 1))
    assert all(body == b"%d" % seq for seq, _, body in found[1:])


def test_an_entry_and_what_it_means_for_the_lists_are_one(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            run, _ = store.begin(new("o-1", began=3), b"")
            stuck = Change(state=State.ESCALATED, at=4, error="Refused")
            await store.committed(store.append(run, b"", change=stuck))
            found = store.reader.run("o-1")
            assert found is not None
            assert (found.state, found.changed, found.ended) == (State.ESCALATED, 4, None)
            assert found.error == "Refused"
            # Two in one commit: the last counts.
            store.append(run, b"", change=Change(state=State.RUNNING, at=5))
            await store.committed(store.append(run, b"", change=ended(6)))
            found = store.reader.run("o-1")
            assert found is not None
            assert (found.state, found.ended, found.error) == (State.COMPLETED, 6, None)

    asyncio.run(main())


def test_an_id_begins_once(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            _, seq = store.begin(new("o-1"), b"")
            with pytest.raises(RunExistsError, match="o-1"):
                store.begin(new("o-1"), b"")
            await store.committed(seq)
            with pytest.raises(RunExistsError):
                store.begin(new("o-1"), b"")

    asyncio.run(main())
    asyncio.run(main_again(path))
    assert len(on_disk(path)) == 1


async def main_again(path: Path) -> None:
    with opened(path) as store, pytest.raises(RunExistsError):
        store.begin(new("o-1"), b"")


def test_half_a_character_ends_nothing(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            with pytest.raises(UnicodeEncodeError):
                store.begin(new("\ud800"), b"")
            run, _ = store.begin(new("\0 \U0001f600"), b"")
            odd = Change(state=State.ESCALATED, at=1, error="\ud800")
            await store.committed(store.append(run, b"", change=odd))
            found = store.reader.run("\0 \U0001f600")
            assert found is not None
            assert found.error == "?"

    asyncio.run(main())


def test_a_closed_store_takes_nothing(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            run, seq = store.begin(new("o-1"), b"")
            waiting = asyncio.ensure_future(store.committed(seq))
            await asyncio.sleep(0)
        await waiting  # closing wrote it
        with pytest.raises(ClosedError):
            store.append(run, b"")

    asyncio.run(main())


def test_commits_reach_the_disk(path: Path) -> None:
    async def main() -> None:
        with opened(path):
            pass

    asyncio.run(main())
    with closing(connecting.owning(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_the_log_is_written_back_as_it_grows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_LOG_PAGES", 50)

    async def main() -> None:
        with opened(path) as store:
            run, seq = store.begin(new("o-1"), b"")
            for _ in range(500):
                seq = store.append(run, bytes(4000))
                await store.committed(seq)
            await asyncio.to_thread(look, run)

    def look(run: int) -> None:
        assert path.stat().st_size > 1_000_000
        assert path.with_name("journal.db-wal").stat().st_size < 1_000_000
        with reading(path) as reader:
            assert len(reader.entries(run)) == 501

    asyncio.run(main())
