"""The shop as a FastAPI application, served by uvicorn; its services answer over HTTP beside it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.mock_server import serve
from sagalang.workspace import load

ROOT = Path(__file__).parents[2]
API = ROOT / "examples" / "shop_api"
SHOP = ROOT / "examples" / "shop" / "shop.saga"
CARD = "card-of-4711"
PATIENCE = 30.0


@contextmanager
def services() -> Iterator[tuple[FakeWorld, dict[str, str]]]:
    """Payment, Inventory, Shipping and Notification over HTTP, from a thread of their own."""
    world = FakeWorld(load(SHOP).program)
    up: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, dict[str, str]]] = Future()

    async def main() -> None:
        done = asyncio.Event()
        async with serve(world) as mock:
            up.set_result((asyncio.get_running_loop(), done, mock.urls))
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    loop, done, urls = up.result(PATIENCE)
    try:
        yield world, {f"{name.upper()}_URL": url for name, url in urls.items()}
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(PATIENCE)


@contextmanager
def uvicorn(folder: Path, env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The application in a process of its own, and its URL."""
    told = folder / "told.txt"
    with told.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", API, "--port", "0"],
            env={
                **os.environ,
                "PAYMENT_AUTH": "Bearer x",
                "SHOP_DB": f"{folder}/shop.db",
                "SAGA_DB": f"{folder}/orders.db",
                **env,
            },
            cwd=folder,
            stdout=out,
            stderr=out,
            text=True,
        )
    try:
        until = time.monotonic() + PATIENCE
        while not (found := re.search(r"running on (http://\S+)", told.read_text())):
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < until, told.read_text()
            time.sleep(0.02)
        yield process, found[1]
    finally:
        process.kill()
        process.wait(PATIENCE)


