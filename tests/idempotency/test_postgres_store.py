"""What is PostgreSQL's own; what all stores have to do, the other tests say of this one too."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idempotency.servers import at_once, postgres_url, wsgi_server
from idempotency.test_stores import LATER, NOW, purged, records
from sagalang.idempotency import Busy, WsgiIdempotencyMiddleware, connection, key, one_caller
from sagalang.idempotency.answer import Answer
from sagalang.idempotency.core import Claim, Id, New, Record, State, claim, complete
from sagalang.idempotency.postgres import AsyncPostgresStore, PostgresStore, table_sql

K = Id("me", "POST /charges", "k")
OTHER = Id("me", "POST /charges", "other")
OTHERS = """SELECT pid, state, query FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"""
DONE = Record(State.DONE, NOW, LATER, answer=Answer(201, (), b"\0\xff"))


@pytest.fixture(scope="module")
def url() -> str:
    return postgres_url()


@pytest.fixture
def db(url: str) -> Iterator[Any]:
    """A connection beside the stores', in autocommit mode."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connected:
        yield connected


@pytest.fixture
def schema(db: Any) -> Iterator[str]:
    """A schema of this test alone, with a table `effects`."""
    name = f"test_{uuid.uuid4().hex}"
    db.execute(f"CREATE SCHEMA {name}")
    db.execute(f"CREATE TABLE {name}.effects (name TEXT UNIQUE)")
    yield name
    # What a failed test left open must not hold up the end of it.
    db.execute(f"SELECT pg_terminate_backend(pid) FROM ({OTHERS}) AS others WHERE state <> 'idle'")
    db.execute("SET client_min_messages = warning")
    db.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def store(url: str, schema: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(url, schema=schema, patience=5)) as made:
        yield made


def run(url: str, schema: str, work: Callable[[Any], Awaitable[None]], **options: Any) -> None:
    """Do the work with an async store, whose connections end with it."""

    async def main() -> None:
        store = AsyncPostgresStore(url, **{"schema": schema, "patience": 5, **options})
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


def effects(db: Any, schema: str) -> list[str]:
    return [name for (name,) in db.execute(f"SELECT name FROM {schema}.effects")]


def stuck(db: Any) -> list[Any]:
    """Transactions of others, and what waits for a lock."""
    found: list[Any] = db.execute(
        f"SELECT state, query FROM ({OTHERS}) AS others WHERE state <> 'idle'"
    ).fetchall()
    return found


def nothing_is_stuck(db: Any) -> None:
    until = time.monotonic() + 20
    while stuck(db) and time.monotonic() < until:
        time.sleep(0.01)
    assert stuck(db) == []
    assert db.execute("SELECT * FROM pg_locks WHERE locktype = 'advisory'").fetchall() == []


