"""What a handler can ask for: its key, the transaction it runs in, and fences.

All of it belongs to the current request, which a context variable names. Frameworks copy context
variables into the threads that they run sync handlers in.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from sagalang.idempotency import log
from sagalang.idempotency.core import Id, State
from sagalang.idempotency.request import bare, storable
from sagalang.idempotency.runs import Run
from sagalang.idempotency.terms import check_operation

T = TypeVar("T")


class Wait(Protocol):
    """How sync code waits for async work."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class _Current:
    run: Run
    wait: Wait


_current: Final[ContextVar[_Current]] = ContextVar("sagalang.idempotency")


@contextmanager
def current(run: Run, wait: Wait) -> Iterator[None]:
    token = _current.set(_Current(run, wait))
    try:
        yield
    finally:
        _current.reset(token)


def key() -> str | None:
    """The idempotency key of the current request, without quotes; None where it has none."""
    return _get().run.key


def connection() -> Any:
    """The database connection of the transaction that the current request runs in.

    With a key the transaction has begun; without, it begins when this is first called, which an
    `async def` handler does with `await begin()`. Do not commit or roll back: the answer does.

    Raises RuntimeError where the store has no transactions, or outside of a request.
    """
    this = _get()
    opened = this.run.opened()
    return opened.connection if opened is not None else this.wait(this.run.begin())


async def begin() -> Any:
    """As `connection`, for `async def` handlers of requests that may come without a key."""
    return await _get().run.begin()


async def fence(key: str, *, of: str, caller: str | None = None) -> State | None:
    """From now on refuse the request of operation `of` with this key, even if it has yet to come.

    `of`: method and route, as in `POST /charges`. `caller`: whose key it is; the current caller's
    by default. Where `fenced_by` gives the operation's requests another name, that may stand for
    the key.

    Says what the request was before: None if it never came. In a transaction store the fence is
    part of the current transaction, and waits for a run of that key. On a lease a run may be
    IN_PROGRESS: it will not be answered as done, but its effect may appear any moment.
    """
    this, identity = _named(key, of, caller)
    return _fenced(identity, await this.run.fence(identity))


def fence_sync(key: str, *, of: str, caller: str | None = None) -> State | None:
    """`fence` for sync handlers."""
    this, identity = _named(key, of, caller)
    return _fenced(identity, this.wait(this.run.fence(identity)))


async def is_fenced(key: str, *, of: str, caller: str | None = None) -> bool:
    """Whether there is such a fence. In a transaction, none can be put up until it ends."""
    this, identity = _named(key, of, caller)
    return await this.run.is_fenced(identity)


def is_fenced_sync(key: str, *, of: str, caller: str | None = None) -> bool:
    """`is_fenced` for sync handlers."""
    this, identity = _named(key, of, caller)
    return this.wait(this.run.is_fenced(identity))


def _get() -> _Current:
    found = _current.get(None)
    if found is None:
        raise RuntimeError(
            "There is no request here that may write. This works in the handlers of POST, PUT, "
            "PATCH and DELETE, behind the idempotency middleware."
        )
    return found


def _named(key: str, of: str, caller: str | None) -> tuple[_Current, Id]:
    check_operation("of", of)
    this, name = _get(), bare(key)
    if not name or not storable(name):
        raise this.run.unfit("No request can have the key that this is about.")
    return this, Id(this.run.caller() if caller is None else caller, of, name)


def _fenced(identity: Id, before: State | None) -> State | None:
    level = logging.WARNING if before is State.IN_PROGRESS else logging.INFO
    was = before.value.replace("_", " ") if before else "not seen before"
    log.say(level, "fence", identity, f"a fence was put up; it was {was}")
    return before
