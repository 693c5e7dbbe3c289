"""Files that are no journals, disks that are full, files that vanish: said plainly, and no harm."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from engines.stores import mounted, new, opened, owned
from sagalang.runtime.sqlite import (
    DamagedError,
    ForeignFileError,
    FormatError,
    FullError,
    InUseError,
    LostError,
    MissingError,
    ReadOnlyError,
    Store,
    StoreError,
    check,
    connecting,
    reading,
    schema,
    send,
)


def written(path: Path, runs: int = 1) -> None:
    async def main() -> None:
        with opened(path) as store:
            for n in range(runs):
                store.begin(new(f"o-{n}"), bytes(1000))

    asyncio.run(main())


def refused(path: Path, wanted: type[StoreError]) -> str:
    """What the owner, and a reader, are told."""
    with pytest.raises(wanted) as caught, owned(path):
        pass
    assert caught.value.advice
    with pytest.raises(wanted), reading(path):
        pass
    return str(caught.value)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    if os.geteuid():
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
    else:
        with mounted(folder, "--bind", str(folder)):
            remount = ["mount", "-o", "remount,ro,bind", folder]
            subprocess.run(remount, check=True)
            yield


# --- Files that are something else -------------------------------------------------------------


def a_text(path: Path) -> None:
    path.write_text("Dear diary, " * 100)


def another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA application_id = 7; CREATE TABLE photos (name TEXT)")


def a_plain_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE photos (name TEXT)")


@pytest.mark.parametrize("make", [a_text, another_program, a_plain_database])
def test_a_foreign_file_is_refused_and_not_touched(
    path: Path, make: Callable[[Path], None]
) -> None:
    make(path)
    before = path.read_bytes()
    with pytest.raises(ForeignFileError, match=r"journal\.db is not a journal"), owned(path):
        pass
    assert [each.name for each in path.parent.iterdir()] == ["journal.db"]
    for use in (reading(path).__enter__, lambda: send(path, "o-1", "signal", "e", b"", 0)):
        with pytest.raises(ForeignFileError):
            use()
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    written(path)
    with reading(path) as reader:
        assert len(reader.runs()) == 1


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    assert "there is no folder" in refused(tmp_path / "no" / "journal.db", MissingError)


def test_a_reader_makes_no_file(path: Path) -> None:
    with pytest.raises(MissingError, match="there is no file"), reading(path):
        pass
    with pytest.raises(MissingError):
        send(path, "o-1", "signal", "e", b"", 0)
    assert not path.exists()


def test_a_folder_in_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir()
    assert "is a folder" in refused(path, ForeignFileError)


def test_what_is_damaged_is_found_and_said(path: Path) -> None:
    written(path, runs=200)
    with reading(path) as reader:
        number = reader.runs()[0].number
    assert check(path) == ()
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(os.urandom(path.stat().st_size - 4096 * 6))
    assert check(path)

    def read_all() -> None:
        with reading(path) as reader:
            for each in range(number + 1):
                reader.entries(each)

    with pytest.raises(DamagedError, match=r"journal\.db is damaged") as caught:
        read_all()
    assert "backup" in caught.value.advice


# --- Formats -----------------------------------------------------------------------------------


def version_0(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")


def test_an_earlier_format_is_brought_up_to_date_by_an_owner_only(path: Path) -> None:
    version_0(path)
    with pytest.raises(FormatError, match="older format"), reading(path):
        pass
    written(path)
    with reading(path) as reader:
        assert [run.id for run in reader.runs()] == ["o-0"]


def test_steps_of_later_formats_run_once_each_and_keep_what_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path)
    ran: list[int] = []

    def second(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE runs ADD COLUMN team TEXT")
        ran.append(2)

    def third(db: sqlite3.Connection) -> None:
        db.execute("UPDATE runs SET team = 'ops'")
        ran.append(3)

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, second, third))
    monkeypatch.setattr(schema, "VERSION", 3)
    for _ in range(2):
        with owned(path) as store:
            assert [run.id for run in store.reader.runs()] == ["o-0"]
    assert ran == [2, 3]


def test_a_step_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path)

    def breaks(db: sqlite3.Connection) -> None:
        db.execute("DROP TABLE runs")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, breaks))
        patch.setattr(schema, "VERSION", 2)
        with pytest.raises(KeyboardInterrupt), owned(path):
            pass
    with reading(path) as reader:
        assert [run.id for run in reader.runs()] == ["o-0"]


def test_a_later_format_is_refused(path: Path) -> None:
    written(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    assert "newer sagalang" in refused(path, FormatError)
    assert path.read_bytes() == before


# --- Disks -------------------------------------------------------------------------------------


async def filled(store: Store) -> tuple[int, int]:
    """Append until nothing more fits: the last number that was durable, and the run."""
    run, durable = store.begin(new("big"), b"")
    await store.committed(durable)
    told: list[BaseException | None] = [None]
    for _ in range(1000):
        seq = store.append(run, bytes(10_000))
        told = await asyncio.gather(
            *(store.committed(seq) for _ in range(3)), return_exceptions=True
        )
        if any(told):
            break
        durable = seq
    assert [type(each) for each in told] == [FullError] * 3
    assert "the disk is full" in str(told[0])
    with pytest.raises(FullError):
        store.append(run, b"")
    return durable, run


def resumable(path: Path, durable: int, run: int) -> None:
    async def main() -> None:
        with opened(path) as store:
            there = [seq for seq, _ in store.reader.entries(run)]
            assert there[:durable] == list(range(1, durable + 1))
            await store.committed(store.append(run, bytes(10_000)))

    asyncio.run(main())
    assert check(path) == ()


def test_a_file_that_cannot_grow_ends_the_store_and_keeps_what_was_durable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owning = connecting.owning

    def limited(path: Path) -> sqlite3.Connection:
        found = owning(path)
        found.execute("PRAGMA max_page_count = 100")
        return found

    async def main() -> tuple[int, int]:
        with opened(path) as store:
            return await filled(store)

    with monkeypatch.context() as patch:
        patch.setattr(connecting, "owning", limited)
        durable, run = asyncio.run(main())
    assert durable > 10
    resumable(path, durable, run)


def test_a_full_disk_ends_the_store_and_keeps_what_was_durable(tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        with opened(disk / "journal.db") as store:
            return await filled(store)

    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(300_000))
        durable, run = asyncio.run(main())
        assert durable > 10
        ballast.unlink()
        resumable(disk / "journal.db", durable, run)


def filled_up(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_was_full_before_is_named(tmp_path: Path, there: bool) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        ballast, path = disk / "ballast", disk / "journal.db"
        if there:
            written(path)
        filled_up(ballast)
        size = ballast.stat().st_size
        with pytest.raises(FullError, match="the disk is full"), owned(path):
            pass
        for free in range(4096, 120_000, 4096):
            os.truncate(ballast, size - free)
            with suppress(FullError), owned(path):
                pass
        with owned(path) as store:
            assert len(store.reader.runs()) == there


def test_a_read_only_folder_can_be_read_and_not_owned(path: Path) -> None:
    folder = path.parent / "archive"
    folder.mkdir()
    written(folder / "journal.db")
    with read_only(folder):
        journal = folder / "journal.db"
        with pytest.raises(ReadOnlyError, match="cannot be written"), owned(journal):
            pass
        with reading(journal) as reader:
            assert [run.id for run in reader.runs()] == ["o-0"]


def test_another_program_that_keeps_the_file_locked_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "PATIENCE", 0.1)

    async def main() -> None:
        with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
            run, seq = store.begin(new("o-1"), b"")
            await store.committed(seq)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(InUseError, match="locked for too long"):
                await store.committed(store.append(run, b""))

    asyncio.run(main())
    with reading(path) as reader:
        assert len(reader.entries(1)) == 1


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db.lock"])
@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_durable_in_a_file_that_is_gone(path: Path, name: str, replaced: bool) -> None:
    async def main() -> None:
        with opened(path) as store:
            run, seq = store.begin(new("o-1"), b"")
            await store.committed(seq)
            victim = path.with_name(name)
            victim.rename(path.with_name("elsewhere"))
            if replaced:
                victim.touch()
            with pytest.raises(LostError, match=f"{name} was deleted, moved or replaced"):
                await store.committed(store.append(run, b""))
            with pytest.raises(LostError):
                store.append(run, b"")

    asyncio.run(main())
