"""Connections to PostgreSQL through psycopg 3: small pools, and what is done on a connection."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from sagalang.idempotency.store import Busy

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection


class Pool(Protocol):
    """What of `psycopg_pool.ConnectionPool` is used here."""

    def getconn(self, timeout: float | None = None) -> Any: ...

    def putconn(self, conn: Any) -> None: ...


class AsyncPool(Protocol):
    """What of `psycopg_pool.AsyncConnectionPool` is used here."""

    async def getconn(self, timeout: float | None = None) -> Any: ...  # noqa: ASYNC109

    async def putconn(self, conn: Any) -> None: ...


class Session(Protocol):
    """A connection that has been taken from its pool, and one transaction on it."""

    @property
    def connection(self) -> Any: ...

    async def begin(self) -> None:
        """Whatever the connection's own settings are: READ COMMITTED."""

    async def execute(self, statement: str, values: tuple[Any, ...] | None = None) -> Any:
        """The first row, if there is one. Without values there may be several statements."""

    async def commit(self) -> None: ...

    async def rollback(self) -> None:
        """Also of a connection that is lost: nothing is left to take back then."""

    async def give_back(self) -> None:
        """To the pool, whatever state the connection is in; without waiting for the server."""


def load(user: str) -> Any:
    """The driver. Raises ImportError, in words for the people who chose this store."""
    try:
        import psycopg
    except ImportError as error:
        raise ImportError(
            f"{user} needs the driver psycopg. Install it: pip install 'sagalang[postgres]'"
        ) from error
    return psycopg


def is_async(pool: AsyncPool | Pool) -> bool:
    return inspect.iscoroutinefunction(pool.getconn)


def full() -> tuple[type[Exception], ...]:
    """What the pools of `psycopg_pool` raise, if it is there, when all connections are in use."""
    try:
        pools = import_module("psycopg_pool")
    except ImportError:
        return ()
    return (pools.PoolTimeout, pools.TooManyRequests)


def is_idle(connection: Any) -> bool:
    """Whether it is alive, and in no transaction."""
    from psycopg.pq import TransactionStatus

    return bool(connection.info.transaction_status == TransactionStatus.IDLE)


def has_failed(connection: Any) -> bool:
    """Whether its transaction can only be rolled back."""
    from psycopg.pq import TransactionStatus

    return bool(connection.info.transaction_status == TransactionStatus.INERROR)


class SmallPool:
    """At most `size` connections, made when they are needed. Safe among threads."""

    def __init__(self, connect: Callable[[], Connection[Any]], size: int) -> None:
        self._connect = connect
        self._slots = threading.Semaphore(size)
        self._idle: list[Connection[Any]] = []

    def getconn(self, timeout: float | None = None) -> Connection[Any]:
        if not self._slots.acquire(timeout=timeout):
            raise Busy
        try:
            return self._pop() or self._connect()
        except BaseException:
            self._slots.release()
            raise

    def putconn(self, conn: Connection[Any]) -> None:
        if conn.closed:
            self.close()  # the server may have gone, and all others with it
        elif is_idle(conn):
            self._idle.append(conn)
        else:
            conn.close()
        self._slots.release()

    def close(self) -> None:
        while connection := self._pop():
            connection.close()

    def _pop(self) -> Connection[Any] | None:
        try:
            return self._idle.pop()
        except IndexError:  # instead of asking first: another thread may be faster
            return None


class _OfLoop:
    def __init__(self, size: int) -> None:
        self.slots = asyncio.Semaphore(size)
        self.idle: list[AsyncConnection[Any]] = []

    def close(self) -> None:
        while self.idle:
            connection = self.idle.pop()
            connection.pgconn.finish()  # as its `close`, but without an event loop


