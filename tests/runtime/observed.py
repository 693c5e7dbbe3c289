"""Sagas run in simulated time on fakes, told to observers: what the tests of logs and telemetry
look at. The card number stands for everything that must not be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sagalang.cli.inputs import read_faults
from sagalang.interpret.run import run
from sagalang.machine.outcomes import Outcome
from sagalang.runtime import journal as j
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import plan
from sagalang.runtime.observers import Observer
from sagalang.runtime.values import Values
from sagalang.workspace import Loaded, load

ID = "o-1"
CARD = "4111-1111"
START = 1_000_000

TEXT = """
policy edge {
  timeout 1s
  retry 3 times backoff 100ms jitter none "one client"
  breaker opens at 50% of at least 3 calls in 10s, probes after 2s
}
policy narrow {
  timeout 1s
  retry 5 times backoff 100ms jitter none "one client"
  bulkhead 1 queue 1 wait 5s
}
policy thrifty {
  timeout 1s
  retry forever backoff 300ms jitter none "one client"
  retry budget 10% of the last 1s
}
error Declined
service Payment {
  with edge
  command charge(order: string, card: secret string) -> { id: string }
    keyed, records rejections
    rejects Declined
    compensate refund(key)
  command refund(of: key) idempotent, absent ok, fences late
}
service Stock {
  with narrow
  command reserve(sku: string) keyed compensate free(key)
  command free(of: key) idempotent, absent ok, fences late
}
service Mail {
  with thrifty
  command note(order: string) idempotent
}
saga Pay(order: string, card: secret string) {
  id order
  deadline 1h
  step Payment.charge(order, card)
  pivot step Mail.note(order) with thrifty
}
saga Trip(order: string, card: secret string) {
  id order
  step saga Night(order)
  step Payment.charge(order, card)
  pivot step Mail.note(order)
}
saga Night(order: string) {
  step Stock.reserve(order)
}
saga Hold(order: string, card: secret string) {
  id order
  parallel {
    step a = Stock.reserve("a")
    step b = Stock.reserve("b")
    step c = Stock.reserve("c")
  }
  pivot step Mail.note(order) with thrifty
}
"""


@cache
def loaded(text: str = TEXT) -> Loaded:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "observed.saga"
        file.write_text(text, "utf-8")
        made = load(str(file))
    assert not made.has_errors, [d.message for d in made.diagnostics]
    return made


class Crashing:
    """Lets the orchestrator die once, when an operation was called and its answer is lost."""

    def __init__(self, inner: FakeTransport, label: str) -> None:
        self.inner = inner
        self.label = label
        self.engine: MemoryEngine | None = None

    async def call(self, request: Request) -> Outcome:
        answer = await self.inner.call(request)
        if request.contract.label != self.label or self.engine is None:
            return answer
        self.engine.crash(ID)
        self.engine = None
        return await asyncio.get_running_loop().create_future()

    async def aclose(self) -> None:
        pass


def observe(
    observer: Observer,
    *faults: str,
    saga: str = "Pay",
    crash: str = "",
    around: Callable[[Any], Any] = lambda transport: transport,
) -> Sequence[j.Entry]:
    """Run a saga from 1000 s on, each call taking 20 ms; its journal.

    `crash`: when this operation is called, the orchestrator dies. `around` wraps the transport.
    """
    made = loaded()
    values = Values(made.program)
    planned = plan(made.program, values, read_faults(made, faults))
    world = FakeWorld(made.program, values=values, faults=planned)

    async def main(clock: SimulatedClock) -> Sequence[j.Entry]:
        transport = Crashing(FakeTransport(world, clock, 20), crash)
        engine = MemoryEngine(clock, around(transport), lambda: 0.5, observer)
        transport.engine = engine
        args = {"order": ID, "card": CARD}
        return (await run(made.program, saga, args, engine=engine, values=values)).journal

    return simulated(main, start=START)
