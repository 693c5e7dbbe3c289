"""What a compiled saga is made of and how it is run.

    result = await run(PLACE_ORDER(order), engine=engine)

A compiled module imports this module and nothing else of sagalang.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Generic, TypeVar

from sagalang.machine import events as m
from sagalang.machine.events import Compensated, Completed, Escalated, How, OpenItem
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
from sagalang.runtime.data import Secret
from sagalang.runtime.driven import Driven, SettlementRefusedError
from sagalang.runtime.engine import Engine, MemoryEngine, Session, named
from sagalang.runtime.saga_calls import (
    DEFAULT,
    Call,
    Escalate,
    SagaCall,
    SagaDefinition,
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
from sagalang.runtime.saga_operations import command, query
from sagalang.runtime.saga_run import Run as _Run
from sagalang.runtime.saga_scope import Saga
from sagalang.runtime.saga_services import Header, Service, connect, http, python
from sagalang.runtime.saga_settle import refusal
from sagalang.runtime.saga_strands import standing
from sagalang.runtime.saga_traces import tell
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
    "How",
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
    "SagaCall",
    "SagaDefinition",
    "SagaError",
    "Secret",
    "Send",
    "Service",
    "SettlementRefusedError",
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
    "python",
    "query",
    "rounded",
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
    failed_at: str = ""
    """The place in the saga's text (`order.saga:59`) of what stopped it."""

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
                raised = exception(error, self.definition.errors)
                tell(raised, self.failed_at)
                raise raised
            case _:
                raise NotDone("the saga is escalated: a person must settle it")


def event_id(event: Any) -> str:
    """The id of an event that was given none: a hash of its name and content."""
    name = event_name(type(event))
    return sha256(name.encode() + b"\0" + encode(event, type(event))).hexdigest()


class Running(Driven, Generic[T]):
    """A saga being run. `signal`, `cancel` and `settle` may be called while `result` is awaited;
    after a run ended escalated, `cancel` and `settle` let `result` go on."""

    _driver: Driver

    def __init__(self, call: SagaCall[T], engine: Engine, session: Session) -> None:
        driver = Driver(call.definition.name, engine, session, partial(_open_child, engine))
        super().__init__(engine, session, driver)
        self.call: SagaCall[Any] = call
        self._run = _Run(call, driver)

    @property
    def outcome(self) -> m.SagaOutcome | None:
        return self._run.outcome

    @property
    def standing_at(self) -> tuple[str, ...]:
        """The places in the saga's text (`order.saga:59`) at which it waits right now, or from
        which it went back."""
        return standing(self._run.root) or tuple(filter(None, [self._run.failed_at]))

    def signal(self, event: Any, id: str | None = None) -> None:  # noqa: A002
        """Send the run an event; one whose id came before is ignored."""
        name = event_name(type(event))
        given = event_id(event) if id is None else id
        self.engine.signal(self.saga_id, name, given, event)

    async def result(
        self, sends: Sequence[Send] = (), cancel_after: Ms | None = None
    ) -> RunResult[T]:
        """Run to the end, or until nothing but a person can move it. Awaited once more after the
        end, it gives the same result, or goes on where something was settled since; `sends` and
        `cancel_after` belong to the first time."""
        now = self.session.now()
        outside: list[tuple[Ms, m.EventReceived | m.CancelRequested]] = []
        for send in sends:
            due = now + send.after
            given = event_id(send.event) if send.id is None else send.id
            name = event_name(type(send.event))
            outside.append((due, m.EventReceived(due, name, given, send.event)))
        if cancel_after is not None:
            outside.append((now + cancel_after, m.CancelRequested(now + cancel_after)))
        try:
            outcome = await self.run(outside)
        except Exception as raised:
            tell(raised, *standing(self._run.root))
            raise
        kept = (
            self.engine.recorded() if isinstance(self.engine, MemoryEngine) else journal.Recorded()
        )
        return RunResult(
            self.saga_id,
            outcome,
            kept,
            self._run.open_items(),
            self._run.definition,
            self._run.failed_at,
        )

    # --- The machine ---------------------------------------------------------------------------

    def _refusal(self, event: m.Settle) -> str | None:
        return refusal(self._run, event)

    def _input(self) -> tuple[str, Mapping[str, Any]]:
        return self.call.definition.name, self.call.recorded

    def _renew(self) -> None:
        self._run.close()
        self._run = _Run(self.call, self._driver)

    def _start(self, at: Ms) -> None:
        self._closing(self._run.start, at)

    def _take(self, event: m.Event) -> None:
        self._closing(self._run.event, event)

    def _closing(self, work: Callable[..., None], *args: Any) -> None:
        """A bug in the saga's text ends the run; its coroutines must not linger."""
        try:
            work(*args)
        except BaseException as raised:
            tell(raised)
            self._run.close()
            raise


def _open_child(engine: Engine, call: SagaCall[Any], saga_id: str) -> Running[Any]:
    session = engine.open(saga_id, call.definition.name, call.recorded)
    return Running(call, engine, session)


def begin(call: SagaCall[T], *, engine: Engine, saga_id: str | None = None) -> Running[T]:
    """A run of the saga, not yet started: await its `result`.

    `saga_id`: by default what the saga's `id` gives. Raises `BadValue` (the id has no value),
    ValueError (no id), `EmptyIdError`, `OtherInputError` (this id runs with other input).
    """
    if saga_id is None:
        saga_id = own_id(call)
    session = engine.open(named(saga_id), call.definition.name, call.recorded)
    owner: Running[T] | None = session.owner
    if owner is None:
        owner = session.owner = Running(call, engine, session)
    return owner


def own_id(call: SagaCall[Any]) -> str:
    """What the saga's `id` gives. Raises `BadValue`, ValueError (it has none)."""
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


def main(
    sagas: Sequence[SagaDefinition[..., Any]],
    services: Sequence[Service[Any]],
    *,
    events: Sequence[type] = (),
) -> int:
    """The command line of a compiled module; see `saga_main`."""
    from sagalang.runtime.saga_main import main as run_main

    return run_main(sagas, services, events=events)
