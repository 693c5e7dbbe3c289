"""The Python of README and docs/python.md runs, and prints what stands behind each `print`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_it_prints_what_it_says(
    document: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (ROOT / document).read_text("utf-8")
    code = "\n".join(
        BLOCK.findall(section(text, "From Python") if "docs" not in document else text)
    )
    wanted = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert wanted
    assert code.count("print(") == len(wanted), "each says what it prints"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    exec(compile(code, document, "exec"), {"__name__": "document"})
    assert capsys.readouterr().out.splitlines() == wanted
    assert (tmp_path / ".saga" / "journal.db").exists()
