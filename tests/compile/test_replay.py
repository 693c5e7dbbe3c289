"""Interpreted or compiled: a run is rebuilt from its journal, wherever its process died.

Every saga of the corpora under random faults, on services that keep the promises of their
contracts. A process dies after some entry of its journal, the next one has that and nothing else,
and no money is lost. The crashes of the other tests go the same way: `MemoryEngine.crash` leaves
nothing but the journal.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from interpret import deaths
from test_money import not_undone

from sagalang.interpret import run as interpret
from sagalang.machine.events import Compensated, Completed, Escalated
from sagalang.model import program as p
from sagalang.model.types import RecordRef
from sagalang.runtime import journal
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import SimulatedClock, SystemClock, simulated
from sagalang.runtime.codec import decode
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.entry_codec import EntryCodec
from sagalang.runtime.entry_types import ModuleTypes, ProgramTypes
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.replay import Family
from sagalang.runtime.run_input import RunInput
from sagalang.runtime.saga_main import decode_arguments
from sagalang.runtime.sqlite import open_store
from sagalang.runtime.sqlite_engine import SqliteEngine, Stored
from sagalang.runtime.values import Values, decode_input

from .test_corpus_runs import SAGAS, copy, invented_input, made, random_faults, random_signals
from .twin import event_class, plain

CUTS = 1_000_000 if "SAGA_SLOW" in os.environ else 12
"""How many deaths of each run are tried."""
SEEDS = 6 if "SAGA_SLOW" in os.environ else 2


class Compiled:
    """A compiled run, as the world that sends it events sees it."""

    def __init__(self, running: compiled.Running[Any]) -> None:
        self.running = running
        self.cancel = running.cancel
        self.result = running.result
        self.engine = running.engine

    def signal(self, _: str, value: Any, *id_: str) -> None:
        self.running.signal(value, *id_)


Begin = Callable[[Any], Any]


def ways(
    path: Path, saga: p.Saga, seed: int, values: Values
) -> dict[str, tuple[Begin, Callable[[str, str], Any]]]:
    """How it is begun, interpreted and compiled, and how the values of its events are read."""
    program, module = made(path)
    given = invented_input(program, saga, seed)
    definition = next(
        found
        for found in vars(module).values()
        if isinstance(found, compiled.SagaDefinition) and found.name == saga.name
    )
    return {
        "interpreted": (
            lambda engine: interpret.begin(
                program,
                saga.name,
                decode_input(values, saga, given),
                engine=engine,
                values=values,
            ),
            lambda event, text: decode(text, values.python_type(RecordRef(event))),
        ),
        "compiled": (
            lambda engine: Compiled(
                compiled.begin(decode_arguments(definition, given), engine=engine)
            ),
            lambda event, text: decode(text, event_class(module, event)),
        ),
    }


@pytest.mark.parametrize("path", SAGAS, ids=[f"{p.parent.name}-{p.stem}" for p in SAGAS])
def test_wherever_its_process_dies_no_money_is_lost(path: Path) -> None:
    program, _ = made(path)
    exempt = not_undone(program)
    for saga in program.sagas.values():
        if saga.id is None:
            continue
        for seed in range(SEEDS):
            random = Random(f"{path.stem} {saga.name} {seed}")
            planned = random_faults(program, random)
            signals = random_signals(program, random, seed)
            cancel_after = random.choice([None, None, 10, 130, 3_000])
            for how, (begin, read) in ways(path, saga, seed, Values(program)).items():

                def life(
                    entries: int | None,
                    begin: Begin = begin,
                    read: Callable[[str, str], Any] = read,
                    planned: Any = planned,
                    signals: Any = signals,
                    cancel_after: int | None = cancel_after,
                    seed: int = seed,
                ) -> tuple[Any, FakeWorld]:
                    fakes = FakeWorld(
                        program, seed, values=Values(program), faults=[copy(f) for f in planned]
                    )

                    async def main(clock: SimulatedClock) -> Any:
                        sends = [
                            interpret.Send(s.event, read(s.event, s.fields), s.after, s.id)
                            for s in signals
                        ]
                        run, _ = await deaths.lived(
                            clock,
                            FakeTransport(fakes, clock, 20),
                            begin,
                            entries=entries,
                            sends=sends,
                            cancel_after=cancel_after,
                        )
                        return run

                    return simulated(main), fakes

                alive, _ = life(None)
                count = len(alive.engine.journal)
                cuts = range(1, count + 1)
                for cut in cuts if count <= CUTS else random.sample(cuts, CUTS):
                    run, world = life(cut)
                    told = f"{how} {saga.name}, seed {seed}, died after entry {cut} of {count}"
                    judge(simulated_result(run), world, exempt, told)
                again = rebuilt(begin, alive.engine.journal)
                assert plain(again.outcome) == plain(simulated_result(alive).outcome)


def simulated_result(run: Any) -> Any:
    async def main(_: SimulatedClock) -> Any:
        return await run.result()

    return simulated(main)


def rebuilt(begin: Begin, found: list[journal.Entry]) -> Any:
    async def main(clock: SimulatedClock) -> Any:
        engine = MemoryEngine(clock, _Nowhere(), lambda: 0.5, found=found)
        run = begin(engine)
        run = getattr(run, "running", run)
        run.rebuild(Family(found))
        await run.stop()
        assert engine.journal == found, "what is over was gone on with"
        return run

    return simulated(main)


class _Nowhere:
    async def call(self, request: Any) -> Any:
        raise AssertionError(f"{request.contract.label} was called")

    async def aclose(self) -> None:
        pass


def judge(result: Any, world: FakeWorld, exempt: set[str], told: str) -> None:
    world.settle()
    left = world.left()
    keys = [(e.operation, e.key) for e in left if e.key is not None]
    assert len(keys) == len(set(keys)), f"{told}: done twice: {keys}"
    match result.outcome:
        case Completed():
            assert not result.owed, told
        case Compensated():
            forgotten = [e.operation for e in left if e.operation not in exempt]
            assert not forgotten, f"{told}: {forgotten[0]} is left"
            assert not result.owed, told
        case Escalated():
            assert result.owed, told


# --- On a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["interpreted", "compiled"])
def test_on_a_file_it_goes_on_with_what_it_reads_there(how: str, tmp_path: Path) -> None:
    """The order saga, left after some entry and begun anew over the same file; its payment is
    declined, so all that was recorded is needed to undo it."""
    path = next(path for path in SAGAS if path.stem == "order")
    program, module = made(path)
    (saga,) = (saga for saga in program.sagas.values() if saga.id is not None)
    values = Values(program)
    begin, _ = ways(path, saga, 1, values)[how]
    definitions = [f for f in vars(module).values() if isinstance(f, compiled.SagaDefinition)]
    types = (
        ProgramTypes(program, values) if how == "interpreted" else ModuleTypes.around(*definitions)
    )
    codec = EntryCodec(types, lambda secret: secret.hex(), bytes.fromhex)
    declined = next(
        PlannedFault("rejects", operation.label, error=operation.rejects[0].error, remaining=99)
        for service in program.services.values()
        for operation in service.operations.values()
        if operation.label == "Payment.charge"
    )

    async def lives(entries: int) -> tuple[Any, FakeWorld, bool]:
        world = FakeWorld(program, 1, values=Values(program), faults=[copy(declined)])
        left = False
        for _ in range(2):
            with open_store(tmp_path / f"{entries}.db", command="test", now=0) as store:
                enough, count = asyncio.Event(), 0

                def seen(_: journal.Entry, enough: asyncio.Event = enough) -> None:
                    nonlocal count
                    count += 1
                    if count == entries:
                        enough.set()

                clock = SystemClock()
                engine = SqliteEngine(
                    store,
                    Stored("hash", "text", codec, RunInput(types)),
                    clock,
                    FakeTransport(world, clock, 1),
                    lambda: 0.5,
                    None if left else seen,
                )
                running = asyncio.ensure_future(begin(engine).result())
                dying = asyncio.ensure_future(enough.wait())
                await asyncio.wait({running, dying}, return_when=asyncio.FIRST_COMPLETED)
                if left or not enough.is_set():
                    dying.cancel()
                    return await running, world, left
                left = True
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        raise AssertionError

    entries, left = 0, True
    while left:
        entries += 4
        result, world, left = asyncio.run(lives(entries))
        assert isinstance(result.outcome, Compensated), entries
        judge(result, world, not_undone(program), f"{how}, left after entry {entries}")
    assert entries > 15
