"""Sagas drawn without an orchestrator: who hears of what before doing what."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from networkx import ancestors
from pictured import (
    CONSTRUCTS,
    GOLDEN,
    HOSTILE_FILE,
    ORDER,
    ROOT,
    SHOP,
    graph_in,
    graph_of,
)
from verify.chance import random_saga

from sagalang import graph as g
from sagalang.diagnostics.render import full
from sagalang.graph import lower
from sagalang.graph.structure import statements
from sagalang.machine.events import Purpose
from sagalang.model import program as p
from sagalang.render import choreography, mermaid, sequence, text
from sagalang.render.diagram import (
    Arm,
    Fragment,
    FragmentKind,
    Item,
    Message,
    MessageKind,
    Note,
    ParticipantKind,
    Phase,
    SequenceDiagram,
    messages,
    printable,
)
from sagalang.runtime import journal as j
from sagalang.scenario import run
from sagalang.workspace import load, load_text

RANDOM = 300 if "SAGA_SLOW" in os.environ else 25
PARSER = ROOT / "tests" / "external" / "mermaid"


SAGAS = {
    "order": graph_in(ORDER),
    "shop": graph_in(SHOP),
    "constructs": graph_in(CONSTRUCTS, "BookTrip"),
    "child": graph_in(CONSTRUCTS, "Luggage"),
    **{f"random {seed}": graph_of(random_saga(seed)) for seed in range(RANDOM)},
}
of_each_saga = pytest.mark.parametrize("graph", SAGAS.values(), ids=SAGAS)

SERVICES = """
error Broke
event Yes
service A { command a(id: string) keyed, records rejections rejects Broke compensate b(key)
  command b(of: key) idempotent, absent ok, fences late  query q(id: string) -> bool }
service B { command c(id: string) keyed compensate d(key)
  command d(of: key) idempotent, absent ok, fences late }
