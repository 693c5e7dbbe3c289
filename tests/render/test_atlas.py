"""Every distinct failure path, and the pages that list them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from time import process_time
from xml.etree import ElementTree

import pictured
import pytest
from pictured import CONSTRUCTS, HOSTILE_FILE, ORDER, graph_in, graph_of
from verify.chance import random_saga

from sagalang.graph import SagaGraph, lower
from sagalang.graph.undoing import is_undone
from sagalang.model import program as p
from sagalang.render import svg
from sagalang.render.atlas import Entry, atlas, index
from sagalang.render.atlas import page as atlas_page
from sagalang.render.atlas.ways import Kind, Names
from sagalang.render.diagram import MessageKind, messages
from sagalang.render.paths import Problem, parse, path_model
from sagalang.workspace import load, load_text

CONTRACT = """
error No, Never
service S {
  command do(x: string) -> { y: string } keyed, records rejections rejects No compensate undo(key)
  command undo(of: key)      idempotent, absent ok, fences late
  command last(x: string)    idempotent
}
"""


def made(body: str) -> SagaGraph:
    return graph_of(f"{CONTRACT} saga Main(x: string) {{ id x {body} }}")


def by_slug(graph: SagaGraph) -> dict[str, Entry]:
    return {entry.slug: entry for entry in atlas(graph)}


SHOP = graph_in(pictured.SHOP)
SHOP_ATLAS = by_slug(SHOP)


def test_the_ways_in_which_the_order_saga_fails() -> None:
    assert list(by_slug(graph_in(ORDER))) == [
        "orders-create-no-answer",
        "cancelled-after-orders-create",
        "payment-charge-rejects-declined",
        "payment-charge-no-answer",
        "cancelled-after-payment-charge",
        "inventory-reserve-rejects-outofstock",
        "inventory-reserve-no-answer",
        "cancelled-after-inventory-reserve",
        "orders-confirm-no-answer",
        "orders-fail-cannot-get-through",
        "payment-refund-cannot-get-through",
        "inventory-release-cannot-get-through",
    ]


def test_an_entry_says_what_fails_what_is_undone_and_how_it_ends() -> None:
    entry = SHOP_ATLAS["inventory-reserve-rejects-outofstock"]
    assert entry.kind is Kind.REFUSED
    assert entry.undone == (
        "at the same time: Payment.release; Inventory.free for each other line begun, 8 at once",
        "Orders.reject",
    )
    assert entry.ends == "compensated with OutOfStock"
    assert entry.operator == ()
    assert entry.whens == (("Inventory.reserve rejects OutOfStock",),)


def test_what_cannot_be_undone_says_who_must_do_what_and_what_waits() -> None:
    entry = SHOP_ATLAS["payment-release-cannot-get-through"]
    assert entry.undone == ("Inventory.free for each other line begun, 8 at once",)
    assert entry.left == (
        "not undone: Payment.authorize",
        "not undone until then: Orders.reject",
    )
    assert entry.ends == "escalated: it waits for a person"
    assert entry.operator[0].startswith("orders-oncall settles Payment.release")
    assert entry.operator[1] == "Until then these wait, and then run by themselves: Orders.reject."
    assert len(entry.whens[0]) == 2


def test_where_a_call_got_lost_makes_no_entry_of_its_own() -> None:
    entry = SHOP_ATLAS["payment-authorize-no-answer"]
    assert entry.whens == (
        ("Payment.authorize times out before effect, always",),
        ("Payment.authorize times out after effect, always",),
    )
    # The probe finds out that it happened, so the saga goes on.
    asked = SHOP_ATLAS["shipping-book-no-answer"]
    assert asked.whens == (("Shipping.book times out before effect, always",),)


def test_cancel_and_deadline_are_one_entry() -> None:
    entry = SHOP_ATLAS["cancelled-after-orders-create"]
    assert entry.whens == (
        ("cancelled after Orders.create",),
        ("deadline after Orders.create",),
    )
    assert entry.title == "Cancelled after Orders.create, or too late by then"
    assert entry.ends == "compensated with Cancelled or DeadlineExceeded"


def test_after_the_pivot_nothing_is_cancelled() -> None:
    assert not [slug for slug in SHOP_ATLAS if slug.startswith("cancelled-after-shipping")]


def test_a_failure_in_a_handler_is_reached_through_what_it_handles() -> None:
    graph = made("attempt { step a = S.do(x) } on No { step b = S.do(x) } step S.do(x)")
    title = "S.do (b) rejects No, after S.do (a) rejects No"
    assert [e.whens[0] for e in atlas(graph) if e.title == title] == [
        ("a rejects No", "b rejects No")
    ]


def test_two_steps_of_one_operation_are_told_apart() -> None:
    slugs = by_slug(made("step a = S.do(x) step b = S.do(x)"))
    assert {"s-do-a-rejects-no", "s-do-b-rejects-no"} <= set(slugs)
    assert slugs["s-do-a-rejects-no"].undone == ()
    assert slugs["s-do-b-rejects-no"].undone == ("S.undo of S.do (a)",)
    assert slugs["s-do-b-rejects-no"].title == "S.do (b) rejects No"
    alike = by_slug(made("step S.do(x) step S.do(x)"))
    assert alike["s-do-2-of-2-rejects-no"].undone == ("S.undo of S.do (1 of 2)",)


# --- What an entry says of its picture -----------------------------------------------------------

TRIP = """
error No, Full, Declined
service Log {
  command open(x: string)    keyed compensate close(x)
  command close(x: string)   idempotent, absent ok, fences late
  command note(x: string)    idempotent
}
service Hotel {
  command book(x: string)    keyed, records rejections rejects Full compensate cancel(key)
  command cancel(of: key)    idempotent, absent ok, fences late
}
service Pay {
  command hold(x: string) -> { auth: string }
    keyed, records rejections rejects Declined compensate void(result.auth)
  command void(auth: string) idempotent, absent ok, fences late
}
service Seats {
  command take(x: string)    keyed, records rejections rejects No compensate free(key)
  command free(of: key)      idempotent, absent ok, fences late
}
saga Inner(x: string, xs: list<string>) {
  for y in xs by y, 2 at once { step Seats.take(y) }
}
saga Main(x: string, xs: list<string>) {
  id x
  deadline 3d
  compensate with relentless else escalate "desk"
  step Log.open(x)
  step Log.note(x) compensate none "a note does no harm"
  parallel {
    step pay = Pay.hold(x)
    step seats = saga Inner(x, xs)
  }
  attempt { step Hotel.book(x) } on Full, Timeout { step Hotel.book("inn") }
  sleep 5s
}
"""
TRIP_ATLAS = by_slug(graph_of(TRIP))


def named(entry: Entry, names: Names, steps: Iterable[p.Step | p.ChildStep]) -> Counter[str]:
    """What the lines of an entry name as undone."""
    text = "\n".join(entry.undone)
    found: Counter[str] = Counter()
    for name in sorted({names.undo(step) for step in steps}, key=len, reverse=True):
        found[name] = text.count(name)
        text = text.replace(name, "")
    return +found


def drawn(entry: Entry, names: Names, steps: Mapping[str, p.Step | p.ChildStep]) -> Counter[str]:
    """What the picture of an entry undoes; a compensation that is repeated counts once."""
    stuck = {line.removeprefix("not undone: ") for line in entry.left}
    sent = [m for m in messages(entry.diagram.items) if m.kind is MessageKind.COMPENSATION]
    done = [steps[m.path or ""] for m in sent if not m.text.endswith((" again", "a second time"))]
    return Counter(names.undo(step) for step in done if names.title(step) not in stuck)


def random_graphs() -> Iterator[SagaGraph]:
    for seed in range(300 if "SAGA_SLOW" in os.environ else 15):
        loaded = load_text(random_saga(seed))
        if not loaded.has_errors:
            yield lower(loaded.program, "Main")


def test_what_an_entry_says_is_undone_is_what_its_picture_undoes() -> None:
    graphs = [graph_in(ORDER), SHOP, graph_in(CONSTRUCTS, "BookTrip"), graph_of(TRIP)]
    undone = 0
    for graph in (*graphs, *random_graphs()):
        names = Names(graph)
        leaves = ((node.path, node.statement) for node in graph.nodes)
        steps = {
            path: leaf
            for path, leaf in leaves
            if isinstance(leaf, p.Step | p.ChildStep) and is_undone(leaf)
        }
        for entry in atlas(graph):
            found = named(entry, names, steps.values())
            assert found == drawn(entry, names, steps), (graph.saga.name, entry.title)
            undone += found.total()
    assert undone > 100


def test_what_nobody_could_find_out_about_is_not_said_to_be_undone() -> None:
    entry = TRIP_ATLAS["pay-hold-no-answer"]
    assert entry.undone == ("saga Inner",)
    assert entry.left == (
        "not undone: Pay.hold",
        "not undone until then: Log.close",
        "kept: Log.note (a note does no harm)",
    )


def test_a_compensation_inside_a_child_saga_that_nobody_is_told_about_has_an_entry() -> None:
    entry = TRIP_ATLAS["seats-free-inside-saga-inner-cannot-get-through"]
    assert entry.kind is Kind.NOT_UNDONE
    assert entry.operator[0].startswith("Nobody is told: Seats.free is retried")
    assert "not undone: saga Inner" in entry.left
    assert TRIP_ATLAS["seats-take-inside-saga-inner-no-answer"].ends == "compensated with Timeout"


def test_what_the_saga_handles_has_a_section_of_its_own() -> None:
    found = [entry for entry in TRIP_ATLAS.values() if entry.kind is Kind.HANDLED]
    assert [(entry.title, entry.undone, entry.ends) for entry in found] == [
        ("Hotel.book (1 of 2) rejects Full", (), "completed"),
        (
            "Hotel.book (1 of 2): no answer",
            ("Hotel.cancel of Hotel.book (1 of 2)",),
            "completed",
        ),
    ]
    graph = graph_of(TRIP)
    summary = index(atlas(graph), graph).summary
    assert summary.endswith(" 2 more are handled by the saga.")


def test_a_person_needs_no_plural() -> None:
    graph = made("step S.do(x)")
    assert index(atlas(graph), graph).summary.endswith("; 1 of them needs a person.")


def test_a_refused_iteration_is_not_undone_itself() -> None:
    graph = graph_of(
        f"{CONTRACT} saga Main(x: string, xs: list<string>) {{ id x"
        " for y in xs { step S.do(y) step S.do(y) } step S.do(x) }"
    )
    found = by_slug(graph)
    first, second = "S.undo of S.do (1 of 3)", "S.undo of S.do (2 of 3)"
    whole = f"{second}, then {first} for each y"
    assert found["s-do-1-of-3-rejects-no"].undone == (f"{whole} before it, last first",)
    assert found["s-do-2-of-3-rejects-no"].undone == (first, f"{whole} before it, last first")
    assert found["s-do-2-of-3-no-answer"].undone == (f"{whole} begun, last first",)
    assert found["s-do-3-of-3-rejects-no"].undone == (f"{whole}, last first",)


def test_nothing_that_is_survived_is_a_failure() -> None:
    found = atlas(made("step S.do(x) best effort"))
    assert [entry.kind for entry in found] == [Kind.STOPPED]


ALIKE = "step a = S.do(x) step S.do(x) step S.do(x)"


@pytest.mark.parametrize(
    "graph",
    [graph_in(ORDER), SHOP, graph_in(CONSTRUCTS, "BookTrip"), made(ALIKE)],
    ids=["order", "shop", "constructs", "alike"],
)
def test_each_entry_is_drawn_by_its_texts(graph: SagaGraph) -> None:
    for entry in atlas(graph):
        for at, texts in enumerate(entry.whens):
            parsed = [parse(graph.program, graph.saga.name, text) for text in texts]
            whens = [when for when in parsed if not isinstance(when, Problem)]
            assert len(whens) == len(texts), parsed
            diagram = path_model(graph, whens)
            assert not isinstance(diagram, Problem)
            assert at > 0 or diagram == entry.diagram


def test_an_atlas_is_the_same_each_time() -> None:
    assert atlas(graph_in(pictured.SHOP)) == atlas(graph_in(pictured.SHOP))


def test_slugs_are_file_names_on_every_system() -> None:
    entries = [
        *atlas(SHOP),
        *(e for name in hostile() for e in atlas(graph_in(HOSTILE_FILE, name))),
    ]
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", entry.slug), entry.slug
        assert len(entry.slug) < 70
    assert len(SHOP_ATLAS) == len(atlas(SHOP))


def hostile() -> list[str]:
    return [*load(str(HOSTILE_FILE)).program.sagas]


def test_a_saga_of_200_steps_has_an_atlas() -> None:
    begun = process_time()
    found = atlas(made(" ".join(f"step _s{i} = S.do(x)" for i in range(200))))
    assert process_time() - begun < 30, "three seconds on a quiet machine"
    assert len(found) == 4 * 200
    assert len({entry.slug for entry in found}) == len(found)


# --- The pages -----------------------------------------------------------------------------------


def test_the_index_counts_and_puts_in_order() -> None:
    found = index(atlas(SHOP), SHOP)
    assert found.title == "How PlaceOrder fails"
    assert found.summary == f"{len(SHOP_ATLAS)} ways to fail; 7 of them need a person."
    kinds = [kind.value for kind in Kind if kind is not Kind.HANDLED]
    assert [heading for heading, _ in found.sections] == kinds
    assert sum(len(entries) for _, entries in found.sections) == len(SHOP_ATLAS)


def test_markdown_has_a_row_and_a_section_for_each_entry() -> None:
    text = atlas_page.markdown(index(atlas(SHOP), SHOP), lambda slug: f"{slug}.svg")
    for entry in SHOP_ATLAS.values():
        assert f"](#path-{entry.slug})" in text
        assert f'<a id="path-{entry.slug}"></a>' in text
        assert f"]({entry.slug}.svg)" in text
    assert '    --when "Inventory.reserve rejects OutOfStock"' in text


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: set[str] = set()
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name == "href" and value:
                self.targets.append(value)
            if name.startswith("on"):
                self.handlers.append(name)


def page(graph: SagaGraph) -> str:
    entries = atlas(graph)
    pictures = {entry.slug: svg.emit(entry.diagram, "auto") for entry in entries}
    return atlas_page.html(index(entries, graph), pictures)


def test_the_page_stands_alone_and_its_links_lead_somewhere() -> None:
    text = page(SHOP)
    reader = _Reader()
    reader.feed(text)
    assert {f"#path-{slug}" for slug in SHOP_ATLAS} == set(reader.targets)
    assert {f"path-{slug}" for slug in SHOP_ATLAS} <= set(reader.ids)
    assert not reader.tags & {"script", "link", "img", "iframe"}
    assert "prefers-color-scheme: dark" in text


def test_nothing_in_the_page_is_more_than_text() -> None:
    name = "x</title><script>alert(1)</script>"
    entry = Entry(
        "a-b",
        Kind.REFUSED,
        name,
        (name,),
        name,
        (name,),
        ((name,),),
        by_slug(SHOP)[_FIRST].diagram,
    )
    found = index((entry,), SHOP)
    text = atlas_page.html(found, {"a-b": "<svg/>"})
    assert "<script" not in text
    body = text.split("</head>")[1].replace("<br>", "<br/>")
    ElementTree.fromstring(f"<html>{body.replace('</html>', '')}</html>")
    written = atlas_page.markdown(found, lambda slug: "a b).svg")
    outside = [line for line in written.splitlines() if not line.startswith("    ")]
    assert "<script" not in "\n".join(outside)
    assert "](a%20b%29.svg)" in written


_FIRST = "inventory-reserve-rejects-outofstock"


def test_no_cell_ends_early() -> None:
    text = atlas_page.markdown(index(atlas(SHOP), SHOP), lambda slug: f"{slug}.svg")
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    assert len(rows) == len(SHOP_ATLAS)
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5
