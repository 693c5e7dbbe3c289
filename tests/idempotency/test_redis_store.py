"""What is Redis's own; what all stores have to do, the other tests say of this one too."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idempotency.servers import at_once, redis_url, wsgi_server
from idempotency.test_stores import LATER, NOW, identities, records
from sagalang.idempotency import WsgiIdempotencyMiddleware, key, one_caller
from sagalang.idempotency.answer import Answer
from sagalang.idempotency.core import Id, Record, State
from sagalang.idempotency.redis import AsyncRedisStore, RedisStore

K = Id("me", "POST /charges", "k")
BEGUN = Record(State.IN_PROGRESS, NOW, LATER, "fp", "token", NOW + 1_000)
DONE = Record(State.DONE, NOW, LATER, "fp", answer=Answer(201, (("x", "é"),), b"\0\xff"))
any_times = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def url() -> str:
    return redis_url()


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    """A client beside the stores'."""
    import redis

    with closing(redis.Redis.from_url(url)) as made:
        yield made


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4().hex}:"


@pytest.fixture
def store(url: str, prefix: str) -> Iterator[RedisStore]:
    with closing(RedisStore(url, prefix=prefix)) as made:
        yield made


def run(server: Any, prefix: str, work: Callable[[AsyncRedisStore], Awaitable[None]]) -> None:
    """Do the work with an async store, whose connections end with it."""

    async def main() -> None:
        store = AsyncRedisStore(server, prefix=prefix)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


def name(client: Any, prefix: str) -> bytes:
    """The only key there is."""
    (found,) = client.keys(f"{prefix}*")
    return bytes(found)


def test_of_many_claims_in_threads_one_is_new(url: str, prefix: str, store: RedisStore) -> None:
    """In two stores, as if they were of two processes."""
    together = threading.Barrier(40)

    def once(n: int) -> bool:
        together.wait()
        return (store, other)[n % 2].swap(K, None, replace(BEGUN, token=str(n)))

    with closing(RedisStore(url, prefix=prefix)) as other, ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(once, range(40))) == 1


def test_of_many_async_claims_one_is_new(url: str, prefix: str) -> None:
    async def work(store: AsyncRedisStore) -> None:
        claims = (store.swap(K, None, replace(BEGUN, token=str(n))) for n in range(60))
        assert sum(await asyncio.gather(*claims)) == 1

    run(url, prefix, work)


@any_times
@given(st.lists(st.tuples(identities, records, st.none() | records), max_size=8))
def test_async_swaps_compare_and_set(
    url: str, prefix: str, steps: list[tuple[Id, Record, Record | None]]
) -> None:
    async def work(store: AsyncRedisStore) -> None:
        for identity, guess, new in steps:
            stored = await store.read(identity)
            assert await store.swap(identity, guess, new) == (guess == stored)
            assert await store.swap(identity, stored, new) == (guess != stored or new == stored)
            assert await store.read(identity) == new

    run(url, prefix, work)


def test_a_swap_of_equal_records_succeeds_once_for_each(store: RedisStore) -> None:
    """Nobody takes a record for his own because it is the one he would have written."""
    assert store.swap(K, None, BEGUN)
    assert not store.swap(K, None, BEGUN)
    assert store.swap(K, BEGUN, BEGUN)


def test_keys_are_readable_and_apart(store: RedisStore, client: Any, prefix: str) -> None:
    alike = [Id("a", "b", "c"), Id("a,b", "", "c"), Id('a","b', "", "c"), Id("", "a", "b,c")]
    for n, identity in enumerate(alike):
        assert store.swap(identity, None, replace(BEGUN, token=str(n)))
    assert [store.read(identity) for identity in alike] == [
        replace(BEGUN, token=str(n)) for n in range(len(alike))
    ]
    assert f'{prefix}["a", "b", "c"]'.encode() in client.keys(f"{prefix}*")


def test_redis_deletes_a_record_when_it_expires(
    store: RedisStore, client: Any, prefix: str
) -> None:
    soon = replace(BEGUN, expires=time.time_ns() // 1_000_000 + 80)
    assert store.swap(K, None, soon)
    assert store.read(K) == soon
    time.sleep(0.1)
    assert store.read(K) is None
    assert store.swap(K, None, BEGUN)
    assert store.swap(K, BEGUN, replace(DONE, expires=LATER + 5_000))  # a renewal lives longer
    assert client.pexpiretime(name(client, prefix)) == LATER + 5_000


def test_a_server_that_forgot_the_script_learns_it_again(store: RedisStore, client: Any) -> None:
    for old, new in ((None, BEGUN), (BEGUN, DONE)):
        client.script_flush()
        assert store.swap(K, old, new)
    client.script_flush()
    assert not store.swap(K, BEGUN, None)
    assert store.read(K) == DONE


def test_a_record_in_another_encoding_is_the_same_record(
    store: RedisStore, client: Any, prefix: str
) -> None:
    """As an older or a newer release may have written it."""
    store.swap(K, None, DONE)
    of_now: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(DONE))
    of_then = dict(reversed(of_now.items())) | {"more": 1}
    client.set(name(client, prefix), b"8 bytes." + msgspec.msgpack.encode(of_then))
    assert store.read(K) == DONE
    assert not store.swap(K, BEGUN, None)
    assert store.swap(K, DONE, BEGUN)
    assert store.read(K) == BEGUN


