"""The sagas whose pictures are tested: from the files that everybody draws, or made up."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sagalang.graph import SagaGraph, lower
from sagalang.render.diagram import Fragment, Item, Note, Phase
from sagalang.workspace import load, load_text

ROOT: Final = Path(__file__).parents[1]
GOLDEN: Final = ROOT / "tests" / "golden"
ORDER: Final = ROOT / "examples" / "order" / "order.saga"
SHOP: Final = ROOT / "examples" / "shop" / "shop.saga"
CONSTRUCTS: Final = GOLDEN / "mermaid" / "constructs.saga"
HOSTILE_FILE: Final = ROOT / "tests" / "external" / "hostile.saga"
FILES: Final = (ORDER, SHOP, CONSTRUCTS)
GOLDENS: Final = (
    (ORDER, "PlaceOrder", "order"),
    (SHOP, "PlaceOrder", "shop"),
    (CONSTRUCTS, "BookTrip", "constructs"),
    (CONSTRUCTS, "Luggage", "child"),
)
"""The file, the saga, and the name of its golden pictures."""


def graph_in(file: Path, saga: str = "PlaceOrder") -> SagaGraph:
    return lower(load(str(file)).program, saga)


def graph_of(text: str, saga: str = "Main") -> SagaGraph:
    """What its contracts lack no picture minds."""
    loaded = load_text(text)
    mistakes = [d.message for d in loaded.diagnostics if d.is_error and d.code < "SG300"]
    assert not mistakes, mistakes
    return lower(loaded.program, saga)


def notes(items: tuple[Item, ...]) -> list[Note]:
    """All notes of a diagram, from top to bottom."""
    found: list[Note] = []
    for item in items:
        match item:
            case Note():
                found.append(item)
            case Phase(items=inner):
                found += notes(inner)
            case Fragment(arms=arms):
                found += [note for arm in arms for note in notes(arm.items)]
            case _:
                pass
    return found
