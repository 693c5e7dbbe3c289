"""What a compiled saga is made of and how it is run.

    result = await run(PLACE_ORDER(order), engine=engine)

A compiled module imports this module and nothing else of sagalang.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

from sagalang.machine import events as m
from sagalang.machine.events import Compensated, Completed, Escalated, OpenItem
from sagalang.machine.outcomes import Failure
from sagalang.model.program import (
    RELENTLESS,
    Breaker,
    Bulkhead,
    Jitter,
    Ms,
    Policy,
    Promises,
    Rate,
    Retry,
    RetryBudget,
)
from sagalang.runtime import journal
from sagalang.runtime.codec import encode
from sagalang.runtime.engine import Crash, Engine, MemoryEngine, Session
from sagalang.runtime.saga_calls import (
    DEFAULT,
    Call,
    Escalate,
    SagaCall,
    SagaDefinition,
    command,
    param,
    query,
    rejects,
    route,
)
from sagalang.runtime.saga_driver import Driver
from sagalang.runtime.saga_errors import (
    BadValue,
    BulkheadFull,
    Cancelled,
    CircuitOpen,
    ContractMismatch,
    DeadlineExceeded,
    NotDone,
    NotSent,
    RateLimited,
    SagaError,
    Throttled,
    Timeout,
    Unavailable,
    error_name,
    exception,
    translated,
)
from sagalang.runtime.saga_leaves import event_name
from sagalang.runtime.saga_run import Run as _Run
from sagalang.runtime.saga_scope import Saga
from sagalang.runtime.saga_services import Header, Service, connect, http, python
from sagalang.runtime.saga_values import (
    ErrorName,
    divide,
    exactly,
    item,
    largest,
    make_map,
    rounded,
    smallest,
    text,
    to_json,
    value_or,
)

__all__ = [
    "DEFAULT",
    "RELENTLESS",
    "BadValue",
    "Breaker",
    "Bulkhead",
    "BulkheadFull",
    "Call",
    "Cancelled",
    "CircuitOpen",
    "Compensated",
    "Completed",
    "ContractMismatch",
    "DeadlineExceeded",
    "ErrorName",
    "Escalate",
    "Escalated",
    "Header",
    "Jitter",
    "NotDone",
    "NotSent",
    "Policy",
    "Promises",
    "Rate",
    "RateLimited",
    "Retry",
    "RetryBudget",
    "RunResult",
    "Running",
    "Saga",
    "SagaDefinition",
    "SagaError",
    "Send",
    "Service",
    "Throttled",
    "Timeout",
    "Unavailable",
    "begin",
    "command",
    "connect",
    "divide",
    "error_name",
    "event_id",
    "exactly",
    "http",
    "item",
    "largest",
    "main",
    "make_map",
    "param",
    "python",
    "query",
    "rejects",
    "rounded",
    "route",
    "run",
    "smallest",
    "text",
    "to_json",
    "value_or",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """An event to be sent `after` ms from the start. `id`: by default a hash of the content."""

    event: Any
    after: Ms = 0
    id: str | None = None


@dataclass(frozen=True, slots=True)
class RunResult(Generic[T]):
    """`owed`: what a person must settle; empty unless the outcome is escalated."""

    saga_id: str
    outcome: m.SagaOutcome
    recorded: journal.Recorded
    owed: tuple[OpenItem, ...]
    definition: SagaDefinition[..., T]

    @property
    def journal(self) -> tuple[journal.Entry, ...]:
        """The entries of this run and of its child sagas; none where the engine keeps none."""
        return self.recorded.of(self.saga_id)

    @property
    def value(self) -> T:
        """What the saga returned. Raises the error it was compensated for, or `NotDone` where it
        is left to people."""
        match self.outcome:
            case Completed(value):
                found: T = value
                return found
            case Compensated(error):
                raise exception(error, self.definition.errors)
            case _:
                raise NotDone("the saga is escalated: a person must settle it")


def event_id(event: Any) -> str:
    """The id of an event that was given none: a hash of its name and content."""
    name = event_name(type(event))
    return sha256(name.encode() + b"\0" + encode(event, type(event))).hexdigest()


class Running(Generic[T]):
    """A saga being run. `signal` and `cancel` may be called while `result` is awaited."""

    def __init__(self, call: SagaCall[T], engine: Engine, session: Session) -> None:
        self._session = session
        self._driver = Driver(call.definition.name, engine, session, self._begin_child)
        self._run = _Run(call, self._driver)
        self._started = False

    @property
    def saga_id(self) -> str:
        return self._session.saga_id

    @property
    def call(self) -> SagaCall[Any]:
        return self._run.call

    def signal(self, event: Any, id: str | None = None) -> None:  # noqa: A002
        """Send the run an event; one whose id came before is ignored."""
        name = event_name(type(event))
        given = event_id(event) if id is None else id
        self._driver.engine.signal(self.saga_id, name, given, event)

    def cancel(self) -> None:
        """Ask the run to abort; after its pivot this is refused."""
        self._driver.engine.request_cancel(self.saga_id)

    async def result(
        self, sends: Sequence[Send] = (), cancel_after: Ms | None = None
    ) -> RunResult[T]:
        """Run to the end, or until nothing but a person can move it. Awaited once more after the
        end, it gives the same result; `sends` and `cancel_after` belong to the first time."""
        if self._run.outcome is None:
            try:
                await self.to_the_end(sends, cancel_after)
            finally:
                await self.stop()
        assert self._run.outcome is not None
        engine = self._driver.engine
        kept = engine.recorded() if isinstance(engine, MemoryEngine) else journal.Recorded()
        return RunResult(
            self.saga_id,
            self._run.outcome,
            kept,
            self._run.open_items(),
            self._run.definition,
        )

    async def to_the_end(
        self, sends: Sequence[Send] = (), cancel_after: Ms | None = None
    ) -> m.SagaOutcome:
        now = self._session.now()
        outside: list[tuple[Ms, m.Event]] = []
        for send in sends:
            due = now + send.after
            given = event_id(send.event) if send.id is None else send.id
            name = event_name(type(send.event))
            outside.append((due, m.EventReceived(due, name, given, send.event)))
        if cancel_after is not None:
            outside.append((now + cancel_after, m.CancelRequested(now + cancel_after)))
        self._driver.expect(outside)
        call = self.call
        self._driver.record(journal.SagaStarted, saga=call.definition.name, args=call.recorded)
        self._started = True
        self._closing(self._run.start)
        return await self._go_on()

    async def _go_on(self) -> m.SagaOutcome:
        while self._run.outcome is None:
            event = await self._session.next()
            if isinstance(event, Crash):
                await self.stop()
                self._driver.resume()
            elif self._driver.accepts(event):
                self._closing(self._run.event, event)
        return self._run.outcome

    def _closing(self, work: Callable[..., None], *args: Any) -> None:
        """A bug in the saga's text ends the run; its coroutines must not linger."""
        try:
            work(*args)
        except BaseException:
            self._run.close()
            raise

    async def stop(self) -> None:
        await self._driver.stop()

    # --- As a child ----------------------------------------------------------------------------

    def _begin_child(self, call: SagaCall[Any], saga_id: str) -> Running[Any]:
        engine = self._driver.engine
        session = engine.open(saga_id, call.definition.name, call.recorded)
        return Running(call, engine, session)

    async def undo(self, error: Failure) -> m.SagaOutcome:
        """Compensate this run after it completed: the parent of a child saga does so."""
        self._run.event(m.UndoRequested(self._session.now(), error))
        return await self._go_on()

    async def resumed(self, undo: Failure | None) -> m.SagaOutcome:
        """Go on after the parent's orchestrator died."""
        if not self._started:
            return await self.to_the_end()
        if undo is not None and self._run.outcome is not None:
            return await self.undo(undo)
        self._driver.resume()
        return await self._go_on()


