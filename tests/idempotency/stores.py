"""The stores that the tests run over. To add one: a function like `memory`, and a line at the end.

A test gets an `Opened` store, in which an application can count its effects: in the store's own
transaction where it has one, beside it otherwise.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from idempotency.servers import postgres_url, redis_url
from sagalang import idempotency
from sagalang.idempotency import MemoryStore, SQLiteStore


@dataclass(frozen=True)
class Opened:
    """`asgi`, `wsgi`: the store for each; both see the same records. `write` and `write_sync` make
    an effect of that name, from a handler; `effects` are those which lasted, in order.
    """

    asgi: Any
    wsgi: Any
    transactional: bool
    write: Callable[[str], Awaitable[None]]
    write_sync: Callable[[str], None]
    effects: Callable[[], list[str]]


@dataclass(frozen=True)
class Backend:
    """`open`: an empty store in a folder, whose requests wait for each other `patience` seconds."""

    name: str
    open: Callable[[Path, float], AbstractContextManager[Opened]]
    transactional: bool


@contextmanager
def memory(_: Path, __: float) -> Iterator[Opened]:
    store = MemoryStore()
    effects: list[str] = []
    lock = threading.Lock()

    def write_sync(name: str) -> None:
        with lock:
            effects.append(name)

    async def write(name: str) -> None:
        write_sync(name)

    yield Opened(store, store, False, write, write_sync, lambda: list(effects))


@contextmanager
def sqlite(folder: Path, patience: float) -> Iterator[Opened]:
    path = folder / "service.db"
    with closing(SQLiteStore(path, patience=patience)) as store:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE IF NOT EXISTS effects (name TEXT)")

        def write_sync(name: str) -> None:
            idempotency.connection().execute("INSERT INTO effects VALUES (?)", (name,))

        async def write(name: str) -> None:
            (await idempotency.begin()).execute("INSERT INTO effects VALUES (?)", (name,))

        def effects() -> list[str]:
            with closing(sqlite3.connect(path)) as db:
                return [name for (name,) in db.execute("SELECT name FROM effects ORDER BY rowid")]

        yield Opened(store, store, True, write, write_sync, effects)


BACKENDS = [Backend("memory", memory, False), Backend("sqlite", sqlite, True)]


@contextmanager
def postgres(_: Path, patience: float) -> Iterator[Opened]:
    url = postgres_url()
    import anyio
    import psycopg

    from sagalang.idempotency import AsyncPostgresStore, PostgresStore

    schema = f"test_{uuid.uuid4().hex}"
    insert = f"INSERT INTO {schema}.effects (name) VALUES (%s)"
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE SCHEMA {schema}")
        db.execute(f"CREATE TABLE {schema}.effects (n SERIAL, name TEXT)")
        asgi = AsyncPostgresStore(url, patience=patience, schema=schema)
        wsgi = PostgresStore(url, patience=patience, schema=schema)

        def write_sync(name: str) -> None:
            connection = idempotency.connection()
            if isinstance(connection, psycopg.AsyncConnection):  # a sync handler of ASGI
                anyio.from_thread.run(connection.execute, insert, (name,))
            else:
                connection.execute(insert, (name,))

        async def write(name: str) -> None:
            await (await idempotency.begin()).execute(insert, (name,))

        def effects() -> list[str]:
            found = db.execute(f"SELECT name FROM {schema}.effects ORDER BY n")
            return [name for (name,) in found]

        yield Opened(asgi, wsgi, True, write, write_sync, effects)
        asyncio.run(asgi.close())
        wsgi.close()
        db.execute("SET client_min_messages = warning")
        db.execute(f"DROP SCHEMA {schema} CASCADE")


@contextmanager
def redis(folder: Path, patience: float) -> Iterator[Opened]:
    url = redis_url()
    from sagalang.idempotency import AsyncRedisStore, RedisStore

    prefix = f"{uuid.uuid4().hex}:"
    with memory(folder, patience) as opened, closing(RedisStore(url, prefix=prefix)) as wsgi:
        yield replace(opened, asgi=AsyncRedisStore(url, prefix=prefix), wsgi=wsgi)


BACKENDS += [Backend("postgres", postgres, True), Backend("redis", redis, False)]
