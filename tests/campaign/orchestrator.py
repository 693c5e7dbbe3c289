"""One life of the orchestrator: it goes on with what is on record, and begins new sagas."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

from sagalang.host.definitions import Definition, definition_of
from sagalang.host.host import Handle, Host
from sagalang.model.types import RecordRef
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.codec import decode
from sagalang.runtime.engine import OtherInputError
from sagalang.runtime.sqlite import open_store
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.transport import connect
from sagalang.runtime.values import Values, decode_input
from sagalang.workspace import Loaded, load

AT_ONCE = 40
"""Sagas under way in one process: more would keep the services from answering in time."""
SAGA = Path(__file__).parent / "campaign.saga"


@dataclass(frozen=True)
class Order:
    """A saga to run. `saga`: its name; `given`: its input as plain data."""

    saga: str
    id: str
    given: dict[str, Any]


def order(seed: int, number: int) -> Order:
    """The saga of this number: always the same one."""
    draw = Random(f"{seed}/{number}")
    if draw.random() < 0.3:
        cities = draw.sample(["Rome", "Oslo", "Lima"], draw.randint(0, 3))
        last = draw.choice(["Bern", "Bonn", "full"])
        made = {"id": f"j{number}", "cities": cities, "last": last}
        return Order("Journey", f"j{number}", made)
    skus = draw.sample(["tea", "cup", "pot"], draw.randint(1, 3))
    if draw.random() < 0.2:
        skus[-1] = "none"
    made = {
        "id": f"o{number}",
        "lines": [{"sku": sku, "qty": draw.randint(1, 3)} for sku in skus],
        "total": str(Decimal(draw.choice(["18.50", "90", "5000"]))),
        "address": draw.choice(["nowhere", *["Main St 1"] * 5]),
        "card": draw.choice(["bad", *["tok"] * 7]),
    }
    return Order("PlaceOrder", f"o{number}", {"order": made})


@cache
def loaded() -> tuple[Loaded, Values]:
    found = load(str(SAGA))
    assert not found.has_errors
    return found, Values(found.program)


async def live(journal: Path, url: str, seed: int, numbers: Sequence[int]) -> None:
    """Go on with all that is unfinished, begin the sagas of these numbers, and wait for all."""
    program, values = loaded()
    clock, sealing = SystemClock(), Sealing(journal)

    @asynccontextmanager
    async def reach(definition: Definition) -> Any:
        transport = connect(
            definition.program, {**os.environ, "LEDGER_URL": url}, values=definition.values
        )
        try:
            yield transport
        finally:
            await transport.aclose()

    with open_store(journal, command="campaign", now=clock.now(), wait=10) as store:
        own = definition_of(program, values, sealing, store.reader.definition)
        async with Host(store, sealing, reach, clock=clock) as host:
            host.listen(host.resume)
            turns = asyncio.Semaphore(AT_ONCE)

            async def one(start: Callable[[], Awaitable[Handle]]) -> None:
                async with turns:
                    await _ended(await start(), seed)

            starts: list[Callable[[], Awaitable[Handle]]] = [
                partial(host.resume, row.id) for row in host.unfinished()
            ]
            starts += [partial(begin, host, own, order(seed, number)) for number in numbers]
            await asyncio.gather(*map(one, starts))


async def begin(host: Host, own: Definition, wanted: Order) -> Handle:
    saga = own.program.sagas[wanted.saga]
    args = decode_input(own.values, saga, json.dumps(wanted.given))
    try:
        return await host.start(own, wanted.saga, args)
    except OtherInputError:
        raise AssertionError(f"{wanted.id} is on record with other input") from None


async def _ended(handle: Handle, seed: int) -> None:
    if handle.run.definition.saga.name == "PlaceOrder":
        draw = Random(f"{seed}/{handle.saga_id}/review")
        verdict = "Denied" if draw.random() < 0.3 else "Approved"
        review = decode(
            json.dumps({"verdict": verdict, "by": "eve"}).encode(),
            handle.definition.values.python_type(RecordRef("Review")),
        )
        await handle.stands()
        handle.run.signal("Review", review, "the only one")
    await handle.result()