def begin(call: SagaCall[T], *, engine: Engine, saga_id: str | None = None) -> Running[T]:
    """A run of the saga, not yet started: await its `result`.

    `saga_id`: by default what the saga's `id` gives. Raises `BadValue` (the id has no value),
    ValueError (no id), `OtherInputError` (this id runs with other input).
    """
    if saga_id is None:
        saga_id = _own_id(call)
    session = engine.open(saga_id, call.definition.name, call.recorded)
    if session.owner is None:
        session.owner = Running(call, engine, session)
    owner: Running[T] = session.owner
    return owner


def _own_id(call: SagaCall[Any]) -> str:
    give = call.definition.id
    if give is None:
        raise ValueError(f"saga {call.definition.name} has no id of its own")
    try:
        return text(exactly(lambda: give(**call.args)))
    except Exception as raised:
        error = translated(raised)
        if error is None or error is raised:
            raise
        raise error from raised


async def run(
    call: SagaCall[T],
    *,
    engine: Engine,
    saga_id: str | None = None,
    sends: Sequence[Send] = (),
    cancel_after: Ms | None = None,
) -> RunResult[T]:
    """Run a saga to its end; see `begin` for the arguments and errors."""
    begun = begin(call, engine=engine, saga_id=saga_id)
    return await begun.result(sends, cancel_after)


def main(sagas: Sequence[SagaDefinition[..., Any]], services: Sequence[Service]) -> int:
    """The command line of a compiled module; see `saga_main`."""
    from sagalang.runtime.saga_main import main as run_main

    return run_main(sagas, services)
