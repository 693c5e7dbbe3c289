"""Runs a scenario: from the start to the end of its saga, on fakes, in simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from sagalang.interpret.run import Run, Send, begin, event_id
from sagalang.machine.evaluate import BadValueError
from sagalang.machine.events import OpenItem
from sagalang.model import program as p
from sagalang.model.types import RecordRef
from sagalang.runtime import journal as j
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.crashing import Crashing
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import CRASHES, PlannedFault, plan
from sagalang.scenario.judge import judge
from sagalang.scenario.result import Course, Result, Unused
from sagalang.scenario.stage import Stage
from sagalang.scenario.story import moment

START: Final = 1_893_456_000_000
"""2030-01-01T00:00:00Z: when every scenario begins."""

MANY: Final = 1_000
"""Attempts of one call, or deaths of the orchestrator, after which a run is taken to be endless.
A `retry forever` with a cap of a minute gets there after 16 simulated hours."""


class _EndlessError(Exception):
    """The text is a sentence for the user."""


def run(
    program: p.Program, scenario: p.Scenario, seed: int = 0, *, stage: Stage | None = None
) -> Result:
    """Run a scenario of a checked program. The same seed gives the same run.

    `seed`: of the values that fakes make up, and of the jitter. `stage`: for who runs many
    scenarios of the program.
    """
    stage = stage or Stage(program)
    try:
        cast = _cast(stage, scenario, seed)
    except BadValueError as error:
        return _unrun(scenario, seed, f"it could not be run: {error}")
    course, unused = _play(stage, scenario, cast, seed)
    findings = tuple(judge(stage, course, expect) for expect in scenario.expects)
    problem = course.problem
    if not problem and not findings:
        problem = "it expects nothing, so it proves nothing"
    return Result(scenario, seed, course, findings, unused, problem)


@dataclass(frozen=True, slots=True)
class _Cast:
    """A scenario with its expressions evaluated."""

    args: dict[str, Any]
    faults: list[PlannedFault]
    sends: list[Send]
    cancel: p.Ms | None


def _cast(stage: Stage, scenario: p.Scenario, seed: int) -> _Cast:
    values = stage.values
    params = stage.program.sagas[scenario.saga].params
    sends = []
    for send in scenario.sends:
        fields = {name: stage.known(expr) for name, expr in send.fields}
        value = values.make(RecordRef(send.event), fields)
        sends.append(Send(send.event, value, send.after, event_id(values, send.event, value)))
    return _Cast(
        {param.name: stage.known(arg) for param, arg in zip(params, scenario.args, strict=True)},
        plan(stage.program, values, scenario.faults),
        sends,
        # A second request to cancel can change nothing that the first one did not.
        min((cancel.after for cancel in scenario.cancels), default=None),
    )


def _play(
    stage: Stage, scenario: p.Scenario, cast: _Cast, seed: int
) -> tuple[Course, tuple[Unused, ...]]:
    program, values = stage.program, stage.values
    world = FakeWorld(program, seed, values=values, faults=cast.faults, relations=stage.relations)
    clock = SimulatedClock(START)
    transport = Crashing(FakeTransport(world, clock), scenario.faults)
    watch = _Watch()
    engine = MemoryEngine(clock, transport, Random(seed).random, watch)
    # Only a saga that others run lacks an id of its own.
    own_id = program.sagas[scenario.saga].id is not None
    given_id = None if own_id else scenario.saga
    runs: list[Run] = []

    async def main(_: SimulatedClock) -> tuple[OpenItem, ...]:
        begun = begin(
            program, scenario.saga, cast.args, engine=engine, saga_id=given_id, values=values
        )
        transport.crash = begun.crash
        runs.append(begun)
        return (await begun.result(cast.sends, cast.cancel)).owed

    owed: tuple[OpenItem, ...] = ()
    problem = ""
    try:
        owed = simulated(main, start=START)
    except _EndlessError as endless:
        problem = str(endless)
    except BadValueError as error:
        problem = f"it could not be run: its id has no value: {error}"
    world.settle()
    journal = engine.journal
    saga_id = runs[0].saga_id if runs else ""
    outcome = next(
        (e for e in reversed(journal) if isinstance(e, j.SagaFinished) and e.saga_id == saga_id),
        None,
    )
    ended = outcome.at if outcome else journal[-1].at if journal else START
    state = runs[0].state if runs else None
    kept = frozenset(event.id for event in state.inbox) if state is not None else frozenset()
    course = Course(
        saga_id,
        START,
        ended,
        None if outcome is None else outcome.value,
        (*owed, *_owed_by_children(journal, saga_id)),
        tuple(journal),
        tuple(world.arrivals),
        tuple(world.ledger),
        kept,
        problem,
    )
    if problem:
        return course, ()
    return course, tuple(_unused(scenario, cast, transport.struck, course))


def _owed_by_children(journal: Sequence[j.Entry], saga_id: str) -> list[OpenItem]:
    """What is escalated in child sagas: their parents only know that they are."""
    found: dict[Any, OpenItem] = {}
    for entry in journal:
        match entry:
            case j.EscalationRaised(item=item) if entry.saga_id != saga_id:
                found[entry.saga_id, item.place, item.purpose] = item
            case j.EscalationSettled(place=place, purpose=purpose):
                found.pop((entry.saga_id, place, purpose), None)
            case _:
                pass
    return list(found.values())


class _Watch:
    """Stops what would never end: in simulated time, for ever is soon."""

    def __init__(self) -> None:
        self._deaths = 0
        self._last = ""

    def __call__(self, entry: j.Entry) -> None:
        match entry:
            case j.AttemptStarted(attempt=number) | j.ProbeStarted(attempt=number):
                self._last = entry.label
                if number > MANY:
                    raise _EndlessError(
                        f"it never ends: {entry.label} was tried {MANY:,} times"
                        f" until {moment(entry.at - START)}, and would be for ever"
                    )
            case j.Restarted():
                self._deaths += 1
                if self._deaths > MANY:
                    raise _EndlessError(
                        f"it never ends: the orchestrator died {MANY:,} times, at {self._last}"
                    )
            case _:
                pass


def _unused(
    scenario: p.Scenario,
    cast: _Cast,
    crashes: Sequence[p.Fault],
    course: Course,
) -> list[Unused]:
    made = []
    planned = iter(cast.faults)
    for fault in scenario.faults:
        if fault.kind in CRASHES:
            struck = any(fault is one for one in crashes)
        else:
            struck = next(planned).struck
        if not struck:
            made.append(Unused(fault.span, f"this fault never struck: {fault.operation}"))
    took = course.ended - course.started
    seen: set[str] = set()
    for send, written in zip(cast.sends, scenario.sends, strict=True):
        assert send.id is not None
        why = ""
        if send.after > took:
            why = f"the saga had ended at {moment(took)}"
        elif send.id in seen:
            why = "the same event had been sent before"
        elif send.id in course.kept:
            why = "no wait took it"
        seen.add(send.id)
        if why:
            text = f"this {send.event} was never consumed: {why}"
            made.append(Unused(written.span, text))
    made += [
        Unused(cancel.span, f"this cancel came too late: the saga had ended at {moment(took)}")
        for cancel in scenario.cancels
        if cancel.after > took
    ]
    return made


def _unrun(scenario: p.Scenario, seed: int, problem: str) -> Result:
    course = Course("", START, START, None, (), (), (), (), problem=problem)
    return Result(scenario, seed, course, (), (), problem)
