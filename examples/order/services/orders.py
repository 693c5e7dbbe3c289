"""Orders: PENDING when created, then CONFIRMED, or FAILED for good."""

from pathlib import Path

from msgspec import Struct
from problems import Problem
from service import FENCES, Amount, Quantity, Text, application, overview, read
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagalang.idempotency import begin, connection, fence, is_fenced

CREATE = "POST /orders"

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id     TEXT PRIMARY KEY,
    sku    TEXT NOT NULL,
    qty    INTEGER NOT NULL,
    amount TEXT NOT NULL,      -- a decimal, exactly as sent
    status TEXT NOT NULL       -- PENDING, CONFIRMED or FAILED
);
"""


class Order(Struct):
    id: Text
    sku: Text
    qty: Quantity
    amount: Amount


async def create(request: Request) -> Response:
    order = await read(request, Order)
    db = connection()
    created = db.execute(
        "INSERT OR IGNORE INTO orders VALUES (?, ?, ?, ?, 'PENDING')",
        (order.id, order.sku, order.qty, str(order.amount)),
    ).rowcount
    if not created:
        raise Problem(409, "OrderExists", "An order with this id exists already", id=order.id)
    return JSONResponse({}, 201)


async def fail(request: Request) -> Response:
    """An order that is not here yet is failed too: its create may still be on the way."""
    order = request.path_params["id"]
    await fence(order, of=CREATE)
    db = connection()
    found = db.execute("SELECT status FROM orders WHERE id = ?", (order,)).fetchone()
    if found == ("CONFIRMED",):
        # Past the point of no return. Whoever asks is mistaken, and a person has to look; being a
        # refusal, this takes the fence back.
        raise Problem(409, "OrderConfirmed", "The order is confirmed", id=order)
    db.execute("UPDATE orders SET status = 'FAILED' WHERE id = ?", (order,))
    return JSONResponse({})


async def confirm(request: Request) -> Response:
    order = request.path_params["id"]
    db = await begin()
    confirmed = db.execute(
        "UPDATE orders SET status = 'CONFIRMED' WHERE id = ? AND status <> 'FAILED'", (order,)
    ).rowcount
    if not confirmed:
        if await is_fenced(order, of=CREATE):
            raise Problem(409, "idempotency/fenced", "The order has failed, for good", id=order)
        raise Problem(404, "UnknownOrder", "There is no order with this id", id=order)
    return JSONResponse({})


def app(path: Path) -> Starlette:
    return application(
        path,
        SCHEMA,
        overview(path, orders="SELECT * FROM orders ORDER BY rowid", fences=FENCES),
        Route("/orders", create, methods=["POST"]),
        Route("/orders/{id:path}/fail", fail, methods=["POST"]),  # an id may hold slashes
        Route("/orders/{id:path}/confirm", confirm, methods=["POST"]),
        keyed=CREATE,
        fenced_by="id",  # create and fail know each other by the order's id, not by the key
    )
