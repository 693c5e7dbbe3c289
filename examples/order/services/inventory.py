"""Inventory: sets stock aside, and puts it back by the idempotency key that set it aside."""

from collections.abc import Mapping
from pathlib import Path
from sqlite3 import Connection

import keys
from problems import Answer, Problem
from service import Store, application, bare, in_path, read_command
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SCHEMA = """
CREATE TABLE IF NOT EXISTS stock (
    sku       TEXT PRIMARY KEY,
    available INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS reservations (
    key     TEXT PRIMARY KEY,
    "order" TEXT NOT NULL,
    sku     TEXT NOT NULL,
    qty     INTEGER NOT NULL,
    status  TEXT NOT NULL      -- HELD or RELEASED
);
"""


def app(path: Path, stock: Mapping[str, int]) -> Starlette:
    store = Store(path, SCHEMA)
    with store.transaction() as db:
        for item in stock.items():
            db.execute("INSERT OR REPLACE INTO stock VALUES (?, ?)", item)

    async def reserve(request: Request) -> Response:
        command = await read_command(request)
        order, sku, qty = command.text("order"), command.text("sku"), command.qty("qty")

        def work(db: Connection) -> Answer:
            # The test and the taking are one statement: nobody can take the last one in between.
            taken = db.execute(
                "UPDATE stock SET available = available - ? WHERE sku = ? AND available >= ?",
                (qty, sku, qty),
            ).rowcount
            if not taken:
                raise Problem(409, "OutOfStock", "Not enough left in stock", sku=sku)
            db.execute(
                "INSERT INTO reservations VALUES (?, ?, ?, ?, 'HELD')",
                (command.key, order, sku, qty),
            )
            return Answer(201)

        return await store.once(command, fence=command.key, work=work)

    async def release(request: Request) -> Response:
        key = bare(in_path(request, "of"))

        def work(db: Connection) -> Answer:
            keys.fence(db, key)
            held = db.execute(
                "SELECT qty, sku FROM reservations WHERE key = ? AND status = 'HELD'", (key,)
            ).fetchone()
            if held:  # only what is still held goes back, so a second release adds nothing
                db.execute("UPDATE stock SET available = available + ? WHERE sku = ?", held)
                db.execute("UPDATE reservations SET status = 'RELEASED' WHERE key = ?", (key,))
            return Answer()

        return await store.write(work)

    async def overview(_: Request) -> Response:
        return await store.overview(
            stock="SELECT * FROM stock ORDER BY sku",
            reservations="SELECT * FROM reservations ORDER BY rowid",
            fences="SELECT name AS key FROM fences ORDER BY rowid",
        )

    return application(
        Route("/", overview),
        Route("/reservations", reserve, methods=["POST"]),
        Route("/reservations/{of:path}", release, methods=["DELETE"]),
    )
