"""A person settles what is open in a compiled saga: what that does is compared with the
interpreter in `equivalence`; here is what outlives the process, and what a module knows of it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sagalang.machine.events import Completed, Escalated, How, Purpose
from sagalang.model import program as p
from sagalang.runtime import journal as j
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import SimulatedClock, SystemClock, simulated
from sagalang.runtime.codec import decode, encode
from sagalang.runtime.driven import SettlementRefusedError
from sagalang.runtime.engine import Engine, MemoryEngine
from sagalang.runtime.entry_codec import EntryCodec
from sagalang.runtime.entry_types import ModuleTypes, ProgramTypes
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.run_input import RunInput
from sagalang.runtime.sqlite import open_store
from sagalang.runtime.sqlite_engine import SqliteEngine, Stored
from sagalang.runtime.values import Values

from .equivalence.choices import Choices
from .equivalence.people import statements
from .equivalence.scripts import CaseMaker
from .test_corpus_runs import SAGAS, made
from .test_replay import rebuilt
from .twin import plain

SHOP = next(path for path in SAGAS if path.stem == "shop" and path.parent.name == "shop")


def definitions(module: Any) -> list[compiled.SagaDefinition[..., Any]]:
    return [found for found in vars(module).values() if isinstance(found, compiled.SagaDefinition)]


def shop(remaining: int) -> tuple[Any, FakeWorld]:
    """The compiled shop, and services that so often refuse to ship."""
    program, module = made(SHOP)
    refused = PlannedFault("rejects", "Shipping.book", error="BadAddress", remaining=remaining)
    return module, FakeWorld(program, 1, values=Values(program), faults=[refused])


def order(module: Any, engine: Engine) -> compiled.Running[Any]:
    return compiled.begin(module.PLACE_ORDER(module.SAMPLE), engine=engine)


def kinds(found: list[j.Entry], *wanted: type[j.Entry]) -> list[str]:
    return [type(entry).__name__ for entry in found if isinstance(entry, wanted)]


# --- In memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [How.RETRY, How.DONE])
def test_a_settled_run_goes_on_and_is_rebuilt_from_its_journal(how: How) -> None:
    module, world = shop(remaining=1)

    async def main(clock: SimulatedClock) -> tuple[compiled.RunResult[Any], list[j.Entry]]:
        engine = MemoryEngine(clock, FakeTransport(world, clock, 20), lambda: 0.5)
        running = order(module, engine)
        first = await running.result()
        assert isinstance(first.outcome, Escalated)
        (item,) = first.owed
        with pytest.raises(SettlementRefusedError, match="ship needs a value"):
            running.settle(item, How.DONE, by="ann")
        with pytest.raises(SettlementRefusedError, match="ship is past the point of no return"):
            running.settle(item, How.NOT_DONE, by="ann")
        value = module.BookResult(tracking="by hand") if how is How.DONE else None
        running.settle(item, how, value, by="ann", why="asked the carrier")
        return await running.result(), engine.journal

    result, found = simulated(main)
    assert isinstance(result.outcome, Completed)
    assert (result.value.tracking == "by hand") is (how is How.DONE)
    (said,) = (entry for entry in found if isinstance(entry, j.Settlement))
    assert (said.how, said.by, said.why) == (how.value, "ann", "asked the carrier")
    assert kinds(found, j.SagaFinished, j.Settlement) == [
        "SagaFinished",
        "Settlement",
        "SagaFinished",
    ]
    again = rebuilt(lambda engine: order(module, engine), found)
    assert plain(again.outcome) == plain(result.outcome)


def test_a_retried_step_begins_anew_with_all_that_came_before_it() -> None:
    """Its key is a fresh one, for the old one was refused; what it reads is as it was."""
    module, world = shop(remaining=2)

    async def main(clock: SimulatedClock) -> compiled.RunResult[Any]:
        engine = MemoryEngine(clock, FakeTransport(world, clock, 20), lambda: 0.5)
        running = order(module, engine)
        result = await running.result()
        for _ in range(2):
            (item,) = result.owed
            running.settle(item, How.RETRY, by="ann")
            result = await running.result()
        return result

    result = simulated(main)
    assert isinstance(result.outcome, Completed)
    intents = [e for e in result.journal if isinstance(e, j.Intent) and e.place.path == "ship"]
    assert len({entry.key for entry in intents}) == 3
    assert len({str(entry.args) for entry in intents}) == 1
    authorized = [e for e in world.ledger if e.operation == "Payment.authorize"]
    assert len(authorized) == 1


# --- On a file -----------------------------------------------------------------------------------


def test_on_a_file_what_a_person_said_is_found_by_the_next_process(tmp_path: Path) -> None:
    """It dies once the settlement is on record; the next one has the file and the module."""
    module, world = shop(remaining=99)
    types = ModuleTypes.around(*definitions(module))
    codec = EntryCodec(types, lambda secret: secret.hex(), bytes.fromhex)

    async def life(first: bool) -> compiled.RunResult[Any]:
        with open_store(tmp_path / "runs.db", command="test", now=0) as store:
            clock = SystemClock()
            engine = SqliteEngine(
                store,
                Stored("hash", "text", codec, RunInput(types)),
                clock,
                FakeTransport(world, clock, 1),
                lambda: 0.5,
            )
            running = order(module, engine)
            result = await running.result()
            if first:
                value = module.BookResult(tracking="by hand")
                running.settle(result.owed[0], How.DONE, value, by="ann", why="asked")
                await running.session.committed()
            return result

    assert isinstance(asyncio.run(life(True)).outcome, Escalated)
    result = asyncio.run(life(False))
    assert result.value.tracking == "by hand"


# --- Types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SAGAS, ids=[f"{p.parent.name}-{p.stem}" for p in SAGAS])
def test_a_module_knows_what_each_statement_gives(path: Path) -> None:
    program, module = made(path)
    values = Values(program)
    known, told = ProgramTypes(program, values), ModuleTypes.around(*definitions(module))
    maker = CaseMaker(Choices(path.stem), program)
    for name, saga in program.sagas.items():
        for at, statement in statements(saga).items():
            alike(maker, statement.type, known, told, (name, at, Purpose.STEP))
            if isinstance(statement, p.Step):
                result = program.operation(statement.call).result
                alike(maker, result, known, told, (name, at, Purpose.RESOLVE))
            assert told.settled(name, at, Purpose.COMPENSATE) is Any


def alike(
    maker: CaseMaker,
    type_: Any,
    known: ProgramTypes,
    told: ModuleTypes,
    where: tuple[str, str, Purpose],
) -> None:
    for _ in range(5):
        value = maker.value(type_)
        if value is None:  # needs no type
            continue
        text = encode(value, Any)
        one, other = (decode(text, types.settled(*where)) for types in (known, told))
        assert plain(one) == plain(other), where
