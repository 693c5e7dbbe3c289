"""The README shows what the program really prints. `--bless` renews it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SAGA = Path(sys.executable).parent / "saga"
MERMAID = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)
SHOWN = re.compile(r"^    \$ (saga [^\n]*)\n((?:(?:    [^\n]*)?\n)*)(?=\S)", re.MULTILINE)
TIMES = re.compile(r"[\d.]+ (?:ms|s)\b")


def output(command: str, folder: Path) -> str:
    arguments = re.findall(r'"([^"]*)"|(\S+)', command.removeprefix("saga "))
    done = subprocess.run(
        [SAGA, *(quoted or plain for quoted, plain in arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout


def indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.rstrip().splitlines()) + "\n"


def test_readme_shows_the_real_diagram(request: pytest.FixtureRequest) -> None:
    text = README.read_text("utf-8")
    drawn = output("saga render examples/order/order.saga", ROOT)
    if request.config.getoption("--bless"):
        README.write_text(MERMAID.sub(lambda _: drawn, text, count=1), "utf-8")
        return
    found = MERMAID.search(text)
    assert found is not None
    assert found.group() == drawn


def test_readme_shows_real_output(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    broken = (ROOT / "examples/order/order.saga").read_text("utf-8")
    without = broken.replace("    compensate refund(key)\n", "")
    assert without != broken
    (tmp_path / "order.saga").write_text(without, "utf-8")
    text = README.read_text("utf-8")
    blocks = list(SHOWN.finditer(text))
    assert len(blocks) == 3
    for block in reversed(blocks):
        folder = tmp_path if " order.saga" in block.group(1) else ROOT
        real = indented(output(block.group(1), folder))
        if request.config.getoption("--bless"):
            text = text[: block.start(2)] + real + text[block.end(2) :]
        else:
            assert TIMES.sub("… ms", block.group(2)) == TIMES.sub("… ms", real)
    if request.config.getoption("--bless"):
        README.write_text(text, "utf-8")


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
