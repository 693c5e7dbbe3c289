"""The Mermaid emitter: goldens, and texts that would break a line grammar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictured import GOLDEN, GOLDENS

from sagalang.render import render
from sagalang.render.diagram import (
    Arm,
    Fragment,
    FragmentKind,
    Message,
    MessageKind,
    Note,
    NoteKind,
    Participant,
    ParticipantKind,
    SequenceDiagram,
)
from sagalang.render.mermaid import emit, escape
from sagalang.workspace import load


@pytest.mark.parametrize(("source", "saga", "name"), GOLDENS)
def test_goldens(golden: Callable[[Path, str], None], source: Path, saga: str, name: str) -> None:
    loaded = load(str(source))
    assert not loaded.diagnostics
    golden(GOLDEN / "mermaid" / f"{name}.mmd", render(loaded.program, saga))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("order.id, x", "order.id, x"),
        ("a;b", "a#59;b"),
        ("#1", "#35;1"),
        ('"x"', "#34;x#34;"),
        ("</script>", "#60;/script#62;"),
        ("a\nb\r\nc", "a b c"),
        ("%%{init}%%", "#37;#37;#123;init#125;#37;#37;"),
        ("wrap: x", "wrap#58; x"),
        ("x@{ y }", "x#64;#123; y #125;"),
        ("$$x$$", "#36;#36;x#36;#36;"),
        ("😀", "#128512;"),
        ("Größe", "Größe"),
        ("ﬂ°°59¶ß", "#64258;#176;#176;59#182;ß"),
        ("", "#160;"),
        ("\u202e", "#160;"),
    ],
)
def test_escaping(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@given(st.text())
def test_an_escaped_text_has_nothing_that_the_grammar_knows(text: str) -> None:
    shown = escape(text)
    assert shown == shown.strip()
    assert "\n" not in shown
    for part in shown.split("#")[1:]:
        assert part.split(";")[0].isdigit()
    assert not set('<>:@{}%"$&|\\~^`') & set(shown)
    assert shown.count("#") == shown.count(";")


def test_ids_are_never_names() -> None:
    diagram = SequenceDiagram(
        "end",
        (
            Participant("end", ParticipantKind.ORCHESTRATOR),
            Participant("note over a", ParticipantKind.ACTOR),
        ),
        (
            Message(0, 1, "end", MessageKind.CALL),
            Fragment(FragmentKind.OPT, (Arm("end", (Note(("a", "b;c"), NoteKind.INFO, (1, 1)),)),)),
            Note(("all", "b"), NoteKind.PIVOT),
            Note(("left",), NoteKind.INFO, (1, 0)),
            Note(("beyond",), NoteKind.INFO, (0, 7)),
            Note(("far beyond",), NoteKind.INFO, (7, 7)),
        ),
        "a doc: comment",
    )
    assert emit(diagram) == (
        "sequenceDiagram\n"
        "  accTitle: end\n"
        "  accDescr: a doc#58; comment\n"
        "  participant s0 as end\n"
        "  actor s1 as note over a\n"
        "  s0->>s1: end\n"
        "  opt end\n"
        "    Note over s1: a<br/>b#59;c\n"
        "  end\n"
        "  Note over s0,s1: === all ===<br/>b\n"
        "  Note over s0,s1: left\n"
        "  Note over s0,s1: beyond\n"
        "  Note over s1: far beyond\n"
    )


def test_a_saga_that_calls_nobody_is_drawn_alone() -> None:
    diagram = SequenceDiagram(
        "Alone",
        (Participant("Alone", ParticipantKind.ORCHESTRATOR),),
        (Note(("sleep 5m",), NoteKind.INFO, (0, 1)), Note(("completed",), NoteKind.OUTCOME)),
    )
    assert "Note over s0: sleep 5m\n  Note over s0: completed\n" in emit(diagram)
