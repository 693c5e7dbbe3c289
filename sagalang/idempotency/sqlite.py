"""Records in the application's own SQLite file: effect and record commit together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from sagalang.idempotency.adapt import AwaitedTransaction
from sagalang.idempotency.core import Id, Record
from sagalang.idempotency.rows import record_of, row_of
from sagalang.idempotency.store import AsyncTransaction, AsyncTransactionStore, Busy

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS idempotency_records (
    caller      TEXT NOT NULL,
    operation   TEXT NOT NULL,     -- method and route
    key         TEXT NOT NULL,
    state       TEXT NOT NULL,     -- done, fenced (in_progress is never committed)
    created     INTEGER NOT NULL,  -- ms since the epoch, as all times here
    expires     INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    token       TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    status      INTEGER,
    headers     TEXT,              -- JSON: pairs of name and value
    body        BLOB,
    PRIMARY KEY (caller, operation, key)
);
CREATE INDEX IF NOT EXISTS idempotency_expiries ON idempotency_records (expires);
"""
_READ: Final = """
SELECT state, created, expires, fingerprint, token, lease_until, status, headers, body
FROM idempotency_records WHERE caller = ? AND operation = ? AND key = ?
"""
_WRITE: Final = "INSERT OR REPLACE INTO idempotency_records VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
# More than one for each write, so that the table shrinks; few, so that no request pays for many.
_PURGE: Final = """
DELETE FROM idempotency_records WHERE rowid IN
(SELECT rowid FROM idempotency_records WHERE expires <= ? LIMIT 10)
"""


class SQLiteStore:
    """A transaction store, for sync and async code. Writers take turns: BEGIN IMMEDIATE.

    `path`: the application's own database file. `patience`: seconds that a request waits for its
    turn. `prepare` is called with each new connection, to set pragmas or a row factory; the
    connection is in autocommit mode (`isolation_level` None) and the transaction is the store's:
    handlers neither commit nor roll back.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        patience: float = 5.0,
        prepare: Callable[[Connection], object] = lambda _: None,
    ) -> None:
        self._path = fspath(path)
        if self._path in ("", ":memory:"):
            raise ValueError("SQLiteStore needs a file: each transaction has its own connection.")
        self._patience = patience
        self._prepare = prepare
        # Writers of this process queue here: SQLite's own waiting is polling, and is not fair.
        self._turn = threading.Lock()
        # Stays open and idle: whenever the last connection to a WAL database closes, SQLite tidies
        # up under an exclusive lock, which requests would run into.
        self._keeper = self._connect(patience)
        self._keeper.executescript(_SCHEMA)

    def begin(self) -> SQLiteTransaction:
        return self._begin(time.monotonic() + self._patience)

    def asynchronous(self) -> AsyncTransactionStore:
        return _AsyncSQLite(self._begin, self._patience)

    def close(self) -> None:
        """Close the connection that the store keeps open. After this it may not be used."""
        self._keeper.close()

    def _connect(self, timeout: float) -> Connection:
        import sqlite3

        return sqlite3.connect(
            self._path, timeout=timeout, isolation_level=None, check_same_thread=False
        )

    def _begin(self, until: float) -> SQLiteTransaction:
        import sqlite3

        if not self._turn.acquire(timeout=max(0.0, until - time.monotonic())):
            raise Busy
        connection = None
        try:
            connection = self._connect(max(0.0, until - time.monotonic()))
            self._prepare(connection)
            connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            if connection is not None:
                connection.close()
            self._turn.release()
            if isinstance(error, sqlite3.OperationalError):
                code = getattr(error, "sqlite_errorcode", 0)
                if code & 0xFF == sqlite3.SQLITE_BUSY:
                    raise Busy from None
            raise
        return SQLiteTransaction(connection, self._turn.release)


class SQLiteTransaction:
    def __init__(self, connection: Connection, ended: Callable[[], None]) -> None:
        self._connection: Connection | None = connection
        self._ended = ended

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("The transaction has ended.")
        return self._connection

    def read(self, identity: Id) -> Record | None:
        named = (identity.caller, identity.operation, identity.key)
        row = self._execute(_READ, named)
        return record_of(*row) if row else None

    def write(self, identity: Id, record: Record) -> None:
        self._execute(_PURGE, (time.time_ns() // 1_000_000,))
        self._execute(_WRITE, row_of(identity, record))

    def mark(self) -> None:
        self._execute("SAVEPOINT idempotency_mark")

    def undo(self) -> None:
        self._execute("ROLLBACK TO idempotency_mark")

    def commit(self) -> None:
        self._execute("COMMIT")
        self._end()

    def rollback(self) -> None:
        self._end()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                with closing(connection):
                    # Closing alone would wait for the last cursor, which a traceback may hold.
                    connection.rollback()
            finally:
                self._ended()

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> Any:
        connection = self.connection
        if not connection.in_transaction:
            raise RuntimeError(
                "The handler ended the transaction that its answer was to be recorded in. Do not "
                "call commit or rollback, and do not use `with connection:`, which commits."
            )
        cursor = connection.cursor()
        cursor.row_factory = None  # whatever the application set for its own
        return cursor.execute(statement, values).fetchone()


class _AsyncSQLite:
    """One transaction of an event loop at a time, so one thread each."""

    def __init__(self, begin: Callable[[float], SQLiteTransaction], patience: float) -> None:
        self._begin = begin
        self._patience = patience
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="idempotency-sqlite")
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._turns = WeakKeyDictionary()

    async def begin(self) -> AsyncTransaction:
        until = time.monotonic() + self._patience
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        try:
            # Here waiting costs no thread: those who wait must not take the threads of the one
            # they wait for.
            async with asyncio.timeout(self._patience):
                await turn.acquire()
        except TimeoutError:
            raise Busy from None
        beginning = self._threads.submit(self._begin, until)
        try:
            transaction = await asyncio.wrap_future(beginning)
        except BaseException:
            turn.release()
            beginning.add_done_callback(_given_up)
            raise
        return _InTurn(transaction, self._threads, turn.release)


class _InTurn(AwaitedTransaction):
    """What has to wait for the disk does so in a thread. Once the lock is held, reading and writing
    a record takes no longer than the handler's own statements, and happens where those do.
    """

    def __init__(
        self, inner: SQLiteTransaction, threads: Executor, ended: Callable[[], None]
    ) -> None:
        super().__init__(inner)
        self._threads = threads
        self._ended: Callable[[], None] | None = ended

    async def commit(self) -> None:
        await asyncio.wrap_future(self._threads.submit(self._inner.commit))
        self._end()

    async def rollback(self) -> None:
        if self._ended is None:
            return
        try:
            await asyncio.wrap_future(self._threads.submit(self._inner.rollback))
        finally:
            self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()


def _given_up(beginning: Future[SQLiteTransaction]) -> None:
    """Nobody waits for this transaction any more."""
    if not beginning.cancelled() and beginning.exception() is None:
        beginning.result().rollback()
