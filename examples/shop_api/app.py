"""The shop as a web application: orders come in over HTTP, a compiled saga carries them out.

To run it, see README.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, cast
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sagas.shop import PLACE_ORDER, SERVICES, Confirmation, Order, Review

from sagalang.runtime.saga_app import (
    NoSuchRunError,
    OtherInputError,
    Owed,
    RunOverError,
    Runs,
    State,
    serving,
)

SHOP: Final = Path(__file__).parents[1] / "shop"
"""Where the shop's own code is, the module `shop.orders`."""

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""What stands in a URL as it is."""


@dataclass(frozen=True, slots=True)
class Accepted:
    id: str


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as its saga stands. What the order itself says stays out: it holds the card."""

    id: str
    state: State
    confirmation: Confirmation | None
    error: str | None
    owed: tuple[Owed, ...]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # The journal file of the orders is named by SAGA_DB.
    async with serving([PLACE_ORDER], SERVICES, os.environ, folder=str(SHOP)) as runs:
        app.state.runs = runs
        yield


app = FastAPI(title="Shop", lifespan=lifespan)


def running(request: Request) -> Runs:
    return cast(Runs, request.app.state.runs)


RunsHere = Annotated[Runs, Depends(running)]


@app.post("/orders", status_code=202)
async def place(order: Order, runs: RunsHere, response: Response) -> Accepted:
    """Start an order. The same id with the same content is the same order."""
    if not ID.fullmatch(order.id):
        raise HTTPException(422, "an order's id is up to 100 letters, digits, - and _")
    order_id = await runs.start(PLACE_ORDER(order))
    response.headers["Location"] = f"/orders/{quote(order_id)}"
    return Accepted(order_id)


@app.get("/orders/{order_id}")
async def show(order_id: str, runs: RunsHere) -> OrderView:
    run = runs.inspect(order_id)
    return OrderView(order_id, run.state, run.value, run.error, run.owed)


@app.post("/orders/{order_id}/review", status_code=202)
async def review(order_id: str, verdict: Review, runs: RunsHere) -> Accepted:
    """Review an order, once. A review that comes before the order waits for it is kept."""
    await runs.signal(order_id, verdict, id="review")
    return Accepted(order_id)


# --- What clients are told -----------------------------------------------------------------------


@app.exception_handler(NoSuchRunError)
async def unknown(_: Request, error: NoSuchRunError) -> JSONResponse:
    return JSONResponse({"detail": "there is no such order"}, 404)


@app.exception_handler(OtherInputError)
@app.exception_handler(RunOverError)
async def conflict(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 409)


@app.exception_handler(RequestValidationError)
async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    # FastAPI's own handler repeats the input, and the input may hold a card.
    told = [{"loc": found["loc"], "msg": found["msg"]} for found in error.errors()]
    return JSONResponse({"detail": told}, 422)
