"""The shop's data, and its services: what they are called with, answer, refuse and promise."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import partial
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from .calls import Call, Failure, Guard, Mismatch, Rejected, Unknown
from .http import Http

# --- Data ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Money:
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    qty: int


@dataclass(frozen=True, slots=True)
class Order:
    id: str
    lines: tuple[Line, ...]
    total: Money
    address: str
    card: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Confirmation:
    order: str
    tracking: str


class Verdict(StrEnum):
    APPROVED = "Approved"
    DENIED = "Denied"


@dataclass(frozen=True, slots=True)
class Review:
    verdict: Verdict
    by: str


class Declined(Rejected):
    pass


class CardExpired(Rejected):
    pass


class BadAddress(Rejected):
    pass


class OutOfStock(Rejected):
    def __init__(self, sku: str) -> None:
        super().__init__()
        self.sku = sku

    @classmethod
    def of(cls, problem: Mapping[str, Any]) -> OutOfStock:
        sku = problem.get("sku")
        if not isinstance(sku, str):
            raise Mismatch()
        return cls(sku)


# --- Services ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authorization:
    auth: str


@dataclass(frozen=True, slots=True)
class Charge:
    id: str


@dataclass(frozen=True, slots=True)
class Hold:
    hold: str


@dataclass(frozen=True, slots=True)
class Booking:
    tracking: str


class OrderBook(Protocol):
    """The shop's own orders. `create` is keyed, the others are idempotent."""

    async def create(self, id_: str, lines: Sequence[Line], key: str) -> None: ...

    async def reject(self, id_: str) -> None: ...

    async def confirm(self, id_: str, tracking: str) -> None: ...


class ShopOrders:
    """The functions of the module `shop.orders`, in threads."""

    def __init__(self) -> None:
        self._module: Any = import_module("shop.orders")

    async def create(self, id_: str, lines: Sequence[Line], key: str) -> None:
        await asyncio.to_thread(self._module.create, id_, lines, key=key)

    async def reject(self, id_: str) -> None:
        await asyncio.to_thread(self._module.reject, id_)

    async def confirm(self, id_: str, tracking: str) -> None:
        await asyncio.to_thread(self._module.confirm, id_, tracking)


@dataclass(frozen=True)
class Orders:
    book: OrderBook
    guard: Guard = field(default_factory=Guard)

    def create(self, order: Order) -> Call[None]:
        async def send(key: str | None, _: int) -> None:
            assert key is not None
            await self._certain(self.book.create(order.id, order.lines, key))

        return Call("Orders.create", self.guard, send, keyed=True)

    def reject(self, id_: str) -> Call[None]:
        async def send(_: str | None, __: int) -> None:
            await self._certain(self.book.reject(id_))

        return Call("Orders.reject", self.guard, send, idempotent=True)

    def confirm(self, id_: str, tracking: str) -> Call[None]:
        async def send(_: str | None, __: int) -> None:
            await self._certain(self.book.confirm(id_, tracking))

        return Call("Orders.confirm", self.guard, send, idempotent=True)

    async def _certain(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Failure:
            raise
        except Exception:
            raise Unknown("Unavailable") from None


@dataclass(frozen=True)
class Payment:
    http: Http

    def authorize(self, order: str, amount: Money, card: str) -> Call[Authorization]:
        """Holds the money on the card; nothing is taken yet."""
        send = partial(
            self.http.send,
            method="POST",
            path="/auths",
            body={"order": order, "amount": asdict(amount), "card": card},
            answer=Authorization,
            rejects={402: Declined, 410: CardExpired},
        )
        guard = self.http.guard
        return Call("Payment.authorize", guard, send, keyed=True, records_rejections=True)

    def release(self, of: str) -> Call[None]:
        path = f"/auths/by-key/{quote(of, safe='')}"
        send = partial(self.http.send, method="DELETE", path=path, absent=True)
        return Call("Payment.release", self.http.guard, send, idempotent=True)

    def capture(self, auth: str) -> Call[Charge]:
        path = f"/auths/{quote(auth, safe='')}/capture"
        send = partial(self.http.send, method="POST", path=path, body={}, answer=Charge)
        return Call("Payment.capture", self.http.guard, send, keyed=True)


@dataclass(frozen=True)
class Inventory:
    http: Http

    def reserve(self, sku: str, qty: int) -> Call[Hold]:
        send = partial(
            self.http.send,
            method="POST",
            path="/holds",
            body={"sku": sku, "qty": qty},
            answer=Hold,
            rejects={409: OutOfStock},
        )
        return Call("Inventory.reserve", self.http.guard, send, keyed=True)

    def free(self, of: str) -> Call[None]:
        path = f"/holds/by-key/{quote(of, safe='')}"
        send = partial(self.http.send, method="DELETE", path=path, absent=True)
        return Call("Inventory.free", self.http.guard, send, idempotent=True)


@dataclass(frozen=True)
class Shipping:
    http: Http

    def book(self, order: str, address: str) -> Call[Booking]:
        """No keys: ask before repeating, never repeat blindly."""
        send = partial(
            self.http.send,
            method="POST",
            path="/bookings",
            body={"order": order, "address": address},
            answer=Booking,
            rejects={422: BadAddress},
        )
        probe = self.find(order)
        return Call("Shipping.book", self.http.guard, send, probe=probe, lands_within=300)

    def find(self, order: str) -> Call[Booking | None]:
        path = f"/bookings?order={quote(order, safe='')}"
        answer = Booking | None
        send = partial(self.http.send, method="GET", path=path, answer=answer, absent=True)
        return Call("Shipping.find", self.http.guard, send, idempotent=True)


@dataclass(frozen=True)
class Notification:
    http: Http

    def receipt(self, order: str, tracking: str) -> Call[None]:
        body = {"order": order, "tracking": tracking}
        send = partial(self.http.send, method="POST", path="/receipts", body=body)
        return Call("Notification.receipt", self.http.guard, send, keyed=True)


@dataclass(frozen=True)
class Services:
    orders: Orders
    payment: Payment
    inventory: Inventory
    shipping: Shipping
    notification: Notification


@asynccontextmanager
async def connected(environ: Mapping[str, str] = os.environ) -> AsyncIterator[Services]:
    """The services where the environment says they are. Raises KeyError without PAYMENT_AUTH."""

    def client(variable: str, url: str, **headers: str) -> httpx.AsyncClient:
        base = environ.get(variable) or url
        return httpx.AsyncClient(base_url=base, headers=headers, timeout=None, trust_env=False)

    auth = environ["PAYMENT_AUTH"]
    async with (
        client("PAYMENT_URL", "https://pay.internal/v2", Authorization=auth) as payment,
        client("INVENTORY_URL", "https://stock.internal") as inventory,
        client("SHIPPING_URL", "https://carrier.example/api") as shipping,
        client("NOTIFICATION_URL", "https://mail.internal") as notification,
    ):
        yield Services(
            Orders(ShopOrders()),
            Payment(Http(payment)),
            Inventory(Http(inventory)),
            Shipping(Http(shipping)),
            Notification(Http(notification)),
        )
