"""Random sagas, random faults: the compiled one takes the same course as the interpreted one."""

from __future__ import annotations

import os
from random import Random
from types import ModuleType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from interpret.build import HERE, World, do, loop, ok, program, saga, sleep, strings
from interpret.test_properties import FAULTS, REJECTED, UNDO_FAULTS, Maker, Shape, sequences
from msgspec.structs import replace

from sagalang.interpret import run as interpret
from sagalang.model import program as p
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.values import Values

from .twin import Told, compile_to_module, entries, plain

EXAMPLES = 250 if "SAGA_SLOW" in os.environ else 60


def told(result: Any, world: World, clock: SimulatedClock) -> Told:
    return Told(
        plain(result.outcome),
        tuple(world.log),
        entries(result.journal),
        clock.now(),
        tuple(plain(item) for item in result.owed),
    )


def world_of(seed: int) -> World:
    chance = Random(seed)

    def strike(world: World, request: Request) -> Any:
        undoing = request.contract.label.endswith("undo")
        if request.key in world.fenced and not undoing:
            return REJECTED
        faults = UNDO_FAULTS if undoing else FAULTS
        if len(world.log) > 150:  # so that retrying for ever ends
            return ok(world, request)
        fault = chance.choice(faults)
        return fault(world, request)

    latency = {f"S.do(s{n})": chance.choice([0, 5, 10, 10, 30]) for n in range(20)}
    return World({"S.do": [strike], "S.undo": [strike]}, latency)


def run_both(made: p.Program, seed: int, cancel_after: int | None) -> tuple[Told, Told]:
    module: ModuleType = compile_to_module(made)

    def engine(clock: SimulatedClock) -> tuple[MemoryEngine, World]:
        world = world_of(seed)
        world.clock = clock
        found = MemoryEngine(clock, world, Random(seed).random)
        world.crash = lambda: found.crash("id-1")
        return found, world

    async def interpreted(clock: SimulatedClock) -> Told:
        found, world = engine(clock)
        result = await interpret.run(
            made, "Main", {}, engine=found, cancel_after=cancel_after, values=Values(made)
        )
        return told(result, world, clock)

    async def generated(clock: SimulatedClock) -> Told:
        found, world = engine(clock)
        result = await compiled.run(module.MAIN(), engine=found, cancel_after=cancel_after)
        return told(result, world, clock)

    return simulated(interpreted), simulated(generated)


def protected(made: p.Program, seed: int) -> p.Program:
    """With shared protections on the service; none for every third seed."""
    chance = Random(seed).choice
    policy = p.Policy(
        timeout=1_000,
        breaker=chance([None, p.Breaker(50, 2, 5_000, 2_000, 8_000, 20)]),
        bulkhead=chance([None, p.Bulkhead(1), p.Bulkhead(2, 3, 40), p.Bulkhead(1, 20)]),
        rate=chance([None, p.Rate(3, 200)]),
        budget=chance([None, p.RetryBudget(20)]),
    )
    if seed % 3 == 0:
        return made
    services = {
        name: replace(
            service,
            operations={n: replace(o, policy=policy) for n, o in service.operations.items()},
        )
        for name, service in made.services.items()
    }
    return replace(made, services=services)


def check(statements: list[p.Statement], seed: int, cancel_after: int | None) -> None:
    made = replace(program(saga(*statements)), errors={"No": p.Record("No", (), "", HERE)})
    made = protected(made, seed)
    one, other = run_both(made, seed, cancel_after)
    assert other.sent == one.sent
    assert other.outcome == one.outcome
    assert other.journal == one.journal
    assert other == one


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**32), sequences, st.none() | st.integers(0, 3_000))
def test_any_saga_without_a_pivot(
    seed: int, shapes: tuple[Shape, ...], cancel_after: int | None
) -> None:
    check(Maker().sequence(shapes)[0], seed, cancel_after)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.integers(0, 2**32), sequences, sequences, st.booleans(), st.none() | st.integers(0, 3_000)
)
def test_any_saga_with_a_pivot(
    seed: int,
    before: tuple[Shape, ...],
    after: tuple[Shape, ...],
    caught: bool,
    cancel_after: int | None,
) -> None:
    maker = Maker()
    first, _ = maker.sequence(before)
    rest, _ = maker.sequence(after)
    pivot: list[p.Statement] = [do("pivot", pivot=True)]
    if caught:
        from interpret.build import attempt, block

        body = block(do("inner"), *pivot, do("late", after_pivot=True))
        pivot = [attempt(body, (["No"], block(do("plan"))), path="around")]
    check([*first, *pivot, *rest], seed, cancel_after)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(2, 4))
def test_wide_loops(seed: int, width: int, at_once: int) -> None:
    items = strings(*(f"i{n % 4}" for n in range(width * 2)))
    check([loop(items, do("a"), sleep(7), do("b"), at_once=at_once), do("z")], seed, None)
