"""Runs a saga: carries out the machine's commands on an engine, and answers with events.

result = await run(program, "PlaceOrder", {"order": order}, engine=engine)
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sagalang.machine import calls
from sagalang.machine import events as m
from sagalang.machine.definition import Definition
from sagalang.machine.evaluate import Build
from sagalang.machine.frozen import freeze
from sagalang.machine.outcomes import Failure, Ok
from sagalang.machine.saga import (
    Phase,
    State,
    advance,
    define,
    held_back,
    open_items,
    refusal,
    saga_id,
    start,
)
from sagalang.model.program import Ms, Program
from sagalang.model.types import RecordRef
from sagalang.runtime import journal
from sagalang.runtime.calls import Interruption
from sagalang.runtime.codec import encode
from sagalang.runtime.engine import (
    BACKWARDS,
    Activity,
    Crash,
    Engine,
    MemoryEngine,
    Question,
    Session,
    StepCall,
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


def event_id(values: Values, event: str, value: Any) -> str:
    """The id of an event that was given none: a hash of its name and content."""
    content = encode(value, values.python_type(RecordRef(event)))
    return sha256(event.encode() + b"\0" + content).hexdigest()


@dataclass(slots=True)
class _Flying:
    """A call in flight, as it would be found in the journal after a crash."""

    command: m.RunCall
    interruption: Interruption
    since: Ms


class SettlementRefusedError(Exception):
    """What a person answered does not fit what is open; the message says why."""


class Run:
    """A saga being run. `signal`, `cancel` and `settle` may be called while `result` is awaited;
    after a run ended escalated, `cancel` and `settle` let `result` go on."""

    def __init__(
        self, program: Program, saga: str, args: Mapping[str, Any], engine: Engine, values: Values
    ) -> None:
        self.program = program
        self.engine = engine
        self.values = values
        self.args = dict(freeze(dict(args)))
        self.definition: Definition = define(program, saga, build(values))
        self.state: State | None = None
        self.session: Session
        self._flying: dict[tuple[m.Place, m.Purpose], _Flying] = {}
        self._timers: dict[tuple[m.Place, m.Timer], tuple[Activity, Ms]] = {}
        self._children: dict[m.Place, Run] = {}
        self._running_children: dict[m.Place, Failure | None] = {}
        """Of a child under way: the error for which it is being undone, None if it is not."""
        self._outside: list[tuple[Ms, m.Event]] = []
        """What the world will send; it comes whether the orchestrator lives or not."""
        self._late: list[m.Event] = []
        """What came after the run had ended, for `result` to take in."""
        self._undone_for: Failure | None = None
        """The error for which a parent asked to undo this run."""

    @property
    def saga_id(self) -> str:
        return self.session.saga_id

    def signal(self, event: str, value: Any, id: str | None = None) -> None:  # noqa: A002
        """Send the run an event; one whose id came before is ignored."""
        id = event_id(self.values, event, value) if id is None else id  # noqa: A001
        self.engine.signal(self.saga_id, event, id, value)

    def crash(self) -> None:
        """Simulation: let the orchestrator of this run and its children die and start again."""
        assert isinstance(self.engine, MemoryEngine)
        self.engine.crash(self.saga_id)

    def cancel(self) -> None:
        """Ask the run to abort; after its pivot this is refused."""
        if self._escalated():
            self._late.append(m.CancelRequested(self.session.now()))
        else:
            self.engine.request_cancel(self.saga_id)

    def settle(
        self,
        item: m.OpenItem,
        how: m.How,
        value: Any = None,
        *,
        by: str,
        why: str = "",
        child: str | None = None,
    ) -> None:
        """Settle an open item (of `RunResult.owed`) as a person; `by` and `why` go on record.
        `child`: the id of the child saga, at any depth, in which it is open. Await `result` then.

        Raises `SettlementRefusedError`, and KeyError where there is no such child.
        """
        if child is not None and child != self.saga_id:
            place, run = self._towards(child)
            run.settle(item, how, value, by=by, why=why, child=child)
            self._wake(place)
            return
        event = m.Settle(self.session.now(), item.place, item.purpose, how, value, by, why)
        assert self.state is not None
        refused = refusal(self.definition, self.state, event)
        if refused is not None:
            raise SettlementRefusedError(refused)
        if self._escalated():
            self._late.append(event)
        else:
            self._outside.append((event.at, event))
            self.session.spawn(self._arrive(event.at, event))

    def _towards(self, saga_id: str) -> tuple[m.Place, Run]:
        """The child saga that is, or leads to, the one of this id."""
        for place, child in self._children.items():
            if child._knows(saga_id):
                return place, child
        raise KeyError(saga_id)

    def _knows(self, saga_id: str) -> bool:
        inside = self._children.values()
        return self.saga_id == saga_id or any(child._knows(saga_id) for child in inside)

    def _wake(self, place: m.Place) -> None:
        """Let a child saga that has ended go on; its end comes as an event once more."""
        if place not in self._running_children:
            child = self._children[place]
            error = child._undone_for
            self._running_children[place] = error
            assert child.state is not None
            work = child._go_on(child.state, ())
            self.session.spawn(self._child(place, work, child, error is not None))

    def _escalated(self) -> bool:
        return self.state is not None and isinstance(self.state.outcome, m.Escalated)

    async def result(self, sends: Sequence[Send] = (), cancel_after: Ms | None = None) -> RunResult:
        """Run to the end, or until nothing but a person can move it. Awaited once more after the
        end, it gives the same result, or goes on where something was settled since; `sends` and
        `cancel_after` belong to the first time."""
        try:
            if self.state is None or self.state.outcome is None:
                await self._to_the_end(sends, cancel_after)
            elif self._late or self._running_children:
                await self._go_on(self.state, ())
        finally:
            await self._stop()
        assert self.state is not None
        assert self.state.outcome is not None
        engine = self.engine
        kept = engine.recorded() if isinstance(engine, MemoryEngine) else journal.Recorded()
        owed = open_items(self.definition, self.state)
        held = held_back(self.definition, self.state)
        return RunResult(self.saga_id, self.state.outcome, kept, owed, held)

    async def _to_the_end(self, sends: Sequence[Send], cancel_after: Ms | None) -> m.SagaOutcome:
        now = self.session.now()
        for send in sends:
            due = now + send.after
            id_ = event_id(self.values, send.event, send.value) if send.id is None else send.id
            self._outside.append((due, m.EventReceived(due, send.event, id_, send.value)))
        if cancel_after is not None:
            self._outside.append((now + cancel_after, m.CancelRequested(now + cancel_after)))
        self._expect_outside()
        self._record(journal.SagaStarted, saga=self.definition.saga.name, args=self.args)
        state, commands = start(self.definition, self.saga_id, self.args, now)
        return await self._go_on(state, commands)

    async def undo(self, error: Failure) -> m.SagaOutcome:
        """Compensate this run after it completed: the parent of a child saga does so."""
        assert self.state is not None
        self._undone_for = error
        request = m.UndoRequested(self.session.now(), error)
        state, commands = advance(self.definition, self.state, request)
        return await self._go_on(state, commands)

    async def _go_on(self, state: State, commands: tuple[m.Command, ...]) -> m.SagaOutcome:
        while True:
            self.state = state
            for command in commands:
                self._carry_out(command)
            if self._late:
                event: m.Event | Crash = self._late.pop(0)
            elif state.phase is Phase.OVER and not self._running_children:
                assert state.outcome is not None
                return state.outcome
            else:
                event = await self.session.next()
            if isinstance(event, Crash):
                await self._restart()
                commands = ()
            elif self._accepts(event):
                state, commands = advance(self.definition, state, event)
            else:
                commands = ()

    # --- Crashes -------------------------------------------------------------------------------

    async def _stop(self) -> None:
        # From the outside in: a child that still ran could start something new.
        await self.session.close()
        for child in self._children.values():
            await child._stop()

    async def _restart(self) -> None:
        """Lose everything under way and go on from what is on record.

        The state is what replaying the recorded events would give. A call without a recorded
        outcome is unknown; timers and what the world sends are found where they were.
        """
        await self._stop()
        self._resume()

    def _resume(self) -> None:
        self._record(journal.Restarted)
        for flying in self._flying.values():
            renewed = Interruption()
            if flying.interruption.is_set():
                renewed.set()
            flying.interruption = renewed
            self.session.spawn(self._call(flying, resumed=True))
        for (place, timer), (_, until) in tuple(self._timers.items()):
            self._sleep(place, timer, until)
        self._expect_outside()
        for place, error in self._running_children.items():
            child = self._children[place]
            undo = error is not None
            self.session.spawn(self._child(place, child._resumed(error), child, undo))

    async def _resumed(self, undo: Failure | None) -> m.SagaOutcome:
        """A child saga, continued after its parent's orchestrator died."""
        if self.state is None:
            return await self._to_the_end((), None)
        if undo is not None and self.state.phase is Phase.OVER:
            return await self.undo(undo)
        self._resume()
        return await self._go_on(self.state, ())

    def _expect_outside(self) -> None:
        for due, event in self._outside:
            self.session.spawn(self._arrive(due, event))

    async def _arrive(self, due: Ms, event: m.Event) -> m.Event:
        await self.session.sleep(due)
        self._outside.remove((due, event))
        return event

    def _accepts(self, event: m.Event) -> bool:
        match event:
            case m.TimerFired(place=place, timer=timer):
                # One that fired in the moment it was stopped is none of the machine's business.
                return self._timers.pop((place, timer), None) is not None
            case m.EventReceived(event=name, id=id_, value=value):
                self._record(journal.EventAccepted, event=name, id=id_, value=value)
            case m.CancelRequested():
                self._record(journal.CancelAsked)
            case m.Settle(place=place, purpose=purpose, how=how, value=value, by=by, why=why):
                self._record(
                    journal.Settlement,
                    place=place,
                    purpose=purpose,
                    how=how.value,
                    by=by,
                    why=why,
                    value=value,
                )
            case _:
                pass
        return True

    # --- Commands ------------------------------------------------------------------------------

    def _carry_out(self, command: m.Command) -> None:
        match command:
            case m.RunCall():
                flying = _Flying(command, Interruption(), self.session.now())
                self._flying[command.place, command.purpose] = flying
                self.session.spawn(self._call(flying))
            case m.Interrupt(place, purpose):
                found = self._flying.get((place, purpose))
                if found is not None:  # else it has just ended, and its outcome is on its way
                    self._record(journal.Interrupted, place=place, purpose=purpose)
                    found.interruption.set()
            case m.StartTimer():
                self._start_timer(command)
            case m.StopTimer(place, timer):
                started = self._timers.pop((place, timer), None)
                if started is not None:
                    started[0].cancel()
                    self._record(journal.TimerEnded, place=place, timer=timer, stopped=True)
            case m.RunChild():
                self._run_child(command)
            case m.CancelChild(place):
                child = self._children[place]
                child.cancel()
                if child._escalated():
                    self._wake(place)
            case m.UndoChild():
                self._undo_child(command)
            case m.Escalate(item, retrying):
                self._record(journal.EscalationRaised, item=item, retrying=retrying)
            case m.Settled(place, purpose):
                self._record(journal.EscalationSettled, place=place, purpose=purpose)
            case m.AbortStarted(scope, failure):
                self._record(
                    journal.AbortBegan, place=scope, error=failure.name, detail=failure.detail
                )
            case m.Alert(failure, text):
                self._record(journal.Alerted, error=failure.name, text=text)
            case m.Finished(outcome):
                error = outcome.error.name if isinstance(outcome, m.Compensated) else None
                self._record(
                    journal.SagaFinished, kind=outcome_kind(outcome), error=error, value=outcome
                )

    def _record(self, entry: type[journal.Entry], **fields: Any) -> None:
        now = self.session.now()
        self.session.record(entry(at=now, saga_id=self.saga_id, **fields))

    async def _call(self, flying: _Flying, resumed: bool = False) -> m.Event:
        command = flying.command
        operation = self.program.services[command.service].operations[command.operation]
        resolve = command.purpose is m.Purpose.RESOLVE
        known = None
        if command.first_attempt is not None or resumed:
            first = flying.since if command.first_attempt is None else command.first_attempt
            # After a crash the last attempt may have been running until now.
            ended = None if resumed else command.unanswered
            known = calls.recover(self.session.now(), first, ended)
        probe = None
        if command.probe is not None:
            asked = self.program.services[command.probe.service]
            query = asked.operations[command.probe.operation]
            probe = Question(self.values.contract(query), command.probe.args, query.policy)
        config = calls.CallConfig.of(
            operation,
            command.policy,
            deadline=command.deadline,
            resolve=resolve,
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
            known=known,
            resumed=resumed,
        )
        done = await self.session.step(call, flying.interruption)
        del self._flying[command.place, command.purpose]
        outcome = done.outcome
        if isinstance(outcome, Ok):
            outcome = Ok(freeze(outcome.value), outcome.replayed)
        return m.CallEnded(
            self.session.now(), command.place, command.purpose, outcome, done.unanswered
        )

    def _start_timer(self, command: m.StartTimer) -> None:
        until = command.at
        if command.spread:
            until += round(command.spread * self.session.random())
        place, timer = command.place, command.timer
        self._record(journal.TimerStarted, place=place, timer=timer, until=until)
        self._sleep(place, timer, until)

    def _sleep(self, place: m.Place, timer: m.Timer, until: Ms) -> None:
        async def sleep() -> m.Event:
            await self.session.sleep(until)
            self._record(journal.TimerEnded, place=place, timer=timer)
            return m.TimerFired(self.session.now(), place, timer)

        self._timers[place, timer] = (self.session.spawn(sleep()), until)

    # --- Child sagas ---------------------------------------------------------------------------

    def _run_child(self, command: m.RunChild) -> None:
        params = self.program.sagas[command.saga].params
        args = {param.name: arg for param, arg in zip(params, command.args, strict=True)}
        child = Run(self.program, command.saga, args, self.engine, self.values)
        child.session = self.engine.open(command.saga_id, command.saga, child.args)
        self._children[command.place] = child
        self._record(
            journal.ChildStarted,
            place=command.place,
            saga=command.saga,
            child_id=command.saga_id,
        )
        self._running_children[command.place] = None
        self.session.spawn(self._child(command.place, child._to_the_end((), None), child, False))

    def _undo_child(self, command: m.UndoChild) -> None:
        child = self._children[command.place]
        self._record(
            journal.ChildStarted,
            place=command.place,
            saga=command.saga,
            child_id=command.saga_id,
            undo=True,
        )
        self._running_children[command.place] = command.error
        self.session.spawn(self._child(command.place, child.undo(command.error), child, True))

    async def _child(
        self, place: m.Place, work: Coroutine[Any, Any, m.SagaOutcome], child: Run, undo: bool
    ) -> m.Event:
        outcome = await work
        del self._running_children[place]
        self._record(
            journal.ChildFinished,
            place=place,
            child_id=child.saga_id,
            kind=outcome_kind(outcome),
            undo=undo,
        )
        purpose = m.Purpose.COMPENSATE if undo else m.Purpose.STEP
        return m.ChildEnded(self.session.now(), place, purpose, outcome)


def outcome_kind(outcome: m.SagaOutcome) -> str:
    match outcome:
        case m.Completed():
            return "completed"
        case m.Compensated():
            return "compensated"
        case m.Escalated():
            return "escalated"


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
    ValueError (no id), `OtherInputError` (this id runs with other input).
    """
    run = Run(program, saga_name, args, engine, values or Values(program))
    if saga_id is None:
        saga_id = _own_id(run)
    session = engine.open(saga_id, saga_name, run.args)
    if session.owner is None:
        session.owner = run
        run.session = session
    owner: Run = session.owner
    return owner


def _own_id(run: Run) -> str:
    return saga_id(run.definition, run.args, run.engine.now())


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
