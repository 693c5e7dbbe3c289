"""Every distinct failure path, and the pages that list them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from time import process_time
from xml.etree import ElementTree

import pictured
import pytest
from pictured import CONSTRUCTS, HOSTILE_FILE, ORDER, graph_in, graph_of

from sagalang.graph import SagaGraph
from sagalang.render import svg
from sagalang.render.atlas import Entry, atlas, index
from sagalang.render.atlas import page as atlas_page
from sagalang.render.atlas.ways import Kind
from sagalang.render.paths import Problem, parse, path_model
from sagalang.workspace import load

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
        "at the same time: Payment.release; Inventory.free for each line begun, 8 at once",
        "Orders.reject",
    )
    assert entry.ends == "compensated with OutOfStock"
    assert entry.operator == ()
    assert entry.whens == (("Inventory.reserve rejects OutOfStock",),)


def test_what_cannot_be_undone_says_who_must_do_what_and_what_waits() -> None:
    entry = SHOP_ATLAS["payment-release-cannot-get-through"]
    assert entry.undone == ("Inventory.free for each line begun, 8 at once",)
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


def test_after_the_pivot_nothing_is_cancelled() -> None:
    assert not [slug for slug in SHOP_ATLAS if slug.startswith("cancelled-after-shipping")]


def test_a_failure_in_a_handler_is_reached_through_what_it_handles() -> None:
    graph = made("attempt { step a = S.do(x) } on No { step b = S.do(x) } step S.do(x)")
    found = [e.whens[0] for e in atlas(graph) if e.title == "B rejects No"]
    assert found == [("a rejects No", "b rejects No")]


def test_two_steps_of_one_operation_are_told_apart() -> None:
    slugs = by_slug(made("step a = S.do(x) step b = S.do(x)"))
    assert {"a-rejects-no", "b-rejects-no"} <= set(slugs)
    assert slugs["a-rejects-no"].undone == ()
    assert slugs["b-rejects-no"].undone == ("S.undo",)


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
    assert [heading for heading, _ in found.sections] == [kind.value for kind in Kind]
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
