"""The shop written by hand does what the compiled saga does: the same faults, the same end.

Both run on fakes of the services and a simulated clock; benchmarks/lines.py compares their length.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx
import pytest

from sagalang.machine.events import Compensated, Completed
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.codec import dump, parse, plain, read
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld, Kind, Reply
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.mock_server import serve
from sagalang.runtime.saga import Send, begin
from sagalang.workspace import load

ROOT = Path(__file__).parents[2]
PROGRAM = load(ROOT / "examples" / "shop" / "shop.saga").program
HOUR = 3_600.0
LATENCY = 20
"""Milliseconds, half of them before the call arrives: so calls are really made in parallel."""

Args = tuple[Any, ...]


def module(folder: Path, name: str) -> ModuleType:
    sys.path.insert(0, str(folder))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(folder))


SHOP = module(ROOT / "examples" / "shop_api", "sagas.shop")
HAND = module(ROOT / "benchmarks", "by_hand.shop")
SERVICES = module(ROOT / "benchmarks", "by_hand.services")
CALLS = module(ROOT / "benchmarks", "by_hand.calls")
HTTP = module(ROOT / "benchmarks", "by_hand.http")


# --- The fakes, as the hand-written saga reaches them ---------------------------------------------


STATUS = {
    Kind.KEY_REUSED: (422, "idempotency/key-reused"),
    Kind.FENCED: (409, "idempotency/fenced"),
    Kind.UNAVAILABLE: (503, "unavailable"),
    Kind.NONSENSE: (300, "nonsense"),
    Kind.ABSENT: (404, "absent"),
}


class FakeHttp(httpx.AsyncBaseTransport):
    """The fakes behind HTTP, without sockets: they have no place in simulated time."""

    def __init__(self, world: FakeWorld, clock: SimulatedClock, service: str) -> None:
        self.world, self.clock, self.service = world, clock, service

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = request.url.raw_path.decode()
        for operation in PROGRAM.services[self.service].operations.values():
            given = matched(operation.route, request.method, target)
            if given is None:
                continue
            contract = self.world.values.contract(operation)
            given |= parse(request.content) if request.content else {}
            args = tuple(read(given[p.wire], p.type) for p in contract.params)
            key = request.headers.get("Idempotency-Key")
            await half()
            reply = self.world.deliver(operation.label, args, key, self.clock.now())
            await half()
            return await self.answer(reply, contract)
        raise AssertionError(f"no route for {request.method} {target}")

    async def answer(self, reply: Reply, contract: Any) -> httpx.Response:
        match reply.kind:
            case Kind.SILENT:
                await asyncio.get_running_loop().create_future()
            case Kind.NOT_SENT:
                raise httpx.ConnectError("refused")
            case Kind.ANSWER if contract.result is None:
                return httpx.Response(204)
            case Kind.ANSWER:
                return httpx.Response(200, content=dump(plain(reply.value, contract.result)))
            case Kind.REJECTED:
                (spec,) = (r for r in contract.rejects if r.error == reply.error)
                fields = plain(reply.value, spec.type) if spec.type else {}
                body = dump({"type": f"urn:x:{reply.error}", **fields})
                return httpx.Response(spec.status, content=body)
        status, kind = STATUS[reply.kind]
        return httpx.Response(status, json={"type": f"urn:x:{kind}"})


async def half() -> None:
    await asyncio.sleep(LATENCY / 2_000)


def matched(route: Any, method: str, target: str) -> dict[str, Any] | None:
    """What stands in the places of the route's template, or None."""
    path, _, query = target.partition("?")
    template, _, pairs = route.path.partition("?")
    ours, theirs = template.split("/"), path.split("/")
    if route.method != method or len(ours) != len(theirs):
        return None
    found = {}
    for mine, part in zip(ours, theirs, strict=True):
        if mine.startswith("{"):
            found[mine.strip("{}")] = unquote(part)
        elif mine != part:
            return None
    names = {name: value.strip("{}") for name, value in parse_qsl(pairs)}
    return found | {names[name]: value for name, value in parse_qsl(query)}


class Book:
    """The fake of Orders."""

    def __init__(self, world: FakeWorld, clock: SimulatedClock) -> None:
        self.world, self.clock = world, clock

    async def create(self, id_: str, lines: Sequence[Any], key: str) -> None:
        operation = PROGRAM.services["Orders"].operations["create"]
        (_, spec) = self.world.values.contract(operation).params
        given = read([{"sku": line.sku, "qty": line.qty} for line in lines], spec.type)
        await self.call("create", (id_, given), key)

    async def reject(self, id_: str) -> None:
        await self.call("reject", (id_,), None)

    async def confirm(self, id_: str, tracking: str) -> None:
        await self.call("confirm", (id_, tracking), None)

    async def call(self, name: str, args: Args, key: str | None) -> None:
        await half()
        reply = self.world.deliver(f"Orders.{name}", args, key, self.clock.now())
        await half()
        match reply.kind:
            case Kind.ANSWER:
                return
            case Kind.SILENT:
                await asyncio.get_running_loop().create_future()
            case Kind.NOT_SENT:
                raise CALLS.NotSent("NotSent")
            case Kind.UNAVAILABLE:
                raise CALLS.Unknown("Unavailable")
        raise CALLS.Mismatch()


