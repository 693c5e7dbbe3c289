"""What the result of a run tells where many runs share an engine."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from sagalang.interpret import run as interpret
from sagalang.runtime import journal as j
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.values import Values

from .twin import checked, compile_to_module

TEXT = """
service S {
  command go(id: string) keyed compensate back(key)
  command back(of: key) idempotent, absent ok, fences late
}

saga Inner(id: string) {
  id id
  step S.go(id)
}

saga Outer(id: string) {
  id id
  step before = S.go(id)
  step inner = saga Inner(id)
  step after = S.go(id)
}
"""


def two_at_once(form: str) -> list[tuple[str, tuple[j.Entry, ...], MemoryEngine]]:
    """Two runs of one engine: (saga id, journal of the result, engine)."""
    program = checked(TEXT)
    values = Values(program)

    async def main(clock: SimulatedClock) -> list[tuple[str, tuple[j.Entry, ...], MemoryEngine]]:
        fakes = FakeWorld(program, 1, values=values)
        engine = MemoryEngine(clock, FakeTransport(fakes, clock, 20), Random(1).random)

        async def one(id_: str) -> Any:
            if form == "compiled":
                call = compile_to_module(program).OUTER(id_=id_)
                return await compiled.run(call, engine=engine)
            return await interpret.run(program, "Outer", {"id": id_}, engine=engine, values=values)

        results = await asyncio.gather(one("x"), one("y"))
        return [(result.saga_id, result.journal, engine) for result in results]

    return simulated(main)


@pytest.mark.parametrize("form", ["compiled", "interpreted"])
def test_the_journal_of_a_result_is_that_of_its_run_and_its_children(form: str) -> None:
    (one, first, engine), (two, second, _) = two_at_once(form)
    assert {entry.saga_id for entry in first}.isdisjoint(entry.saga_id for entry in second)
    for saga_id, entries in ((one, first), (two, second)):
        ids = {entry.saga_id for entry in entries}
        (child,) = (e.child_id for e in entries if isinstance(e, j.ChildStarted))
        assert ids == {saga_id, child}
        assert list(entries) == [entry for entry in engine.journal if entry.saga_id in ids]
        assert isinstance(entries[0], j.SagaStarted)
        assert isinstance(entries[-1], j.SagaFinished)
    assert len(first) + len(second) == len(engine.journal)


@pytest.mark.parametrize("form", ["compiled", "interpreted"])
def test_a_result_tells_what_was_on_record_when_it_was_given(form: str) -> None:
    (one, first, engine), _ = two_at_once(form)
    engine.record(j.Alerted(at=0, saga_id=one, error="Late", text="after the end"))
    told = engine.recorded()
    engine.record(j.Alerted(at=0, saga_id=one, error="Later", text="after that"))
    assert [e.error for e in told.of(one) if isinstance(e, j.Alerted)] == ["Late"]
    assert told.of(one)[:-1] == first
