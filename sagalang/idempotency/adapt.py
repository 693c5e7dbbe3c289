"""One logic for sync and async code: it is written async, over stores that are awaited.

Sync code runs it over a store whose methods answer at once, so that it never has to wait, and
`finished` can run it to its end like a function. In threads, the same adapter serves an event loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from sagalang.idempotency.core import Id, Record
from sagalang.idempotency.store import (
    AsyncLeaseStore,
    AsyncStore,
    AsyncTransaction,
    AsyncTransactionStore,
    Both,
    LeaseStore,
    SyncStore,
    Transaction,
    TransactionStore,
)

T = TypeVar("T")


class Call(Protocol):
    """How a sync function is awaited: at once, or in a thread."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]: ...


async def at_once(function: Callable[..., T], /, *args: Any) -> T:
    return function(*args)


def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that never has to wait."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("An async store cannot serve sync code. Use the store's sync twin.")


class AwaitedTransaction:
    def __init__(self, inner: Transaction, call: Call) -> None:
        self._inner = inner
        self._call = call

    @property
    def connection(self) -> Any:
        return self._inner.connection

    async def read(self, identity: Id) -> Record | None:
        return await self._call(self._inner.read, identity)

    async def write(self, identity: Id, record: Record) -> None:
        await self._call(self._inner.write, identity, record)

    async def mark(self) -> None:
        await self._call(self._inner.mark)

    async def undo(self) -> None:
        await self._call(self._inner.undo)

    async def commit(self) -> None:
        await self._call(self._inner.commit)

    async def rollback(self) -> None:
        await self._call(self._inner.rollback)


class AwaitedTransactionStore:
    """Without waiting: for sync code only."""

    def __init__(self, inner: TransactionStore) -> None:
        self._inner = inner

    async def begin(self) -> AsyncTransaction:
        return AwaitedTransaction(self._inner.begin(), at_once)


class AwaitedLeaseStore:
    """Without waiting: for sync code, or for a store that never makes one wait."""

    def __init__(self, inner: LeaseStore) -> None:
        self._inner = inner

    async def read(self, identity: Id) -> Record | None:
        return self._inner.read(identity)

    async def swap(self, identity: Id, old: Record | None, new: Record | None) -> bool:
        return self._inner.swap(identity, old, new)


def for_sync(store: SyncStore) -> AwaitedTransactionStore | AwaitedLeaseStore:
    """Raises TypeError for a store that has to be awaited."""
    if _is_async(store):
        raise TypeError(f"{type(store).__name__} is for ASGI. Use the store's sync twin.")
    if isinstance(store, TransactionStore):
        return AwaitedTransactionStore(store)
    return AwaitedLeaseStore(store)


def for_async(store: object) -> AsyncStore:
    """Raises TypeError for a store whose driver would block the event loop."""
    if isinstance(store, Both):
        return store.asynchronous()
    if not _is_async(store):
        raise TypeError(
            f"{type(store).__name__} is for WSGI: it would block the event loop. "
            "Use the store's async twin."
        )
    assert isinstance(store, AsyncTransactionStore | AsyncLeaseStore)
    return store


def _is_async(store: object) -> bool:
    method = getattr(store, "begin", None) or getattr(store, "swap", None)
    return inspect.iscoroutinefunction(method)
