"""Payment: charges a card, and refunds a charge by the idempotency key that made it.

Naming the charge by its key is what lets a caller undo a charge whose answer it never got.
"""

from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from msgspec import Struct
from problems import Problem
from service import FENCES, Amount, Text, application, overview, read
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagalang.idempotency import bare, connection, fence, key

CHARGE = "POST /charges"
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


class Charge(Struct):
    order: Text
    amount: Amount


async def charge(request: Request) -> Response:
    wanted = await read(request, Charge)
    if wanted.amount > LIMIT:
        detail = f"Cards are declined over {LIMIT}."
        raise Problem(402, "Declined", "The card was declined", detail=detail)
    payment = f"pay_{uuid4().hex}"
    connection().execute(
        "INSERT INTO charges VALUES (?, ?, ?, ?, 'CHARGED')",
        (key(), payment, wanted.order, str(wanted.amount)),
    )
    return JSONResponse({"payment": payment}, 201)


async def refund(request: Request) -> Response:
    of = bare(request.path_params["of"])
    await fence(of, of=CHARGE)
    connection().execute("UPDATE charges SET status = 'REFUNDED' WHERE key = ?", (of,))
    return JSONResponse({})


def app(path: Path) -> Starlette:
    return application(
        path,
        SCHEMA,
        overview(path, charges="SELECT * FROM charges ORDER BY rowid", fences=FENCES),
        Route("/charges", charge, methods=["POST"]),
        Route("/charges/{of:path}/refund", refund, methods=["POST"]),  # a key may hold slashes
        keyed=CHARGE,
    )