def asked() -> Claim:
    return Claim("fp", uuid.uuid4().hex, time.time_ns() // 1_000_000)


def test_of_many_claims_in_threads_one_is_new(
    url: str, schema: str, db: Any, store: PostgresStore
) -> None:
    """In two stores, as if they were of two processes."""

    def once(among: PostgresStore) -> str:
        transaction = among.begin()
        try:
            mine = asked()
            decision = claim(transaction.read(K), mine)
            if isinstance(decision, New):
                transaction.connection.execute(f"INSERT INTO {schema}.effects VALUES ('k')")
                time.sleep(0.02)
                done = complete(decision.record, mine.token, Answer(201))
                assert done is not None
                transaction.write(K, done)
                transaction.commit()
            return type(decision).__name__
        finally:
            transaction.rollback()

    with closing(PostgresStore(url, schema=schema)) as other, ThreadPoolExecutor(24) as pool:
        found = list(pool.map(once, [store, other] * 20))
    assert sorted(found) == ["New"] + ["Replay"] * 39
    assert effects(db, schema) == ["k"]


def test_of_many_async_claims_one_is_new(url: str, schema: str, db: Any) -> None:
    async def once(store: AsyncPostgresStore) -> type:
        transaction = await store.begin()
        try:
            mine = asked()
            decision = claim(await transaction.read(K), mine)
            if isinstance(decision, New):
                await transaction.connection.execute(f"INSERT INTO {schema}.effects VALUES ('k')")
                await asyncio.sleep(0.02)
                done = complete(decision.record, mine.token, Answer(201))
                assert done is not None
                await transaction.write(K, done)
                await transaction.commit()
            return type(decision)
        finally:
            await transaction.rollback()

    async def work(store: AsyncPostgresStore) -> None:
        found = await asyncio.gather(*(once(store) for _ in range(60)))
        assert sorted(kind.__name__ for kind in found) == ["New"] + ["Replay"] * 59

    run(url, schema, work)
    assert effects(db, schema) == ["k"]


def test_patience_ends_a_wait_for_a_key(url: str, schema: str, db: Any) -> None:
    with closing(PostgresStore(url, schema=schema, patience=0.1)) as store:
        first, second = store.begin(), store.begin()
        first.read(K)
        started = time.monotonic()
        with pytest.raises(Busy):
            second.read(K)
        assert 0.09 < time.monotonic() - started < 2
        second.rollback()
        third = store.begin()
        third.read(OTHER)  # nobody holds it
        third.rollback()
        first.rollback()
    nothing_is_stuck(db)


def test_patience_ends_an_async_wait_for_a_key(url: str, schema: str, db: Any) -> None:
    async def work(store: AsyncPostgresStore) -> None:
        first, second = await store.begin(), await store.begin()
        await first.read(K)
        with pytest.raises(Busy):
            await second.read(K)
        await second.rollback()
        await first.rollback()

    run(url, schema, work, patience=0.1)
    nothing_is_stuck(db)


def test_patience_ends_a_wait_for_a_connection(url: str, schema: str) -> None:
    with closing(PostgresStore(url, schema=schema, patience=0.05, size=1)) as store:
        first = store.begin()
        with pytest.raises(Busy):
            store.begin()
        first.rollback()
        store.begin().rollback()

    async def work(store: AsyncPostgresStore) -> None:
        first = await store.begin()
        with pytest.raises(Busy):
            await store.begin()
        await first.rollback()
        await (await store.begin()).rollback()

    run(url, schema, work, patience=0.05, size=1)


def test_the_handlers_own_waits_are_not_limited(store: PostgresStore, db: Any) -> None:
    transaction = store.begin()

    def limit() -> str:
        found: str = transaction.connection.execute("SHOW lock_timeout").fetchone()[0]
        return found

    transaction.read(K)
    assert limit() == "0"
    transaction.connection.execute("SET LOCAL lock_timeout = '77s'")
    transaction.read(OTHER)
    assert limit() == "77s"
    transaction.rollback()


def test_of_two_that_wait_for_each_other_one_is_busy(store: PostgresStore, db: Any) -> None:
    """Each undoes what the other one does: patience is long, but PostgreSQL sees the deadlock."""
    together = threading.Barrier(2)

    def crosswise(keys: tuple[Id, Id]) -> str:
        transaction = store.begin()
        try:
            transaction.read(keys[0])
            together.wait()
            transaction.read(keys[1])
            transaction.commit()
            return "through"
        except Busy:
            return "busy"
        finally:
            transaction.rollback()

    with ThreadPoolExecutor(2) as pool:
        found = sorted(pool.map(crosswise, [(K, OTHER), (OTHER, K)]))
    assert found == ["busy", "through"]
    nothing_is_stuck(db)


def test_a_wait_ends_in_what_was_committed_last_at_any_default_isolation(
    url: str, schema: str
) -> None:
    strict = f"{url} options='-c default_transaction_isolation=serializable'"
    with closing(PostgresStore(strict, schema=schema)) as store, ThreadPoolExecutor() as pool:
        first, second = store.begin(), store.begin()
        first.read(K)
        second.connection.execute("SELECT 1")  # an earlier snapshot, if it were kept
        waiting = pool.submit(second.read, K)
        time.sleep(0.05)
        first.write(K, DONE)
        first.commit()
        assert waiting.result() == DONE
        second.rollback()


def test_a_cancelled_wait_for_a_key_leaves_nothing_behind(url: str, schema: str, db: Any) -> None:
    async def work(store: AsyncPostgresStore) -> None:
        first = await store.begin()
        await first.read(K)
        second = await store.begin()
        waiting = asyncio.create_task(second.read(K))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert len(stuck(db)) <= 2
        assert all("pg_advisory" not in query for state, query in stuck(db) if state == "active")
        await second.rollback()
        await first.rollback()
        nothing_is_stuck(db)
        for _ in range(2):
            again = [await store.begin() for _ in range(2)]
            assert await again[0].read(K) is None
            assert await again[1].read(OTHER) is None
            for transaction in again:
                await transaction.rollback()

    run(url, schema, work, size=2)


def test_claims_cancelled_at_any_moment_leave_nothing_behind(
    url: str, schema: str, db: Any
) -> None:
    chance = random.Random(1)

    async def once(store: AsyncPostgresStore) -> None:
        transaction = await store.begin()
        try:
            await transaction.read(K)
            await transaction.mark()
            await transaction.connection.execute(f"INSERT INTO {schema}.effects VALUES ('k')")
            await transaction.undo()
            await transaction.write(K, DONE)
            await transaction.commit()
        finally:
            await transaction.rollback()

    async def work(store: AsyncPostgresStore) -> None:
        for _ in range(60):
            tasks = [asyncio.create_task(once(store)) for _ in range(4)]
            await asyncio.sleep(chance.random() * 0.02)
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
        nothing_is_stuck(db)
        transactions = [await store.begin() for _ in range(3)]  # no slot of the pool is lost
        for n, transaction in enumerate(transactions):
            assert await transaction.read(Id("", "", str(n))) is None
            await transaction.rollback()

    run(url, schema, work, size=3, patience=2)
    assert effects(db, schema) == []


def test_a_cancelled_wait_for_a_connection_takes_none(url: str, schema: str) -> None:
    async def work(store: AsyncPostgresStore) -> None:
        first = await store.begin()
        waiting = asyncio.create_task(store.begin())
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await first.rollback()
        await (await store.begin()).rollback()

    run(url, schema, work, size=1, patience=1)


def fails(transaction: Any) -> None:
    from psycopg.errors import UniqueViolation

    statement = "INSERT INTO {0}.effects VALUES ('twice'), ('twice')"
    name = transaction.connection.execute("SHOW search_path").fetchone()[0]
    with pytest.raises(UniqueViolation):
        transaction.connection.execute(statement.format(name))


@pytest.fixture
def failed(store: PostgresStore, schema: str) -> Iterator[Any]:
    """A transaction whose handler has caught the error of one of its statements."""
    transaction = store.begin()
    transaction.read(K)
    transaction.mark()
    transaction.connection.execute(f"SET LOCAL search_path = {schema}")
    fails(transaction)
    yield transaction
    transaction.rollback()


def test_after_a_failed_statement_a_refusal_is_recorded_nevertheless(
    failed: Any, store: PostgresStore
) -> None:
    failed.undo()
    failed.write(K, DONE)
    failed.commit()
    after = store.begin()
    assert after.read(K) == DONE
    after.rollback()


def test_after_a_failed_statement_nothing_is_told_as_done(
    failed: Any, store: PostgresStore, db: Any
) -> None:
    with pytest.raises(RuntimeError, match="A statement failed"):
        failed.write(K, DONE)
    with pytest.raises(RuntimeError, match="A statement failed"):
        failed.commit()
    failed.rollback()
    failed.rollback()
    nothing_is_stuck(db)
    after = store.begin()
    assert after.read(K) is None
    after.rollback()


def test_a_savepoint_of_the_handler_contains_a_failure(
    store: PostgresStore, schema: str, db: Any
) -> None:
    from psycopg.errors import UniqueViolation

    transaction = store.begin()
    transaction.read(K)
    transaction.mark()
    transaction.connection.execute(f"INSERT INTO {schema}.effects VALUES ('a')")
    with pytest.raises(UniqueViolation), transaction.connection.transaction():
        transaction.connection.execute(f"INSERT INTO {schema}.effects VALUES ('b'), ('b')")
    transaction.write(K, DONE)
    transaction.commit()
    assert effects(db, schema) == ["a"]


def test_a_commit_that_the_database_refuses_leaves_nothing(
    store: PostgresStore, schema: str, db: Any
) -> None:
    from psycopg.errors import UniqueViolation

    db.execute(f"CREATE TABLE {schema}.late (n INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    transaction = store.begin()
    transaction.read(K)
    transaction.connection.execute(f"INSERT INTO {schema}.late VALUES (1), (1)")
    transaction.write(K, DONE)
    with pytest.raises(UniqueViolation):
        transaction.commit()
    transaction.rollback()
    nothing_is_stuck(db)
    after = store.begin()
    assert after.read(K) is None
    after.rollback()


def test_a_handler_cannot_commit(store: PostgresStore, db: Any) -> None:
    from psycopg import ProgrammingError

    transaction = store.begin()
    transaction.read(K)
    with pytest.raises(ProgrammingError, match="forbidden"):
        transaction.connection.commit()
    transaction.connection.execute("COMMIT")
    with pytest.raises(RuntimeError, match="handler ended the transaction"):
        transaction.write(K, DONE)
    with pytest.raises(RuntimeError, match="handler ended the transaction"):
        transaction.commit()
    transaction.rollback()
    with pytest.raises(RuntimeError, match="has ended"):
        _ = transaction.connection
    nothing_is_stuck(db)
    store.begin().rollback()


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_savepoint_left_open_spoils_its_own_connection_only(
    store: PostgresStore, db: Any, ending: str
) -> None:
    from psycopg.transaction import OutOfOrderTransactionNesting

    transaction = store.begin()
    transaction.read(K)
    open_still = transaction.connection.transaction()
    open_still.__enter__()
    with pytest.raises(OutOfOrderTransactionNesting):
        getattr(transaction, ending)()
    transaction.rollback()
    nothing_is_stuck(db)
    after = store.begin()
    assert after.read(K) is None
    after.rollback()


def test_a_connection_comes_back_as_it_was(url: str, schema: str) -> None:
    import psycopg
    from psycopg import Connection, IsolationLevel
    from psycopg.rows import dict_row

    made: list[Connection[Any]] = []

    def connect() -> Connection[Any]:
        made.append(psycopg.connect(url, row_factory=dict_row))
        made[-1].isolation_level = IsolationLevel.SERIALIZABLE
        return made[-1]

    with closing(PostgresStore(connect, schema=schema)) as store:
        for found in (None, DONE):
            transaction = store.begin()
            assert transaction.read(K) == found
            assert transaction.connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
            transaction.write(K, DONE)
            transaction.commit()
        assert len(made) == 1
        assert not made[0].autocommit
        assert made[0].isolation_level is IsolationLevel.SERIALIZABLE


def test_connections_that_died_while_idle_are_replaced(url: str, schema: str, db: Any) -> None:
    def kill() -> None:
        db.execute(f"SELECT pg_terminate_backend(pid, 1000) FROM ({OTHERS}) AS others")

    with closing(PostgresStore(url, schema=schema)) as store:
        for transaction in [store.begin() for _ in range(3)]:
            transaction.rollback()
        kill()
        transactions = [store.begin() for _ in range(3)]
        kill()
        for transaction in transactions:
            transaction.rollback()  # nothing is left to take back
        store.begin().rollback()

    async def work(store: AsyncPostgresStore) -> None:
        for transaction in [await store.begin() for _ in range(3)]:
            await transaction.rollback()
        kill()
        transactions = [await store.begin() for _ in range(3)]
        kill()
        for transaction in transactions:
            await transaction.rollback()
        await (await store.begin()).rollback()

    run(url, schema, work)


def test_many_create_the_table_at_once(url: str, schema: str) -> None:
    together = threading.Barrier(8)
    schema = f"{schema}_new"  # the schema is created too

    def first(_: int) -> None:
        with closing(PostgresStore(url, schema=schema)) as store:
            together.wait()
            transaction = store.begin()
            assert transaction.read(K) is None
            transaction.rollback()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(first, range(8)))


@pytest.fixture
def poor(url: str, db: Any, schema: str) -> Iterator[str]:
    """The connection string of a user who may create nothing."""
    name = f"{schema}_user"
    db.execute(f"CREATE USER {name}")
    db.execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
    yield f"{url} user={name}"
    db.execute(f"DROP OWNED BY {name}")
    db.execute(f"DROP USER {name}")


def test_who_may_not_create_the_table_is_told_what_to_do(poor: str, schema: str, db: Any) -> None:
    with closing(PostgresStore(poor, schema=schema)) as store:
        with pytest.raises(PermissionError, match="migration"):
            store.begin()
        db.execute(table_sql(schema=schema))
        db.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {schema}_user")
        transaction = store.begin()
        transaction.write(K, DONE)
        transaction.commit()


def test_it_forgets_what_has_expired(store: PostgresStore, schema: str, db: Any) -> None:
    def fill(n: int) -> None:
        transaction = store.begin()
        transaction.write(Id("", "", str(n)), Record(State.DONE, 0, n + 1))
        transaction.commit()

    def count() -> int:
        found: int = db.execute(f"SELECT count(*) FROM {schema}.idempotency_records").fetchone()[0]
        return found

    purged(count, fill)


def test_forgetting_waits_for_nobody(store: PostgresStore, schema: str, db: Any) -> None:
    store.begin().rollback()
    old = ", ".join(f"('', '', '{n}', 'done', 0, 1, '', '', 0)" for n in range(3))
    db.execute(f"INSERT INTO {schema}.idempotency_records VALUES {old}")
    holder, transaction = store.begin(), store.begin()
    for n in range(2):
        holder.write(Id("", "", str(n)), DONE)  # expired, and just now being used again
    transaction.connection.execute("SET LOCAL lock_timeout = '1s'")
    transaction.write(K, DONE)
    transaction.commit()
    holder.commit()
    left = db.execute(f"SELECT key FROM {schema}.idempotency_records ORDER BY key").fetchall()
    assert left == [("0",), ("1",), ("k",)]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(records, max_size=8))
