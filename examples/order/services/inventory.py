"""Inventory: sets stock aside, and puts it back by the idempotency key that set it aside."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from msgspec import Struct
from problems import Problem
from service import FENCES, Quantity, Text, application, overview, read
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagalang.idempotency import bare, connection, fence, key

RESERVE = "POST /reservations"

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


class Reservation(Struct):
    order: Text
    sku: Text
    qty: Quantity


async def reserve(request: Request) -> Response:
    wanted = await read(request, Reservation)
    db = connection()
    # The test and the taking are one statement: nobody can take the last one in between.
    taken = db.execute(
        "UPDATE stock SET available = available - ? WHERE sku = ? AND available >= ?",
        (wanted.qty, wanted.sku, wanted.qty),
    ).rowcount
    if not taken:
        raise Problem(409, "OutOfStock", "Not enough left in stock", sku=wanted.sku)
    db.execute(
        "INSERT INTO reservations VALUES (?, ?, ?, ?, 'HELD')",
        (key(), wanted.order, wanted.sku, wanted.qty),
    )
    return JSONResponse({}, 201)


async def release(request: Request) -> Response:
    of = bare(request.path_params["of"])
    await fence(of, of=RESERVE)
    db = connection()
    held = db.execute(
        "SELECT qty, sku FROM reservations WHERE key = ? AND status = 'HELD'", (of,)
    ).fetchone()
    if held:  # only what is still held goes back, so a second release adds nothing
        db.execute("UPDATE stock SET available = available + ? WHERE sku = ?", held)
        db.execute("UPDATE reservations SET status = 'RELEASED' WHERE key = ?", (of,))
    return JSONResponse({})


def app(path: Path, stock: Mapping[str, int]) -> Starlette:
    reservations = "SELECT * FROM reservations ORDER BY rowid"
    left = "SELECT * FROM stock ORDER BY sku"
    made = application(
        path,
        SCHEMA,
        overview(path, stock=left, reservations=reservations, fences=FENCES),
        Route("/reservations", reserve, methods=["POST"]),
        Route("/reservations/{of:path}", release, methods=["DELETE"]),  # a key may hold slashes
        keyed=RESERVE,
    )
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT OR REPLACE INTO stock VALUES (?, ?)", stock.items())
    return made
