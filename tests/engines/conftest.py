from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.definitions import HOWS
from engines.sqlite_under_test import SqliteOnAQuickDisk, SqliteUnderTest
from engines.under_test import Bench, EngineUnderTest, MemoryUnderTest

ENGINES: dict[str, type[EngineUnderTest]] = {
    "memory": MemoryUnderTest,
    "sqlite": SqliteUnderTest,
    "sqlite, quick disk": SqliteOnAQuickDisk,
}
"""Those that the conformance suite is for; see `under_test`."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bench" in metafunc.fixturenames:
        metafunc.parametrize("bench", ENGINES.values(), ids=ENGINES, indirect=True)
    if "how" in metafunc.fixturenames:
        metafunc.parametrize("how", HOWS)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: processes that are cut off in the test's own process
    are no power cuts, and files are made by the thousand."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as found:
        yield Path(found)


@pytest.fixture
def bench(request: pytest.FixtureRequest, folder: Path) -> Bench:
    """The engine that conforms, or does not."""
    return Bench(request.param, folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a journal file that is not there yet."""
    return tmp_path / "journal.db"