def test_async_records_come_back_as_they_were(
    url: str, schema: str, given_records: list[Record]
) -> None:
    async def work(store: AsyncPostgresStore) -> None:
        for record in given_records:
            writing = await store.begin()
            await writing.read(K)
            await writing.write(K, record)
            await writing.commit()
            reading = await store.begin()
            assert await reading.read(K) == record
            await reading.rollback()

    run(url, schema, work)


def test_an_async_store_may_be_used_in_one_event_loop_after_another(url: str, schema: str) -> None:
    store = AsyncPostgresStore(url, schema=schema, size=1)

    async def once() -> Record | None:
        async def one() -> Record | None:
            transaction = await store.begin()
            found = await transaction.read(K)
            await transaction.write(K, DONE)
            await transaction.commit()
            return found

        return (await asyncio.gather(one(), one()))[0]

    assert [asyncio.run(once()) for _ in range(3)] == [None, DONE, DONE]
    asyncio.run(store.close())


def test_a_hundred_wsgi_clients_with_one_key(store: PostgresStore, schema: str, db: Any) -> None:
    def app(_: Any, start_response: Any) -> list[bytes]:
        connection().execute(f"INSERT INTO {schema}.effects VALUES (%s)", (key(),))
        start_response("201 Created", [("Content-Type", "application/octet-stream")])
        return [b"\0\xff"]

    wrapped = WsgiIdempotencyMiddleware(app, store=store, caller=one_caller)
    with wsgi_server(wrapped) as url:
        answers = at_once(url, "k", 100)
    assert set(answers) == {(201, b"\0\xff")}
    assert effects(db, schema) == ["k"]


