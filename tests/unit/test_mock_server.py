"""The mock over HTTP gives the same outcomes as the fakes in the process."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import httpx
import pytest
from shop_program import PROGRAM, replace

from sagalang.machine.outcomes import NotSent, Ok, Outcome, Unknown
from sagalang.model.types import RecordRef
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.contract import Contract, Request
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.mock_server import router_for_mock, serve
from sagalang.runtime.transport import Transport
from sagalang.runtime.values import Values

VALUES = Values(PROGRAM)
MONEY = VALUES.python_type(RecordRef("Money"))(amount=Decimal("9.90"), currency="EUR")


def contract(label: str) -> Contract:
    service, _, name = label.partition(".")
    return VALUES.contract(PROGRAM.services[service].operations[name])


def request(label: str, *args: Any, key: str | None = None, attempt: int = 1) -> Request:
    return Request(contract(label), args, key, attempt)


STRANGE = "a/b ?#%2F..é"
CALLS = [
    request("Payment.authorize", "o-1", MONEY, key="k"),
    request("Payment.authorize", "o-1", MONEY, key="k", attempt=2),
    request("Payment.authorize", "o-2", MONEY, key="k"),
    request("Payment.authorize", "o-2", MONEY),
    request("Payment.capture", STRANGE, key="k3"),
    request("Payment.release", "k", key="c"),
    request("Payment.release", STRANGE, key="c2"),
    request("Payment.authorize", "o-1", MONEY, key="k", attempt=3),
    request("Shipping.find", "o-1", None),
    request("Shipping.book", "o-1", "Main St"),
    request("Shipping.find", "o-1", ("x", "1")),
    request("Shipping.find", "o-1", ("true",)),
    request("Shipping.find", STRANGE, None),
    request("Books.note", "text", Decimal("1.10")),
]
FAULTS: list[list[PlannedFault]] = [
    [],
    [PlannedFault("rejects", "Payment.authorize", error="OutOfStock", fields={"sku": "B"})],
    [PlannedFault("rejects", "Payment.authorize", error="Declined", remaining=None)],
    [PlannedFault("rejects", "Shipping.book", error="Declined")],
    [PlannedFault("unavailable", "Payment.authorize"), PlannedFault("unavailable", "Books.note")],
    [PlannedFault("times out before effect", "Payment.authorize")],
    [PlannedFault("times out after effect", "Payment.authorize", remaining=2)],
    [PlannedFault("arrives late", "Payment.authorize", after=0)],
    [PlannedFault("arrives late", "Payment.authorize", after=10**9)],
    [PlannedFault("duplicated", "Shipping.book", remaining=None)],
    [PlannedFault("is not sent", "Payment.authorize", remaining=2)],
    [
        PlannedFault("answers nonsense", "Payment.authorize"),
        PlannedFault("is not sent", "Books.note"),
    ],
    [
        PlannedFault("answers nonsense", "Shipping.find"),
        PlannedFault("answers nonsense", "Payment.release"),
    ],
]


async def outcomes(transport: Transport, expected: list[str] | None = None) -> list[str]:
    """`expected`: what another transport said; only where that was silent, silence is short."""
    found = []
    for n, each in enumerate(CALLS):
        try:
            async with asyncio.timeout(0.5 if expected is None or expected[n] == "silence" else 30):
                outcome: Outcome = await transport.call(each)
        except TimeoutError:
            found.append("silence")
            continue
        shown = "" if isinstance(outcome, Ok) else outcome.error.name
        value = outcome.value if isinstance(outcome, Ok) else outcome.error.value
        again = isinstance(outcome, NotSent) or (isinstance(outcome, Unknown) and outcome.repeat)
        found.append(f"{type(outcome).__name__} {shown} {value} {again}")
    return found


def fakes(faults: list[PlannedFault]) -> FakeWorld:
    return FakeWorld(PROGRAM, 3, values=VALUES, faults=[replace(f) for f in faults])


def run(main: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await main()

    return asyncio.run(bounded())


@pytest.mark.parametrize("faults", FAULTS, ids=lambda fs: "+".join(f.kind for f in fs) or "none")
def test_over_http_and_in_the_process_alike(faults: list[PlannedFault]) -> None:
    inside, outside = fakes(faults), fakes(faults)

    async def main() -> tuple[list[str], list[str]]:
        expected = await outcomes(FakeTransport(inside, SystemClock()))
        async with serve(outside) as mock:
            router = router_for_mock(mock)
            over_http = await outcomes(router, expected)
            await router.aclose()
        return expected, over_http

    expected, over_http = run(main)
    assert over_http == expected
    assert outside.ledger == inside.ledger
    assert [replace(a, at=0) for a in outside.arrivals] == [
        replace(a, at=0) for a in inside.arrivals
    ]


def test_a_fake_speaks_other_classes_too() -> None:
    theirs = Values(PROGRAM)
    made = theirs.contract(PROGRAM.services["Payment"].operations["authorize"])
    money = theirs.python_type(RecordRef("Money"))(amount=Decimal(1), currency="EUR")

    async def main() -> Outcome:
        return await FakeTransport(fakes([]), SystemClock()).call(Request(made, ("o", money), "k"))

    outcome = run(main)
    assert isinstance(outcome, Ok)
    assert isinstance(outcome.value, made.result)


def test_what_is_busy_says_so() -> None:
    async def main() -> list[Outcome]:
        async with serve(fakes([]), latency=300) as mock:
            router = router_for_mock(mock)
            found = await asyncio.gather(router.call(CALLS[0]), router.call(CALLS[0]))
            await router.aclose()
            return list(found)

    found = run(main)
    assert sorted(type(outcome).__name__ for outcome in found) == ["Ok", "Unknown"]
    busy = next(outcome for outcome in found if isinstance(outcome, Unknown))
    assert (busy.repeat, busy.retry_after) == (True, 1_000)


def two_free_ports() -> int:
    """The lower of two neighbours, below those that the system gives out by itself."""
    for port in range(10_000 + os.getpid() % 10_000, 30_000, 2):
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two ports are free")


def test_ports_follow_each_other_and_a_taken_one_is_told() -> None:
    port = two_free_ports()

    async def main() -> dict[str, str]:
        async with serve(fakes([]), port) as mock:
            with pytest.raises(OSError, match="in use"):
                async with serve(fakes([]), port):
                    pass
            return mock.urls

    assert run(main) == {
        "Payment": f"http://127.0.0.1:{port}",
        "Shipping": f"http://127.0.0.1:{port + 1}",
    }


def test_requests_that_fit_nothing() -> None:
    async def main() -> list[tuple[int, str]]:
        async with serve(fakes([])) as mock, httpx.AsyncClient(trust_env=False) as client:
            base = mock.urls["Payment"]
            answers = [
                await client.get(base + "/nowhere"),
                await client.post(base + "/auths", content=b"{}", headers={"Idempotency-Key": "k"}),
                await client.post(base + "/auths/a/capture"),
            ]
            return [(a.status_code, a.json()["type"]) for a in answers]

    assert run(main) == [
        (404, "urn:saga:problem:no-such-route"),
        (400, "urn:saga:problem:bad-request"),
        (400, "urn:saga:problem:idempotency/key-missing"),
    ]
