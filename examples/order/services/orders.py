"""Orders: PENDING when created, then CONFIRMED, or FAILED for good."""

from pathlib import Path
from sqlite3 import Connection

import keys
from problems import Answer, Problem, fenced
from service import Store, application, in_path, read_command
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id     TEXT PRIMARY KEY,
    sku    TEXT NOT NULL,
    qty    INTEGER NOT NULL,
    amount TEXT NOT NULL,      -- a decimal, exactly as sent
    status TEXT NOT NULL       -- PENDING, CONFIRMED or FAILED
);
"""


def app(path: Path) -> Starlette:
    store = Store(path, SCHEMA)

    async def create(request: Request) -> Response:
        command = await read_command(request)
        order_id, sku = command.text("id"), command.text("sku")
        qty, amount = command.qty("qty"), command.amount("amount")

        def work(db: Connection) -> Answer:
            if db.execute("SELECT 1 FROM orders WHERE id = ?", (order_id,)).fetchone():
                raise Problem(
                    409, "OrderExists", "An order with this id exists already", id=order_id
                )
            db.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?, 'PENDING')",
                (order_id, sku, qty, str(amount)),
            )
            return Answer(201)

        # Create and fail know each other by the order's id, not by the key.
        return await store.once(command, fence=order_id, work=work)

    async def fail(request: Request) -> Response:
        order_id = in_path(request, "id")

        def work(db: Connection) -> Answer:
            # An order that is not here yet is failed too: its create may still be on the way. A
            # confirmed one is past the point of no return; whoever asks is mistaken, and a person
            # has to look.
            found = db.execute("SELECT status FROM orders WHERE id = ?", (order_id,)).fetchone()
            if found and found[0] == "CONFIRMED":
                raise Problem(409, "OrderConfirmed", "The order is confirmed", id=order_id)
            keys.fence(db, order_id)
            db.execute("UPDATE orders SET status = 'FAILED' WHERE id = ?", (order_id,))
            return Answer()

        return await store.write(work)

    async def confirm(request: Request) -> Response:
        order_id = in_path(request, "id")

        def work(db: Connection) -> Answer:
            if keys.is_fenced(db, order_id):
                raise fenced("The order has failed, for good.")
            found = db.execute(
                "UPDATE orders SET status = 'CONFIRMED' WHERE id = ?", (order_id,)
            ).rowcount
            if not found:
                raise Problem(404, "UnknownOrder", "There is no order with this id", id=order_id)
            return Answer()

        return await store.write(work)

    async def overview(_: Request) -> Response:
        return await store.overview(
            orders="SELECT * FROM orders ORDER BY rowid",
            fences="SELECT name AS id FROM fences ORDER BY rowid",
        )

    return application(
        Route("/", overview),
        Route("/orders", create, methods=["POST"]),
        Route("/orders/{id:path}/fail", fail, methods=["POST"]),
        Route("/orders/{id:path}/confirm", confirm, methods=["POST"]),
    )
