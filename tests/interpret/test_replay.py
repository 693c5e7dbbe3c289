"""A run is rebuilt from its journal alone, wherever its process died.

A process dies after each entry of its journal in turn; the next one has the journal, and nothing
else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagalang.interpret.run import Run, Send, begin
from sagalang.machine.events import Compensated, Completed
from sagalang.model import program as p
from sagalang.runtime import journal
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine

from .build import (
    FOREVER,
    RESULT,
    TEAM,
    World,
    call,
    do,
    lost_after,
    ok,
    parallel,
    param,
    program,
    rejects,
    saga,
    send,
    sleep,
    undoing,
    wait,
)
from .deaths import child, deaths, kid, rebuilt, recorded
from .test_properties import FAULTS, REJECTED, UNDO_FAULTS, Maker, Shape, sequences

CALM = [fault for fault in FAULTS if not fault.__name__.startswith("crash")]
CALM_UNDO = [fault for fault in UNDO_FAULTS if not fault.__name__.startswith("crash")]


def on_time(entries: Sequence[journal.Entry]) -> bool:
    """Whether each timer fired when it was due, or when its run was begun anew after that."""
    until: dict[Any, int] = {}
    begun = 0
    for entry in entries:
        match entry:
            case journal.TimerStarted():
                until[entry.saga_id, entry.place, entry.timer] = entry.until
            case journal.TimerEnded(stopped=False):
                due = until[entry.saga_id, entry.place, entry.timer]
                if entry.at not in (due, begun):
                    return False
            case journal.Restarted():
                begun = entry.at
    return True


def answered_once(entries: Sequence[journal.Entry]) -> bool:
    """Whether nothing was done about a call any more after its outcome was on record."""
    ended: set[Any] = set()
    for entry in entries:
        match entry:
            case journal.Intent():
                ended.discard((entry.saga_id, entry.place, entry.purpose))
            case journal.CallEntry() | journal.Interrupted():
                call = entry.saga_id, entry.place, entry.purpose
                if call in ended:
                    return False
                if isinstance(entry, journal.OutcomeRecorded):
                    ended.add(call)
    return True


# --- Random sagas --------------------------------------------------------------------------------


def striking(seed: int) -> World:
    chance = Random(seed)

    def strike(world: World, request: Request) -> Any:
        undoing_ = request.contract.label.endswith("undo")
        if request.key in world.fenced and not undoing_:
            return REJECTED
        if len(world.log) > 150:  # so that retrying for ever ends
            return ok(world, request)
        return chance.choice(CALM_UNDO if undoing_ else CALM)(world, request)

    return World({"S.do": [strike], "S.undo": [strike]})


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), sequences, st.none() | st.integers(0, 3_000))
def test_wherever_its_process_dies_all_effects_stay_or_none_does(
    seed: int, shapes: tuple[Shape, ...], cancel_after: int | None
) -> None:
    without = tuple(shape for shape in shapes if "attempt" not in str(shape))
    made = program(saga(*Maker().sequence(without)[0]))
    for entries, run, world in deaths(made, lambda: striking(seed), cancel_after=cancel_after):
        match run.outcome:
            case Completed():
                assert not any(what == "undone" for what, _ in world.ends), entries
                assert len(world.effects) == len(world.ends), entries
            case Compensated():
                assert world.effects == {}, entries
            case other:
                raise AssertionError(other)
        assert answered_once(recorded(run)), entries
        assert on_time(recorded(run)), entries
        again = rebuilt(run, recorded(run))
        assert again.state == run.state, entries
        assert recorded(again) == recorded(run), "what is over was gone on with"


# --- Everything that can be under way ------------------------------------------------------------


LATE = wait("late", "Never", within=200)
"""Nothing comes: it gives null."""
COURSES: dict[str, tuple[p.Program, dict[str, Any], list[Send], int | None]] = {
    "a step is repeated": (program(saga(do("a", policy=FOREVER), do("b"))), {}, [], None),
    "undone after a refusal": (
        program(saga(do("a"), parallel(do("b"), do("c")), do("z"))),
        {"S.do(z)": [rejects]},
        [],
        None,
    ),
    "two end at one moment": (
        program(saga(parallel(do("b"), do("c"), do("d")), do("z"))),
        {"S.do(b)": [rejects]},
        [],
        None,
    ),
    "a child is undone": (
        program(saga(do("a"), child(), do("z")), kid(do("k1"), do("k2"))),
        {"S.do(z)": [rejects]},
        [],
        None,
    ),
    "a child is cancelled": (
        program(saga(parallel(child(), do("y"))), kid(do("k1"), sleep(40), do("k2"))),
        {"S.do(y)": [rejects]},
        [],
        None,
    ),
    "a child of a child": (
        program(
            saga(do("a"), child(), do("z")),
            kid(do("k1"), child(path="kid2", name="kid2", saga="Inner")),
            saga(do("i1"), sleep(5), do("i2"), name="Inner", params=[param("what")]),
        ),
        {"S.do(z)": [rejects]},
        [],
        None,
    ),
    "a child is escalated": (
        program(saga(do("a"), child()), kid(do("k1"), do("k2"))),
        {"S.do(k2)": [rejects], "S.undo(k1)": [rejects]},
        [],
        None,
    ),
    "timers and events": (
        program(saga(do("a"), sleep(50), wait("go"), LATE, do("b")), events=["Go", "Never"]),
        {},
        [send(1, 20), send(2, 5)],
        None,
    ),
    "cancelled": (program(saga(do("a"), wait("go"), do("b"))), {}, [], 100),
    "past its deadline": (program(saga(do("a"), wait("go"), deadline=100)), {}, [], None),
    "left to people": (
        program(saga(parallel(do("a"), do("b", escalate=TEAM)), do("c"))),
        {"S.do(b)": [rejects]},
        [],
        None,
    ),
    "the answer is needed for undoing": (
        program(
            saga(do("a", undo=undoing(call("S.undo", RESULT))), do("z")),
        ),
        {"S.do(z)": [rejects], "S.do(a)": [lost_after, ok]},
        [],
        None,
    ),
    "a pivot": (
        program(saga(do("a"), do("p", pivot=True), do("b", after_pivot=True))),
        {},
        [],
        25,
    ),
}


@pytest.mark.parametrize("name", COURSES)
def test_wherever_its_process_dies_it_comes_to_the_same(name: str) -> None:
    made, script, sends, cancel_after = COURSES[name]

    def world() -> World:
        return World({label: list(faults) for label, faults in script.items()})

    *dead, (_, alive, services) = deaths(made, world, sends=sends, cancel_after=cancel_after)
    assert len(dead) > 5
    for entries, run, its in dead:
        # A death while a call is in flight is one more attempt, so errors may differ.
        assert type(run.outcome) is type(alive.outcome), entries
        assert its.effects == services.effects, entries
        assert answered_once(recorded(run)), entries
        assert on_time(recorded(run)), entries
        assert rebuilt(run, recorded(run)).state == run.state, entries
        assert turns(run) == turns(alive), entries


def turns(run: Run) -> Counter[tuple[str, str]]:
    """What must happen just as often, however often a process dies."""
    kinds = (
        journal.SagaStarted,
        journal.AbortBegan,
        journal.CancelAsked,
        journal.EventAccepted,
        journal.EscalationRaised,
        journal.ChildStarted,
        journal.ChildFinished,
        journal.SagaFinished,
    )
    return Counter((type(e).__name__, e.saga_id) for e in recorded(run) if isinstance(e, kinds))


def test_what_an_observer_sends_takes_its_turn() -> None:
    """It is told of an outcome before the run is: what it sends comes after that all the same."""
    made = program(saga(do("a"), do("b"), do("c")))

    async def main(clock: SimulatedClock) -> Run:
        def seen(entry: journal.Entry) -> None:
            if isinstance(entry, journal.OutcomeRecorded) and entry.place.path == "b":
                engine.request_cancel("id-1")

        services = World()
        services.clock = clock
        engine = MemoryEngine(clock, services, lambda: 0.5, seen)
        run = begin(made, "Main", {}, engine=engine, saga_id="id-1")
        await run.result()
        return run

    run = simulated(main)
    assert isinstance(run.outcome, Compensated)
    assert rebuilt(run, recorded(run)).state == run.state
