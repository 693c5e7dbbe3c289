"""What `import sagalang` costs, and what type checkers see."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sagalang
import sagalang.api

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).with_name("sample.py")


def test_importing_sagalang_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import sagalang;"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['sagalang']\n"


def test_what_is_listed_is_there_and_what_is_not_is_none() -> None:
    assert set(sagalang.__all__) == set(sagalang.api.__all__) <= set(dir(sagalang))
    for name in sagalang.__all__:
        assert getattr(sagalang, name) is getattr(sagalang.api, name)
    with pytest.raises(AttributeError, match="'sagalang' has no attribute 'opne'"):
        sagalang.opne  # type: ignore[attr-defined]  # noqa: B018


def test_the_two_twins_have_the_same_methods() -> None:
    def methods(cls: type) -> set[str]:
        return {name for name in vars(cls) if not name.startswith("_")}

    assert methods(sagalang.Sagas) == methods(sagalang.AsyncSagas)


def test_a_type_checker_knows_where_await_is_needed(tmp_path: Path) -> None:
    """Also of an installed package: `py.typed` is there."""
    (tmp_path / "sample.py").write_text(SAMPLE.read_text("utf-8"), "utf-8")
    kept = f"--cache-dir={ROOT / '.mypy_cache' / 'api'}"  # most of it is about sagalang itself
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", kept, "sample.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = set(re.findall(r"sample\.py:(\d+): error: .*\[([a-z-]+)\]", done.stdout))
    lines = enumerate(SAMPLE.read_text("utf-8").splitlines(), 1)
    wanted = {(str(n), mark[1]) for n, line in lines if (mark := re.search(r"# E: (\S+)", line))}
    assert found == wanted, done.stdout + done.stderr
