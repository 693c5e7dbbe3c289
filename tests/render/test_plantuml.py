"""The PlantUML emitter: goldens, and texts that would break a line grammar."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from external.subjects import HOSTILE, hostile
from hypothesis import given
from hypothesis import strategies as st
from pictured import GOLDEN, GOLDENS, graph_in

from sagalang.render.diagram import (
    Arm,
    Fate,
    Fragment,
    FragmentKind,
    Item,
    Message,
    MessageKind,
    Note,
    NoteKind,
    Participant,
    ParticipantKind,
    Phase,
    SequenceDiagram,
    printable,
)
from sagalang.render.plantuml import emit, escape
from sagalang.render.sequence import model


@pytest.mark.parametrize(("source", "saga", "name"), GOLDENS)
def test_goldens(golden: Callable[[Path, str], None], source: Path, saga: str, name: str) -> None:
    diagram = model(graph_in(source, saga))
    assert emit(diagram) == emit(diagram)
    golden(GOLDEN / "plantuml" / f"{name}.puml", emit(diagram))


def test_hostile_golden(golden: Callable[[Path, str], None]) -> None:
    names = ("end", "a;b", "@enduml", '"', "**b** --c--", "<&>\\n", "</script>")
    golden(GOLDEN / "plantuml" / "hostile.puml", emit(hostile(*names), "dark"))


# --- Texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("create(order.id, x_1)", "create(order.id, x_1)"),
        ("a.b == 1 and c - d > 2", "a.b <U+003D><U+003D> 1 and c - d <U+003E> 2"),
        ("a;b", "a<U+003B>b"),
        ("# item", "<U+0023> item"),
        ("a // b/c", "a <U+002F><U+002F> b/c"),
        ("__x__", "<U+005F><U+005F>x<U+005F><U+005F>"),
        ("...", "<U+002E><U+002E><U+002E>"),
        ("(x)", "<U+0028>x)"),
        ("a\\nb", "a<U+005C>nb"),
        ("\\test", "<U+005C><U+200B>test"),
        ("a\nb", "a b"),
        ("%date()", "<U+0025>date()"),
        ("😀", "<U+1F600>"),
        ("Größe 日本", "Größe 日本"),
        ("", "<U+00A0>"),
        ("\u202e", "<U+00A0>"),
    ],
)
def test_escaping(text: str, escaped: str) -> None:
    assert escape(text) == escaped


MARK = re.compile(r"<U\+([0-9A-F]{4,6})>")


def check(text: str) -> None:
    """Decoded it is the text; undecoded it has nothing that PlantUML knows."""
    shown = escape(text)
    decoded = MARK.sub(lambda m: chr(int(m[1], 16)), shown)
    assert decoded.replace("\u200b", "") == (printable(text) or "\u00a0")
    assert "\\t" not in decoded
    plain = MARK.sub("x", shown)
    assert plain[0].isalnum()
    assert not re.search(r"""[^\w .,()\-+=?/]|([._\-=?/])\1""", plain), plain


@given(st.text() | st.text("ab .-_/=?*~<&#\\n"))
def test_an_escaped_text_has_nothing_that_the_grammar_knows(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts(text: str) -> None:
    check(text)


# --- Structure -----------------------------------------------------------------------------------

ONE = Participant("One", ParticipantKind.ORCHESTRATOR)
TWO = Participant("Two", ParticipantKind.SERVICE)


def body(*items: Item) -> list[str]:
    """What is written for the items."""
    lines = emit(SequenceDiagram("T", (ONE, TWO), items)).split("\n")
    assert lines[-2:] == ["@enduml", ""]
    start = next(at for at, line in enumerate(lines) if line.endswith(" as s1"))
    return lines[start + 1 : -2]


def test_the_head() -> None:
    cast = (
        Participant('a "b"', ParticipantKind.ORCHESTRATOR),
        Participant("end", ParticipantKind.SAGA),
        Participant("end", ParticipantKind.ACTOR),
    )
    lines = emit(SequenceDiagram("A;", cast, (), "what it does\n@enduml " * 6)).split("\n")
    assert lines[0] == "@startuml"
    title = next(line for line in lines if line.startswith("title"))
    assert title.startswith("title A<U+003B>\\n<size:12>what it does <U+0040>enduml what")
    assert title.count("<size:12>") == 2
    assert [line.split(" #")[0] for line in lines[-5:-2]] == [
        'participant "a <U+0022>b<U+0022>" as s0',
        'participant "end" as s1',
        'actor "end" as s2',
    ]


def test_every_kind_of_arrow_can_be_told_from_the_others() -> None:
    arrows = {
        (kind, fate): body(Message(0, 1, "x", kind, fate=fate))[0]
        for kind in MessageKind
        for fate in (Fate.ARRIVES, Fate.LOST)
        if (kind, fate) != (MessageKind.EVENT, Fate.LOST)  # as lost as a call
    }
    assert len(set(arrows.values())) == len(arrows)
    assert arrows[MessageKind.CALL, Fate.ARRIVES] == "s0 -> s1 : x"
    assert arrows[MessageKind.REPLY, Fate.LOST] == "s0 -->x s1 : x"
    assert re.fullmatch(r"s0 -\[#\w{6}\]-> s1 : x", arrows[MessageKind.COMPENSATION, Fate.ARRIVES])
    late = body(Message(0, 1, "x", MessageKind.CALL, fate=Fate.LATE))[0]
    assert re.fullmatch(r"s0 -\[#\w{6}\]->> s1 : x", late)


def test_fragments_and_their_arms() -> None:
    call = Message(0, 1, "x", MessageKind.CALL)
    assert body(
        Fragment(FragmentKind.PAR, (Arm("", (call,)), Arm("end", ()))),
        Fragment(
            FragmentKind.CRITICAL,
            (Arm("a", (Fragment(FragmentKind.LOOP, (Arm("#b", (call,)),)),)), Arm("c", ())),
        ),
    ) == [
        "par",
        "  s0 -> s1 : x",
        "else end",
        "end",
        "critical a",
        "  loop <U+0023>b",
        "    s0 -> s1 : x",
        "  end",
        "else c",
        "end",
    ]


def test_each_arm_in_a_compensation_has_its_colour() -> None:
    both = Fragment(FragmentKind.PAR, (Arm("a", ()), Arm("", ())))
    group, first, second, _, _, after, *_ = body(Phase((both,)), both)
    ground = group.removesuffix(" compensation").split(" ")[-1]
    assert re.fullmatch(rf"  par#\w{{6}} {ground} a", first)
    assert second == f"  else {ground}"
    assert after == "par a"


def test_notes() -> None:
    lines = body(
        Note(("a", "b;c"), NoteKind.INFO, (1, 1)),
        Note(("left",), NoteKind.MARK, (1, 0)),
        Note(("beyond",), NoteKind.CRASH, (5, 7)),
        Note(("all",), NoteKind.OUTCOME),
        Note(("point of no return", "== x"), NoteKind.PIVOT),
    )
    assert [re.sub(r"#\w{6}", "#", line) for line in lines] == [
        "note over s1 # : a\\nb<U+003B>c",
        "note over s0, s1 # : left",
        "hnote over s1 # : beyond",
        "rnote over s0, s1 # : all",
        "== point of no return\\n<U+003D><U+003D> x ==",
    ]


def test_both_themes_say_the_same_in_other_colours() -> None:
    diagram = hostile("a")
    light, dark = (
        re.findall(r"#[0-9A-F]{6}\b", emit(diagram, theme)) for theme in ("light", "dark")
    )
    assert len(light) == len(dark)
    assert not set(light) & set(dark)
    with pytest.raises(ValueError, match="theme"):
        emit(diagram, "auto")
