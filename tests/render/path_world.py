"""The real machine on one failure path: what it undid, in which order, and how the saga ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from sagalang.graph.structure import statements
from sagalang.interpret.run import Run, begin, outcome_kind
from sagalang.machine import events as m
from sagalang.machine.evaluate import Build, Scope, evaluate
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED
from sagalang.model.types import EnumRef, ListOf, Primitive, RecordRef
from sagalang.render.paths.whens import (
    CRASHES,
    CallFault,
    NotInTime,
    Stopped,
    When,
    aborts,
)
from sagalang.runtime import journal as j
from sagalang.runtime.clock import DeadlockError, SimulatedClock, simulated
from sagalang.runtime.crashing import Crashing
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fake_values import Inventor
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.values import Values

MANY = 150
"""Attempts of one call after which it is taken to go on so: more than an hour with any policy."""
VERY_LATE = 10**10


@dataclass(frozen=True)
class Played:
    """`kind`: `long` where a call is repeated for so long that nobody waited for the end. `asked`:
    whether everything struck that was to strike, and nothing else did."""

    kind: str
    error: str | None
    undone: tuple[str, ...]
    open: frozenset[str]
    asked: bool
    aborted: frozenset[str] = frozenset()


class _EndlessError(Exception):
    pass


@dataclass(slots=True)
class _Aimed(PlannedFault):
    """Strikes the calls of one step only, or of what undoes it."""

    path: str | None = None
    undo: bool = False
    aim: Any = None

    def strikes(self, operation: str, args: tuple[Any, ...], key: str | None) -> bool:
        hit = PlannedFault.strikes(self, operation, args, key)
        return hit and (self.path is None or (self.path, self.undo) == self.aim.at)


@dataclass
class _Aim:
    """Tells the world which step the call that is under way belongs to."""

    inner: Any
    intents: dict[str | None, tuple[str, bool]] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)
    at: tuple[str, bool] = ("", False)

    async def call(self, request: Any) -> Any:
        label = request.contract.label
        if request.key in self.intents and request.key is not None:
            self.at = self.intents[request.key]
        else:
            self.at = (self.queries.get(label, ""), False)
        return await self.inner.call(request)


def arguments(program: p.Program, saga: p.Saga, values: Values) -> Iterator[dict[str, Any]]:
    """Samples of the file where there are any, and made-up ones, with every bool both ways."""
    build = Build(values.make, values.get, values.convert, values.update)
    scope = Scope(names={}, build=build, constants=program.constants)
    choices: list[list[tuple[str, Any]]] = []
    for param in saga.params:
        made: list[Any] = [
            evaluate(c.value, scope) for c in program.constants.values() if c.type == param.type
        ]
        invent = Inventor(program, values, 0)
        match param.type:
            case Primitive(name="bool"):
                made = [True, False]
            case ListOf(item):
                made.append((invent.value(item, "a", 1), invent.value(item, "b", 2)))
            case _ if not made:
                made.append(invent.value(param.type, param.name, 1))
        choices.append([(param.name, value) for value in made])
    for chosen in product(*choices):
        yield dict(chosen)


def events(program: p.Program, name: str, values: Values, variant: int) -> Any:
    """An event, with another member of its enums for each variant."""
    record = program.events[name]
    given: dict[str, Any] = {}
    for one in record.fields:
        if isinstance(one.type, EnumRef):
            members = program.enums[one.type.name].members
            given[one.name] = members[variant % len(members)][0]
        elif isinstance(one.type, Primitive) and one.type.name == "bool":
            given[one.name] = variant % 2 == 0
    return Inventor(program, values, 0).record(RecordRef(name), given, 1)


def variants(program: p.Program, saga: p.Saga) -> list[tuple[dict[str, Any], int, Values]]:
    values = Values(program)
    return [
        (args, number, values) for number in (0, 1) for args in arguments(program, saga, values)
    ]


def play(
    program: p.Program,
    saga: p.Saga,
    whens: Sequence[When],
    variant: tuple[dict[str, Any], int, Values],
) -> Played:
    args, number, values = variant
    calls = [w for w in whens if isinstance(w, CallFault)]
    crashes = [
        p.Fault(w.kind, w.target.operation, None, times=w.times) for w in calls if w.kind in CRASHES
    ]
    planned = [_planned(program, w) for w in calls if w.kind not in CRASHES]
    world = FakeWorld(program, values=values, faults=planned)
    runs: list[Run] = []
    watch = _Watch(program, saga, whens, values, number, runs)

    async def main(clock: SimulatedClock) -> Any:
        aim = _Aim(FakeTransport(world, clock))
        watch.aim = aim
        for fault in planned:
            fault.aim = aim
        crashing = Crashing(aim, crashes)
        engine = MemoryEngine(clock, crashing, lambda: 0.5, watch)
        begun = begin(program, saga.name, args, engine=engine, values=values)
        crashing.crash = begun.crash
        runs.append(begun)
        result = await begun.result((), None)
        watch.crashes = len(crashing.struck)
        return result

    owed: frozenset[str] = frozenset()
    kind, error = "long", None
    try:
        result = simulated(main)
        kind = outcome_kind(result.outcome)
        owed = frozenset(item.label for item in result.owed)
        match result.outcome:
            case m.Compensated(error=failure):
                error = failure.name
            case _:
                pass
    except (_EndlessError, DeadlockError):
        pass
    struck = all(f.struck for f in planned) and watch.crashes == len(crashes)
    asked = struck and watch.asked()
    return Played(kind, error, tuple(watch.undone), owed, asked, frozenset(watch.aborted))


def _planned(program: p.Program, when: CallFault) -> _Aimed:
    service, _, name = when.target.operation.partition(".")
    lands = program.services[service].operations[name].promises.lands_within
    late = when.after if when.after is not None else lands if lands is not None else VERY_LATE
    return _Aimed(
        when.kind,
        when.target.operation,
        error=when.error,
        after=late,
        remaining=when.times,
        path=when.target.path,
        undo=when.target.undo,
    )


class _Watch:
    """Sends the events that are waited for, cancels where it is due, and writes down what is
    undone."""

    def __init__(
        self,
        program: p.Program,
        saga: p.Saga,
        whens: Sequence[When],
        values: Values,
        variant: int,
        runs: list[Run],
    ) -> None:
        self.program, self.saga, self.values = program, saga, values
        self.variant, self.runs = variant, runs
        self.aim: _Aim | None = None
        self.crashes = 0
        self.undone: list[str] = []
        self.missed = {w.path for w in whens if isinstance(w, NotInTime)}
        self.ran_out: set[str] = set()
        self.stops = [w for w in whens if isinstance(w, Stopped)]
        self.stopped: list[Stopped] = []
        self.waits = {s.path: s for s in statements(saga.body) if isinstance(s, p.Wait)}
        self.polls = {s.path for s in statements(saga.body) if isinstance(s, p.Poll)}
        self.sent = 0
        # Errors that statements of the saga may raise; which ones do depends on the data.
        mine = {e for e in program.errors if aborts(saga, e)}
        self.may_abort = mine
        self.attempts: Counter[Any] = Counter()
        self.mismatched = False
        self.nonsense = any(
            isinstance(w, CallFault) and w.kind == "answers nonsense" for w in whens
        )
        self.aborted: set[str] = set()

    def asked(self) -> bool:
        if self.mismatched and not self.nonsense:
            return False  # the made-up values do not go together: a late call was refused
        return self.ran_out == self.missed and len(self.stopped) == len(self.stops)

    def __call__(self, entry: j.Entry) -> None:
        if isinstance(entry, j.AttemptStarted | j.ProbeStarted):
            call = (entry.saga_id, entry.place, entry.purpose)
            self.attempts[call] += 1
            if self.attempts[call] > MANY:
                raise _EndlessError
        if not self.runs or entry.saga_id != self.runs[0].saga_id:
            return
        run = self.runs[0]
        match entry:
            case j.Intent(place=place, purpose=purpose, label=label, key=key):
                undo = purpose is m.Purpose.COMPENSATE
                if undo:
                    self.undone.append(label)
                assert self.aim is not None
                self.aim.intents[key] = (place.path, undo)
                if key is None:
                    self.aim.queries[label] = place.path
            case j.AttemptEnded(error="ContractMismatch"):
                self.mismatched = True
            case j.AbortBegan(error=error) if error in self.may_abort:
                self.aborted.add(error)
            case j.ChildStarted(saga=saga, undo=True):
                self.undone.append(f"saga {saga}")
            case j.TimerStarted(place=place, timer=m.Timer.WAIT) if (
                place.path in self.waits and place.path not in self.missed
            ):
                self._over(place.path, entry.at)
                name = self.waits[place.path].event
                self.sent += 1
                value = events(self.program, name, self.values, self.variant)
                run.session.put(m.EventReceived(entry.at, name, f"e{self.sent}", value))
            case j.TimerEnded(place=place, timer=m.Timer.WAIT, stopped=False):
                self.ran_out.add(place.path)
            case j.OutcomeRecorded(place=place, purpose=m.Purpose.STEP, kind="ok"):
                self._over(place.path, entry.at)
            case j.ChildFinished(place=place, kind="completed", undo=False):
                self._over(place.path, entry.at)
            case j.TimerStarted(place=place, timer=m.Timer.WAIT):
                self._over(place.path, entry.at)
            case _:
                pass

    def _over(self, path: str, at: p.Ms) -> None:
        for stop in self.stops:
            if path in stop.paths and stop not in self.stopped:
                self.stopped.append(stop)
                event: Any = m.CancelRequested(at)
                if stop.error != CANCELLED:
                    event = m.TimerFired(at, m.SAGA, m.Timer.DEADLINE)
                self.runs[0].session.post(event)
