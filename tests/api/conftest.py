from __future__ import annotations

from pathlib import Path

import pytest

from api.tea import Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture(params=["memory", "file"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where runs are kept: what is said of them is the same."""
    return tmp_path / "journal.db" if request.param == "file" else None
