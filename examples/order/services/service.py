"""What the three services share: the application around their handlers, and reading a request."""

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from problems import HANDLERS, Problem
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagalang.idempotency import IdempotencyMiddleware, SQLiteStore, body_field, one_caller

MAX_BODY = 16 * 1024
MAX_AMOUNT = 10**12
YEAR = 365 * 24 * 60 * 60  # seconds
FENCES = "SELECT key FROM idempotency_records WHERE state = 'fenced' ORDER BY rowid"

T = TypeVar("T")

Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
Quantity = Annotated[int, Meta(ge=1, le=10**6)]


class Amount(Decimal):
    """Money, exactly as sent: a float would round it, 0.1 must stay 0.1."""


def application(
    path: Path, schema: str, *routes: Route, keyed: str, fenced_by: str | None = None
) -> Starlette:
    """A service whose data are in the SQLite file `path`.

    `keyed`: the operation that needs an idempotency key. Its effect, its recorded answer and the
    fence of its undo are in that file together, so each handler is one transaction.
    `fenced_by`: the field of its body that the undo knows it by, where that is not the key.
    """
    with closing(sqlite3.connect(path)) as db:
        db.executescript(schema)
    idempotency = Middleware(
        IdempotencyMiddleware,
        store=SQLiteStore(path),
        caller=one_caller,
        required={keyed},
        fenced_by={keyed: body_field(fenced_by)} if fenced_by else {},
        max_body=MAX_BODY,
        ttl=YEAR,  # an example's data may lie around for long
    )
    app = Starlette(routes=routes, middleware=[idempotency], exception_handlers=HANDLERS)
    app.router.redirect_slashes = False  # /orders/ is not /orders, and no redirect says it is
    return app


def overview(path: Path, **queries: str) -> Route:
    """GET /: the rows that each query finds, all seen at one moment."""

    def show(_: Request) -> Response:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN")
            found = {name: [dict(row) for row in db.execute(q)] for name, q in queries.items()}
        return JSONResponse(found)

    return Route("/", show)


async def read(request: Request, kind: type[T]) -> T:
    """The request's JSON body as a `kind`. Raises Problem 400."""
    decoder = msgspec.json.Decoder(kind, float_hook=Decimal, dec_hook=_amount)
    try:
        return decoder.decode(await request.body())
    except (ValueError, ArithmeticError, RecursionError) as error:
        why = str(error) if isinstance(error, msgspec.ValidationError) else "It is no JSON"
        raise Problem(400, "Malformed", "The body is malformed", detail=f"{why}.") from None


def _amount(_: type, value: object) -> Amount:
    if type(value) is not int and not isinstance(value, Decimal):  # a bool is an int to isinstance
        raise ValueError("Expected a number")
    amount = Amount(value)
    if amount.is_signed() or amount > MAX_AMOUNT:
        raise ValueError(f"Expected a number from 0 to {MAX_AMOUNT}")
    return amount
