"""Idempotency keys on the server's side: a repeated request takes effect once, is answered alike,
and never takes effect after its undo. See docs/idempotency.md.

A middleware for ASGI and one for WSGI; stores; and, for handlers, `key`, `connection` and `fence`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sagalang.idempotency.asgi import IdempotencyMiddleware
from sagalang.idempotency.context import (
    begin,
    connection,
    fence,
    fence_sync,
    is_fenced,
    is_fenced_sync,
    key,
)
from sagalang.idempotency.core import State
from sagalang.idempotency.memory import MemoryStore
from sagalang.idempotency.request import Request, bare, body_field, by_header, one_caller
from sagalang.idempotency.sqlite import SQLiteStore
from sagalang.idempotency.store import Busy
from sagalang.idempotency.wsgi import WsgiIdempotencyMiddleware

__all__ = [
    "Busy",
    "IdempotencyMiddleware",
    "MemoryStore",
    "Request",
    "SQLiteStore",
    "State",
    "WsgiIdempotencyMiddleware",
    "bare",
    "begin",
    "body_field",
    "by_header",
    "connection",
    "fence",
    "fence_sync",
    "is_fenced",
    "is_fenced_sync",
    "key",
    "one_caller",
]

# These need packages that not everybody has.
_ELSEWHERE = {
    "AsyncPostgresStore": "postgres",
    "PostgresStore": "postgres",
    "AsyncRedisStore": "redis",
    "RedisStore": "redis",
}


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)
