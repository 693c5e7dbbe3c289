"""Pictures in box characters: goldens, hostile names, and what holds for any diagram."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from unicodedata import category, combining, east_asian_width

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pictured import GOLDEN, GOLDENS, ORDER

from sagalang.cli.render import command
from sagalang.render import render
from sagalang.render.cells import width, wrap
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
    messages,
    printable,
)
from sagalang.render.text import emit
from sagalang.workspace import load

LEFT_TO_RIGHT = "\u200e"
EXAMPLES = 1_000 if "SAGA_SLOW" in os.environ else 30


@pytest.mark.parametrize(("source", "saga", "name"), GOLDENS)
def test_goldens(golden: Callable[[Path, str], None], source: Path, saga: str, name: str) -> None:
    golden(GOLDEN / "text" / f"{name}.txt", render(load(str(source)).program, saga, "text"))


def test_the_command_prints_the_picture() -> None:
    result = CliRunner().invoke(command, [str(ORDER), "--to", "text"])
    assert result.exit_code == 0
    assert result.output == (GOLDEN / "text" / "order.txt").read_text(encoding="utf-8")


# --- Reading a picture back ----------------------------------------------------------------------


def cells(line: str) -> list[str]:
    """What stands in each column, measured without the code under test."""
    found: list[str] = []
    for char in line:
        if char == LEFT_TO_RIGHT:
            continue
        if combining(char):
            found[-1] += char
        else:
            found += [char, ""] if east_asian_width(char) in "WF" else [char]
    return found


def body(picture: str) -> tuple[list[int], list[list[str]]]:
    """The columns of the lifelines, and the rows below the participants' boxes."""
    rows = [cells(line) for line in picture.split("\n")[:-1]]
    foot = next(i for i, row in enumerate(rows) if "╤" in row and "╚" in row)
    columns = [at for at, cell in enumerate(rows[foot]) if cell in ("╤", "┬")]
    widest = max(map(len, rows))
    return columns, [row + [" "] * (widest - len(row)) for row in rows[foot + 1 :]]


NO_SIDES = str.maketrans("", "", " │║")


def written(picture: str) -> list[str]:
    """All that stands right of each lifeline, without blanks and the sides of frames."""
    columns, rows = body(picture)
    edges = [*columns, max(map(len, rows), default=0) + 1]
    return [
        "".join("".join(row[left + 1 : right - 1]) for row in rows).translate(NO_SIDES)
        for left, right in pairwise(edges)
    ]


# --- Any diagram ---------------------------------------------------------------------------------

TEXTS = st.text("ab c;:#[]┃\n\t\x1b日本שלום\u0301\u202e😀", max_size=60)


@st.composite
def diagrams(draw: st.DrawFn) -> SequenceDiagram:
    count = draw(st.integers(1, 6))
    who = st.integers(0, count - 1)
    message = st.builds(
        Message, who, who, TEXTS, st.sampled_from(MessageKind), fate=st.sampled_from(Fate)
    )
    lines = st.lists(TEXTS, min_size=1, max_size=3).map(tuple)
    note = st.builds(Note, lines, st.sampled_from(NoteKind), st.none() | st.tuples(who, who))

    def around(inner: st.SearchStrategy[Item]) -> st.SearchStrategy[Item]:
        items = st.lists(inner, max_size=4).map(tuple)
        arms = st.lists(st.builds(Arm, TEXTS, items), min_size=1, max_size=3).map(tuple)
        several = st.sampled_from([FragmentKind.PAR, FragmentKind.ALT, FragmentKind.CRITICAL])
        arm = st.builds(Arm, TEXTS, items).map(lambda only: (only,))
        return st.one_of(
            st.builds(Phase, items),
            st.builds(Fragment, several, arms),
            st.builds(Fragment, st.sampled_from(FragmentKind), arm),
        )

    items = st.lists(st.recursive(message | note, around, max_leaves=8), max_size=6).map(tuple)
    kinds = st.sampled_from(ParticipantKind)
    others = [Participant(draw(TEXTS), draw(kinds)) for _ in range(count - 1)]
    first = Participant(draw(TEXTS), ParticipantKind.ORCHESTRATOR)
    return SequenceDiagram(draw(TEXTS), (first, *others), draw(items), draw(TEXTS))


LIFELINE = set("│┼╪┿├┤╞╡")


@settings(max_examples=EXAMPLES, deadline=None)
@given(diagrams(), st.none() | st.integers(1, 200))
def test_lifelines_are_never_broken_and_no_text_is_lost(
    diagram: SequenceDiagram, limit: int | None
) -> None:
    picture = emit(diagram, limit)
    columns, rows = body(picture)
    assert len(columns) == len(diagram.participants)
    for row in rows:
        for column in columns:
            assert row[column] in LIFELINE, picture
    texts = written(picture)
    for message in messages(diagram.items):
        gap = min(message.source, message.target)
        assert printable(message.text).replace(" ", "") in texts[gap], picture
    for line in picture.split("\n"):
        assert line == line.rstrip()
        assert not [c for c in line if category(c) == "Cc" or c == "\u202e"]


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(diagrams(), st.integers(1, 200))
def test_a_picture_is_as_narrow_as_it_can_be(diagram: SequenceDiagram, limit: int) -> None:
    def across(limit: int) -> int:
        return max(len(cells(line)) for line in emit(diagram, limit).split("\n"))

    assert across(limit) <= max(limit, across(1))
    assert emit(diagram, 100) == emit(diagram)


