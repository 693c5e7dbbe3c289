"""Runs on a disk that is full: told plainly, nothing is called that is not recorded, and once there
is room they go on to their ends."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engines.definitions import defined
from engines.loaded import TEXT, Ledger, ends, engine, expected, ids, intents, run_all
from engines.stores import mounted
from sagalang.runtime.engine import EngineError
from sagalang.runtime.sqlite import FullError, check, connecting

AT_ONCE = 32


class Left:
    """What left, and what was told."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.told: list[str] = []

    def heard(self, what: str, which: str) -> None:
        if what == "left":
            self.keys.add(which)
        else:
            self.told.append(which)


def life(path: Path, ledger: Path, how: str, runs: Sequence[str], left: Left) -> list[Any]:
    async def main() -> list[Any]:
        definition = defined(TEXT, how)
        with engine(path, definition, Ledger(ledger, left.heard)) as found:
            return await run_all(found, definition, runs, left.heard)

    return asyncio.run(main())


def filled(path: Path, ledger: Path, how: str) -> list[str]:
    """A process that runs sagas until the disk is full; the ids of all that began."""
    definition, runs, left = defined(TEXT, how), ids(0), Left()
    stopped: list[Any] = []

    async def main() -> None:
        with engine(path, definition, Ledger(ledger, left.heard)) as found:
            while not stopped:
                more = ids(len(runs) + AT_ONCE)[len(runs) :]
                runs.extend(more)
                outcomes = await run_all(found, definition, more, left.heard)
                stopped.extend(told for told in outcomes if not isinstance(told, str))

    asyncio.run(main())
    assert {type(error) for error in stopped} == {FullError}, stopped
    for error in stopped:
        assert str(error) == "the disk is full: journal.db cannot grow"
        assert "free some space and `saga resume`" in error.advice
    assert len(left.told) + len(stopped) == len(runs), "a run was told as over that is not"
    assert left.keys <= intents(path).keys(), "a call left that is not recorded"
    assert set(left.told) <= ends(path).keys()
    return runs


def goes_on(path: Path, ledger: Path, how: str, runs: list[str]) -> None:
    outcomes, effects = expected(runs)
    assert life(path, ledger, how, runs, Left()) == outcomes
    assert Ledger(ledger).effects() == effects
    assert check(path) == ()


def test_runs_in_a_file_that_may_not_grow_go_on_when_it_may(
    path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    owning = connecting.owning

    def limited(path: Path) -> sqlite3.Connection:
        found = owning(path)
        found.execute("PRAGMA max_page_count = 60")
        return found

    ledger = path.with_name("ledger")
    with monkeypatch.context() as patch:
        patch.setattr(connecting, "owning", limited)
        runs = filled(path, ledger, how)
    goes_on(path, ledger, how, runs)


def test_runs_on_a_full_disk_go_on_when_there_is_room(tmp_path: Path, how: str) -> None:
    disk, ledger = tmp_path / "disk", tmp_path / "ledger"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "-o", "size=2m", "tmpfs"):
        path, ballast = disk / "journal.db", disk / "ballast"
        ballast.write_bytes(bytes(1_500_000))
        runs = filled(path, ledger, how)
        still_full(path, ledger, how, runs, ballast)
        ballast.unlink()
        goes_on(path, ledger, how, runs)


def still_full(path: Path, ledger: Path, how: str, runs: list[str], ballast: Path) -> None:
    """Who tries again before there is room is told the same, however little there is."""
    with ballast.open("ab", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                break
    size = ballast.stat().st_size
    for free in range(0, 60_000, 12_288):
        os.truncate(ballast, size - free)
        left, told = Left(), ""
        try:
            outcomes = life(path, ledger, how, runs, left)
            stopped = [found for found in outcomes if not isinstance(found, str)]
        except EngineError as error:
            stopped, told = [error], str(error)
        assert {type(error) for error in stopped} <= {FullError}, told
        assert left.keys <= intents(path).keys()
