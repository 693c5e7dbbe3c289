"""A program that starts an order, and is killed while the stock is asked."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

import sagalang
from api.tea import FILE, Shop, order


class Ledger(Shop):
    """Writes down the keys of charges; reservations never end."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    async def charge(self, order: str, amount: Decimal, card: str, *, key: str) -> dict[str, str]:
        with self.path.open("a") as file:
            file.write(f"{key}\n")
        return await super().charge(order, amount, card, key=key)

    async def reserve(self, order: str, sku: str, qty: int, *, key: str) -> None:
        print("reserving", flush=True)
        await asyncio.sleep(3_600)


def main(db: Path, ledger: Path) -> None:
    with sagalang.open(FILE, db=db, services=Ledger(ledger).services) as sagas:
        sagas.run("PlaceOrder", order())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