service C { command e(id: string) keyed }
"""


def arrows(diagram: SequenceDiagram) -> list[str]:
    """`A -> B: text`; an arrow to itself is `A: text`."""
    names = [who.name for who in diagram.participants]
    return [
        f"{names[m.source]}: {m.text}"
        if m.source == m.target
        else f"{names[m.source]} -> {names[m.target]}: {m.text}"
        for m in messages(diagram.items)
    ]


def notes(items: tuple[Item, ...]) -> Iterator[Note]:
    for item in items:
        match item:
            case Note():
                yield item
            case Phase(items=inner):
                yield from notes(inner)
            case Fragment(arms=arms):
                for arm in arms:
                    yield from notes(arm.items)


def duties(diagram: SequenceDiagram) -> list[str]:
    """What somebody has to see to: `A: line`."""
    return [
        f"{diagram.participants[note.over[0]].name}: {' '.join(note.lines)}"
        for note in notes(diagram.items)
        if note.over is not None
    ]


def drawn(body: str) -> SequenceDiagram:
    return choreography.model(graph_of(f"{SERVICES} saga S(id: string) {{ id id {body} }}", "S"))


# --- The examples --------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "name"), [(ORDER, "order"), (SHOP, "shop")])
def test_goldens(golden: Callable[[Path, str], None], path: Path, name: str) -> None:
    diagram = choreography.model(graph_in(path))
    golden(GOLDEN / "choreography" / f"{name}.mmd", mermaid.emit(diagram))


def test_each_service_of_the_order_acts_on_the_event_of_the_one_before() -> None:
    assert arrows(choreography.model(graph_in(ORDER))) == [
        "client -> Orders: PlaceOrder(order)",
        "Orders: create(order.id, order.sku, order.qty, order.amount)",
        "Orders -> Payment: create ok",
        "Payment: charge(order.id, order.amount)",
        "Payment -> Orders: charge: Declined",
        "Orders: fail(order.id)",
        "Orders -> client: fail ok",
        "Payment -> Inventory: charge ok",
        "Inventory: reserve(order.id, order.sku, order.qty)",
        "Inventory -> Payment: reserve: OutOfStock",
        "Payment: refund(key of charge)",
        "Payment -> Orders: refund ok",
        "Orders: fail(order.id)",
        "Orders -> client: fail ok",
        "Inventory -> Orders: reserve ok",
        "Orders: confirm(order.id)",
        "Orders -> client: confirm ok",
    ]


def test_the_order_is_undone_as_the_machine_undoes_it() -> None:
    program = load(str(ORDER)).program
    scenario = next(s for s in program.scenarios if "no stock" in s.title)
    undone = [
        entry.label
        for entry in run(program, scenario).course.journal
        if isinstance(entry, j.Intent) and entry.purpose is Purpose.COMPENSATE
    ]
    diagram = choreography.model(lower(program, "PlaceOrder"))
    breaks = [item for item in diagram.items if isinstance(item, Fragment)]
    shown = [
        f"{diagram.participants[m.target].name}.{m.text.split('(')[0]}"
        for m in messages(next(b for b in breaks if b.arms[0].label == "OutOfStock").arms[0].items)
        if m.kind is MessageKind.COMPENSATION
    ]
    assert shown == undone != []


# --- Any saga ------------------------------------------------------------------------------------


@of_each_saga
def test_there_is_no_orchestrator_and_only_events_go_from_one_to_another(
    graph: g.SagaGraph,
) -> None:
    diagram, orchestrated = choreography.model(graph), sequence.model(graph)
    starter, *others = diagram.participants
    assert starter.kind is ParticipantKind.ACTOR
    assert others == list(orchestrated.participants[1:])
    acting = (ParticipantKind.SERVICE, ParticipantKind.SAGA)
    for m in messages(diagram.items):
        if m.source != m.target:
            assert m.kind is MessageKind.EVENT
        else:
            assert m.kind in (MessageKind.CALL, MessageKind.COMPENSATION)
            assert diagram.participants[m.source].kind in acting


@of_each_saga
def test_every_compensation_of_the_orchestrated_saga_appears_in_its_order(
    graph: g.SagaGraph,
) -> None:
    def undone(diagram: SequenceDiagram) -> list[tuple[int, str, str | None]]:
        kind = MessageKind.COMPENSATION
        return [(m.target, m.text, m.path) for m in messages(diagram.items) if m.kind is kind]

    assert undone(choreography.model(graph)) == undone(sequence.model(graph))


Known = dict[int, frozenset[str]]
"""What each participant has heard of, directly or not."""


class Reader:
    """Follows a picture from top to bottom: nobody knows what no event has told."""

    def __init__(self, graph: g.SagaGraph) -> None:
        acts = (g.saga_graph.Kind.SLEEP, g.saga_graph.Kind.WAIT)
        own = {node.path for node in graph.nodes if node.kind not in acts}
        order, undoing = graph.happens_before, graph.compensations
        handled = list(handled_in(graph.saga.body))
        self.before = {
            path: {
                before
                for before in ancestors(order, path) & own
                if not any(path in later and before in body for body, later in handled)
            }
            for path in own
        }
        self.undone_before = {
            path: {
                f"undone {before}"
                for before in ancestors(undoing, path)
                if not any(path in body and before in later for body, later in handled)
            }
            for path in undoing
        }
        self.called: list[str] = []

    def read(self, items: tuple[Item, ...], known: Known, undone: frozenset[str]) -> Known:
        for item in items:
            match item:
                case Message():
                    known = self.heard(item, known)
                    if item.kind is MessageKind.COMPENSATION:
                        assert item.path is not None
                        needed = self.undone_before[item.path] & undone
                        assert needed <= known[item.target], item
                        known = learns(known, item.target, f"undone {item.path}")
                case Phase(items=inner):
                    # What this phase undoes at all; each of them is the one before of another.
                    mine = frozenset(f"undone {m.path}" for m in messages(inner) if m.path)
                    fresh = {who: heard - mine for who, heard in known.items()}
                    known = merged(known, self.read(inner, fresh, mine))
                case Fragment(kind=FragmentKind.BREAK, arms=(arm,)):
                    self.read(arm.items, known, undone)
                case Fragment(kind=FragmentKind.CRITICAL, arms=arms):
                    for arm in arms:
                        known = self.read(arm.items, known, undone)
                case Fragment(arms=arms):
                    known = self.beside(arms, known, undone)
                case Note():
                    pass
        return known

    def beside(self, arms: tuple[Arm, ...], known: Known, undone: frozenset[str]) -> Known:
        after = known
        for arm in arms:
            after = merged(after, self.read(arm.items, known, undone))
        return after

    def heard(self, m: Message, known: Known) -> Known:
        if m.kind is MessageKind.EVENT:
            return learns(known, m.target, *known[m.source])
        if m.kind is MessageKind.CALL and m.path in self.before:
            assert self.before[m.path] <= known[m.target], m
            self.called.append(m.path)
            return learns(known, m.target, m.path)
        return known


def learns(known: Known, who: int, *what: str) -> Known:
    return {**known, who: known[who] | frozenset(what)}


def merged(one: Known, other: Known) -> Known:
    return {who: one[who] | other[who] for who in one}


def handled_in(block: p.Block) -> Iterator[tuple[set[str], set[str]]]:
    """The paths in the body of each `attempt`, and those in its handlers: nothing says how far the
    body came when it failed, and either of them is undone."""
    for statement in statements(block):
        if isinstance(statement, p.Attempt):
            later = (path for handler in statement.handlers for path in paths(handler.body))
            yield set(paths(statement.body)), set(later)


def paths(block: p.Block) -> Iterator[str]:
    acts = (s for s in statements(block) if isinstance(s, p.Step | p.ChildStep | p.Poll))
    return (statement.path for statement in acts)


@of_each_saga
def test_nobody_acts_before_it_has_heard_of_all_that_must_come_before(graph: g.SagaGraph) -> None:
    diagram = choreography.model(graph)
    reader = Reader(graph)
    nothing = {who: frozenset[str]() for who in range(len(diagram.participants))}
    reader.read(diagram.items, nothing, frozenset())
    assert sorted(reader.called) == sorted(reader.before)


# --- What nobody owns ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "parallel { step A.a(id) step B.c(id) } step C.e(id)",
            "C: waits for all of these, and remembers which have come",
        ),
        (
            "parallel { step A.a(id) step B.c(id) }",
            "client: waits for all of these, and remembers which have come",
        ),
        (
            'for x in ["1", "2"] by x, 5 at once { step B.c(x) } pivot step C.e(id)',
            "C: waits for every x, and has to know how many there are, if any",
        ),
        (
            'for x in ["1", "2"] by x, 5 at once { step B.c(x) } pivot step C.e(id)',
            "B: does this 5 at once",
        ),
        (
            "step B.c(id) wait yes: Yes within 1h else null pivot step C.e(id)",
            "C: keeps the 1h itself, and any Yes that comes too early",
        ),
        (
            'step B.c(id) wait yes: Yes within 1h else escalate "ops" pivot step C.e(id)',
            "C: has to call ops",
        ),
        (
            "step B.c(id) sleep 5m pivot step C.e(id)",
            "C: sleep 5m: a timer of its own, which survives a restart",
        ),
        (
            "step B.c(id) poll ok = A.q(id) until ok every 1s within 1m else null",
            "A: nobody asks it: it watches itself, and keeps the 1m",
        ),
        (
            'step B.c(id) if id == "x" { step A.a(id) } pivot step C.e(id)',
            "B: decides, so it has to know what that takes",
        ),
        ("deadline 1h step B.c(id)", "client: deadline 1h: nobody else knows when it began"),
        ('pivot step C.e(id) else escalate "ops"', "C: has to call ops itself if it fails"),
        (
            "attempt { step A.a(id) } on Timeout { step B.c(id) } pivot step C.e(id)",
            "A: nobody tells Timeout: it has to notice by itself",
        ),
    ],
)
def test_what_an_orchestrator_does_besides_calling_is_somebodys_duty(body: str, said: str) -> None:
    assert said in duties(drawn(body))


def test_an_event_goes_to_all_branches_and_all_of_theirs_to_whoever_is_next() -> None:
    assert arrows(drawn("step B.c(id) parallel { step A.a(id) step C.e(id) } step B.c(id)")) == [
        "client -> B: S(id)",
        "B: c(id)",
        "B -> A: c ok",
        "A: a(id)",
        "A -> B: a ok",
        "B -> C: c ok",
        "C: e(id)",
        "C -> B: e ok",
        "A -> B: a: Broke",
        "B: d(key of c)",
        "B -> client: d ok",
        "B: c(id)",
        "B -> client: c ok",
    ]


def test_a_handled_failure_is_heard_by_whoever_handles_it() -> None:
    assert arrows(drawn("attempt { step A.a(id) } on Broke { step B.c(id) } step C.e(id)")) == [
        "client -> A: S(id)",
        "A: a(id)",
        "A -> C: a ok",
        "A -> B: a: Broke",
        "B: c(id)",
        "B -> C: c ok",
        "C: e(id)",
        "C -> client: e ok",
    ]


def test_a_saga_of_nothing_is_drawn() -> None:
    diagram = drawn("sleep 1s")
    assert arrows(diagram) == []
    assert [who.name for who in diagram.participants] == ["client"]


# --- Too many participants -----------------------------------------------------------------------


def test_more_than_three_services_are_told_as_the_reference_says() -> None:
    page = (ROOT / "tests" / "spec" / "09-checks.md").read_text(encoding="utf-8")
    section = page.split("## What a choreography would cost")[1]
    (source,) = re.findall(r"```saga\n(.*?)```", section, re.DOTALL)
    (expected,) = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    loaded = load_text(source, "example.saga")
    assert loaded.diagnostics == ()
    found = choreography.diagnostics(lower(loaded.program, "Buy"))
    assert "".join(full(d, loaded.sources) for d in found) + "\n" == expected


def test_three_services_are_not_too_many_and_those_of_child_sagas_count() -> None:
    three = graph_in(ORDER)
    assert choreography.diagnostics(three) == ()
    four = (
        SERVICES
        + """
      service D { command f(id: string) keyed }
      saga Child(id: string) { id id  step D.f(id) best effort }
      saga S(id: string) { id id  step saga Child(id)  step A.a(id)  step B.c(id)  step C.e(id) }
    """
    )
    (warning,) = choreography.diagnostics(graph_of(four, "S"))
    assert warning.code == "SG320"
    assert not warning.is_error
    assert warning.notes == ("they are D, A, B, C",)
    assert four[warning.span.start : warning.span.end] == "S"


# --- Formats -------------------------------------------------------------------------------------


def hostile() -> list[SequenceDiagram]:
    program = load(str(HOSTILE_FILE)).program
    return [choreography.model(lower(program, name)) for name in program.sagas]


def test_hostile_names_stay_in_their_place_in_a_text() -> None:
    diagrams = hostile()
    assert diagrams
    for diagram in diagrams:
        picture = text.emit(diagram)
        assert all(
            char == "\n" or char.isprintable() or char in "\u200c\u200d\u200e" for char in picture
        )
        assert len(mermaid.emit(diagram).splitlines()) > len(list(messages(diagram.items)))


@pytest.mark.external
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(
    not (PARSER / "node_modules" / "mermaid").is_dir(),
    reason="run: npm install --no-audit --no-fund --prefix tests/external/mermaid",
)
def test_mermaid_reads_every_message_as_it_was_meant() -> None:
    diagrams = [*hostile(), *map(choreography.model, SAGAS.values())]
    done = subprocess.run(
        ["node", str(PARSER / "mmcheck.mjs")],
        input=json.dumps([mermaid.emit(diagram) for diagram in diagrams]),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    for diagram, found in zip(diagrams, json.loads(done.stdout), strict=True):
        assert found["ok"], found.get("error")
        assert [(m["from"], m["to"], m["text"]) for m in found["messages"]] == [
            (f"s{m.source}", f"s{m.target}", printable(m.text)) for m in messages(diagram.items)
        ]


def test_two_hundred_steps_are_drawn_in_time_and_twice_the_same() -> None:
    steps = "step A.a(id) step B.c(id) " * 100
    graph = graph_of(f"{SERVICES} saga S(id: string) {{ id id {steps} }}", "S")
    start = time.process_time()
    first = mermaid.emit(choreography.model(graph))
    assert time.process_time() - start < 10, "0.1 s on a quiet machine"
    assert mermaid.emit(choreography.model(graph)) == first


# --- The page that compares ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["orchestration", "choreography"])
def test_the_page_shows_both_pictures_as_they_are(
    name: str, request: pytest.FixtureRequest
) -> None:
    page = ROOT / "docs" / "orchestration-or-choreography.md"
    model = {"orchestration": sequence.model, "choreography": choreography.model}[name]
    drawn = f"```mermaid\n{mermaid.emit(model(graph_in(ORDER)))}```\n\n"
    shown = page.read_text("utf-8")
    begin, end = f"<!-- {name}: made by pytest --bless -->\n\n", f"<!-- end of {name} -->"
    before, rest = shown.split(begin)
    found, after = rest.split(end)
    if request.config.getoption("--bless"):
        page.write_text(f"{before}{begin}{drawn}{end}{after}", "utf-8")
        return
    assert found == drawn, "run: pytest tests/render/test_choreography.py --bless"