# --- Texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("Größe", 5),
        ("e\u0301", 1),
        ("日本", 4),
        ("שלום", 4),
        ("😀", 2),
        ("👍🏽", 2),
        ("👩‍👩‍👧", 2),
        ("🇩🇪", 2),
        ("❤\ufe0f", 2),
        ("1\ufe0f\u20e3", 2),
        ("\u0301", 0),
        ("각", 2),
        ("क्ष", 2),
        ("", 0),
    ],
)
def test_columns_of_a_text(text: str, columns: int) -> None:
    assert width(text) == columns


def test_long_words_are_broken_between_characters_only() -> None:
    assert wrap("to abcdefgh", 5) == ["to", "abcde", "fgh"]
    assert wrap("日本語", 5) == ["日本", "語"]
    assert wrap("e\u0301" * 3, 2) == ["e\u0301e\u0301", "e\u0301"]
    assert wrap("", 5) == [""]


LONG = "x" * 200
HOSTILE = [
    "end",
    ";",
    "a\nb\x1b[31mc",
    "😀👩‍👩‍👧",
    "שלום",
    "x" * 200,
    "\u202eevil",
    "",
    "日本語" * 9,
]


def hostile() -> SequenceDiagram:
    participants = [Participant(name, ParticipantKind.SERVICE) for name in HOSTILE]
    items = tuple(
        Message(0, index, name, MessageKind.CALL) for index, name in enumerate(HOSTILE) if index
    )
    return SequenceDiagram("hostile", tuple(participants), items)


def test_hostile_names_are_drawn_in_their_place(golden: Callable[[Path, str], None]) -> None:
    picture = emit(hostile())
    golden(GOLDEN / "text" / "hostile.txt", picture)
    assert "\x1b" not in picture
    assert "\u202e" not in picture
    assert picture.count("x") == 400


def test_a_name_from_right_to_left_cannot_turn_its_neighbours_around() -> None:
    line = next(line for line in emit(hostile()).split("\n") if "שלום" in line)
    assert f"{LEFT_TO_RIGHT}שלום{LEFT_TO_RIGHT}" in line


def test_every_kind_of_arrow_can_be_told_from_the_others() -> None:
    participants = tuple(
        Participant(name, kind)
        for name, kind in (
            ("Main", ParticipantKind.ORCHESTRATOR),
            ("A", ParticipantKind.SERVICE),
            ("B", ParticipantKind.SERVICE),
        )
    )

    def arrow(
        kind: MessageKind, source: int = 0, target: int = 2, fate: Fate = Fate.ARRIVES
    ) -> str:
        message = Message(source, target, "", kind, fate=fate)
        return emit(SequenceDiagram("", participants, (message,))).split("\n")[-2]

    lines = [
        arrow(kind, source, target, fate)
        for kind in MessageKind
        if kind is not MessageKind.REJECTION  # told by its text
        for source, target in ((0, 2), (2, 0))
        for fate in (Fate.ARRIVES, Fate.LOST)
    ]
    assert len(set(lines)) == len(lines)
    assert arrow(MessageKind.CALL) == "    ├──────┼────▶│"
    assert arrow(MessageKind.CALL, fate=Fate.LOST) == "    ├──────┼──✗  │"
    assert arrow(MessageKind.CALL, fate=Fate.LATE) == "    │  ┈┈┈┈┼┈┈┈┈▶│"
    assert arrow(MessageKind.REPLY, 2, 0, Fate.LOST) == "    │  ✗╌╌╌┼╌╌╌╌╌┤"
    assert arrow(MessageKind.COMPENSATION) == "    ╞══════╪════▶│"


def test_twenty_participants_are_drawn_however_wide_it_gets() -> None:
    participants = tuple(
        Participant(f"Service{n}", ParticipantKind.SERVICE if n else ParticipantKind.ORCHESTRATOR)
        for n in range(20)
    )
    calls = tuple(Message(0, n, f"call {n} " * 9, MessageKind.CALL) for n in range(1, 20))
    columns, rows = body(emit(SequenceDiagram("wide", participants, calls)))
    assert len(columns) == 20
    heads = [row.index("▶") + 1 for row in rows if "▶" in row]
    assert heads == columns[1:]
    assert columns[-1] < 20 * 14 + 36


def test_a_saga_that_calls_nobody_is_drawn_alone() -> None:
    alone = (Participant("Alone", ParticipantKind.ORCHESTRATOR),)
    items = (
        Note(("sleep 5m",), NoteKind.INFO, (0, 1)),
        Fragment(FragmentKind.OPT, (Arm("a", (Note(("b",), NoteKind.PIVOT),)),)),
        Message(0, 0, "itself", MessageKind.CALL),
        Note(("completed",), NoteKind.OUTCOME),
    )
    assert emit(SequenceDiagram("Alone", alone, items)) == (
        "Alone\n"
        "\n"
        "╔═══════╗\n"
        "║ Alone ║\n"
        "╚═══╤═══╝\n"
        "    │ [sleep 5m]\n"
        "┌───┼─ opt: a ───────┐\n"
        "│ ══╪═ b ═══════════ │\n"
        "└───┼────────────────┘\n"
        "    │ itself\n"
        "    ├──╮\n"
        "    │◀─╯\n"
        "━━━━┿━ completed ━━━━━\n"
    )
