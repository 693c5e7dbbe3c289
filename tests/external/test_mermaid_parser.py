"""Every diagram is put before the real Mermaid parser, and what it read is compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sagalang.graph import lower
from sagalang.render import diagram as d
from sagalang.render.mermaid import emit
from sagalang.render.sequence import model
from sagalang.workspace import load

HERE = Path(__file__).parent / "mermaid"
ROOT = Path(__file__).parents[2]
EXAMPLES = 200 if "SAGA_SLOW" in os.environ else 60
GOLDEN = ROOT / "tests" / "golden" / "mermaid"
SOURCES = (
    (ROOT / "examples" / "order" / "order.saga", "PlaceOrder"),
    (ROOT / "examples" / "shop" / "shop.saga", "PlaceOrder"),
    (GOLDEN / "constructs.saga", "BookTrip"),
    (GOLDEN / "constructs.saga", "Luggage"),
)
HOSTILE = (
    "end",
    "END",
    "a;b",
    "#",
    "#59;",
    "#quot;",
    '"',
    "'",
    "`x`",
    "<b>",
    "</script><script>alert(1)</script>",
    "&lt;",
    "a\nb",
    "\r\n",
    "😀👩\u200d💻",
    "\u202eright to left\u2066",
    "مرحبا بالعالم",
    "x" * 200,
    "wrap:",
    ":wrap: x",
    "nowrap:x",
    "%%{init: {}}%%",
    "%% comment",
    "style a:b#1;",
    "classDef x:y#1;",
    "participant s0 as x",
    "Note over s0: x",
    "@{ type: actor }",
    "->>",
    "-x",
    "s0->>s1: hi",
    "$$\\frac{1}{2}$$",
    "rgb(1, 2, 3)",
    "autonumber",
    "title: x",
    "accTitle: x",
    "box x",
    "()",
    "+x",
    "-",
    "",
    " ",
    "ﬂ°°59¶ß",
    "else",
    "and",
    "option x",
)

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
        assert found["notes"] == [
            "<br/>".join(shown(line) for line in note.lines) for note in notes(diagram.items)
        ], text
        assert found["title"] == shown(diagram.title)


def shown(text: str) -> str:
    return d.printable(text) or "\u00a0"


def notes(items: tuple[d.Item, ...]) -> list[d.Note]:
    found: list[d.Note] = []
    for item in items:
        match item:
            case d.Note():
                found.append(item)
            case d.Phase(items=inner):
                found += notes(inner)
            case d.Fragment(arms=arms):
                found += [note for arm in arms for note in notes(arm.items)]
    return found


def test_examples_are_read_as_they_were_meant() -> None:
    compare([model(lower(load(str(path)).program, saga)) for path, saga in SOURCES])


def test_goldens_are_accepted() -> None:
    paths = sorted(GOLDEN.glob("*.mmd"))
    assert len(paths) >= len(SOURCES)
    for path, found in zip(paths, read([p.read_text("utf-8") for p in paths]), strict=True):
        assert found["ok"], f"{path.name}: {found.get('error')}"


def test_the_check_itself_can_fail() -> None:
    broken, good = read(["sequenceDiagram\n  end->>end: x;y\n", "sequenceDiagram\n  s0->>s1: x\n"])
    assert not broken["ok"]
    assert good["messages"] == [{"from": "s0", "to": "s1", "text": "x"}]


def hostile(text: str) -> d.SequenceDiagram:
    """The text in every place where a diagram can have one."""
    call = d.Message(0, 1, text, d.MessageKind.CALL)
    note = d.Note((text, text), d.NoteKind.INFO)
    arm = d.Arm(text, (call, note))
    several = (d.FragmentKind.PAR, d.FragmentKind.ALT, d.FragmentKind.CRITICAL)
    fragments = tuple(
        d.Fragment(kind, (arm, arm) if kind in several else (arm,)) for kind in d.FragmentKind
    )
    return d.SequenceDiagram(
        text,
        (
            d.Participant(text, d.ParticipantKind.ORCHESTRATOR),
            d.Participant(text, d.ParticipantKind.SERVICE),
            d.Participant(text, d.ParticipantKind.ACTOR),
        ),
        (call, note, d.Phase((call,)), *fragments),
        text,
    )


def test_hostile_texts_in_every_place() -> None:
    compare([hostile(text) for text in HOSTILE])


def texts() -> st.SearchStrategy[str]:
    odd = st.sampled_from(HOSTILE)
    return st.one_of(odd, st.text(max_size=30), st.tuples(odd, odd).map("".join))


@st.composite
def diagrams(draw: st.DrawFn) -> d.SequenceDiagram:
    kinds = st.sampled_from(d.ParticipantKind)
    cast = draw(st.lists(st.builds(d.Participant, texts(), kinds), min_size=1, max_size=6))
    last = len(cast) - 1
    at = st.integers(0, last)
    kind, fate = st.sampled_from(d.MessageKind), st.sampled_from(d.Fate)
    message = st.builds(d.Message, at, at, texts(), kind, fate=fate)
    lines = st.lists(texts(), min_size=1, max_size=3).map(tuple)
    note = st.builds(d.Note, lines, st.sampled_from(d.NoteKind), st.none() | st.tuples(at, at))

    def nested(inner: st.SearchStrategy[d.Item]) -> st.SearchStrategy[d.Item]:
        items = st.lists(inner, max_size=3).map(tuple)
        arm = st.builds(d.Arm, texts(), items)
        several = st.builds(
            d.Fragment,
            st.sampled_from((d.FragmentKind.PAR, d.FragmentKind.ALT, d.FragmentKind.CRITICAL)),
            st.lists(arm, min_size=1, max_size=3).map(tuple),
        )
        single = st.builds(
            d.Fragment,
            st.sampled_from((d.FragmentKind.LOOP, d.FragmentKind.OPT, d.FragmentKind.BREAK)),
            st.tuples(arm),
        )
        return st.one_of(several, single, st.builds(d.Phase, items))

    items = st.lists(st.recursive(message | note, nested, max_leaves=12), max_size=6)
    return d.SequenceDiagram(draw(texts()), tuple(cast), tuple(draw(items)), draw(texts()))


def test_generated_diagrams() -> None:
    """Collected first: one parser process reads them all."""
    found: list[d.SequenceDiagram] = []

    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(diagrams())
    def collect(diagram: d.SequenceDiagram) -> None:
        found.append(diagram)

    collect()
    assert len(found) > EXAMPLES * 3 // 4
    compare(found)
