"""The map of a file or of a folder: which saga calls which operation of which service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pictured import FILES, GOLDEN, SHOP

from sagalang.model.program import Program
from sagalang.render.graphs.service_map import Place, ServiceMap, Use, service_map, shown_names
from sagalang.render.graphs.service_map_dot import emit as emit_dot
from sagalang.render.graphs.service_map_mermaid import emit as emit_mermaid
from sagalang.workspace import load, load_text

SHARED = """
/// Holds the goods.
service Stock {
  command take(x: string)   keyed compensate give(key)
  command give(of: key)     idempotent, absent ok, fences late
  command never(x: string)  idempotent
}
"""


def folder(**files: str) -> list[Program]:
    """The programs of files that may import each other, and `shared.saga`."""
    others = {f"{name}.saga": text for name, text in files.items()} | {"shared.saga": SHARED}
    found = []
    for name, text in files.items():
        loaded = load_text(text, f"{name}.saga", others)
        assert not loaded.has_errors, [d.message for d in loaded.diagnostics]
        found.append(loaded.program)
    return found


def said(found: ServiceMap) -> set[tuple[str, str, Use]]:
    names = shown_names(found)
    return {
        (
            names[edge.source],
            names[edge.target] + (f".{edge.operation}" if edge.operation else ""),
            edge.use,
        )
        for edge in found.edges
    }


BUY = 'import "shared.saga"\nsaga Buy(x: string) { id x step Stock.take(x) }'


def test_every_use_of_the_shop_is_on_the_map() -> None:
    found = service_map([load(str(SHOP)).program])
    assert said(found) == {
        ("PlaceOrder", "Orders.create", Use.STEP),
        ("PlaceOrder", "Orders.reject", Use.COMPENSATION),
        ("PlaceOrder", "Orders.confirm", Use.STEP),
        ("PlaceOrder", "Payment.authorize", Use.STEP),
        ("PlaceOrder", "Payment.release", Use.COMPENSATION),
        ("PlaceOrder", "Payment.capture", Use.STEP),
        ("PlaceOrder", "Inventory.reserve", Use.STEP),
        ("PlaceOrder", "Inventory.free", Use.COMPENSATION),
        ("PlaceOrder", "Shipping.book", Use.STEP),
        ("PlaceOrder", "Shipping.find", Use.PROBE),
        ("PlaceOrder", "Notification.receipt", Use.STEP),
        ("PlaceOrder", "Review", Use.WAIT),
    }


def test_child_sagas_polls_and_what_follows_the_last_compensation_are_on_the_map() -> None:
    found = said(service_map([load(str(FILES[2])).program]))
    assert {
        ("BookTrip", "Luggage", Use.CHILD),
        ("BookTrip", "Hotel.free", Use.POLL),
        ("BookTrip", "Signal", Use.WAIT),
        ("BookTrip", "Mail.tell", Use.STEP),
        ("Luggage", "Hotel.cancel", Use.COMPENSATION),
    } <= found


def test_a_service_that_two_files_import_is_one() -> None:
    second = BUY.replace("saga Buy", "saga Rent")
    found = service_map(folder(buy=BUY, rent=second))
    assert [(node.place, node.name) for node in found.nodes] == [
        (Place.SAGA, "Buy"),
        (Place.SAGA, "Rent"),
        (Place.SERVICE, "Stock"),
    ]
    assert found.nodes[2].operations == ("take", "give")
    assert found.nodes[2].doc == "Holds the goods."
    assert len(found.edges) == 4


def test_sagas_of_the_same_name_are_kept_apart_by_their_file() -> None:
    found = service_map(folder(one=BUY, two=BUY))
    assert shown_names(found) == ("Buy (one.saga)", "Buy (two.saga)", "Stock")
    assert {source for source, _, _ in said(found)} == {"Buy (one.saga)", "Buy (two.saga)"}


def test_a_saga_that_another_file_imports_stands_once() -> None:
    outer = 'import "buy.saga"\nsaga All(x: string) { id x step saga Buy(x) }'
    found = service_map(folder(buy=BUY, all=outer))
    assert shown_names(found) == ("Buy", "All", "Stock")
    assert ("All", "Buy", Use.CHILD) in said(found)
    assert service_map(folder(all=outer, buy=BUY)).edges != ()


def test_goldens(golden: Callable[[Path, str], None]) -> None:
    """The paths of files depend on where the tests run; so each map is of one file."""
    for path in FILES[:2]:
        found = service_map([load(str(path)).program])
        golden(GOLDEN / "dot" / f"{path.stem}-map.dot", emit_dot(found))
        golden(GOLDEN / "dot" / f"{path.stem}-map.mmd", emit_mermaid(found))


def test_the_same_files_give_the_same_bytes() -> None:
    first, second = (service_map([load(str(path)).program for path in FILES]) for _ in range(2))
    assert emit_dot(first) == emit_dot(second)
    assert emit_mermaid(first) == emit_mermaid(second)


def test_a_map_of_nothing_is_empty() -> None:
    found = service_map([])
    assert found == ServiceMap((), ())
    assert emit_mermaid(found) == "flowchart LR\n"
    assert emit_dot(found).startswith("digraph")
