"""Every diagram is put before the real Mermaid parser, and what it read is compared."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pictured import notes
from subjects import drawn, examples, hostile_diagrams, random_diagrams, random_sagas

from sagalang.render import diagram as d
from sagalang.render.mermaid import emit

HERE = Path(__file__).parent / "mermaid"
GOLDEN = Path(__file__).parents[1] / "golden"

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (HERE / "node_modules" / "mermaid").is_dir(),
        reason="run: npm install --no-audit --no-fund --prefix tests/external/mermaid",
    ),
]


def read(texts: Sequence[str]) -> list[dict[str, Any]]:
    """What the real parser makes of each text."""
    done = subprocess.run(
        ["node", str(HERE / "mmcheck.mjs")],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    assert len(answers) == len(texts)
    return answers


def compare(diagrams: Sequence[d.SequenceDiagram]) -> None:
    texts = [emit(diagram) for diagram in diagrams]
    for diagram, text, found in zip(diagrams, texts, read(texts), strict=True):
        assert found["ok"], f"{found.get('error')}\n{text}"
        actor = d.ParticipantKind.ACTOR
        assert found["actors"] == [
            {
                "text": shown(who.name),
                "type": "actor" if who.kind is actor else "participant",
            }
            for who in diagram.participants
        ], text
        assert found["messages"] == [
            {"from": f"s{m.source}", "to": f"s{m.target}", "text": shown(m.text)}
            for m in d.messages(diagram.items)
        ], text
        assert found["notes"] == [noted(note) for note in notes(diagram.items)], text
        assert found["title"] == shown(diagram.title)


def shown(text: str) -> str:
    return d.printable(text) or "\u00a0"


def noted(note: d.Note) -> str:
    lines = [shown(line) for line in note.lines]
    if note.kind is d.NoteKind.PIVOT:
        lines[0] = f"=== {lines[0]} ==="
    return "<br/>".join(lines)


def test_examples_and_hostile_texts_are_read_as_they_were_meant() -> None:
    compare([*examples(), *hostile_diagrams()])


def test_random_diagrams_and_sagas() -> None:
    compare([*random_diagrams(), *drawn(random_sagas())])


def test_goldens_are_accepted() -> None:
    goldens = {path: path.read_text("utf-8") for path in sorted(GOLDEN.rglob("*.mmd"))}
    ours = {path: text for path, text in goldens.items() if text.startswith("sequenceDiagram")}
    assert len(ours) >= 4
    for path, found in zip(ours, read(list(ours.values())), strict=True):
        assert found["ok"], f"{path.name}: {found.get('error')}"


def test_the_check_itself_can_fail() -> None:
    broken, good = read(["sequenceDiagram\n  end->>end: x;y\n", "sequenceDiagram\n  s0->>s1: x\n"])
    assert not broken["ok"]
    assert good["messages"] == [{"from": "s0", "to": "s1", "text": "x"}]
