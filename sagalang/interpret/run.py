"""Runs a saga: carries out the machine's commands on an engine, and answers with events.

result = await run(program, "PlaceOrder", {"order": order}, engine=engine)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sagalang.machine import calls
from sagalang.machine import events as m
from sagalang.machine.definition import Definition
from sagalang.machine.evaluate import Build
from sagalang.machine.frozen import freeze
from sagalang.machine.saga import (
    State,
    advance,
    define,
    held_back,
    open_items,
    refusal,
    start,
)
from sagalang.machine.saga import saga_id as own_id
from sagalang.model.program import Ms, Program
from sagalang.model.types import RecordRef
from sagalang.runtime import journal
from sagalang.runtime.codec import encode
from sagalang.runtime.driven import Driven
from sagalang.runtime.driven import SettlementRefusedError as SettlementRefusedError
from sagalang.runtime.driver import Driver
from sagalang.runtime.driver import outcome_kind as outcome_kind
from sagalang.runtime.engine import (
    BACKWARDS,
    Engine,
    MemoryEngine,
    Question,
    Session,
    StepCall,
    named,
)
from sagalang.runtime.values import Values


@dataclass(frozen=True, slots=True)
class Send:
    """An event to be sent `after` ms from the start. `id`: by default a hash of the content."""

    event: str
    value: Any
    after: Ms = 0
    id: str | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """`owed`: what a person must settle; empty unless the outcome is escalated."""

    saga_id: str
    outcome: m.SagaOutcome
    recorded: journal.Recorded
    owed: tuple[m.OpenItem, ...]
    held_back: tuple[m.OpenItem, ...] = ()
    """Compensations that will run once a person has settled what is owed."""

    @property
    def journal(self) -> tuple[journal.Entry, ...]:
        """The entries of this run and of its child sagas; none where the engine keeps none."""
        return self.recorded.of(self.saga_id)


def build(values: Values) -> Build:
    """How the machine makes and reads the records of a program."""
    return Build(make=values.make, get=values.get, convert=values.convert, update=values.update)


def defined(program: Program, saga: str, values: Values) -> Definition:
    """A saga made ready to run; it stays with its values, for the next run."""
    found: Definition | None = values.kept.get(saga)
    if found is None or found.program is not program:
        found = values.kept[saga] = define(program, saga, build(values))
    return found


def event_id(values: Values, event: str, value: Any) -> str:
    """The id of an event that was given none: a hash of its name and content."""
    content = encode(value, values.python_type(RecordRef(event)))
    return sha256(event.encode() + b"\0" + content).hexdigest()


class Run(Driven):
    """A saga being run. `signal`, `cancel` and `settle` may be called while `result` is awaited;
    after a run ended escalated, `cancel` and `settle` let `result` go on."""

    def __init__(
        self,
        definition: Definition,
        args: Mapping[str, Any],
        engine: Engine,
        session: Session,
        values: Values,
    ) -> None:
        super().__init__(engine, session, Driver(engine, session))
        self.program = definition.program
        self.values = values
        self.args = args
        self.definition = definition
        self.state: State | None = None

    @property
    def outcome(self) -> m.SagaOutcome | None:
        return None if self.state is None else self.state.outcome

    def signal(self, event: str, value: Any, id: str | None = None) -> None:  # noqa: A002
        """Send the run an event; one whose id came before is ignored."""
        id = event_id(self.values, event, value) if id is None else id  # noqa: A001
        self.engine.signal(self.saga_id, event, id, value)

    def crash(self) -> None:
        """Simulation: let the orchestrator of this run and its children die and start again."""
        assert isinstance(self.engine, MemoryEngine)
        self.engine.crash(self.saga_id)

    async def result(self, sends: Sequence[Send] = (), cancel_after: Ms | None = None) -> RunResult:
        """Run to the end, or until nothing but a person can move it. Awaited once more after the
        end, it gives the same result, or goes on where something was settled since; `sends` and
        `cancel_after` belong to the first time."""
        now = self.session.now()
        outside: list[tuple[Ms, m.EventReceived | m.CancelRequested]] = []
        for send in sends:
            due = now + send.after
            id_ = event_id(self.values, send.event, send.value) if send.id is None else send.id
            outside.append((due, m.EventReceived(due, send.event, id_, send.value)))
        if cancel_after is not None:
            outside.append((now + cancel_after, m.CancelRequested(now + cancel_after)))
        outcome = await self.run(outside)
        assert self.state is not None
        engine = self.engine
        kept = engine.recorded() if isinstance(engine, MemoryEngine) else journal.Recorded()
        owed = open_items(self.definition, self.state)
        held = held_back(self.definition, self.state)
        return RunResult(self.saga_id, outcome, kept, owed, held)

    # --- The machine ---------------------------------------------------------------------------

    def _refusal(self, event: m.Settle) -> str | None:
        assert self.state is not None
        return refusal(self.definition, self.state, event)

    def _input(self) -> tuple[str, Mapping[str, Any]]:
        return self.definition.saga.name, self.args

    def _renew(self) -> None:
        self.state = None

    def _start(self, at: Ms) -> None:
        self._enter(*start(self.definition, self.saga_id, self.args, at))

    def _take(self, event: m.Event) -> None:
        assert self.state is not None
        self._enter(*advance(self.definition, self.state, event))

    def _enter(self, state: State, commands: tuple[m.Command, ...]) -> None:
        self.state = state
        for command in commands:
            self._carry_out(command)

    def _carry_out(self, command: m.Command) -> None:
        driver = self._driver
        match command:
            case m.RunCall():
                self._call(command)
            case m.Interrupt(place, purpose):
                driver.interrupt(place, purpose)
            case m.StartTimer(place, timer, at, spread):
                driver.start_timer(place, timer, at, spread)
            case m.StopTimer(place, timer):
                driver.stop_timer(place, timer)
            case m.RunChild():
                self._run_child(command)
            case m.CancelChild(place):
                driver.cancel_child(place)
            case m.UndoChild(place, saga, _, error):
                driver.undo_child(place, saga, error)
            case m.Escalate(item, retrying):
                driver.escalate(item, retrying)
            case m.Settled(place, purpose):
                driver.settled(place, purpose)
            case m.AbortStarted(scope, failure):
                driver.abort_began(scope, failure)
            case m.Alert(failure, text):
                driver.alert(failure, text)
            case m.Finished(outcome):
                driver.finished(outcome)

    def _call(self, command: m.RunCall) -> None:
        operation = self.program.services[command.service].operations[command.operation]
        probe = None
        if command.probe is not None:
            asked = self.program.services[command.probe.service]
            query = asked.operations[command.probe.operation]
            probe = Question(self.values.contract(query), command.probe.args, query.policy)
        config = calls.CallConfig.of(
            operation,
            command.policy,
            deadline=command.deadline,
            resolve=command.purpose is m.Purpose.RESOLVE,
            patient=command.purpose in BACKWARDS,
        )
        call = StepCall(
            place=command.place,
            purpose=command.purpose,
            contract=self.values.contract(operation),
            args=command.args,
            key=command.key,
            config=config,
            protected=operation.policy,
            probe=probe,
            number=command.number,
        )
        self._driver.make_call(call, command.first_attempt, command.unanswered)

    def _run_child(self, command: m.RunChild) -> None:
        params = self.program.sagas[command.saga].params
        args = {param.name: arg for param, arg in zip(params, command.args, strict=True)}
        definition = defined(self.program, command.saga, self.values)
        child = _opened(definition, args, self.engine, command.saga_id, self.values)
        self._driver.run_child(command.place, command.saga, child)


def _opened(
    definition: Definition, args: Mapping[str, Any], engine: Engine, saga_id: str, values: Values
) -> Run:
    """A run in the session of its id. Raises `OtherInputError`."""
    frozen = dict(freeze(dict(args)))
    session = engine.open(saga_id, definition.saga.name, frozen)
    return Run(definition, frozen, engine, session, values)


def begin(
    program: Program,
    saga_name: str,
    args: Mapping[str, Any],
    *,
    engine: Engine,
    saga_id: str | None = None,
    values: Values | None = None,
) -> Run:
    """A run of the saga, not yet started: await its `result`.

    `args`: a value for each parameter, made by `values`. `saga_id`: by default what the saga's
    `id` clause gives. Raises KeyError (no such saga), `BadValueError` (the id has no value),
    ValueError (no id), `EmptyIdError`, `OtherInputError` (this id runs with other input).
    """
    values = values or Values(program)
    definition = defined(program, saga_name, values)
    if saga_id is None:
        saga_id = own_id(definition, freeze(dict(args)), engine.now())
    run = _opened(definition, args, engine, named(saga_id), values)
    if run.session.owner is None:
        run.session.owner = run
    owner: Run = run.session.owner
    return owner


async def run(
    program: Program,
    saga_name: str,
    args: Mapping[str, Any],
    *,
    engine: Engine,
    saga_id: str | None = None,
    sends: Sequence[Send] = (),
    cancel_after: Ms | None = None,
    values: Values | None = None,
) -> RunResult:
    """Run a saga to its end; see `begin` for the arguments and errors."""
    begun = begin(program, saga_name, args, engine=engine, saga_id=saga_id, values=values)
    return await begun.result(sends, cancel_after)
