"""The breaker's diagram is that of its table, and Mermaid reads all diagrams of the machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sagalang.machine import pictures
from sagalang.machine.breaker import CLOSED, NEXT, Phase, Turning

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "resilience.md"
PARSER = ROOT / "tests" / "external" / "mermaid"
BLOCK = re.compile(r"(?<=--bless -->\n\n).*?(?=<!-- end of breaker -->)", re.DOTALL)
NAMED = re.compile(r'  state "[\w-]+" as \w+')
READ = """
import { JSDOM } from "jsdom";
globalThis.window = new JSDOM("<body></body>").window;
globalThis.document = window.document;
const { default: mermaid } = await import("mermaid");
mermaid.initialize({ startOnLoad: false });
let input = "";
for await (const part of process.stdin) input += part;
const found = [];
for (const text of JSON.parse(input)) {
  const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
  found.push({ arrows: db.getRelations().map((r) => [r.id1, r.id2, r.relationTitle]) });
}
process.stdout.write(JSON.stringify(found));
"""


def test_the_page_shows_the_breakers_table(request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text("utf-8")
    drawn = f"```mermaid\n{pictures.circuit_breaker()}\n```\n\n"
    if request.config.getoption("--bless"):
        PAGE.write_text(BLOCK.sub(lambda _: drawn, text, count=1), "utf-8")
        return
    found = BLOCK.search(text)
    assert found is not None
    assert found.group() == drawn, "run: pytest tests/machine/test_pictures.py --bless"


def test_every_phase_of_a_breaker_is_entered_and_left_and_every_cause_is_used() -> None:
    assert {before for before, _ in NEXT} == set(Phase)
    assert {CLOSED.phase, *NEXT.values()} == set(Phase)
    assert {turning for _, turning in NEXT} == set(Turning)


@pytest.mark.external
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(
    not (PARSER / "node_modules" / "mermaid").is_dir(),
    reason="run: npm install --no-audit --no-fund --prefix tests/external/mermaid",
)
def test_mermaid_reads_every_arrow_as_it_was_meant() -> None:
    texts = [
        make()
        for make in (pictures.saga, pictures.undoing, pictures.call, pictures.circuit_breaker)
    ]
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", READ],
        cwd=PARSER,
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    for text, found in zip(texts, json.loads(done.stdout), strict=True):
        lines = [line for line in text.splitlines()[1:] if not NAMED.fullmatch(line)]
        ends = {"root_start": "[*]", "root_end": "[*]"}
        assert [
            f"  {ends.get(one, one)} --> {ends.get(other, other)}: {why}"
            for one, other, why in found["arrows"]
        ] == lines
