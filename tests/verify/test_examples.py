"""The examples hold under every fault, and not one of their promises is there for nothing."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from sagalang.verify.explore import Bounds
from sagalang.verify.told import diagnostics
from sagalang.verify.verify import Settings, Verdict, verify
from sagalang.workspace import load, load_text

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOP = EXAMPLES / "shop" / "shop.saga"
SAGA = SHOP.read_text().split("\nscenario ")[0]
POLICIES = {"policies.saga": (EXAMPLES / "shop" / "policies.saga").read_text()}


@cache
def verdict(file: Path) -> Verdict:
    return verify(load(str(file)).program, "PlaceOrder")


@pytest.mark.parametrize("file", [SHOP, EXAMPLES / "order" / "order.saga"], ids=["shop", "order"])
def test_an_example_holds_completely(file: Path) -> None:
    found = verdict(file)
    assert diagnostics(found) == ()
    assert found.complete
    assert found.faults is None
    assert found.unreached == ()
    assert set(found.outcomes) == {"completed", "compensated", "escalated"}


def test_the_shop_is_undone_for_every_reason_it_declares() -> None:
    assert set(verdict(SHOP).errors) >= {
        "Declined",
        "CardExpired",
        "OutOfStock",
        "ReviewTimedOut",
        "Refused",
        "Cancelled",
        "DeadlineExceeded",
    }


def test_the_shop_tells_what_escalates_by_how_few_faults() -> None:
    """Shipping refuses the address: after the point of no return only people can help."""
    escalations = verdict(SHOP).escalations
    assert escalations["step ship",].faults == 1
    assert ("compensate hold",) in escalations


def without(pattern: str, first_line: str) -> str:
    """The shop without one match of the pattern in the declaration of that operation."""
    start = SAGA.index(first_line)
    match = re.compile(pattern).search(SAGA, start)
    assert match is not None
    return SAGA[: match.start()] + SAGA[match.end() :]


REMOVED = [
    ("keyed", "command capture", r"\n\s+keyed", "pivot-not-repeatable"),
    ("keyed", "command reserve", r"\n\s+keyed", "key-without-keyed"),
    ("absent ok", "command reject", ", absent ok", "compensation-not-absent-ok"),
    ("absent ok", "command release", ", absent ok", "compensation-not-absent-ok"),
    ("absent ok", "command free", ", absent ok", "compensation-not-absent-ok"),
    ("fences late", "command reject", ", fences late", "effect-left"),
    ("fences late", "command release", ", fences late", "effect-left"),
    ("fences late", "command free", ", fences late", "effect-left"),
    ("compensate", "command create", r"\n\s+compensate reject\(id\)", "missing-compensation"),
    ("compensate", "command authorize", r"\n\s+compensate \w+\(key\)", "missing-compensation"),
    ("compensate", "command reserve", r"\n\s+compensate \w+\(key\)", "missing-compensation"),
    ("pivot", "pivot step", "pivot ", "missing-compensation"),
]


@pytest.mark.parametrize(
    ("operation", "pattern", "name"),
    [row[1:] for row in REMOVED],
    ids=[f"{row[0]} of {row[1]}" for row in REMOVED],
)
def test_without_one_promise_the_shop_breaks(operation: str, pattern: str, name: str) -> None:
    loaded = load_text(without(pattern, operation), "shop.saga", POLICIES)
    found = {d.name for d in loaded.diagnostics}
    if not loaded.has_errors:
        settings = Settings(bounds=Bounds(faults=1))
        found |= {
            d.name for d in diagnostics(verify(loaded.program, "PlaceOrder", settings=settings))
        }
    assert name in found


def test_a_command_that_is_never_repeated_needs_no_key() -> None:
    """`Orders.create` is undone by its inputs: without the key it only fails sooner."""
    loaded = load_text(without(r"\n\s+keyed", "command create"), "shop.saga", POLICIES)
    assert not loaded.has_errors
    assert verify(loaded.program, "PlaceOrder").holds
