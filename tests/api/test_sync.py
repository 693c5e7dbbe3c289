"""`with sagalang.open(…)`: the same methods, and they wait; from any thread."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import sagalang
from api.tea import FILE, Shop, order


def until(what: Any) -> None:
    while not what():
        time.sleep(0.002)


def test_a_run_is_started_signalled_and_awaited(shop: Shop, db: Path | None) -> None:
    with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = sagas.start("PlaceOrder", order(qty=20))
        with pytest.raises(TimeoutError):
            run.result(timeout=0.01)
        sagas.signal(run.id, "Review", {"verdict": "Yes", "by": "eve"})
        assert run.result().outcome == "completed"
        assert sagas.get("o-1").state == "completed"
        assert [each.id for each in sagas.runs()] == ["o-1"]
        assert sagas.run("PlaceOrder", order(qty=20)) == run.result()
        assert sagas.resume() == []


def test_cancel_and_settle_wait_too(shop: Shop, db: Path | None) -> None:
    shop.carrier_refuses = True
    with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        sagas.start("PlaceOrder", order(qty=20))
        sagas.cancel("o-1")
        result = sagas.start("PlaceOrder", order(qty=20)).result()
        assert result.error is not None
        assert result.error.name == "Cancelled"
        run = sagas.start("Deliver", {"order": "o-2"})
        (owed,) = run.result().owed
        shop.carrier_refuses = False
        sagas.settle(owed.run, owed.step, "retry", by="eve")
        assert run.result().outcome == "completed"


def test_many_threads_use_one_shop(shop: Shop, db: Path | None) -> None:
    with sagalang.open(FILE, db=db, services=shop.services) as sagas:

        def buy(n: int) -> str:
            result = sagas.run("PlaceOrder", order(f"o-{n}"))
            assert sagas.get(f"o-{n}").result == result
            return result.outcome

        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(buy, range(200))) == {"completed"}
        assert len(sagas.runs(limit=None)) == 200
    assert len(shop.charged) == 200


def test_it_can_be_used_beside_an_event_loop(shop: Shop) -> None:
    async def notebook() -> str:
        with sagalang.open(FILE, services=shop.services) as sagas:
            return sagas.run("PlaceOrder", order()).outcome

    assert asyncio.run(notebook()) == "completed"


def test_a_plain_method_of_a_service_may_look_at_its_run(shop: Shop) -> None:
    seen = []

    class Looking(Shop):
        def refund(self, of: str) -> None:
            seen.append(sagas.get("o-1").state)

    services = {**shop.services, "Payment": Looking()}
    with sagalang.open(FILE, services=services) as sagas:
        sagas.run("PlaceOrder", order(sku="gone"))
    assert seen == ["running"]


def test_an_observer_that_waits_is_told_instead_of_hanging(shop: Shop) -> None:
    told: list[sagalang.Error] = []

    def observer(entry: Any) -> None:
        try:
            sagas.get("o-1")
        except sagalang.Error as error:
            told.append(error)

    with sagalang.open(FILE, services=shop.services, observer=observer) as sagas:
        sagas.run("PlaceOrder", order())
    assert "another thread" in str(told[0])


def test_after_the_block_it_is_closed_and_its_thread_has_ended(shop: Shop, db: Path | None) -> None:
    before = threading.active_count()
    with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = sagas.start("PlaceOrder", order(qty=20))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(run.result)
            until(waiting.running)
            until(lambda: shop.calls["reserve"] == 1)
            time.sleep(0.05)
            sagas.close()
            with pytest.raises(sagalang.Closed):
                waiting.result(timeout=30)
    with pytest.raises(sagalang.Closed):
        sagas.get("o-1")
    assert threading.active_count() == before


def test_a_forked_process_is_told(shop: Shop) -> None:
    with sagalang.open(FILE, services=shop.services) as sagas:
        child = os.fork()
        if child == 0:
            try:
                sagas.get("o-1")
            except sagalang.Closed:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