def test_a_pool_of_the_application_is_used(url: str, schema: str) -> None:
    pools = pytest.importorskip("psycopg_pool", reason="pip install psycopg-pool")
    with pools.ConnectionPool(url, min_size=1, max_size=1) as pool:
        store = PostgresStore(pool, schema=schema, patience=0.1)
        first = store.begin()
        first.read(K)
        with pytest.raises(Busy):
            store.begin()
        first.write(K, DONE)
        first.commit()
        with pool.connection() as application:
            assert not application.autocommit
        store.close()
        second = store.begin()
        assert second.read(K) == DONE
        second.rollback()
        with pytest.raises(TypeError, match="Give this pool to PostgresStore"):
            AsyncPostgresStore(pool)

    async def main() -> None:
        async with pools.AsyncConnectionPool(url, min_size=1, max_size=1, open=False) as pool:
            store = AsyncPostgresStore(pool, schema=schema, patience=0.1)
            first = await store.begin()
            with pytest.raises(Busy):
                await store.begin()
            assert await first.read(K) == DONE
            await first.rollback()
            with pytest.raises(TypeError, match="Give this pool to AsyncPostgresStore"):
                PostgresStore(pool)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["", 'a"b', "a'b", "a%b", "a\0b", "é" * 32])
def test_a_name_that_cannot_be_one(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        table_sql(table=name)
    with pytest.raises(ValueError, match="cannot name"):
        table_sql(schema=name)


def test_a_table_may_have_any_other_name(url: str, schema: str) -> None:
    with closing(PostgresStore(url, schema=schema, table="Größe; DROP {x}")) as store:
        for found in (None, DONE):
            transaction = store.begin()
            assert transaction.read(K) == found
            transaction.write(K, DONE)
            transaction.commit()


@pytest.mark.parametrize("store", [PostgresStore, AsyncPostgresStore])
def test_without_the_driver_it_says_what_to_install(
    store: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ImportError, match=rf"{store.__name__}.*pip install 'sagalang\[postgres\]'"):
        store("")


def test_the_driver_is_loaded_for_a_store_only() -> None:
    code = (
        "import sys, sagalang.idempotency as i; i.PostgresStore, i.AsyncPostgresStore; "
        "sys.exit('psycopg' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
