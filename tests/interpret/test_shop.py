"""The shop of the examples, from its text to its outcome, on fakes derived from its contracts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sagalang.interpret.run import RunResult, begin, build, outcome_kind
from sagalang.machine.evaluate import Scope, evaluate
from sagalang.machine.events import Compensated
from sagalang.machine.outcomes import Outcome
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import plan
from sagalang.runtime.values import Values
from sagalang.workspace import load

SHOP = load(str(Path(__file__).parents[2] / "examples" / "shop" / "shop.saga")).program


class Crashing:
    """A transport whose caller dies once, right after a call was served."""

    def __init__(self, inner: FakeTransport, engine: MemoryEngine, saga_id: str, label: str):
        self.inner, self.engine, self.saga_id, self.label = inner, engine, saga_id, label
        self.crashed = False

    async def call(self, request: Request) -> Outcome:
        outcome = await self.inner.call(request)
        if request.contract.label == self.label and not self.crashed:
            self.crashed = True
            self.engine.crash(self.saga_id)
            await asyncio.get_running_loop().create_future()
        return outcome

    async def aclose(self) -> None:
        pass


def play(title: str) -> tuple[RunResult, FakeWorld]:
    scenario = next(s for s in SHOP.scenarios if s.title == title)
    values = Values(SHOP)
    scope = Scope({}, build(values), constants=SHOP.constants)
    args = [evaluate(arg, scope) for arg in scenario.args]
    params = SHOP.sagas[scenario.saga].params
    faults = plan(SHOP, values, scenario.faults)
    crash = next((f.operation for f in scenario.faults if f.kind == "crash after"), "")

    async def main(clock: SimulatedClock) -> tuple[RunResult, FakeWorld]:
        world = FakeWorld(SHOP, 1, values=values, faults=faults)
        inner = FakeTransport(world, clock, 20)
        engine = MemoryEngine(clock, inner, lambda: 0.5)
        named = {param.name: arg for param, arg in zip(params, args, strict=True)}
        run = begin(SHOP, scenario.saga, named, engine=engine, values=values)
        engine.transport = Crashing(inner, engine, run.saga_id, crash)
        return await run.result(), world

    return simulated(main)


@pytest.mark.parametrize(
    ("title", "kind", "error"),
    [
        ("stock runs out while the card is being authorized", "compensated", "OutOfStock"),
        ("the bank took the request, the answer never came", "compensated", "Timeout"),
        ("the orchestrator dies right after the point of no return", "completed", None),
        ("big order, reviewer on holiday", "compensated", "ReviewTimedOut"),
    ],
)
def test_every_scenario_of_the_shop_ends_as_it_says(
    title: str, kind: str, error: str | None
) -> None:
    result, world = play(title)
    assert outcome_kind(result.outcome) == kind
    if isinstance(result.outcome, Compensated):
        assert result.outcome.error.name == error
        assert world.left() == []
    else:
        assert world.effects("Payment.capture") == 1


def test_a_rejection_brings_its_fields() -> None:
    result, _ = play("stock runs out while the card is being authorized")
    assert isinstance(result.outcome, Compensated)
    assert result.outcome.error.value.sku == "B"


def test_the_card_never_shows_in_the_readable_part_of_the_journal() -> None:
    result, _ = play("big order, reviewer on holiday")
    for entry in result.journal:
        shown = {
            name: getattr(entry, name)
            for name in entry.__struct_fields__
            if name not in ("args", "value")
        }
        assert "tok" not in str(shown).replace("stock", "")
