"""The services of tea.saga as objects, and what is asked of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("tea.saga")
CARD = "4242-secret-4242"


def order(id: str = "o-1", **fields: Any) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "sku": "tea", "qty": 2, "amount": 18.5, "card": CARD, **fields}


class Declined(Exception):  # noqa: N818 - as the error of the saga
    pass


class OutOfStock(Exception):  # noqa: N818
    def __init__(self, sku: str) -> None:
        super().__init__(sku)
        self.sku = sku


class Shop:
    """All three services, by their keys. `calls`: how often each operation was called."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.charged: dict[str, Decimal] = {}
        self.refunded: set[str] = set()
        self.slow: asyncio.Event | None = None
        """While it is not set, reservations wait."""
        self.carrier_refuses = False

    @property
    def services(self) -> Mapping[str, object]:
        return {"Payment": self, "Stock": self, "Carrier": self}

    async def charge(self, order: str, amount: Decimal, card: str, *, key: str) -> dict[str, str]:
        self.calls["charge"] += 1
        if card == "declined":
            raise Declined
        self.charged[key] = amount
        return {"payment": f"pay-{order}"}

    def refund(self, of: str) -> None:  # plain: in a thread of its own
        self.calls["refund"] += 1
        self.refunded.add(of)

    async def reserve(self, order: str, sku: str, qty: int, *, key: str) -> None:
        self.calls["reserve"] += 1
        if self.slow is not None:
            await self.slow.wait()
        if sku == "gone":
            raise OutOfStock(sku)

    async def release(self, of: str) -> None:
        self.calls["release"] += 1

    async def book(self, order: str, *, key: str) -> dict[str, str]:
        self.calls["book"] += 1
        if self.carrier_refuses:
            raise Declined
        return {"tracking": f"t-{order}"}

    async def post(self, order: str, tracking: str) -> None:
        self.calls[f"post {tracking}"] += 1
