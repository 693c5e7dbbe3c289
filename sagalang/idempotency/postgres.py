"""Records in the application's own PostgreSQL database: effect and record commit together.

A record is locked by `pg_advisory_xact_lock` of a hash of its identity, and read by the statement
after it. Under READ COMMITTED each statement sees what was committed when it began, so the reader
sees what the one before it wrote; a single statement would show what was there before its wait.
A placeholder row (`ON CONFLICT DO NOTHING`, then `FOR UPDATE`) would be a lock too, but it writes
to the table for each replay and each refusal, and what only looks leaves it behind. Identities
that share a hash wait for each other, no more than that.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sagalang.idempotency import postgres_io as io
from sagalang.idempotency.adapt import finished
from sagalang.idempotency.core import Id, Record
from sagalang.idempotency.rows import KEY, VALUES, record_of, row_of
from sagalang.idempotency.store import Busy

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection

_TABLE: Final = "idempotency_records"
# The limit is for this one wait: that of the handler's own statements is not ours to set.
_LOCK: Final = """
SELECT set_config('sagalang.lock_timeout', current_setting('lock_timeout'), true);
SET LOCAL lock_timeout = {limit};
SELECT pg_advisory_xact_lock({number});
SELECT set_config('lock_timeout', current_setting('sagalang.lock_timeout'), true)
"""
# CREATE SCHEMA IF NOT EXISTS asks for the right to, even where there is nothing to create.
_CREATE: Final = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{schema}') THEN
        CREATE SCHEMA "{schema}";
    END IF;
END $$;
CREATE TABLE {named} (
    caller      TEXT NOT NULL,
    operation   TEXT NOT NULL,    -- method and route
    key         TEXT NOT NULL,
    state       TEXT NOT NULL,    -- done, fenced (in_progress is never committed)
    created     BIGINT NOT NULL,  -- ms since the epoch, as all times here
    expires     BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    token       TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    status      INTEGER,
    headers     TEXT,             -- JSON: pairs of name and value
    body        BYTEA,
    PRIMARY KEY (caller, operation, key)
);
CREATE INDEX ON {named} (expires);
"""
_ENDED: Final = (
    "The handler ended the transaction that its answer was to be recorded in. Do not execute "
    "COMMIT or ROLLBACK."
)
_FAILED: Final = (
    "A statement failed in this transaction, and PostgreSQL commits nothing of it any more. Put "
    "what may fail into a savepoint of its own: `with connection.transaction():`."
)


class PostgresStore:
    """A transaction store for WSGI, over psycopg 3. Transactions are READ COMMITTED.

    `database`: a connection string, a function that connects, or a `psycopg_pool.ConnectionPool`.
    `patience`: seconds that a request waits for a connection, and then for another run of its key.
    `size`: how many connections are open at most, unless a pool is given.
    `schema`, `table`: where the records are; created at first use if missing, or see `table_sql`.

    Connections are used again: what a handler sets for the session stays set. Handlers neither
    commit nor roll back; `with connection.transaction():` makes a savepoint.
    Raises ImportError where psycopg is not installed.
    """

    def __init__(
        self,
        database: str | Callable[[], Connection[Any]] | io.Pool,
        *,
        patience: float = 5.0,
        size: int = 10,
        schema: str = "public",
        table: str = _TABLE,
    ) -> None:
        psycopg = io.load("PostgresStore")
        if isinstance(database, str):
            pool: Any = io.SmallPool(lambda: psycopg.connect(database, autocommit=True), size)
        else:
            pool = io.SmallPool(database, size) if callable(database) else database
        if io.is_async(pool):
            raise TypeError("PostgresStore is for sync code. Give this pool to AsyncPostgresStore.")
        self._pool = pool

        async def take() -> io.SyncSession:
            return io.SyncSession(pool, pool.getconn(timeout=patience))

        self._transactions = _Transactions(take, _table(schema, table), patience)

    def begin(self) -> PostgresTransaction:
        return PostgresTransaction(finished(self._transactions.begin()))

    def close(self) -> None:
        """Close the idle connections, but not a pool that was given."""
        if isinstance(self._pool, io.SmallPool):
            self._pool.close()


