"""Over real HTTP, the compiled order saga sends what the interpreter sends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sagalang.interpret import run as interpret
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.mock_server import router_for_mock, serve
from sagalang.runtime.saga_main import decode_arguments
from sagalang.runtime.values import Values, decode_input

from .test_examples_run import ORDER, ORDER_INPUT
from .twin import compile_to_module, plain

MODULE = compile_to_module(ORDER)

FAULTS: list[list[PlannedFault]] = [
    [],
    [PlannedFault("rejects", "Payment.charge", error="Declined")],
    [PlannedFault("rejects", "Inventory.reserve", error="OutOfStock", fields={"sku": "tea"})],
    [PlannedFault("unavailable", "Orders.create", remaining=2)],
    [PlannedFault("unavailable", "Payment.charge", remaining=100)],
    [PlannedFault("times out after effect", "Inventory.reserve")],
    [PlannedFault("unavailable", "Orders.confirm", remaining=2)],
]


async def one(faults: list[PlannedFault], compiled_one: bool) -> tuple[Any, list[Any]]:
    values = Values(ORDER)
    copies = [PlannedFault(**{f: getattr(x, f) for f in x.__slots__}) for x in faults]
    world = FakeWorld(ORDER, values=values, faults=copies)
    async with serve(world) as mock:
        urls = {f"{name.upper()}_URL": url for name, url in mock.urls.items()}
        transport = (
            compiled.connect(MODULE.SERVICES, urls) if compiled_one else router_for_mock(mock)
        )
        engine = MemoryEngine(SystemClock(), transport, lambda: 0.0)
        try:
            if compiled_one:
                call = decode_arguments(MODULE.PLACE_ORDER, ORDER_INPUT)
                outcome = (await compiled.run(call, engine=engine)).outcome
            else:
                args = decode_input(values, ORDER.sagas["PlaceOrder"], ORDER_INPUT)
                result = await interpret.run(
                    ORDER, "PlaceOrder", args, engine=engine, values=values
                )
                outcome = result.outcome
        finally:
            await transport.aclose()
    return plain(outcome), [(a.operation, plain(a.args), a.key) for a in world.arrivals]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: "-".join(f.kind for f in faults))
def test_the_same_over_http(faults: list[PlannedFault]) -> None:
    expected = asyncio.run(one(faults, compiled_one=False))
    assert asyncio.run(one(faults, compiled_one=True)) == expected
    assert json.dumps(expected[0])
    assert expected[1]
