"""A payment service to be killed. One process, with all imported, forks a server for each life.

python -m idempotency.mortal sqlite FILE
python -m idempotency.mortal postgres URL SCHEMA
python -m idempotency.mortal careless FILE      its effect is not in the store's transaction

A line on standard input starts a server. On standard output: `serving PORT PID`, then `arrived`
for each request, and `gone` once the server is dead. A request may say in `X-Die` where its server
shall kill itself.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagalang.idempotency import IdempotencyMiddleware, SQLiteStore, begin, key, one_caller

POINTS = ("on arrival", "after the write", "before commit", "after commit", "within the answer")

Write = Callable[[str], Awaitable[None]]
_end: ContextVar[str] = ContextVar("end", default="")


def point(name: str) -> None:
    assert name in POINTS
    if _end.get() == name:
        os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """A transaction store with two points to die at."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def begin(self) -> Any:
        transaction = await self._store.begin()
        commit = transaction.commit

        async def commit_or_die() -> None:
            point("before commit")
            await commit()
            point("after commit")

        transaction.commit = commit_or_die
        return transaction


def sqlite(path: str) -> tuple[Any, Write]:
    async def write(run: str) -> None:
        (await begin()).execute("INSERT INTO effects VALUES (?, ?)", (key(), run))

    return SQLiteStore(path).asynchronous(), write


def careless(path: str) -> tuple[Any, Write]:
    async def write(run: str) -> None:
        with closing(sqlite3.connect(f"{path}.beside")) as db, db:
            db.execute("INSERT INTO effects VALUES (?, ?)", (key(), run))

    return SQLiteStore(path).asynchronous(), write


def postgres(url: str, schema: str) -> tuple[Any, Write]:
    from sagalang.idempotency import AsyncPostgresStore

    insert = f"INSERT INTO {schema}.effects VALUES (%s, %s)"

    async def write(run: str) -> None:
        await (await begin()).execute(insert, (key(), run))

    return AsyncPostgresStore(url, schema=schema), write


STORES: dict[str, Callable[..., tuple[Any, Write]]] = {
    "sqlite": sqlite,
    "careless": careless,
    "postgres": postgres,
}


def application(store: Any, write: Write) -> Any:
    async def charge(_: Request) -> Response:
        run = uuid4().hex  # no two runs answer alike
        await write(run)
        point("after the write")
        return JSONResponse({"run": run}, 201)

    protected = Middleware(IdempotencyMiddleware, store=Mortal(store), caller=one_caller)
    app = Starlette(routes=[Route("/charges", charge, methods=["POST"])], middleware=[protected])

    async def outermost(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.body":
                point("within the answer")
            await send(message)

        _end.set(dict(scope["headers"]).get(b"x-die", b"").decode())
        say("arrived")
        point("on arrival")
        await app(scope, receive, sending)

    return outermost


def say(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def serve(kind: str, *where: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    app = application(*STORES[kind](*where))
    say(f"serving {listening.getsockname()[1]} {os.getpid()}")
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


def main() -> None:
    if sys.argv[1] == "postgres":
        import psycopg  # noqa: F401 - once, before the forks
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            try:
                serve(*sys.argv[1:])
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main()