# --- Both ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """`review` and `cancel` come that many seconds after the start."""

    name: str
    outcome: str
    faults: tuple[tuple[Any, ...], ...] = ()
    amount: int = 90
    review: tuple[str, float] | None = None
    cancel: float | None = None
    lines: int = 2
    owed: tuple[str, ...] = ()


@dataclass(frozen=True)
class End:
    """`effects` are there in the end, `undone` were there. `once`: what was called exactly once,
    for how often the rest was called is decided by jitter."""

    outcome: str
    owed: tuple[str, ...]
    effects: Counter[str]
    undone: Counter[str]
    once: frozenset[str]


def world(case: Case) -> FakeWorld:
    faults = [PlannedFault(kind, op, None, *rest) for kind, op, *rest in case.faults]
    return FakeWorld(PROGRAM, faults=faults)


def end(outcome: str, owed: Sequence[str], made: FakeWorld) -> End:
    made.settle()
    calls = Counter(arrival.operation for arrival in made.arrivals)
    return End(
        outcome,
        tuple(sorted(owed)),
        Counter(e.operation for e in made.ledger if e.effect == "done"),
        Counter(e.operation for e in made.ledger if e.effect == "undone"),
        frozenset(name for name, count in calls.items() if count == 1),
    )


def compiled(case: Case) -> End:
    made = world(case)

    async def main(clock: SimulatedClock) -> End:
        transport = FakeTransport(made, clock, LATENCY)
        engine = MemoryEngine(clock, transport, random.Random(1).random)
        lines = tuple(SHOP.Line(sku=f"s{n}", qty=1) for n in range(case.lines))
        order = SHOP.Order(
            id="o-1",
            lines=lines,
            total=SHOP.Money(amount=Decimal(case.amount), currency="EUR"),
            address="Main St 1",
            card="tok",
        )
        sends = []
        if case.review is not None:
            review = SHOP.Review(verdict=SHOP.Verdict(case.review[0]), by="eve")
            sends = [Send(review, round(case.review[1] * 1_000))]
        running = begin(SHOP.PLACE_ORDER(order), engine=engine)
        cancel = None if case.cancel is None else round(case.cancel * 1_000)
        result = await running.result(sends, cancel)
        owed = [item.label for item in result.owed]
        match result.outcome:
            case Completed():
                told = "completed"
            case Compensated(error):
                told = error.name
            case _:
                told = "escalated"
        return end(told, owed, made)

    return simulated(main)


def by_hand(case: Case) -> End:
    made = world(case)

    async def main(clock: SimulatedClock) -> End:
        def client(service: str) -> Any:
            transport = FakeHttp(made, clock, service)
            base = httpx.AsyncClient(transport=transport, base_url="http://fake", timeout=None)
            return HTTP.Http(base)

        services = SERVICES.Services(
            SERVICES.Orders(Book(made, clock)),
            SERVICES.Payment(client("Payment")),
            SERVICES.Inventory(client("Inventory")),
            SERVICES.Shipping(client("Shipping")),
            SERVICES.Notification(client("Notification")),
        )
        lines = tuple(SERVICES.Line(f"s{n}", 1) for n in range(case.lines))
        total = SERVICES.Money(Decimal(case.amount), "EUR")
        run = HAND.PlaceOrder(SERVICES.Order("o-1", lines, total, "Main St 1", "tok"), services)
        loop = asyncio.get_running_loop()
        if case.review is not None:
            review = SERVICES.Review(SERVICES.Verdict(case.review[0]), "eve")
            loop.call_later(case.review[1], run.review, review)
        if case.cancel is not None:
            loop.call_later(case.cancel, run.cancel)
        outcome = await run.run()
        match outcome:
            case HAND.Completed():
                return end("completed", (), made)
            case HAND.Compensated(error):
                return end(error.name, (), made)
        owed = [label for label, _, _ in outcome.owed]
        return end("escalated", owed, made)

    random.seed(1)
    return simulated(main)


ALWAYS = (None, {}, None, 0, None)
BIG = 5_000


def times(count: int) -> tuple[Any, ...]:
    return (None, {}, None, 0, count)


