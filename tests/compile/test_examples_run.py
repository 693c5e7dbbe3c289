"""The compiled examples do what the interpreter does: the same calls, keys, order and journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sagalang.model.program import Program
from sagalang.runtime.faults import PlannedFault
from sagalang.workspace import load

from .twin import Signal, same

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> Program:
    loaded = load(str(EXAMPLES / name))
    assert not loaded.has_errors
    return loaded.program


ORDER = example("order/order.saga")
SHOP = example("shop/shop.saga")

ORDER_INPUT = json.dumps({"id": "o-1", "sku": "tea", "qty": 2, "amount": 18.50})


def shop_input(amount: str = "90.00") -> str:
    return (
        '{"id": "o-1", "lines": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}], "total": '
        f'{{"amount": {amount}, "currency": "EUR"}}, "address": "Main St 1", "card": "tok"}}'
    )


def fault(kind: str, operation: str, **more: Any) -> PlannedFault:
    return PlannedFault(kind, operation, **more)


def faults(*made: PlannedFault) -> Any:
    from dataclasses import replace

    return lambda values: [replace(found) for found in made]


COMMANDS = [
    operation.label
    for service in ORDER.services.values()
    for operation in service.operations.values()
]


def test_order_completes() -> None:
    told = same(ORDER, ORDER_INPUT)
    assert told.outcome[0] == "Completed"
    assert [sent.label for sent in told.sent] == [
        "Orders.create",
        "Payment.charge",
        "Inventory.reserve",
        "Orders.confirm",
    ]


@pytest.mark.parametrize(
    ("operation", "error"), [("Payment.charge", "Declined"), ("Inventory.reserve", "OutOfStock")]
)
def test_order_is_undone_after_each_declared_rejection(operation: str, error: str) -> None:
    told = same(ORDER, ORDER_INPUT, faults=faults(fault("rejects", operation, error=error)))
    assert told.outcome[0] == "Compensated"
    assert told.sent[-1].label == "Orders.fail"


@pytest.mark.parametrize("times", [1, 3, 100])
@pytest.mark.parametrize(
    "kind", ["times out after effect", "times out before effect", "unavailable", "arrives late"]
)
@pytest.mark.parametrize("operation", COMMANDS)
def test_order_under_every_fault(operation: str, kind: str, times: int) -> None:
    if operation in ("Orders.fail", "Payment.refund", "Inventory.release"):
        rejected = fault("rejects", "Inventory.reserve", error="OutOfStock")
        if operation == "Inventory.release":
            rejected = fault("times out after effect", "Inventory.reserve", remaining=100)
        planned = faults(rejected, fault(kind, operation, remaining=times, after=5_000))
    else:
        planned = faults(fault(kind, operation, remaining=times, after=5_000))
    same(ORDER, ORDER_INPUT, faults=planned)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("operation", COMMANDS)
def test_order_after_a_crash(operation: str, when: str) -> None:
    def crash() -> Any:
        left = [1]

        def strikes(request: Any) -> str | None:
            if request.contract.label == operation and left[0]:
                left[0] -= 1
                return when
            return None

        return strikes

    rejected = fault("rejects", "Inventory.reserve", error="OutOfStock")
    same(ORDER, ORDER_INPUT, crash=crash)
    same(ORDER, ORDER_INPUT, crash=crash, faults=faults(rejected))


@pytest.mark.parametrize("after", [0, 5, 25, 45, 61, 70, 79, 500])
def test_order_cancelled_at_any_time(after: int) -> None:
    same(ORDER, ORDER_INPUT, cancel_after=after)


def test_shop_completes() -> None:
    told = same(SHOP, shop_input())
    assert told.outcome[0] == "Completed"
    assert [sent.label for sent in told.sent] == [
        "Orders.create",
        "Payment.authorize",
        "Inventory.reserve",
        "Inventory.reserve",
        "Payment.capture",
        "Shipping.book",
        "Orders.confirm",
        "Notification.receipt",
    ]


SHOP_REJECTIONS = [
    (operation.label, rejection.error)
    for service in SHOP.services.values()
    for operation in service.operations.values()
    for rejection in operation.rejects
]


@pytest.mark.parametrize(("operation", "error"), SHOP_REJECTIONS)
def test_shop_after_each_declared_rejection(operation: str, error: str) -> None:
    fields = {"sku": "B"} if error == "OutOfStock" else {}
    args = ("B", 2) if error == "OutOfStock" else None
    rejected = fault("rejects", operation, error=error, fields=fields, args=args)
    told = same(SHOP, shop_input(), faults=faults(rejected))
    expected = "Escalated" if error == "BadAddress" else "Compensated"
    assert told.outcome[0] == expected


@pytest.mark.parametrize(
    ("signals", "outcome"),
    [
        ((), "Compensated"),
        ((Signal("Review", '{"verdict": "Approved", "by": "ann"}', 3_600_000),), "Completed"),
        ((Signal("Review", '{"verdict": "Denied", "by": "ann"}', 3_600_000),), "Compensated"),
        ((Signal("Review", '{"verdict": "Approved", "by": "ann"}', 0),), "Completed"),
        (
            (
                Signal("Review", '{"verdict": "Denied", "by": "ann"}', 10_000, "x"),
                Signal("Review", '{"verdict": "Approved", "by": "ann"}', 5_000, "x"),
            ),
            "Completed",
        ),
    ],
)
def test_shop_with_a_review(signals: tuple[Signal, ...], outcome: str) -> None:
    told = same(SHOP, shop_input("5000"), signals=signals)
    assert told.outcome[0] == outcome


@pytest.mark.parametrize("times", [1, 6, 1_000])
@pytest.mark.parametrize(
    "kind", ["times out after effect", "times out before effect", "unavailable"]
)
@pytest.mark.parametrize(
    "operation",
    [
        "Orders.create",
        "Payment.authorize",
        "Inventory.reserve",
        "Payment.capture",
        "Shipping.book",
        "Shipping.find",
        "Orders.confirm",
        "Notification.receipt",
    ],
)
def test_shop_under_every_fault(operation: str, kind: str, times: int) -> None:
    planned = [fault(kind, operation, remaining=times)]
    if operation == "Shipping.find":
        planned.append(fault("times out before effect", "Shipping.book"))
    same(SHOP, shop_input(), faults=faults(*planned))


@pytest.mark.parametrize("after", [0, 15, 30, 45, 55, 61, 75, 100, 500])
def test_shop_cancelled_at_any_time(after: int) -> None:
    same(SHOP, shop_input(), cancel_after=after)


def test_shop_meets_its_deadline() -> None:
    stuck = fault("unavailable", "Payment.release", remaining=100_000)
    slow = fault("times out after effect", "Inventory.reserve", remaining=100_000)
    same(SHOP, shop_input(), faults=faults(stuck, slow))