class Shop:
    """The application as a client sees it, and behind it the services."""

    def __init__(self, client: httpx.Client, world: FakeWorld, folder: Path) -> None:
        self.client, self.world, self.folder = client, world, folder

    def order(self, id_: str, amount: float = 90, sku: str = "A") -> httpx.Response:
        body = {
            "id": id_,
            "lines": [{"sku": sku, "qty": 1}],
            "total": {"amount": amount, "currency": "EUR"},
            "address": "Main St 1",
            "card": CARD,
        }
        return self.client.post("/orders", json=body)

    def show(self, id_: str) -> dict[str, Any]:
        answer = self.client.get(f"/orders/{id_}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def review(self, id_: str, verdict: str = "Approved") -> httpx.Response:
        return self.client.post(f"/orders/{id_}/review", json={"verdict": verdict, "by": "eve"})

    def ended(self, id_: str) -> dict[str, Any]:
        return self.eventually(id_, lambda: self.show(id_)["state"] != "running")

    def called(self, operation: str, id_: str) -> int:
        return sum(a.operation == operation and a.args[0] == id_ for a in self.world.arrivals)

    def eventually(self, id_: str, holds: Any) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < until, self.show(id_)
            time.sleep(0.01)
        return self.show(id_)

    def effects(self, id_: str) -> list[str]:
        """What the services hold for an order in the end."""
        done = [e for e in self.world.ledger if e.effect == "done" and id_ in map(str, e.args)]
        return sorted(entry.operation for entry in done)

    def status(self, id_: str) -> str:
        with sqlite3.connect(self.folder / "shop.db") as db:
            (found,) = db.execute("SELECT status FROM orders WHERE id = ?", (id_,)).fetchone()
        return str(found)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with services() as (world, env), uvicorn(folder, env) as (_, url), httpx.Client() as client:
        client.base_url = httpx.URL(url)
        yield Shop(client, world, folder)


def test_an_order_is_accepted_with_its_place_and_carried_out(shop: Shop) -> None:
    answer = shop.order("happy")
    assert answer.status_code == 202
    assert answer.json() == {"id": "happy"}
    assert answer.headers["location"] == "/orders/happy"
    ended = shop.ended("happy")
    assert ended["state"] == "completed"
    assert ended["confirmation"]["order"] == "happy"
    assert ended["owed"] == []
    assert shop.status("happy") == "CONFIRMED"
    assert "Payment.authorize" in shop.effects("happy")


def test_the_same_order_again_is_the_same_order(shop: Shop) -> None:
    first = shop.order("again")
    repeats = [shop.order("again"), shop.order("again")]
    shop.ended("again")
    repeats.append(shop.order("again"))
    for repeat in repeats:
        assert (repeat.status_code, repeat.json()) == (202, first.json())
        assert repeat.headers["location"] == first.headers["location"]
    assert shop.called("Payment.authorize", "again") == 1


def test_another_order_of_the_same_id_is_a_conflict(shop: Shop) -> None:
    shop.order("taken")
    assert shop.order("taken", amount=91).status_code == 409
    assert shop.ended("taken")["state"] == "completed"
    assert shop.order("taken", amount=91).status_code == 409
    assert shop.called("Payment.authorize", "taken") == 1


def test_a_refused_order_is_undone_and_says_why(shop: Shop) -> None:
    fault = PlannedFault("rejects", "Inventory.reserve", ("rare", 1), "OutOfStock")
    shop.world.faults.append(fault)
    shop.order("refused", sku="rare")
    ended = shop.ended("refused")
    assert (ended["state"], ended["error"]) == ("compensated", "OutOfStock")
    assert ended["confirmation"] is None
    assert shop.effects("refused") == []
    assert shop.status("refused") == "REJECTED"


def test_a_lost_answer_of_the_bank_takes_the_money_once(shop: Shop) -> None:
    shop.world.faults.append(PlannedFault("times out after effect", "Payment.capture"))
    shop.order("lost")
    assert shop.show("lost")["state"] == "running"
    assert shop.ended("lost")["state"] == "completed"
    captured = [e for e in shop.world.ledger if e.operation == "Payment.capture" and e.calls == 2]
    assert [entry.effect for entry in captured] == ["done"]


def test_what_only_people_can_settle_is_shown_as_owed(shop: Shop) -> None:
    shop.world.faults.append(PlannedFault("rejects", "Shipping.book", None, "BadAddress"))
    shop.order("nowhere")
    ended = shop.ended("nowhere")
    assert ended["state"] == "escalated"
    (owed,) = ended["owed"]
    assert (owed["step"], owed["error"]) == ("Shipping.book", "BadAddress")
    assert (owed["at"], owed["run"], owed["team"]) == ("ship", "nowhere", "logistics")


def reserved(shop: Shop, id_: str, sku: str) -> None:
    """Waits until nothing but the review is missing."""
    done = [("Inventory.reserve", sku), ("Payment.authorize", id_)]
    shop.eventually(id_, lambda: all(shop.called(op, first) for op, first in done))


def test_a_big_order_waits_for_its_review(shop: Shop) -> None:
    shop.order("big", amount=5000, sku="b1")
    reserved(shop, "big", "b1")
    assert shop.show("big")["state"] == "running"
    assert shop.review("big").status_code == 202
    assert shop.ended("big")["state"] == "completed"


def test_a_denied_order_is_undone(shop: Shop) -> None:
    shop.order("denied", amount=5000, sku="b2")
    assert shop.review("denied", "Denied").status_code == 202
    ended = shop.ended("denied")
    assert (ended["state"], ended["error"]) == ("compensated", "Refused")
    assert shop.effects("denied") == []


def test_the_same_review_twice_is_one_and_another_is_a_conflict(shop: Shop) -> None:
    shop.order("judged", amount=5000, sku="b3")
    assert shop.review("judged").status_code == 202
    assert shop.review("judged").status_code == 202
    assert shop.review("judged", "Denied").status_code == 409
    assert shop.ended("judged")["state"] == "completed"
    assert shop.review("judged").status_code == 202  # the answer to the first may have been lost
    assert shop.review("judged", "Denied").status_code == 409


def test_a_review_of_what_is_over_is_a_conflict_and_of_nothing_is_not_found(shop: Shop) -> None:
    shop.order("over")
    shop.ended("over")
    assert shop.review("over").status_code == 409
    assert shop.review("never").status_code == 404
    assert shop.client.get("/orders/never").status_code == 404


def test_the_card_is_never_shown(shop: Shop) -> None:
    shop.order("secret")
    shop.ended("secret")
    wrong = {"id": "x", "card": CARD, "lines": []}
    answers = [
        shop.client.get("/orders/secret"),
        shop.order("secret"),
        shop.order("secret", amount=1),
        shop.client.post("/orders", json=wrong),
    ]
    assert [answer.status_code for answer in answers] == [200, 202, 409, 422]
    assert all(CARD not in answer.text for answer in answers)
    assert CARD not in (shop.folder / "told.txt").read_text()


@pytest.mark.parametrize("id_", ["", "a/b", "..", "a b", "a" * 101])
def test_an_id_that_no_url_can_hold_is_refused(shop: Shop, id_: str) -> None:
    assert shop.order(id_).status_code == 422


@pytest.mark.skipif(os.name == "nt", reason="needs SIGTERM")
def test_stopping_waits_for_orders_that_can_still_end(tmp_path: Path) -> None:
    with services() as (world, env), uvicorn(tmp_path, env) as (process, url):
        world.faults.append(PlannedFault("times out after effect", "Payment.capture"))
        with httpx.Client(base_url=url) as client:
            shop = Shop(client, world, tmp_path)
            shop.order("last")
            shop.eventually("last", lambda: world.count("Payment.capture"))
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        assert shop.status("last") == "CONFIRMED"
        assert "left as they are" not in (tmp_path / "told.txt").read_text()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(os.name == "nt", reason="needs SIGTERM")
def test_an_order_that_waits_for_its_review_outlives_the_application(
    tmp_path: Path, end: signal.Signals
) -> None:
    with services() as (world, env):
        with uvicorn(tmp_path, env) as (process, url), httpx.Client(base_url=url) as client:
            shop = Shop(client, world, tmp_path)
            shop.order("early")
            done = shop.ended("early")
            shop.order("waits", amount=5000, sku="w1")
            reserved(shop, "waits", "w1")
            process.send_signal(end)
            process.wait(PATIENCE)
        with uvicorn(tmp_path, env) as (_, url), httpx.Client(base_url=url) as client:
            shop = Shop(client, world, tmp_path)
            assert shop.show("waits")["state"] == "running"
            assert shop.order("waits", amount=5000, sku="w1").status_code == 202
            assert shop.review("waits").status_code == 202
            assert shop.ended("waits")["state"] == "completed"
            assert shop.called("Payment.authorize", "waits") == 1
            assert shop.status("waits") == "CONFIRMED"
            assert shop.show("early") == done
            assert shop.order("early", amount=91).status_code == 409
    for file in tmp_path.glob("orders.db*"):
        assert CARD.encode() not in file.read_bytes()
