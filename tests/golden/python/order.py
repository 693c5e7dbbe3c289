# Made by `saga compile` from order.saga; what follows: sha256 5d557bfba06c55ca
"""PlaceOrder, compiled from order.saga.

order.saga: sha256 83e4a2a949708541

Change order.saga and compile it again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from sagalang.runtime.saga import (
    Call,
    Policy,
    Retry,
    Saga,
    SagaDefinition,
    SagaError,
    Service,
    command,
    http,
)
from sagalang.runtime.saga import main as run_main

__all__ = [
    "INVENTORY_SERVICE",
    "ORDERS_SERVICE",
    "PATIENT",
    "PAYMENT_SERVICE",
    "PLACE_ORDER",
    "SAMPLE",
    "SERVICES",
    "ChargeResult",
    "Declined",
    "Inventory",
    "InventoryService",
    "Order",
    "Orders",
    "OrdersService",
    "OutOfStock",
    "Payment",
    "PaymentService",
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


# Services: what each does, a Protocol that an object of yours may satisfy, and calls of it.


class OrdersService(Protocol):
    @command("Orders.create", "POST /orders", keyed=True)
    async def create(self, id_: str, sku: str, qty: int, amount: Decimal, *, key: str) -> None: ...

    @command(
        "Orders.fail", "POST /orders/{id}/fail", idempotent=True, absent_ok=True, fences_late=True
    )
    async def fail(self, id_: str) -> None: ...

    @command("Orders.confirm", "POST /orders/{id}/confirm", idempotent=True)
    async def confirm(self, id_: str) -> None: ...


class Orders:
    @staticmethod
    def create(id_: str, sku: str, qty: int, amount: Decimal) -> Call[None]:
        return Call.to(OrdersService.create, (id_, sku, qty, amount), PATIENT)

    @staticmethod
    def fail(id_: str) -> Call[None]:
        return Call.to(OrdersService.fail, (id_,), PATIENT)

    @staticmethod
    def confirm(id_: str) -> Call[None]:
        return Call.to(OrdersService.confirm, (id_,), PATIENT)


ORDERS_SERVICE = Service("Orders", http("http://127.0.0.1:7101", env="ORDERS_URL"), OrdersService)


class PaymentService(Protocol):
    @command(
        "Payment.charge",
        "POST /charges",
        keyed=True,
        records_rejections=True,
        rejects={Declined: 402},
    )
    async def charge(self, order: str, amount: Decimal, *, key: str) -> ChargeResult: ...

    @command(
        "Payment.refund",
        "POST /charges/{of}/refund",
        idempotent=True,
        absent_ok=True,
        fences_late=True,
    )
    async def refund(self, of: str) -> None: ...


class Payment:
    @staticmethod
    def charge(order: str, amount: Decimal) -> Call[ChargeResult]:
        return Call.to(PaymentService.charge, (order, amount), PATIENT)

    @staticmethod
    def refund(of: str) -> Call[None]:
        return Call.to(PaymentService.refund, (of,), PATIENT)


PAYMENT_SERVICE = Service(
    "Payment", http("http://127.0.0.1:7102", env="PAYMENT_URL"), PaymentService
)


class InventoryService(Protocol):
    @command(
        "Inventory.reserve",
        "POST /reservations",
        keyed=True,
        records_rejections=True,
        rejects={OutOfStock: 409},
    )
    async def reserve(self, order: str, sku: str, qty: int, *, key: str) -> None: ...

    @command(
        "Inventory.release",
        "DELETE /reservations/{of}",
        idempotent=True,
        absent_ok=True,
        fences_late=True,
    )
    async def release(self, of: str) -> None: ...


class Inventory:
    @staticmethod
    def reserve(order: str, sku: str, qty: int) -> Call[None]:
        return Call.to(InventoryService.reserve, (order, sku, qty), PATIENT)

    @staticmethod
    def release(of: str) -> Call[None]:
        return Call.to(InventoryService.release, (of,), PATIENT)


INVENTORY_SERVICE = Service(
    "Inventory", http("http://127.0.0.1:7103", env="INVENTORY_URL"), InventoryService
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
    version="847e26d034892a9e",
)


def main() -> int:
    """Run a saga on the JSON of a file or of standard input, and print its outcome as JSON."""
    return run_main((PLACE_ORDER,), SERVICES)


if __name__ == "__main__":
    sys.exit(main())
