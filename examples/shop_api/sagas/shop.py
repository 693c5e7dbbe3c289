# Made by `saga compile` from shop.saga; what follows: sha256 70789f24e4c2d598
"""PlaceOrder, compiled from shop.saga.

shop.saga: sha256 529f5cac2f738f2c

Change shop.saga and compile it again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from sagalang.runtime.saga import (
    Call,
    Escalate,
    Header,
    Saga,
    SagaDefinition,
    SagaError,
    Secret,
    Service,
    command,
    http,
    python,
    query,
)
from sagalang.runtime.saga import main as run_main

from .policies import EDGE, STUBBORN

__all__ = [
    "BIG",
    "INVENTORY_SERVICE",
    "NOTIFICATION_SERVICE",
    "ORDERS_SERVICE",
    "PAYMENT_SERVICE",
    "PLACE_ORDER",
    "SAMPLE",
    "SERVICES",
    "SHIPPING_SERVICE",
    "AuthorizeResult",
    "BadAddress",
    "BookResult",
    "CaptureResult",
    "CardExpired",
    "Confirmation",
    "Declined",
    "Inventory",
    "InventoryService",
    "Line",
    "Money",
    "Notification",
    "NotificationService",
    "Order",
    "Orders",
    "OrdersService",
    "OutOfStock",
    "Payment",
    "PaymentService",
    "Refused",
    "ReserveResult",
    "Review",
    "ReviewTimedOut",
    "Shipping",
    "ShippingService",
    "Verdict",
    "main",
]


class Verdict(StrEnum):
    Approved = "Approved"
    Denied = "Denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    sku: str
    qty: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    id: str
    lines: tuple[Line, ...]
    total: Money
    address: str
    card: Secret[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    order: str
    tracking: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizeResult:
    """What Payment.authorize answers."""

    auth: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureResult:
    """What Payment.capture answers."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveResult:
    """What Inventory.reserve answers."""

    hold: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookResult:
    """What Shipping.book and Shipping.find answer."""

    tracking: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    verdict: Verdict
    by: str


@dataclass(eq=False, kw_only=True)
class Declined(SagaError):
    pass


@dataclass(eq=False, kw_only=True)
class CardExpired(SagaError):
    pass


@dataclass(eq=False, kw_only=True)
class BadAddress(SagaError):
    pass


@dataclass(eq=False, kw_only=True)
class Refused(SagaError):
    pass


@dataclass(eq=False, kw_only=True)
class ReviewTimedOut(SagaError):
    pass


@dataclass(eq=False, kw_only=True)
class OutOfStock(SagaError):
    sku: str


# Services: what each does, a Protocol that an object of yours may satisfy, and calls of it.


class OrdersService(Protocol):
    @command("Orders.create", keyed=True)
    async def create(self, id_: str, lines: tuple[Line, ...], *, key: str) -> None: ...

    @command("Orders.reject", idempotent=True, absent_ok=True, fences_late=True)
    async def reject(self, id_: str) -> None: ...

    @command("Orders.confirm", idempotent=True)
    async def confirm(self, id_: str, tracking: str) -> None: ...


class Orders:
    @staticmethod
    def create(id_: str, lines: tuple[Line, ...]) -> Call[None]:
        return Call.to(OrdersService.create, (id_, lines), EDGE)

    @staticmethod
    def reject(id_: str) -> Call[None]:
        return Call.to(OrdersService.reject, (id_,), EDGE)

    @staticmethod
    def confirm(id_: str, tracking: str) -> Call[None]:
        return Call.to(OrdersService.confirm, (id_, tracking), EDGE)


ORDERS_SERVICE = Service("Orders", python("shop.orders"), OrdersService)


class PaymentService(Protocol):
    @command(
        "Payment.authorize",
        "POST /auths",
        keyed=True,
        records_rejections=True,
        rejects={Declined: 402, CardExpired: 410},
    )
    async def authorize(
        self,
        order: str,
        amount: Money,
        card: Secret[str],
        *,
        key: str,
    ) -> AuthorizeResult:
        """Holds the money on the card; nothing is taken yet."""
        ...

    @command(
        "Payment.release",
        "DELETE /auths/by-key/{of}",
        idempotent=True,
        absent_ok=True,
        fences_late=True,
    )
    async def release(self, of: str) -> None: ...

    @command("Payment.capture", "POST /auths/{auth}/capture", keyed=True)
    async def capture(self, auth: str, *, key: str) -> CaptureResult: ...


class Payment:
    @staticmethod
    def authorize(order: str, amount: Money, card: Secret[str]) -> Call[AuthorizeResult]:
        return Call.to(PaymentService.authorize, (order, amount, card), EDGE)

    @staticmethod
    def release(of: str) -> Call[None]:
        return Call.to(PaymentService.release, (of,), EDGE)

    @staticmethod
    def capture(auth: str) -> Call[CaptureResult]:
        return Call.to(PaymentService.capture, (auth,), EDGE)


PAYMENT_SERVICE = Service(
    "Payment",
    http("https://pay.internal/v2", env="PAYMENT_URL"),
    PaymentService,
    headers=(Header("Authorization", env="PAYMENT_AUTH"),),
)