class AsyncPostgresStore:
    """As `PostgresStore`, for ASGI: over `AsyncConnection` or `psycopg_pool.AsyncConnectionPool`.

    The connection is the event loop's: a handler that uses it is an `async def`.
    """

    def __init__(
        self,
        database: str | Callable[[], Awaitable[AsyncConnection[Any]]] | io.AsyncPool,
        *,
        patience: float = 5.0,
        size: int = 10,
        schema: str = "public",
        table: str = _TABLE,
    ) -> None:
        connect = io.load("AsyncPostgresStore").AsyncConnection.connect
        if isinstance(database, str):
            pool: Any = io.SmallAsyncPool(lambda: connect(database, autocommit=True), size)
        else:
            pool = io.SmallAsyncPool(database, size) if callable(database) else database
        if not io.is_async(pool):
            raise TypeError(
                "AsyncPostgresStore is for async code. Give this pool to PostgresStore."
            )
        self._pool = pool

        async def take() -> io.AsyncSession:
            return io.AsyncSession(pool, await pool.getconn(timeout=patience))

        self._transactions = _Transactions(take, _table(schema, table), patience)

    async def begin(self) -> AsyncPostgresTransaction:
        return await self._transactions.begin()

    async def close(self) -> None:
        """Close the idle connections of this event loop, but not a pool that was given."""
        if isinstance(self._pool, io.SmallAsyncPool):
            self._pool.close()


def table_sql(*, schema: str = "public", table: str = _TABLE) -> str:
    """The statements that create the table, for migrations: the store then creates nothing."""
    return _table(schema, table).create


