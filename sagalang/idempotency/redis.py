"""Records in Redis: a lease store, for processes that share nothing else.

A record is the value of one key, in msgpack, behind a mark of the call that wrote it. The client
sends a command again when the connection broke; by the mark, a swap that had been made already is
known as its own and not taken for another's.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sagalang.idempotency.adapt import at_once, finished
from sagalang.idempotency.core import Id, Record

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

_MARK: Final = 8  # bytes

# What is stored must be `old` (empty: nothing). Says 1, or else what is stored instead.
_SWAP: Final = """
local old, new, mark, expires = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local found = redis.call('GET', KEYS[1])
if found and string.sub(found, 1, #mark) == mark then
    return 1
end
found = found and string.sub(found, #mark + 1)
if (found or '') ~= old then
    return found
end
if new == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], mark .. new)
    redis.call('PEXPIREAT', KEYS[1], expires)
end
return 1
"""
_SHA: Final = hashlib.sha1(_SWAP.encode(), usedforsecurity=False).hexdigest()


class RedisStore:
    """A lease store for WSGI. Raises ImportError where the package redis is not installed.

    `server`: a URL, or a `redis.Redis` that does not decode responses. `prefix`: what the keys of
    its records begin with. Redis deletes a record when it expires, by Redis's own clock.
    """

    def __init__(self, server: str | Redis, *, prefix: str = "idempotency:") -> None:
        redis = _load("RedisStore")
        self._made = isinstance(server, str)
        self._client: Any = _connect(redis, server) if isinstance(server, str) else server
        self._prefix = prefix
        if _check(self._client):
            raise TypeError("RedisStore is for sync code. Give this client to AsyncRedisStore.")

    def read(self, identity: Id) -> Record | None:
        return _stored(self._client.get(_name(self._prefix, identity)))

    def swap(self, identity: Id, old: Record | None, new: Record | None) -> bool:
        return finished(_swap(self._client, at_once, _name(self._prefix, identity), old, new))

    def close(self) -> None:
        """Close the connections, but not those of a client that was given."""
        if self._made:
            self._client.close()


class AsyncRedisStore:
    """As `RedisStore`, for ASGI: over `redis.asyncio.Redis`."""

    def __init__(self, server: str | AsyncRedis, *, prefix: str = "idempotency:") -> None:
        _load("AsyncRedisStore")
        from redis import asyncio as redis

        self._make = partial(_connect, redis, server) if isinstance(server, str) else None
        self._given: Any = server
        # The connections of a client cannot go from one event loop to another.
        self._made: dict[asyncio.AbstractEventLoop, Any] = {}
        self._prefix = prefix
        if not _check(self._make() if self._make else server):
            raise TypeError("AsyncRedisStore is for async code. Give this client to RedisStore.")

    async def read(self, identity: Id) -> Record | None:
        return _stored(await self._client().get(_name(self._prefix, identity)))

    async def swap(self, identity: Id, old: Record | None, new: Record | None) -> bool:
        return await _swap(self._client(), _awaited, _name(self._prefix, identity), old, new)

    async def close(self) -> None:
        """Close the connections of this event loop, but not those of a client that was given."""
        client = self._made.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _client(self) -> Any:
        if self._make is None:
            return self._given
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            for other in [other for other in list(self._made) if other.is_closed()]:
                self._made.pop(other)
            self._made[loop] = self._make()
        return self._made[loop]


async def _awaited(command: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
    return await command(*args)


async def _swap(
    client: Any,
    call: Callable[..., Awaitable[Any]],
    name: bytes,
    old: Record | None,
    new: Record | None,
) -> bool:
    from redis.exceptions import NoScriptError

    expected = _dump(old)
    rest = (_dump(new), secrets.token_bytes(_MARK), new.expires if new else 0)
    while True:
        try:
            found = await call(client.evalsha, _SHA, 1, name, expected, *rest)
        except NoScriptError:
            found = await call(client.eval, _SWAP, 1, name, expected, *rest)
        if found == 1:
            return True
        if found is None or _load_record(found) != old:
            return False
        expected = found  # the same record, as another release of this module wrote it


def _dump(record: Record | None) -> bytes:
    return b"" if record is None else msgspec.msgpack.encode(record)


def _load_record(data: bytes) -> Record:
    return msgspec.msgpack.decode(data, type=Record)


def _stored(value: bytes | None) -> Record | None:
    return None if value is None else _load_record(value[_MARK:])


def _name(prefix: str, identity: Id) -> bytes:
    """Readable, and no two identities have the same."""
    return (prefix + json.dumps([identity.caller, identity.operation, identity.key])).encode()


def _load(user: str) -> Any:
    """The client. Raises ImportError, in words for the people who chose this store."""
    try:
        import redis
    except ImportError as error:
        raise ImportError(
            f"{user} needs the package redis. Install it: pip install 'sagalang[redis]'"
        ) from error
    return redis


def _connect(redis: Any, url: str) -> Any:
    """A client that waits for no server that does not answer, unless the URL says otherwise
    (`?socket_timeout=60`), and tries again where a connection broke: see above.

    `redis`: the module `redis` or `redis.asyncio`.
    """
    from redis.backoff import ExponentialBackoff

    retry = import_module(f"{redis.__name__}.retry").Retry(ExponentialBackoff(0.5, 0.05), 3)
    return redis.Redis.from_url(
        url,
        socket_timeout=5,
        socket_connect_timeout=5,
        retry=retry,
        # How many requests there are at once is for the web server to say: at a limit of its own,
        # which is 100 from version 8 on, the client raises.
        max_connections=2**31,
    )


def _check(client: Any) -> bool:
    """Whether it is async. Raises ValueError where it would take records for text."""
    if client.get_encoder().decode_responses:
        raise ValueError("Records are bytes: make the Redis client without decode_responses=True.")
    return inspect.iscoroutinefunction(client.execute_command)