class InventoryService(Protocol):
    @command("Inventory.reserve", "POST /holds", keyed=True, rejects={OutOfStock: 409})
    async def reserve(self, sku: str, qty: int, *, key: str) -> ReserveResult: ...

    @command(
        "Inventory.free",
        "DELETE /holds/by-key/{of}",
        idempotent=True,
        absent_ok=True,
        fences_late=True,
    )
    async def free(self, of: str) -> None: ...


class Inventory:
    @staticmethod
    def reserve(sku: str, qty: int) -> Call[ReserveResult]:
        return Call.to(InventoryService.reserve, (sku, qty), EDGE)

    @staticmethod
    def free(of: str) -> Call[None]:
        return Call.to(InventoryService.free, (of,), EDGE)


INVENTORY_SERVICE = Service(
    "Inventory", http("https://stock.internal", env="INVENTORY_URL"), InventoryService
)


class ShippingService(Protocol):
    @command(
        "Shipping.book",
        "POST /bookings",
        lands_within=timedelta(minutes=5),
        rejects={BadAddress: 422},
    )
    async def book(self, order: str, address: str) -> BookResult: ...

    @query("Shipping.find", "GET /bookings?order={order}")
    async def find(self, order: str) -> BookResult | None: ...


class Shipping:
    @staticmethod
    def book(order: str, address: str) -> Call[BookResult]:
        return Call.to(ShippingService.book, (order, address), EDGE, probe=Shipping.find(order))

    @staticmethod
    def find(order: str) -> Call[BookResult | None]:
        return Call.to(ShippingService.find, (order,), EDGE)


SHIPPING_SERVICE = Service(
    "Shipping", http("https://carrier.example/api", env="SHIPPING_URL"), ShippingService
)


class NotificationService(Protocol):
    @command("Notification.receipt", "POST /receipts", keyed=True)
    async def receipt(self, order: str, tracking: str, *, key: str) -> None: ...


class Notification:
    @staticmethod
    def receipt(order: str, tracking: str) -> Call[None]:
        return Call.to(NotificationService.receipt, (order, tracking), EDGE)


NOTIFICATION_SERVICE = Service(
    "Notification", http("https://mail.internal", env="NOTIFICATION_URL"), NotificationService
)


SERVICES = (
    ORDERS_SERVICE,
    PAYMENT_SERVICE,
    INVENTORY_SERVICE,
    SHIPPING_SERVICE,
    NOTIFICATION_SERVICE,
)

SAMPLE = Order(
    id="o-1",
    lines=(Line(sku="A", qty=1), Line(sku="B", qty=2)),
    total=Money(amount=Decimal("90.00"), currency="EUR"),
    address="Main St 1",
    card="tok",
)
BIG: Order = replace(SAMPLE, total=Money(amount=Decimal("5000"), currency="EUR"))


async def place_order(saga: Saga, order: Order) -> Confirmation:
    """Takes the money only when everything else is certain."""
    # shop.saga:83
    await saga.step(
        "Orders.create",
        Orders.create(order.id, order.lines),
        undo=Orders.reject(order.id),
    )

    # shop.saga:85
    async def authorize_payment(saga: Saga) -> AuthorizeResult:
        # shop.saga:86
        return await saga.step(
            "pay",
            Payment.authorize(order.id, order.total, order.card),
            undo=Payment.release(saga.key("pay")),
        )

    async def every_line(saga: Saga) -> None:
        # shop.saga:87
        async def each_line(saga: Saga, line: Line) -> None:
            # shop.saga:88
            await saga.step(
                "hold",
                Inventory.reserve(line.sku, line.qty),
                undo=Inventory.free(saga.key("hold")),
            )

        await saga.for_each("for line", order.lines, each_line, by=lambda line: line.sku, at_once=8)

    pay, _ = await saga.parallel(authorize_payment, every_line)
    # shop.saga:92
    if order.total.amount > Decimal("1000"):
        # shop.saga:93
        review = await saga.wait("review", Review, within=timedelta(hours=4))
        if review is None:
            raise ReviewTimedOut()
        # shop.saga:94
        if review.verdict == Verdict.Denied:
            raise Refused()
    # shop.saga:97
    await saga.pivot("charge", Payment.capture(pay.auth), policy=STUBBORN)
    # shop.saga:99
    ship = await saga.step(
        "ship",
        Shipping.book(order.id, order.address),
        policy=STUBBORN,
        escalate=Escalate("logistics"),
    )
    # shop.saga:100
    await saga.step("Orders.confirm", Orders.confirm(order.id, ship.tracking), policy=STUBBORN)
    # shop.saga:101
    await saga.best_effort("Notification.receipt", Notification.receipt(order.id, ship.tracking))
    # shop.saga:103
    return Confirmation(order=order.id, tracking=ship.tracking)


PLACE_ORDER = SagaDefinition(
    "PlaceOrder",
    place_order,
    id=lambda order: order.id,
    deadline=timedelta(hours=6),
    compensate_with=STUBBORN,
    escalate=Escalate("orders-oncall"),
    errors=(Declined, CardExpired, OutOfStock, ReviewTimedOut, Refused),
    version="c954747871ffac18",
)


def main() -> int:
    """Run a saga on the JSON of a file or of standard input, and print its outcome as JSON."""
    return run_main((PLACE_ORDER,), SERVICES, events=(Review,))


if __name__ == "__main__":
    sys.exit(main())