class SmallAsyncPool:
    """At most `size` connections for each event loop: they cannot go from one to another."""

    def __init__(self, connect: Callable[[], Awaitable[AsyncConnection[Any]]], size: int) -> None:
        self._connect = connect
        self._size = size
        self._loops: dict[asyncio.AbstractEventLoop, _OfLoop] = {}

    async def getconn(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as in psycopg_pool
    ) -> AsyncConnection[Any]:
        mine = self._mine()
        try:
            async with asyncio.timeout(timeout):
                await mine.slots.acquire()
        except TimeoutError:
            raise Busy from None
        try:
            return mine.idle.pop() if mine.idle else await self._connect()
        except BaseException:
            mine.slots.release()
            raise

    async def putconn(self, conn: AsyncConnection[Any]) -> None:
        mine = self._mine()
        if conn.closed:
            mine.close()  # the server may have gone, and all others with it
        elif is_idle(conn):
            mine.idle.append(conn)
        else:
            await conn.close()
        mine.slots.release()

    def close(self) -> None:
        self._mine().close()

    def _mine(self) -> _OfLoop:
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            for other in [other for other in list(self._loops) if other.is_closed()]:
                self._loops.pop(other).close()
            self._loops[loop] = _OfLoop(self._size)
        return self._loops[loop]


class SyncSession:
    """Async in form only: nothing here ever waits for an event loop."""

    def __init__(self, pool: Pool, connection: Connection[Any]) -> None:
        self.connection = connection
        self._pool = pool
        self._before = (connection.autocommit, connection.isolation_level)
        self._transaction: AbstractContextManager[Any]

    async def begin(self) -> None:
        from psycopg import IsolationLevel

        self._set(True, IsolationLevel.READ_COMMITTED)
        # psycopg's own transaction block, for in it `commit` and `rollback` raise.
        self._transaction = self.connection.transaction()
        self._transaction.__enter__()

    async def execute(self, statement: str, values: tuple[Any, ...] | None = None) -> Any:
        from psycopg.rows import tuple_row

        cursor = self.connection.cursor(row_factory=tuple_row)
        # Prepared only with values: without, the text is another one each time.
        cursor.execute(statement.encode(), values, prepare=None if values else False)
        return cursor.fetchone() if cursor.description else None

    async def commit(self) -> None:
        self._transaction.__exit__(None, None, None)

    async def rollback(self) -> None:
        from psycopg import Rollback

        self._transaction.__exit__(Rollback, Rollback(), None)

    async def give_back(self) -> None:
        try:
            if is_idle(self.connection):
                self._set(*self._before)
        finally:
            self._pool.putconn(self.connection)

    def _set(self, autocommit: bool, isolation: Any) -> None:
        self.connection.autocommit = autocommit
        self.connection.isolation_level = isolation


class AsyncSession:
    """As `SyncSession`."""

    def __init__(self, pool: AsyncPool, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self._pool = pool
        self._before = (connection.autocommit, connection.isolation_level)
        self._transaction: AbstractAsyncContextManager[Any]

    async def begin(self) -> None:
        from psycopg import IsolationLevel

        await self._set(True, IsolationLevel.READ_COMMITTED)
        self._transaction = self.connection.transaction()
        await self._transaction.__aenter__()

    async def execute(self, statement: str, values: tuple[Any, ...] | None = None) -> Any:
        from psycopg.rows import tuple_row

        cursor = self.connection.cursor(row_factory=tuple_row)
        await cursor.execute(statement.encode(), values, prepare=None if values else False)
        return await cursor.fetchone() if cursor.description else None

    async def commit(self) -> None:
        await self._transaction.__aexit__(None, None, None)

    async def rollback(self) -> None:
        from psycopg import Rollback

        await self._transaction.__aexit__(Rollback, Rollback(), None)

    async def give_back(self) -> None:
        try:
            if is_idle(self.connection):
                await self._set(*self._before)
        finally:
            await self._pool.putconn(self.connection)

    async def _set(self, autocommit: bool, isolation: Any) -> None:
        await self.connection.set_autocommit(autocommit)
        await self.connection.set_isolation_level(isolation)
