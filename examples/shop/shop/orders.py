"""Orders, bound by `python "shop.orders"`: plain functions of the operations' names.

They keep the promises of the contract: the same key has the effect of once, rejecting what never
came succeeds, and an order that was rejected is never created late. One SQLite file, one
transaction for each call.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sagalang.runtime import NotSent

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id       TEXT PRIMARY KEY,
    key      TEXT,           -- of the create; NULL where the rejection came first
    items    INTEGER,
    tracking TEXT,
    status   TEXT NOT NULL   -- PENDING, CONFIRMED or REJECTED
);
"""


def create(id: str, lines: Sequence[Any], *, key: str) -> None:  # noqa: A002 - the contract's name
    with _database() as db:
        found = db.execute("SELECT key, status FROM orders WHERE id = ?", (id,)).fetchone()
        if found is None:
            items = sum(line.qty for line in lines)
            db.execute("INSERT INTO orders VALUES (?, ?, ?, NULL, 'PENDING')", (id, key, items))
        elif found[0] != key:
            # Somebody else's order, or one that was rejected before it came: nothing was done.
            raise ValueError(f"order {id} is {found[1]}")


def reject(id: str) -> None:  # noqa: A002
    with _database() as db:
        db.execute(
            "INSERT INTO orders VALUES (?, NULL, NULL, NULL, 'REJECTED')"
            " ON CONFLICT (id) DO UPDATE SET status = 'REJECTED' WHERE status = 'PENDING'",
            (id,),
        )


def confirm(id: str, tracking: str) -> None:  # noqa: A002
    with _database() as db:
        db.execute(
            "UPDATE orders SET status = 'CONFIRMED', tracking = ? WHERE id = ?", (tracking, id)
        )


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    path = Path(os.environ.get("SHOP_DB", ".saga-services/shop.db"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise NotSent(str(error)) from error  # nothing was done: it may be tried again
    try:
        db.executescript(SCHEMA)
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")
    finally:
        db.close()  # an open transaction is rolled back
