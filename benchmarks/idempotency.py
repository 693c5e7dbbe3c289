"""What the idempotency middleware costs: first requests and replays a second, on SQLite.

python benchmarks/idempotency.py [--requests N] [--rounds N]

The record commits with the business write (`SQLiteStore`). The peer is the bare application: the
same service, which makes the same write in a SQLite transaction of its own, without middleware.
Called in this process (ASGI), and over HTTP in a uvicorn process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagalang.idempotency import IdempotencyMiddleware, SQLiteStore, connection, one_caller

INSERT = "INSERT INTO charges (amount) VALUES (?)"
BODY = b'{"order": "o-1", "amount": 5}'
TOGETHER = 8
NUMBERS = count()

Ask = Callable[[str], Awaitable[None]]


def protected(path: Path) -> Starlette:
    async def charge(request: Request) -> Response:
        order = await request.json()
        connection().execute(INSERT, (order["amount"],))
        return JSONResponse({"payment": "p-1"}, 201)

    middleware = Middleware(
        IdempotencyMiddleware,
        store=SQLiteStore(prepared(path)),
        caller=one_caller,
        required={"POST /charges"},
    )
    return Starlette(routes=[Route("/charges", charge, methods=["POST"])], middleware=[middleware])


def bare(path: Path) -> Starlette:
    prepared(path)
    # As in the store: else each request closes the last connection, and SQLite tidies up.
    keeper = sqlite3.connect(path)
    keeper.execute("SELECT count(*) FROM charges").fetchall()  # only now it has opened the file

    def write(amount: int) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(INSERT, (amount,))
            db.execute("COMMIT")

    async def charge(request: Request) -> Response:
        order = await request.json()
        await run_in_threadpool(write, order["amount"])
        return JSONResponse({"payment": "p-1"}, 201)

    app = Starlette(routes=[Route("/charges", charge, methods=["POST"])])
    app.state.keeper = keeper
    return app


APPS = {"bare": bare, "protected": protected}


def prepared(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS charges (amount INTEGER)")
    return path


def in_process(app: Any) -> Ask:
    async def ask(key: str) -> None:
        messages = [{"type": "http.request", "body": BODY}]
        statuses = []

        async def receive() -> dict[str, Any]:
            return messages.pop() if messages else await asyncio.Future()

        async def send(message: Any) -> None:
            statuses.append(message.get("status"))

        headers = [(b"content-type", b"application/json"), (b"idempotency-key", key.encode())]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/charges",
            "raw_path": b"/charges",
            "query_string": b"",
            "headers": headers,
        }
        await app(scope, receive, send)
        assert statuses[0] == 201

    return ask


def over_http(port: int) -> Ask:
    """A client that costs next to nothing: connections that stay open, answers hardly read."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(key: str) -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"POST /charges HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {key}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        writer.write(head.encode() + BODY)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 201")
        length = answer.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        await reader.readexactly(int(length))
        idle.append((reader, writer))

    return ask


def serve(name: str, path: Path, listening: socket.socket) -> None:
    app = APPS[name](path)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_keep_alive=60)
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def served(name: str, path: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # asyncio does this itself only for sockets that it makes.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=serve, args=(name, path, listening), daemon=True)
        process.start()
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            process.join()


async def rate(ask: Ask, keys: list[str], together: int) -> float:
    """Requests a second."""
    waiting = iter(keys)

    async def client() -> None:
        for key in waiting:
            await ask(key)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(together)))
    return len(keys) / (time.perf_counter() - began)


async def measure(asks: dict[str, Ask], requests: int, rounds: int, together: int) -> None:
    best = dict.fromkeys(("bare", "first", "replay"), 0.0)
    for ask in asks.values():
        await rate(ask, [f"warm {next(NUMBERS)}" for _ in range(50)], together)
    for _ in range(rounds):  # in turn, so that a noisy moment hits all of them
        keys = [f"key {next(NUMBERS)}" for _ in range(requests)]  # new to every server
        for name in best:
            found = await rate(asks["bare" if name == "bare" else "protected"], keys, together)
            best[name] = max(best[name], found)
    cost = 1e6 / best["first"] - 1e6 / best["bare"]
    print(
        f"  {together} at once:  bare {best['bare']:6.0f}/s   first {best['first']:6.0f}/s"
        f" ({best['first'] / best['bare']:.2f} of bare, {cost:+.0f} us)"
        f"   replay {best['replay']:6.0f}/s ({best['replay'] / best['bare']:.2f} of bare)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print("best of the rounds; ratios above 1 are faster than the bare application")
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.db" for name in APPS}
        print("in this process, ASGI")
        asks = {name: in_process(APPS[name](path)) for name, path in paths.items()}
        for together in (1, TOGETHER):
            asyncio.run(measure(asks, given.requests, given.rounds, together))
        print("over HTTP, uvicorn")
        with served("bare", paths["bare"]) as one, served("protected", paths["protected"]) as two:
            ports = {"bare": one, "protected": two}
            for together in (1, TOGETHER):
                asks = {name: over_http(port) for name, port in ports.items()}
                asyncio.run(measure(asks, given.requests, given.rounds, together))


if __name__ == "__main__":
    main()
