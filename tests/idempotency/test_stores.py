"""What every store has to do, whatever it stands on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idempotency.stores import Backend, Opened
from sagalang.idempotency import Busy, SQLiteStore
from sagalang.idempotency.answer import Answer
from sagalang.idempotency.core import Id, Record, State

NOW = time.time_ns() // 1_000_000
LATER = NOW + 3_600_000

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
answers = st.builds(
    Answer,
    st.integers(200, 599),
    st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    st.binary(max_size=50),
)
records = st.one_of(
    st.builds(
        Record,
        state=st.just(State.IN_PROGRESS),
        created=st.just(NOW),
        expires=st.just(LATER),
        fingerprint=texts,
        token=texts,
        lease_until=st.integers(0, LATER),
    ),
    st.builds(
        Record,
        state=st.just(State.DONE),
        created=st.just(NOW),
        expires=st.just(LATER),
        fingerprint=texts,
        answer=answers,
    ),
    st.just(Record(State.FENCED, NOW, LATER)),
)
identities = st.builds(Id, st.sampled_from(["", "me"]), st.sampled_from(["POST /a", "a"]), texts)
any_times = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def leases(opened: Opened) -> Any:
    if opened.transactional:
        pytest.skip("a transaction store")
    return opened.wsgi


@pytest.fixture
def transactions(opened: Opened) -> Any:
    if not opened.transactional:
        pytest.skip("a lease store")
    return opened.wsgi


@any_times
@given(
    st.lists(
        st.tuples(identities, st.none() | records, st.none() | records, st.booleans()), max_size=10
    )
)
def test_a_swap_compares_and_sets(
    leases: Any, steps: list[tuple[Id, Record | None, Record | None, bool]]
) -> None:
    model: dict[Id, Record | None] = {}
    for identity, guess, new, right in steps:
        stored = model.setdefault(identity, leases.read(identity))
        old = stored if right else guess
        assert leases.swap(identity, old, new) == (old == stored)
        model[identity] = new if old == stored else stored
        assert leases.read(identity) == model[identity]


def test_of_many_swaps_at_once_one_succeeds(leases: Any) -> None:
    together = threading.Barrier(8)

    def swap(n: int) -> bool:
        together.wait()
        mine = Record(State.IN_PROGRESS, NOW, LATER, token=str(n))
        return bool(leases.swap(Id("", "POST /a", "k"), None, mine))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(swap, range(8))) == 1


@any_times
@given(st.lists(st.tuples(identities, records, st.sampled_from(["commit", "rollback", "undo"]))))
def test_a_transaction_keeps_what_it_commits(
    transactions: Any, steps: list[tuple[Id, Record, str]]
) -> None:
    model: dict[Id, Record | None] = {}
    for identity, record, how in steps:
        transaction = transactions.begin()
        found = transaction.read(identity)
        assert found == model.setdefault(identity, found)
        if how == "undo":
            transaction.mark()
        transaction.write(identity, record)
        assert transaction.read(identity) == record
        if how == "undo":
            transaction.undo()
            assert transaction.read(identity) == found
        if how == "rollback":
            transaction.rollback()
        else:
            transaction.commit()
        transaction.rollback()  # does nothing
        model[identity] = record if how == "commit" else found


def test_a_key_is_locked_until_the_transaction_ends(backend: Backend, tmp_path: Path) -> None:
    if not backend.transactional:
        pytest.skip("a lease store")
    identity = Id("", "POST /a", "k")

    def read(store: Any) -> Record | None:
        transaction = store.begin()
        try:
            found: Record | None = transaction.read(identity)
            return found
        finally:
            transaction.rollback()

    with backend.open(tmp_path, 0.2) as opened, ThreadPoolExecutor() as pool:
        first = opened.wsgi.begin()
        assert first.read(identity) is None
        with pytest.raises(Busy):
            read(opened.wsgi)
        waiting = pool.submit(read, opened.wsgi)
        time.sleep(0.05)
        record = Record(State.DONE, NOW, LATER, answer=Answer(201, (), b"\0\xff"))
        first.write(identity, record)
        first.commit()
        assert waiting.result() == record


def purged(count: Callable[[], int], fill: Callable[[int], None]) -> None:
    for n in range(50):
        fill(n)
    assert count() < 15


def test_memory_forgets_what_has_expired() -> None:
    from sagalang.idempotency import MemoryStore

    store = MemoryStore()
    purged(
        lambda: len(store._records),
        lambda n: store.swap(Id("", "", str(n)), None, Record(State.DONE, 0, n + 1)) and None,
    )


def test_sqlite_forgets_what_has_expired(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "a.db")

    def fill(n: int) -> None:
        transaction = store.begin()
        transaction.write(Id("", "", str(n)), Record(State.DONE, 0, n + 1))
        transaction.commit()

    def count() -> int:
        transaction = store.begin()
        found = transaction.connection.execute("SELECT count(*) FROM idempotency_records")
        number: int = found.fetchone()[0]
        transaction.rollback()
        return number

    purged(count, fill)
    store.close()


def test_sqlite_tells_a_handler_that_commits_by_itself(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "a.db")
    transaction = store.begin()
    with transaction.connection:
        pass
    with pytest.raises(RuntimeError, match="handler ended the transaction"):
        transaction.write(Id("", "", "k"), Record(State.FENCED, NOW, LATER))
    transaction.rollback()
    store.begin().rollback()  # nothing stays locked
    store.close()


def test_sqlite_gives_the_lock_back_although_somebody_still_holds_a_cursor(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "a.db", patience=0.2)
    transaction = store.begin()
    transaction.write(Id("", "", "k"), Record(State.FENCED, NOW, LATER))
    held = transaction.connection.execute("SELECT 1 UNION SELECT 2")  # as a traceback may
    transaction.rollback()
    after = store.begin()
    assert after.read(Id("", "", "k")) is None
    after.rollback()
    store.close()
    del held


def test_sqlite_needs_a_file() -> None:
    with pytest.raises(ValueError, match="needs a file"):
        SQLiteStore(":memory:")


def test_sqlite_leaves_the_application_its_row_factory(tmp_path: Path) -> None:
    def by_name(cursor: Any, row: Any) -> dict[str, object]:
        return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}

    def prepare(connection: Any) -> None:
        connection.row_factory = by_name

    store = SQLiteStore(tmp_path / "a.db", prepare=prepare)
    transaction = store.begin()
    transaction.write(Id("", "", "k"), Record(State.FENCED, NOW, LATER))
    assert transaction.read(Id("", "", "k")) == Record(State.FENCED, NOW, LATER)
    assert transaction.connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    transaction.rollback()
    store.close()
