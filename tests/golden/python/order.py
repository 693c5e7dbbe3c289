# Made by `saga compile` from order.saga; what follows: sha256 683904e7d43d1059
"""PlaceOrder, compiled from order.saga.

order.saga: sha256 83e4a2a949708541

Change order.saga and compile it again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal

from sagalang.runtime.saga import (
    Call,
    Policy,
    Promises,
    Retry,
    Saga,
    SagaDefinition,
    SagaError,
    Service,
    command,
    http,
    param,
    rejects,
    route,
)
from sagalang.runtime.saga import main as run_main

__all__ = [
    "PLACE_ORDER",
    "SAMPLE",
    "SERVICES",
    "ChargeResult",
    "Declined",
    "Inventory",
    "Order",
    "Orders",
    "OutOfStock",
    "Payment",
    "main",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The classic: take the money, reserve the goods, or put everything back."""

    id: str
    sku: str
    qty: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeResult:
    """What Payment.charge answers."""

    payment: str


@dataclass(eq=False, kw_only=True)
class Declined(SagaError):
    pass


@dataclass(eq=False, kw_only=True)
class OutOfStock(SagaError):
    sku: str


# Policies. Times are milliseconds.

PATIENT = Policy(timeout=2_000, retry=Retry(retries=3, backoff=200, factor=Decimal("2"), cap=2_000))


class Orders:
    """HTTP: http://127.0.0.1:7101, or $ORDERS_URL."""

    @staticmethod
    def create(id_: str, sku: str, qty: int, amount: Decimal) -> Call[None]:
        return Call(ORDERS_CREATE, (id_, sku, qty, amount), PATIENT)

    @staticmethod
    def fail(id_: str) -> Call[None]:
        return Call(ORDERS_FAIL, (id_,), PATIENT)

    @staticmethod
    def confirm(id_: str) -> Call[None]:
        return Call(ORDERS_CONFIRM, (id_,), PATIENT)


ORDERS_CREATE = command(
    "Orders.create",
    param("id", str),
    param("sku", str),
    param("qty", int),
    param("amount", Decimal),
    route=route("POST", "/orders"),
    promises=Promises(keyed=True),
)
ORDERS_FAIL = command(
    "Orders.fail",
    param("id", str),
    route=route("POST", "/orders/{id}/fail"),
    promises=Promises(idempotent=True, absent_ok=True, fences_late=True),
)
ORDERS_CONFIRM = command(
    "Orders.confirm",
    param("id", str),
    route=route("POST", "/orders/{id}/confirm"),
    promises=Promises(idempotent=True),
)
ORDERS_SERVICE = Service(
    "Orders",
    http("http://127.0.0.1:7101", env="ORDERS_URL"),
    (ORDERS_CREATE, ORDERS_FAIL, ORDERS_CONFIRM),
)


class Payment:
    """HTTP: http://127.0.0.1:7102, or $PAYMENT_URL."""

    @staticmethod
    def charge(order: str, amount: Decimal) -> Call[ChargeResult]:
        return Call(PAYMENT_CHARGE, (order, amount), PATIENT)

    @staticmethod
    def refund(of: str) -> Call[None]:
        return Call(PAYMENT_REFUND, (of,), PATIENT)


PAYMENT_CHARGE = command(
    "Payment.charge",
    param("order", str),
    param("amount", Decimal),
    answer=ChargeResult,
    route=route("POST", "/charges"),
    promises=Promises(keyed=True, records_rejections=True),
    rejects=(rejects(Declined, 402),),
)
PAYMENT_REFUND = command(
    "Payment.refund",
    param("of", str),
    route=route("POST", "/charges/{of}/refund"),
    promises=Promises(idempotent=True, absent_ok=True, fences_late=True),
)
PAYMENT_SERVICE = Service(
    "Payment",
    http("http://127.0.0.1:7102", env="PAYMENT_URL"),
    (PAYMENT_CHARGE, PAYMENT_REFUND),
)


class Inventory:
    """HTTP: http://127.0.0.1:7103, or $INVENTORY_URL."""

    @staticmethod
    def reserve(order: str, sku: str, qty: int) -> Call[None]:
        return Call(INVENTORY_RESERVE, (order, sku, qty), PATIENT)

    @staticmethod
    def release(of: str) -> Call[None]:
        return Call(INVENTORY_RELEASE, (of,), PATIENT)


INVENTORY_RESERVE = command(
    "Inventory.reserve",
    param("order", str),
    param("sku", str),
    param("qty", int),
    route=route("POST", "/reservations"),
    promises=Promises(keyed=True, records_rejections=True),
    rejects=(rejects(OutOfStock, 409),),
)
INVENTORY_RELEASE = command(
    "Inventory.release",
    param("of", str),
    route=route("DELETE", "/reservations/{of}"),
    promises=Promises(idempotent=True, absent_ok=True, fences_late=True),
)
INVENTORY_SERVICE = Service(
    "Inventory",
    http("http://127.0.0.1:7103", env="INVENTORY_URL"),
    (INVENTORY_RESERVE, INVENTORY_RELEASE),
)


SERVICES = (ORDERS_SERVICE, PAYMENT_SERVICE, INVENTORY_SERVICE)

SAMPLE = Order(id="o-1", sku="tea", qty=2, amount=Decimal("18.50"))


async def place_order(saga: Saga, order: Order) -> None:
    """Places one order; whatever fails, nobody loses money or goods."""
    # order.saga:58
    await saga.step(
        "Orders.create",
        Orders.create(order.id, order.sku, order.qty, order.amount),
        undo=Orders.fail(order.id),
    )
    # order.saga:59
    await saga.step(
        "Payment.charge",
        Payment.charge(order.id, order.amount),
        undo=Payment.refund(saga.key("Payment.charge")),
    )
    # order.saga:60
    await saga.step(
        "Inventory.reserve",
        Inventory.reserve(order.id, order.sku, order.qty),
        undo=Inventory.release(saga.key("Inventory.reserve")),
    )
    # order.saga:62
    await saga.pivot("Orders.confirm", Orders.confirm(order.id))


PLACE_ORDER = SagaDefinition(
    "PlaceOrder",
    place_order,
    id=lambda order: order.id,
    errors=(Declined, OutOfStock),
)


def main() -> int:
    """Run a saga on the JSON of a file or of standard input, and print its outcome as JSON."""
    return run_main((PLACE_ORDER,), SERVICES)


if __name__ == "__main__":
    sys.exit(main())
