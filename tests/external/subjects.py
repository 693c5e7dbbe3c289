"""What is put before the programs that read our diagrams: examples, worst cases, and chance."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import cycle, islice, product
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pictured import FILES, HOSTILE_FILE
from verify.chance import random_saga

from sagalang.graph import lower
from sagalang.model.program import Program
from sagalang.render import choreography
from sagalang.render import diagram as d
from sagalang.render.atlas import atlas
from sagalang.render.sequence import model
from sagalang.workspace import load, load_text

SLOW: Final = "SAGA_SLOW" in os.environ
HOSTILE: Final = (
    "end",
    "END",
    "a;b",
    ";",
    "#",
    "#59;",
    "#quot;",
    '"',
    "'",
    "`x`",
    "\\",
    "\\n",
    "a\\nb\\tc\\",
    "\\t\\r\\l",
    "<b>",
    "<b>bold</b>",
    "</script><script>alert(1)</script>",
    "<!-- x -->",
    "]]>",
    "&lt;",
    "&#59;",
    "&#92;",
    "<&>",
    "<&heart>",
    "<$x>",
    "<img:x>",
    "<U+0041>",
    "<color:red>x",
    "a\nb",
    "\r\n",
    "\ta",
    "😀👩\u200d💻",
    "❤\ufe0f🇩🇪👍🏽",
    "e\u0301",
    "\u202eright to left\u2066",
    "مرحبا بالعالم",
    "שלום עולם",
    "日本語の名前",
    "x" * 200,
    "ten chars " * 20,
    "שלום" * 50,
    "日本" * 100,
    "wrap:",
    ":wrap: x",
    "nowrap:x",
    "%%{init: {}}%%",
    "%% comment",
    "%date()",
    "%newline()",
    "style a:b#1;",
    "classDef x:y#1;",
    "participant s0 as x",
    "Note over s0: x",
    "end note",
    "@{ type: actor }",
    "@enduml",
    "@startuml",
    "!include x",
    "!define s0 x",
    "!theme plain",
    "$x",
    "->>",
    "-x",
    "s0->>s1: hi",
    "s0 -> s1 : hi",
    "$$\\frac{1}{2}$$",
    "rgb(1, 2, 3)",
    "autonumber",
    "title: x",
    "title x",
    "accTitle: x",
    "box x",
    "[[http://x]]",
    "http://x",
    "~",
    "~~wave~~",
    "**bold**",
    "--strike--",
    "__under__",
    "//",
    "//italic//",
    '""mono""',
    "== x ==",
    "=",
    "...",
    "|||",
    "||45||",
    "| a | b |",
    "|= a |",
    "* item",
    "# item",
    "----",
    "====",
    "....",
    "{",
    "}",
    "{{",
    "[x]",
    "()",
    "(x)",
    "+x",
    "-",
    "?",
    "",
    " ",
    "ﬂ°°59¶ß",
    "else",
    "and",
    "option x",
    "digraph { a -> b }",
    "<<x>>",
    "/' comment '/",
    "' comment",
    "\u00a0",
    "\u2028",
    "\x00\x1b[31m",
    "\ue000\ufffe\U000e0041",
)


# --- Sagas ---------------------------------------------------------------------------------------


def sagas_of(path: Path) -> list[tuple[Program, str]]:
    """Every saga of a file that has no fault."""
    loaded = load(str(path))
    assert not loaded.diagnostics, [each.message for each in loaded.diagnostics]
    return [(loaded.program, name) for name in loaded.program.sagas]


def example_sagas() -> list[tuple[Program, str]]:
    """The sagas of both examples and of the golden pictures."""
    return [saga for path in FILES for saga in sagas_of(path)]


def hostile_sagas() -> list[tuple[Program, str]]:
    return sagas_of(HOSTILE_FILE)


def random_sagas(n: int = 300 if SLOW else 8) -> list[tuple[Program, str]]:
    """Well-typed sagas; the same ones every time. What their contracts lack no picture minds."""
    found = []
    for seed in range(n):
        loaded = load_text(random_saga(seed))
        mistyped = [e for e in loaded.diagnostics if e.is_error and e.code < "SG300"]
        assert not mistyped, mistyped
        found.append((loaded.program, "Main"))
    return found


def drawn(sagas: Iterable[tuple[Program, str]]) -> list[d.SequenceDiagram]:
    return [model(lower(program, name)) for program, name in sagas]


# --- Diagrams ------------------------------------------------------------------------------------


def examples() -> list[d.SequenceDiagram]:
    """Each saga as it is, as a choreography, and with SAGA_SLOW every way in which it fails."""
    sagas = example_sagas()
    graphs = [lower(program, saga) for program, saga in sagas]
    ways = [entry.diagram for graph in graphs for entry in atlas(graph)] if SLOW else []
    return [*drawn(sagas), *map(choreography.model, graphs), *ways]


SEVERAL: Final = (d.FragmentKind.PAR, d.FragmentKind.ALT, d.FragmentKind.CRITICAL)
SINGLE: Final = (d.FragmentKind.LOOP, d.FragmentKind.OPT, d.FragmentKind.BREAK)


def hostile_diagrams() -> list[d.SequenceDiagram]:
    """Each hostile text as the name of a participant, on an arrow, in a note, and at a fragment;
    with SAGA_SLOW alone in every place of a diagram. And the saga of hostile names."""
    together = 1 if SLOW else 6
    some = [HOSTILE[at : at + together] for at in range(0, len(HOSTILE), together)]
    return [*(hostile(*chunk) for chunk in some), *drawn(hostile_sagas())]


def hostile(*texts: str) -> d.SequenceDiagram:
    """The texts in turn, in every place where a diagram can have one. At most seven."""
    said = cycle(texts)
    size = max(3, len(texts))
    others = (d.ParticipantKind.SERVICE, d.ParticipantKind.SAGA, d.ParticipantKind.ACTOR)
    kinds = [d.ParticipantKind.ORCHESTRATOR, *islice(cycle(others), size - 1)]
    cast = tuple(d.Participant(next(said), kind, next(said)) for kind in kinds)

    def message(at: int, kind: d.MessageKind, fate: d.Fate = d.Fate.ARRIVES) -> d.Message:
        here, there = at % size, (at + 1) % size
        text = next(said)
        return d.Message(here, there, text, kind, text, None, fate, (next(said), next(said)))

    arrows = product(d.MessageKind, d.Fate)
    messages = tuple(message(at, kind, fate) for at, (kind, fate) in enumerate(arrows))
    notes = tuple(d.Note((next(said), next(said)), kind) for kind in d.NoteKind)
    itself = d.Message(1, 1, next(said), d.MessageKind.COMPENSATION)

    def arm(at: int) -> d.Arm:
        label, text = next(said), next(said)
        return d.Arm(label, (message(at, d.MessageKind.CALL), d.Note((text,), d.NoteKind.INFO)))

    fragments = tuple(
        d.Fragment(kind, tuple(arm(at) for at in range(2 if kind in SEVERAL else 1)))
        for kind in d.FragmentKind
    )
    phase = d.Phase((itself, fragments[0]))
    return d.SequenceDiagram(next(said), cast, (*messages, *notes, phase, *fragments), next(said))


def texts() -> st.SearchStrategy[str]:
    odd = st.sampled_from(HOSTILE)
    return st.one_of(odd, st.text(max_size=30), st.tuples(odd, odd).map("".join))


@st.composite
def diagrams(draw: st.DrawFn) -> d.SequenceDiagram:
    """Any diagram at all: empty arms, notes beyond the last participant, messages to oneself."""
    kinds = st.sampled_from(d.ParticipantKind)
    cast = draw(st.lists(st.builds(d.Participant, texts(), kinds), min_size=1, max_size=6))
    last = len(cast) - 1
    at = st.integers(0, last)
    kind, fate = st.sampled_from(d.MessageKind), st.sampled_from(d.Fate)
    message = st.builds(d.Message, at, at, texts(), kind, fate=fate)
    lines = st.lists(texts(), min_size=1, max_size=3).map(tuple)
    reach = st.integers(0, last + 1)
    over = st.none() | st.tuples(reach, reach)
    note = st.builds(d.Note, lines, st.sampled_from(d.NoteKind), over)

    def nested(inner: st.SearchStrategy[d.Item]) -> st.SearchStrategy[d.Item]:
        items = st.lists(inner, max_size=3).map(tuple)
        arm = st.builds(d.Arm, texts(), items)
        arms = st.lists(arm, min_size=1, max_size=3).map(tuple)
        several = st.builds(d.Fragment, st.sampled_from(SEVERAL), arms)
        single = st.builds(d.Fragment, st.sampled_from(SINGLE), st.tuples(arm))
        return st.one_of(several, single, st.builds(d.Phase, items))

    items = st.lists(st.recursive(message | note, nested, max_leaves=12), max_size=6)
    return d.SequenceDiagram(draw(texts()), tuple(cast), tuple(draw(items)), draw(texts()))


def random_diagrams(n: int = 200 if SLOW else 10) -> list[d.SequenceDiagram]:
    """About n generated diagrams, the same ones every time; one process can read them all."""
    found: list[d.SequenceDiagram] = []

    @settings(
        max_examples=n,
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
    assert len(found) > n * 3 // 4
    return found