class LossyProxy:
    """Passes all on to Redis, but drops the connection instead of one reply to EVALSHA."""

    def __init__(self, url: str) -> None:
        self._redis = (urlsplit(url).hostname, urlsplit(url).port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}"
        self.lose = threading.Event()
        self.lost = 0
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _accept(self) -> None:
        with ThreadPoolExecutor() as pool, suppress(OSError):
            while True:
                pool.submit(self._pass_on, self._listening.accept()[0])

    def _pass_on(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._redis) as far:
            while asked := near.recv(65536):
                far.sendall(asked)
                reply = far.recv(65536)
                if self.lose.is_set() and b"EVALSHA" in asked and b"NOSCRIPT" not in reply:
                    self.lose.clear()
                    self.lost += 1
                    return
                near.sendall(reply)


@contextmanager
def lossy(url: str) -> Iterator[LossyProxy]:
    with closing(LossyProxy(url)) as proxy:
        yield proxy


def test_a_swap_whose_reply_is_lost_is_known_as_made(url: str, prefix: str) -> None:
    """The client sends it again: the claim must not find itself, and wait for itself."""
    with lossy(url) as proxy:
        with closing(RedisStore(proxy.url, prefix=prefix)) as store:
            for old, new in ((None, BEGUN), (BEGUN, DONE)):
                proxy.lose.set()
                assert store.swap(K, old, new)
            assert proxy.lost == 2
            assert store.read(K) == DONE

        async def work(store: AsyncRedisStore) -> None:
            proxy.lose.set()
            assert await store.swap(K, DONE, BEGUN)
            assert proxy.lost == 3

        run(proxy.url, prefix, work)


def test_a_swap_that_is_cancelled_leaves_the_connection_in_step(
    url: str, prefix: str, client: Any
) -> None:
    """A reply that nobody read may not answer the next question."""
    import redis.asyncio

    async def main() -> None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=1, timeout=2)
        async with redis.asyncio.Redis(connection_pool=pool) as only:
            store = AsyncRedisStore(only, prefix=prefix)
            for n in range(5):
                identity = Id("", "", str(n))
                client.client_pause(60, all=True)
                swapping = asyncio.create_task(store.swap(identity, None, BEGUN))
                await asyncio.sleep(0.02)
                swapping.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await swapping
                assert await store.read(Id("", "", "never")) is None
                assert await store.read(identity) in (None, BEGUN)
                assert await store.swap(Id("", "then", str(n)), None, DONE)
            await store.close()
            assert await only.ping()  # a client that was given stays open
        await pool.aclose()

    asyncio.run(main())


def test_an_async_store_may_be_used_in_one_event_loop_after_another(url: str, prefix: str) -> None:
    store = AsyncRedisStore(url, prefix=prefix)

    assert asyncio.run(store.swap(K, None, BEGUN))
    assert asyncio.run(store.swap(K, BEGUN, DONE))

    async def end() -> None:
        assert await store.read(K) == DONE
        await store.close()

    asyncio.run(end())


def test_a_client_is_taken_that_fits_the_store(url: str, prefix: str, client: Any) -> None:
    import redis
    import redis.asyncio

    assert RedisStore(client, prefix=prefix).swap(K, None, DONE)
    asynchronous = redis.asyncio.Redis.from_url(url)
    with pytest.raises(TypeError, match="Give this client to AsyncRedisStore"):
        RedisStore(asynchronous)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Give this client to RedisStore"):
        AsyncRedisStore(client)
    for kind, make in ((RedisStore, redis.Redis), (AsyncRedisStore, redis.asyncio.Redis)):
        decoding: Any = make.from_url(url, decode_responses=True)
        with pytest.raises(ValueError, match="without decode_responses"):
            kind(decoding)
        with pytest.raises(ValueError, match="without decode_responses"):
            kind(f"{url}?decode_responses=True")


def test_what_redis_loses_runs_again(store: RedisStore, client: Any, prefix: str) -> None:
    """Evicted, or gone with a replica that did not have it yet: why this is not exactly once."""
    runs: list[str | None] = []

    def app(_: Any, start_response: Any) -> list[bytes]:
        runs.append(key())
        start_response("201 Created", [])
        return [b"\0\xff"]

    wrapped = WsgiIdempotencyMiddleware(app, store=store, caller=one_caller)
    with wsgi_server(wrapped) as url:
        assert set(at_once(url, "k", 100)) == {(201, b"\0\xff")}
        assert runs == ["k"]
        client.delete(name(client, prefix))
        assert at_once(url, "k", 1) == [(201, b"\0\xff")]
    assert runs == ["k", "k"]


@pytest.mark.parametrize("kind", [RedisStore, AsyncRedisStore])
def test_without_the_client_it_says_what_to_install(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ImportError, match=rf"{kind.__name__}.*pip install 'sagalang\[redis\]'"):
        kind("redis://localhost")


def test_the_client_is_loaded_for_a_store_only() -> None:
    code = (
        "import sys, sagalang.idempotency as i; i.RedisStore, i.AsyncRedisStore; "
        "sys.exit('redis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