CASES = [
    Case("all is well", "completed"),
    Case("many lines", "completed", lines=30),
    Case("declined", "Declined", (("rejects", "Payment.authorize", "Declined"),)),
    Case("card expired", "CardExpired", (("rejects", "Payment.authorize", "CardExpired"),)),
    Case("out of stock", "OutOfStock", (("rejects", "Inventory.reserve", "OutOfStock"),)),
    Case(
        "out of stock, many lines",
        "OutOfStock",
        (("rejects", "Inventory.reserve", "OutOfStock"),),
        lines=30,
    ),
    Case(
        "bad address",
        "escalated",
        (("rejects", "Shipping.book", "BadAddress"),),
        owed=("Shipping.book",),
    ),
    Case("an answer is lost", "completed", (("times out after effect", "Payment.authorize"),)),
    Case("a request is lost", "completed", (("times out before effect", "Inventory.reserve"),)),
    Case(
        "the bank never answers",
        "Timeout",
        (("times out after effect", "Payment.authorize", *ALWAYS),),
    ),
    Case(
        "a request arrives late, after it was undone",
        "Timeout",
        (("arrives late", "Payment.authorize", None, {}, None, 600_000, None),),
    ),
    Case("the stock is down", "Unavailable", (("unavailable", "Inventory.reserve", *ALWAYS),)),
    Case(
        "the stock is down, and the breaker opens",
        "Unavailable",
        (("unavailable", "Inventory.reserve", *ALWAYS),),
        lines=30,
    ),
    Case("nothing gets through", "NotSent", (("is not sent", "Payment.authorize", *ALWAYS),)),
    Case(
        "the bank talks nonsense",
        "ContractMismatch",
        (("answers nonsense", "Payment.authorize"),),
    ),
    Case("approved", "completed", amount=BIG, review=("Approved", 90 * 60)),
    Case("approved before it waits", "completed", amount=BIG, review=("Approved", 0)),
    Case("denied", "Refused", amount=BIG, review=("Denied", 300)),
    Case("reviewed too late", "ReviewTimedOut", amount=BIG, review=("Approved", 5 * HOUR)),
    Case("never reviewed", "ReviewTimedOut", amount=BIG),
    Case("cancelled while it waits", "Cancelled", amount=BIG, cancel=HOUR),
    Case(
        "cancelled after the point of no return",
        "completed",
        (("unavailable", "Payment.capture", *times(9)),),
        cancel=1,
    ),
    Case(
        "the bank is down for an hour after the point of no return",
        "completed",
        (("unavailable", "Payment.capture", *times(30)),),
    ),
    Case(
        "the capture is lost",
        "completed",
        (("times out after effect", "Payment.capture", *times(3)),),
    ),
    Case(
        "the capture talks nonsense",
        "escalated",
        (("answers nonsense", "Payment.capture"),),
        owed=("Payment.capture",),
    ),
    Case(
        "the carrier loses an answer and is asked",
        "completed",
        (("times out after effect", "Shipping.book"),),
    ),
    Case(
        "the carrier loses a request and is asked until it can be repeated",
        "completed",
        (("times out before effect", "Shipping.book"),),
    ),
    Case(
        "the carrier is down for hours",
        "escalated",
        (("is not sent", "Shipping.book", *ALWAYS),),
        owed=("Shipping.book",),
    ),
    Case("no receipt", "completed", (("unavailable", "Notification.receipt", *ALWAYS),)),
    Case(
        "undoing takes many tries",
        "Declined",
        (
            ("rejects", "Payment.authorize", "Declined"),
            ("unavailable", "Inventory.free", *times(7)),
        ),
    ),
    Case(
        "one thing cannot be undone and holds back what came before it",
        "escalated",
        (
            ("rejects", "Payment.authorize", "Declined"),
            ("answers nonsense", "Inventory.free"),
        ),
        owed=("Inventory.free",),
    ),
    Case(
        "undoing goes on for longer than an hour",
        "escalated",
        (
            ("rejects", "Payment.authorize", "Declined"),
            ("unavailable", "Inventory.free", *ALWAYS),
        ),
        owed=("Inventory.free", "Inventory.free"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_by_hand_and_compiled_end_alike(case: Case) -> None:
    ours, theirs = compiled(case), by_hand(case)
    assert (ours.outcome, ours.owed) == (case.outcome, case.owed)
    assert theirs == ours


def test_by_hand_works_over_http_with_the_shops_own_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DB", str(tmp_path / "shop.db"))
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "shop"))
    for name in ("shop", "shop.orders"):  # not those of another test, and not for another
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.delitem(sys.modules, name)
    made = FakeWorld(PROGRAM)

    async def main() -> Any:
        async with serve(made) as mock:
            env = {f"{name.upper()}_URL": url for name, url in mock.urls.items()}
            async with SERVICES.connected({**env, "PAYMENT_AUTH": "Bearer x"}) as services:
                total = SERVICES.Money(Decimal("90.10"), "EUR")
                lines = (SERVICES.Line("A", 1),)
                order = SERVICES.Order("o-1", lines, total, "Main St 1", "tok")
                return await HAND.PlaceOrder(order, services).run()

    assert isinstance(asyncio.run(main()), HAND.Completed)
    assert {e.operation for e in made.ledger if e.effect == "done"} >= {"Payment.capture"}
    with sqlite3.connect(tmp_path / "shop.db") as db:
        assert db.execute("SELECT id, status FROM orders").fetchall() == [("o-1", "CONFIRMED")]
