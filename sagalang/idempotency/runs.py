"""One request that may write: what happens before its handler runs, and after.

There are three kinds: keyed in a transaction, keyed on a lease, and without a key. Each is driven
alike, by `asgi` and by `wsgi`: `start`, the handler unless `start` has the answer already, then
one of `finish`, `fail`, `outgrown` and `abandon`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sagalang.idempotency.answer import Answer
from sagalang.idempotency.core import Id, State
from sagalang.idempotency.lease_run import LeaseRun
from sagalang.idempotency.request import Request
from sagalang.idempotency.store import AsyncStore, AsyncTransaction, AsyncTransactionStore
from sagalang.idempotency.terms import Terms
from sagalang.idempotency.transaction_run import TransactionRun
from sagalang.idempotency.unkeyed_run import UnkeyedRun


class Run(Protocol):
    """What handlers and drivers may ask of it."""

    @property
    def key(self) -> str | None:
        """The bare key of the request."""

    def opened(self) -> AsyncTransaction | None:
        """The open transaction; None: `begin` it. RuntimeError where there can be none."""

    def caller(self) -> str: ...

    async def start(self) -> Answer | None:
        """The answer to a request that may not run."""

    async def finish(self, answer: Answer) -> Answer:
        """The handler has answered. What to send, now that it is settled."""

    async def fail(self, error: BaseException) -> Answer | None:
        """The handler has not answered, it raised. None: the exception is the answer."""

    async def outgrown(self) -> Answer:
        """The handler's answer is larger than can be kept."""

    async def abandon(self) -> None:
        """Leave, as a crash would. Does nothing to what is settled."""

    async def begin(self) -> Any:
        """The connection of the open transaction, which begins where it has not. As `opened`."""

    def unfit(self, why: str) -> ValueError:
        """What to raise for a key that no request can have. Where all can be taken back, the
        client then hears 400, unless the handler answers otherwise.
        """

    async def fence(self, identity: Id) -> State | None: ...

    async def is_fenced(self, identity: Id) -> bool: ...


def keyed(store: AsyncStore, terms: Terms, request: Request, key: str) -> TransactionRun | LeaseRun:
    if isinstance(store, AsyncTransactionStore):
        return TransactionRun(store, terms, request, key)
    return LeaseRun(store, terms, request, key)


def unkeyed(
    store: AsyncStore, terms: Terms, request: Request, body_read: Callable[[], Awaitable[None]]
) -> UnkeyedRun:
    return UnkeyedRun(store, terms, request, body_read)
