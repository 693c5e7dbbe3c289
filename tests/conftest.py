"""Shared by all tests: `--bless`, and golden files."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no finding: how long something takes is what the benchmarks measure.
settings.register_profile(
    "sagalang", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("sagalang")

# Tests start free of memories; those of a journal file name one.
os.environ["SAGA_DB"] = ":memory:"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless",
        action="store_true",
        help="rewrite golden files and expected messages; read the difference before you commit",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a committed file; `--bless` writes the file."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--bless"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        if text != expected:
            difference = difflib.unified_diff(
                expected.splitlines(), text.splitlines(), "committed", "found", lineterm=""
            )
            pytest.fail("\n".join([f"{path.name} differs (bless with --bless):", *difference]))

    return compare
