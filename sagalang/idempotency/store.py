"""What a store has to do. It keeps records and decides nothing: that is `core`.

There are two kinds, each for async (ASGI) and for sync (WSGI) code.

A *transaction store* keeps the records beside the application's own data, and a record commits
together with what the handler wrote: the effect happens exactly once. A *lease store* stands
apart from that data, so a process that dies in between leaves its effect in doubt.

Times are milliseconds since the Unix epoch. No store reads a clock to judge a record: whether one
has expired, `core` says; a store may delete what expired by its own clock, whenever it likes.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from sagalang.idempotency.core import Id, Record


class Busy(Exception):  # noqa: N818 - a state of the store, which passes, not a mistake
    """Others held the lock for longer than the store's patience. Nothing was done."""


class Transaction(Protocol):
    """One transaction, begun. It ends with `commit` or `rollback`, and may not be used after.

    A `rollback` after an end does nothing. Calls come one after the other, but perhaps from
    different threads.
    """

    @property
    def connection(self) -> Any:
        """The driver's connection, for the handler's own statements in this transaction."""

    def read(self, identity: Id) -> Record | None:
        """The record, locked until the end of the transaction, also where there is none yet.

        While one transaction holds it, `read` of another waits; beyond the patience of the store
        it raises `Busy`. What is read is what was last committed, not an earlier snapshot.
        """

    def write(self, identity: Id, record: Record) -> None:
        """Put or replace the record. Its lock is held already."""

    def mark(self) -> None:
        """Remember this point (a savepoint). At most once in a transaction."""

    def undo(self) -> None:
        """Take back what was written since `mark`, by the handler or by `write`. Locks stay."""

    def commit(self) -> None:
        """Make it all last, and give the connection back."""

    def rollback(self) -> None:
        """Take it all back, and give the connection back. Also after a failed statement."""


class AsyncTransaction(Protocol):
    """As `Transaction`, method for method."""

    @property
    def connection(self) -> Any: ...

    async def read(self, identity: Id) -> Record | None: ...

    async def write(self, identity: Id, record: Record) -> None: ...

    async def mark(self) -> None: ...

    async def undo(self) -> None: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


@runtime_checkable
class TransactionStore(Protocol):
    """For WSGI. Its constructor takes `patience`, in seconds: how long to wait for a lock."""

    def begin(self) -> Transaction:
        """A new transaction that may write. `Busy` where a lock is not to be had in time."""


@runtime_checkable
class AsyncTransactionStore(Protocol):
    """For ASGI. Never blocks the event loop, and leaves nothing behind where it is cancelled."""

    async def begin(self) -> AsyncTransaction: ...


@runtime_checkable
class LeaseStore(Protocol):
    """For WSGI. Two operations, each atomic; `core` does the rest.

    Besides, a store deletes what has expired, some time after.
    """

    def read(self, identity: Id) -> Record | None:
        """What is stored, expired or not."""

    def swap(self, identity: Id, old: Record | None, new: Record | None) -> bool:
        """Compare and set: if exactly `old` is stored (None: nothing), store `new` in its place
        (None: delete it) and say True; else change nothing and say False.
        """


@runtime_checkable
class AsyncLeaseStore(Protocol):
    """For ASGI. As `LeaseStore`, method for method."""

    async def read(self, identity: Id) -> Record | None: ...

    async def swap(self, identity: Id, old: Record | None, new: Record | None) -> bool: ...


AsyncStore = AsyncTransactionStore | AsyncLeaseStore
SyncStore = TransactionStore | LeaseStore


@runtime_checkable
class Both(Protocol):
    """A store for sync code that can also serve async code, as memory and SQLite do.

    Where the driver has an async client of its own (PostgreSQL, Redis), make two stores instead:
    an `AsyncXStore` and an `XStore`.
    """

    def asynchronous(self) -> AsyncStore:
        """This same store for ASGI."""