class AsyncPostgresTransaction:
    """`undo` gives back the locks of records that were first read after `mark`: whatever was
    written of them is taken back as well.
    """

    def __init__(self, session: io.Session, table: Table, patience: float) -> None:
        self._session: io.Session | None = session
        self._table = table
        self._patience = patience
        self._wrote = False

    @property
    def connection(self) -> Any:
        return self._open().connection

    async def read(self, identity: Id) -> Record | None:
        named = (identity.caller, identity.operation, identity.key)
        await self._execute(_lock(self._patience, self._table.named, *named))
        row = await self._execute(self._table.read, named)
        return record_of(*row) if row else None

    async def write(self, identity: Id, record: Record) -> None:
        await self._execute(self._table.write, row_of(identity, record))
        self._wrote = True

    async def mark(self) -> None:
        await self._execute("SAVEPOINT idempotency_mark")

    async def undo(self) -> None:
        await self._execute("ROLLBACK TO idempotency_mark")

    async def commit(self) -> None:
        if self._wrote:
            # Last of all: from here on nobody waits for us who holds what we could wait for.
            await self._execute(self._table.purge, (time.time_ns() // 1_000_000,))
        session = self._open()
        if io.has_failed(session.connection):  # COMMIT would roll back, and not say so
            raise RuntimeError(_FAILED)
        self._session = None
        try:
            with _explained():
                await session.commit()
        finally:
            await session.give_back()

    async def rollback(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            try:
                await session.rollback()
            finally:
                await session.give_back()

    def _open(self) -> io.Session:
        if self._session is None:
            raise RuntimeError("The transaction has ended.")
        if io.is_idle(self._session.connection):
            raise RuntimeError(_ENDED)
        return self._session

    async def _execute(self, statement: str, values: tuple[Any, ...] | None = None) -> Any:
        with _explained():
            return await self._open().execute(statement, values)


class PostgresTransaction:
    """As `AsyncPostgresTransaction`, over a session that never waits for an event loop."""

    def __init__(self, inner: AsyncPostgresTransaction) -> None:
        self._inner = inner

    @property
    def connection(self) -> Any:
        return self._inner.connection

    def read(self, identity: Id) -> Record | None:
        return finished(self._inner.read(identity))

    def write(self, identity: Id, record: Record) -> None:
        finished(self._inner.write(identity, record))

    def mark(self) -> None:
        finished(self._inner.mark())

    def undo(self) -> None:
        finished(self._inner.undo())

    def commit(self) -> None:
        finished(self._inner.commit())

    def rollback(self) -> None:
        finished(self._inner.rollback())


class _Transactions:
    def __init__(
        self, take: Callable[[], Awaitable[io.Session]], table: Table, patience: float
    ) -> None:
        self._take = take
        self._table = table
        self._patience = patience
        self._table_is_there = False

    async def begin(self) -> AsyncPostgresTransaction:
        from psycopg import OperationalError

        session = await self._taken()
        try:
            return await self._begin(session)
        except OperationalError:
            if not session.connection.closed:
                raise
        # It was idle when the server restarted. The pool has thrown out all others by now.
        return await self._begin(await self._taken())

    async def _taken(self) -> io.Session:
        try:
            return await self._take()
        except io.full():
            raise Busy from None

    async def _begin(self, session: io.Session) -> AsyncPostgresTransaction:
        try:
            if not self._table_is_there:
                await self._create_table(session)
                self._table_is_there = True
            await session.begin()
        except BaseException:
            await session.give_back()
            raise
        return AsyncPostgresTransaction(session, self._table, self._patience)

    async def _create_table(self, session: io.Session) -> None:
        """In a transaction of its own, before the first of others."""
        from psycopg.errors import InsufficientPrivilege

        table = self._table
        await session.begin()
        try:
            with _explained():
                if not await session.execute(table.exists):
                    # IF NOT EXISTS alone fails where two create at the same moment. Having the
                    # lock, one must look into the catalogue itself: to_regclass answers from a
                    # cache that may still say no.
                    await session.execute(_lock(self._patience, "create"))
                    if not await session.execute(table.exists):
                        await session.execute(table.create)
        except InsufficientPrivilege as error:
            await session.rollback()
            raise PermissionError(
                f"The database user may not create the table {table.named}. Create it in a "
                "migration, with the statements that sagalang.idempotency.postgres.table_sql gives."
            ) from error
        except BaseException:
            await session.rollback()
            raise
        await session.commit()


@dataclass(frozen=True, slots=True)
class Table:
    """The statements. `named`: in quotes and with its schema. `exists`: a row if it does."""

    named: str
    exists: str
    create: str
    read: str
    write: str
    purge: str


def _table(schema: str, table: str) -> Table:
    _check_name(schema)
    _check_name(table)
    named = f'"{schema}"."{table}"'
    columns = (*KEY, *VALUES)
    places = ", ".join(["%s"] * len(columns))
    is_key = " AND ".join(f"{name} = %s" for name in KEY)
    replaced = ", ".join(f"{name} = excluded.{name}" for name in VALUES)
    expired = f"SELECT ctid FROM {named} WHERE expires <= %s LIMIT 10 FOR UPDATE SKIP LOCKED"
    return Table(
        named=named,
        exists=f"SELECT 1 FROM pg_tables WHERE schemaname = '{schema}' AND tablename = '{table}'",
        create=_CREATE.format(schema=schema, named=named),
        read=f"SELECT {', '.join(VALUES)} FROM {named} WHERE {is_key}",
        write=f"INSERT INTO {named} ({', '.join(columns)}) VALUES ({places}) "
        f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {replaced}",
        # More than one for each write, so that the table shrinks; few, so that no request pays for
        # many. What others hold, others delete.
        purge=f"DELETE FROM {named} WHERE ctid = ANY (ARRAY ({expired}))",
    )


def _check_name(name: str) -> None:
    """Raises ValueError for what quotes alone do not make an identifier."""
    if not name or len(name.encode()) > 63 or not name.isprintable() or set(name) & set("\"'%$"):
        raise ValueError(f"{name!r} cannot name a table or a schema.")


def _lock(patience: float, *parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part.encode())
    number = int.from_bytes(digest.digest()[:8], "big", signed=True)
    return _LOCK.format(limit=max(1, round(patience * 1_000)), number=number)


@contextmanager
def _explained() -> Iterator[None]:
    from psycopg import errors

    try:
        yield
    except (
        errors.LockNotAvailable,
        errors.DeadlockDetected,
        errors.SerializationFailure,
        errors.QueryCanceled,  # a statement_timeout shorter than the patience
    ):
        raise Busy from None
    except errors.InFailedSqlTransaction:
        raise RuntimeError(_FAILED) from None
