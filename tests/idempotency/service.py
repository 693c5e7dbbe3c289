"""A payment service to test with, as a Starlette and as a Flask application, and their servers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from idempotency.stores import Opened
from sagalang.idempotency import (
    IdempotencyMiddleware,
    fence,
    fence_sync,
    is_fenced,
    is_fenced_sync,
    key,
    one_caller,
)

CHARGE = "POST /charges"
ANY_BYTES = bytes(range(256)) * 20


class Gates:
    """Lets a test hold a handler: `entered` once it runs, until the test says `go`."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()
        self.runs: list[str] = []

    async def pass_through(self) -> None:
        self.entered.set()
        while not self.go.is_set():  # noqa: ASYNC110 - the test is in another thread
            await asyncio.sleep(0.002)

    def pass_through_sync(self) -> None:
        self.entered.set()
        assert self.go.wait(10)


def answer_to(how: str) -> tuple[int, dict[str, str], object]:
    """The answer of a charge that does not succeed."""
    return {
        "decline": (402, {}, {"type": "Declined"}),
        "throttle": (429, {}, {"type": "Later"}),
        "unavailable": (503, {"Retry-After": "1"}, {"type": "Later"}),
        "fail": (500, {}, {"type": "Oops"}),
        "gateway": (503, {}, {"type": "Oops"}),
        "timeout": (408, {}, {"type": "Oops"}),
        "redirect": (303, {"Location": "/elsewhere"}, None),
    }[how]


def starlette(opened: Opened, gates: Gates | None = None, **options: Any) -> Starlette:
    gates = gates or Gates()

    async def charge(request: Request) -> Response:
        order = await request.json()
        gates.runs.append(str(key()))
        how = order.get("how", "")
        await opened.write(f"charge {key()}")
        if how == "hold":
            await gates.pass_through()
        elif how == "slow":
            await asyncio.sleep(0.05)
        elif how == "crash":
            raise RuntimeError("a bug")
        elif how == "stream":
            return StreamingResponse(_parts(), 201, {"X-Kind": "stream"})
        elif how == "long":
            return StreamingResponse(_parts(5_000), 201)
        elif how == "binary":
            return Response(ANY_BYTES, 201, {"Set-Cookie": "a=b"}, "application/octet-stream")
        elif how:
            status, headers, body = answer_to(how)
            return JSONResponse(body, status, headers)
        return JSONResponse({"payment": f"pay-{len(gates.runs)}"}, 201, {"X-Kind": "plain"})

    async def refund(request: Request) -> Response:
        name = request.path_params["of"]
        before = await fence(name, of=CHARGE)
        await opened.write(f"refund {name}")
        how = request.query_params.get("how", "")
        if how == "hold":
            await gates.pass_through()
        if how == "crash":
            raise RuntimeError("a bug")
        if how:
            return Response(status_code=int(how))
        return JSONResponse({"before": before.value if before else None})

    def sync_refund(request: Request) -> Response:
        name = request.path_params["of"]
        fence_sync(name, of=CHARGE)
        opened.write_sync(f"refund {name}")
        return JSONResponse({"fenced": is_fenced_sync(name, of=CHARGE)})

    def sync_charge(_: Request) -> Response:
        opened.write_sync(f"charge {key()}")
        return JSONResponse({"key": key()}, 201)

    async def confirm(request: Request) -> Response:
        if await is_fenced(request.path_params["of"], of=CHARGE):
            return Response(status_code=409)
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/charges", charge, methods=["POST", "PUT"]),
            Route("/other-charges", charge, methods=["POST"]),
            Route("/sync-charges", sync_charge, methods=["POST"]),
            Route("/charges/{of:path}/refund", refund, methods=["POST"]),
            Route("/charges/{of:path}/sync-refund", sync_refund, methods=["POST"]),
            Route("/charges/{of:path}/confirm", confirm, methods=["POST"]),
        ],
        middleware=[
            Middleware(
                IdempotencyMiddleware, store=opened.asgi, **{"caller": one_caller, **options}
            )
        ],
    )


async def _parts(count: int = 3) -> Any:
    for n in range(count):
        yield f"part {n};".encode()
        await asyncio.sleep(0)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The URL of a uvicorn server in a thread."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.002)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Switch:
    """Stands before one application at a time: a server for each would cost most of the time."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


switch = Switch()


@contextmanager
def calling(app: Any) -> Iterator[httpx.Client]:
    """A client of an ASGI application, over HTTP."""
    switch.app = app
    # No connection is used twice: after a handler's exception, uvicorn closes it unannounced.
    single = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=switch.url, verify=False, trust_env=False, limits=single) as client:
        yield client


def post(
    client: httpx.Client,
    key: str | None = None,
    body: object = None,
    path: str = "/charges",
    **headers: str,
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        named["Idempotency-Key"] = key
    content = json.dumps(body if body is not None else {"amount": 5})
    return client.post(path, content=content, headers={"Content-Type": "application/json"} | named)


def kind(answer: httpx.Response) -> str:
    """The end of a problem's type."""
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).rpartition("/")[2]
