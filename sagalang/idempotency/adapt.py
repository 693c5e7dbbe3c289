"""One logic for sync and async code: it is written async, over stores that are awaited.

Sync code runs it over a store whose methods answer at once, so that it never has to wait, and
`finished` can run it to its end like a function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

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


async def at_once(function: Callable[..., T], /, *args: Any) -> T:
    """A sync function as an async one, which never has to wait."""
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
    """Without waiting."""

    def __init__(self, inner: Transaction) -> None:
        self._inner = inner

    @property
    def connection(self) -> Any:
        return self._inner.connection

    async def read(self, identity: Id) -> Record | None:
        return self._inner.read(identity)

    async def write(self, identity: Id, record: Record) -> None:
        self._inner.write(identity, record)

    async def mark(self) -> None:
        self._inner.mark()

    async def undo(self) -> None:
        self._inner.undo()

    async def commit(self) -> None:
        self._inner.commit()

    async def rollback(self) -> None:
        self._inner.rollback()


class AwaitedTransactionStore:
    """Without waiting: for sync code only."""

    def __init__(self, inner: TransactionStore) -> None:
        self._inner = inner

    async def begin(self) -> AsyncTransaction:
        return AwaitedTransaction(self._inner.begin())


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
