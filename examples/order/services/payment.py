"""Payment: charges a card, and refunds a charge by the idempotency key that made it.

Naming the charge by its key is what lets a caller undo a charge whose answer it never got.
"""

from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection
from uuid import uuid4

import keys
from problems import Answer, Problem
from service import Store, application, bare, in_path, read_command
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

LIMIT = Decimal(1000)  # a charge over this is declined: an easy way to see a saga undone

SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    key     TEXT PRIMARY KEY,
    payment TEXT NOT NULL UNIQUE,
    "order" TEXT NOT NULL,
    amount  TEXT NOT NULL,     -- a decimal, exactly as sent
    status  TEXT NOT NULL      -- CHARGED or REFUNDED
);
"""


def app(path: Path) -> Starlette:
    store = Store(path, SCHEMA)

    async def charge(request: Request) -> Response:
        command = await read_command(request)
        order, amount = command.text("order"), command.amount("amount")

        def work(db: Connection) -> Answer:
            if amount > LIMIT:
                detail = f"Cards are declined over {LIMIT}."
                raise Problem(402, "Declined", "The card was declined", detail=detail)
            payment = f"pay_{uuid4().hex}"
            db.execute(
                "INSERT INTO charges VALUES (?, ?, ?, ?, 'CHARGED')",
                (command.key, payment, order, str(amount)),
            )
            return Answer(201, {"payment": payment})

        return await store.once(command, fence=command.key, work=work)

    async def refund(request: Request) -> Response:
        key = bare(in_path(request, "of"))

        def work(db: Connection) -> Answer:
            keys.fence(db, key)
            db.execute("UPDATE charges SET status = 'REFUNDED' WHERE key = ?", (key,))
            return Answer()

        return await store.write(work)

    async def overview(_: Request) -> Response:
        return await store.overview(
            charges="SELECT * FROM charges ORDER BY rowid",
            fences="SELECT name AS key FROM fences ORDER BY rowid",
        )

    return application(
        Route("/", overview),
        Route("/charges", charge, methods=["POST"]),
        Route("/charges/{of:path}/refund", refund, methods=["POST"]),
    )
