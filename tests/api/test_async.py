"""`async with sagalang.open(…)`: start, await, look, send, settle; in memory and on a file."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import sagalang
from api.tea import CARD, FILE, Shop, order
from sagalang.machine.outcomes import Ok, Outcome
from sagalang.runtime.codec import read
from sagalang.runtime.contract import Request
from sagalang.runtime.sqlite import send


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**given), 60))  # type: ignore[arg-type]

    return run


async def until(what: Callable[[], bool]) -> None:
    while not what():  # noqa: ASYNC110 - it is about a real service
        await asyncio.sleep(0.002)


@in_loop
async def test_a_run_is_started_awaited_and_looked_at(shop: Shop, db: Path | None) -> None:
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = await sagas.start("PlaceOrder", order())
        assert (run.id, run.found) == ("o-1", False)
        assert sagas.get("o-1").began <= datetime.now(UTC)
        result = await run
        assert (result.outcome, result.error, result.owed) == ("completed", None, ())
        assert (result.value.payment, result.value.price) == ("pay-o-1", Decimal("18.5"))
        assert result.data == {"payment": "pay-o-1", "price": Decimal("18.5"), "card": "•••"}
        view = sagas.get("o-1")
        assert (view.state, view.saga, view.result) == ("completed", "PlaceOrder", result)
        assert await run.result() == result


@in_loop
async def test_no_repr_shows_a_secret(shop: Shop, db: Path | None) -> None:
    opening = sagalang.open(
        FILE, db=db, services=shop.services, environ={"SAGA_SECRET_KEY": "", "TOKEN": CARD}
    )
    async with opening as sagas:
        run = await sagas.start("PlaceOrder", order())
        result = await run
        assert result.value.card == CARD
        card = await sagas.run("Card", order())
        assert (card.value, card.data) == (CARD, "•••")
        view = sagas.get("o-1")
        for each in (opening, sagas, run, result, card, view, sagas.runs(), result.value):
            assert CARD not in repr(each)
            assert CARD not in str(each)


@in_loop
async def test_what_is_on_record_is_found_and_nothing_is_called(
    shop: Shop, db: Path | None
) -> None:
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        first = await sagas.run("PlaceOrder", order())
        again = await sagas.start("PlaceOrder", order(amount=Decimal("18.50")))
        assert again.found
        assert await again == first
        with pytest.raises(sagalang.OtherInput, match="give this one an id of its own"):
            await sagas.start("PlaceOrder", order(qty=3))
    assert shop.calls["charge"] == 1


@in_loop
async def test_a_hundred_starts_of_one_id_are_one_run(shop: Shop, db: Path | None) -> None:
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        results = await asyncio.gather(*(sagas.run("PlaceOrder", order()) for _ in range(100)))
    assert len(set(map(repr, results))) == 1
    assert shop.calls["charge"] == 1


@dataclass
class Typed:
    id: str
    sku: str
    qty: int
    amount: Decimal
    card: str


@pytest.mark.parametrize(
    "given",
    [
        Typed("o-1", "tea", 2, Decimal("18.5"), CARD),
        {"order": Typed("o-1", "tea", 2, Decimal("18.5"), CARD)},
        {"order": order()},
        order(amount="18.5"),
    ],
)
@in_loop
async def test_input_is_read_by_its_type(shop: Shop, given: Any) -> None:
    async with sagalang.open(FILE, services=shop.services) as sagas:
        result = await sagas.run("PlaceOrder", given)
    assert result.value.price == Decimal("18.5")


@in_loop
async def test_an_id_can_be_given(shop: Shop, db: Path | None) -> None:
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        result = await sagas.run("PlaceOrder", order(), id="mine")
        assert result.id == sagas.get("mine").id == "mine"


@in_loop
async def test_a_refusal_is_a_result_with_its_error(shop: Shop, db: Path | None) -> None:
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        result = await sagas.run("PlaceOrder", order(sku="gone"))
        assert (result.outcome, result.value) == ("compensated", None)
        assert result.error is not None
        assert (result.error.name, result.error.data) == ("OutOfStock", {"sku": "gone"})
        assert result.error.value.sku == "gone"
        assert sagas.get("o-1").error == "OutOfStock"
    assert shop.refunded == set(shop.charged)


@in_loop
async def test_a_saga_waits_for_its_signal(shop: Shop, db: Path | None) -> None:
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = await sagas.start("PlaceOrder", order(qty=20))
        await until(lambda: shop.calls["reserve"] == 1)
        assert sagas.get("o-1").state == "running"
        assert sagas.get("o-1").result is None
        with pytest.raises(sagalang.InvalidInput, match="verdict: expected one of Yes, No"):
            await sagas.signal("o-1", "Review", {"verdict": "Perhaps", "by": "eve"})
        with pytest.raises(sagalang.InvalidInput, match="did you mean `Review`"):
            await sagas.signal("o-1", "Reviw", {})
        await sagas.signal("o-1", "Review", {"verdict": "No", "by": "eve"})
        result = await run
        assert result.error is not None
        assert result.error.name == "Declined"
        with pytest.raises(sagalang.RunOver, match="o-1 is compensated"):
            await sagas.signal("o-1", "Review", {"verdict": "Yes", "by": "eve"})


@in_loop
async def test_a_run_is_cancelled(shop: Shop, db: Path | None) -> None:
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = await sagas.start("PlaceOrder", order(qty=20))
        await until(lambda: shop.calls["reserve"] == 1)
        await sagas.cancel("o-1")
        result = await run
        assert result.error is not None
        assert result.error.name == "Cancelled"
    assert shop.refunded == set(shop.charged)


@in_loop
async def test_what_is_owed_is_settled_and_the_run_goes_on(shop: Shop, db: Path | None) -> None:
    shop.carrier_refuses = True
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = await sagas.start("Deliver", {"order": "o-1"})
        result = await run
        assert result.outcome == "escalated"
        (owed,) = result.owed
        assert (owed.run, owed.operation, owed.error) == ("o-1", "Carrier.book", "Declined")
        assert (owed.team, owed.undoes) == ("logistics", False)
        assert sagas.get("o-1").owed == (owed,)
        for step, how, value, error in [
            (owed.step, "done", None, sagalang.NotSettled),  # what follows needs its value
            (owed.step, "done", {"tracking": 7}, sagalang.InvalidInput),
            (owed.step, "perhaps", None, sagalang.InvalidInput),
            ("Carrier.post", "retry", None, sagalang.NotSettled),
        ]:
            with pytest.raises(error):
                await sagas.settle("o-1", step, how, value, by="eve")  # type: ignore[arg-type]
        await sagas.settle("o-1", owed.step, "done", {"tracking": "by-hand"}, by="eve")
        assert (await run).outcome == "completed"
        assert sagas.get("o-1").state == "completed"
    assert shop.calls["post by-hand"] == 1


@in_loop
async def test_what_is_owed_in_a_child_is_settled_there(shop: Shop, db: Path | None) -> None:
    shop.carrier_refuses = True
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = await sagas.start("Both", order())
        result = await run
        assert result.outcome == "escalated"
        (owed,) = result.owed
        child = sagas.get(owed.run)
        assert (child.saga, child.parent, child.state) == ("Deliver", "both-o-1", "escalated")
        with pytest.raises(sagalang.NotSettled, match=owed.run):
            await sagas.settle(run.id, owed.step, "retry", by="eve")
        with pytest.raises(sagalang.InvalidInput, match="is a step of both-o-1"):
            await sagas.cancel(owed.run)
        shop.carrier_refuses = False
        await sagas.settle(owed.run, owed.operation, "retry", by="eve", why="they called")
        assert (await run).outcome == "completed"
        assert [each.saga for each in sagas.runs()] == ["Both"]
        every = [each.saga for each in sagas.runs(children=True)]
        assert every == ["Deliver", "PlaceOrder", "Both"]


@in_loop
async def test_lists_show_what_was_asked_for(shop: Shop, db: Path | None) -> None:
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        await sagas.run("PlaceOrder", order("a"))
        await sagas.run("PlaceOrder", order("b", sku="gone"))
        await sagas.run("Deliver", {"order": "c"})

        def ids(**asked: Any) -> list[str]:
            return [each.id for each in sagas.runs(**asked)]

        assert ids() == ["c", "b", "a"]
        assert ids(limit=1) == ["c"]
        assert ids(saga="PlaceOrder") == ["b", "a"]
        assert ids(state="compensated") == ["b"]
        assert ids(state=["completed", "running"]) == ["c", "a"]
        assert ids(since=datetime.now(UTC) + timedelta(hours=1)) == []
        assert ids(since=datetime.now(UTC) - timedelta(hours=1)) == ["c", "b", "a"]
        with pytest.raises(sagalang.InvalidInput, match="no time zone"):
            ids(since=datetime.now())  # noqa: DTZ005
        with pytest.raises(sagalang.InvalidInput, match="running, completed"):
            ids(state="done")


@in_loop
async def test_giving_up_the_wait_stops_no_run(shop: Shop, db: Path | None) -> None:
    shop.slow = asyncio.Event()
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = await sagas.start("PlaceOrder", order())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run.result(), 0.01)
        shop.slow.set()
        assert (await run).outcome == "completed"


@in_loop
async def test_who_awaits_a_run_that_is_left_is_told(shop: Shop, db: Path | None) -> None:
    shop.slow = asyncio.Event()
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = await sagas.start("PlaceOrder", order())
        waiting = asyncio.create_task(run.result())
        await until(lambda: shop.calls["reserve"] == 1)
    with pytest.raises(sagalang.Closed, match="o-1 was left as it is"):
        await waiting
    with pytest.raises(sagalang.Closed):
        sagas.get("o-1")


@in_loop
async def test_a_run_that_was_left_goes_on_when_it_is_started_or_resumed(
    shop: Shop, tmp_path: Path
) -> None:
    db = tmp_path / "journal.db"
    shop.slow = asyncio.Event()
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        for id_ in ("a", "b", "c"):
            await sagas.start("PlaceOrder", order(id_))
        await until(lambda: shop.calls["reserve"] == 3)
    shop.slow.set()
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        assert [each.id for each in sagas.runs(state="running")] == ["c", "b", "a"]
        again = await sagas.start("PlaceOrder", order("b"))
        assert again.found
        assert (await again).outcome == "completed"
        with pytest.raises(sagalang.NoSuchRun):
            await sagas.resume("z")
        resumed = await sagas.resume()
        assert sorted(run.id for run in resumed) == ["a", "c"]
        assert {(await run).outcome for run in resumed} == {"completed"}
    assert shop.calls["charge"] == 3


@in_loop
async def test_a_run_goes_on_by_the_definition_that_it_began_with(
    shop: Shop, tmp_path: Path
) -> None:
    db, file = tmp_path / "journal.db", tmp_path / "tea.saga"
    file.write_text(FILE.read_text("utf-8"), "utf-8")
    shop.slow = asyncio.Event()
    async with sagalang.open(file, db=db, services=shop.services) as sagas:
        await sagas.start("PlaceOrder", order())
        await until(lambda: shop.calls["reserve"] == 1)
    shop.slow.set()
    file.write_text(
        FILE.read_text("utf-8").replace("price: order.amount", "price: order.amount * 2"), "utf-8"
    )
    async with sagalang.open(file, db=db, services=shop.services) as sagas:
        (run,) = await sagas.resume()
        assert (await run).value.price == Decimal("18.5")
        assert (await sagas.run("PlaceOrder", order("o-2"))).value.price == 37


@in_loop
async def test_the_observer_is_told_and_hurts_nothing(shop: Shop, db: Path | None) -> None:
    seen: list[str] = []

    def observer(entry: Any) -> None:
        seen.append(type(entry).__name__)
        raise RuntimeError

    async with sagalang.open(FILE, db=db, services=shop.services, observer=observer) as sagas:
        assert (await sagas.run("PlaceOrder", order())).outcome == "completed"
    assert seen[0] == "SagaStarted"
    assert seen[-1] == "SagaFinished"


@in_loop
async def test_fakes_serve_what_no_object_does(shop: Shop, db: Path | None) -> None:
    own = {"Payment": shop}
    async with sagalang.open(FILE, db=db, services=own, mock=True) as sagas:
        assert (await sagas.run("PlaceOrder", order())).outcome == "completed"
    assert shop.calls == {"charge": 1}


@in_loop
async def test_runs_in_memory_that_end_with_the_block_are_named(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.slow = asyncio.Event()
    async with sagalang.open(FILE, services=shop.services) as sagas:
        await sagas.start("PlaceOrder", order())
    assert "lost, for these runs were kept in memory only: o-1" in caplog.text


class Wire:
    """A transport of the program's own, to a payment service that knew every key before."""

    def __init__(self) -> None:
        self.closed = False
        self.undone = 0

    async def call(self, request: Request) -> Outcome:
        if request.contract.operation == "refund":
            self.undone += 1
            return Ok(None)
        answer = read({"payment": "p"}, request.contract.result)
        return Ok(answer, replayed=True)

    async def aclose(self) -> None:
        self.closed = True


@in_loop
async def test_what_an_earlier_run_may_have_completed_is_undone_only_when_told(
    shop: Shop, db: Path | None
) -> None:
    wire = Wire()
    services = {**shop.services, "Payment": wire}
    async with sagalang.open(FILE, db=db, services=services) as sagas:
        for _ in range(2):
            with pytest.raises(sagalang.EarlierRun, match="take_over=True"):
                await sagas.run("PlaceOrder", order(sku="gone"))
    assert wire.undone == 0
    async with sagalang.open(FILE, db=db, services=services, take_over=True) as sagas:
        result = await sagas.run("PlaceOrder", order(sku="gone"))
        assert result.outcome == "compensated"
    assert wire.undone == 1
    assert not wire.closed, "it belongs to who made it"


@in_loop
async def test_other_processes_may_send_while_the_file_is_open(shop: Shop, tmp_path: Path) -> None:
    db = tmp_path / "journal.db"
    async with sagalang.open(FILE, db=db, services=shop.services) as sagas:
        run = await sagas.start("PlaceOrder", order(qty=20))
        await asyncio.to_thread(send, db, "o-1", "cancel", "c-1", b"", 0)
        result = await run
        assert result.error is not None
        assert result.error.name == "Cancelled"
