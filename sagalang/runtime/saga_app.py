"""Compiled sagas in an application that serves: start them, send them events, look at them.

async with serving(SERVICES, os.environ) as runs:
    order_id = runs.start(PLACE_ORDER(order))
    runs.signal(order_id, Review(verdict=Verdict.Approved, by="eve"))
    runs.inspect(order_id).state
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

from sagalang.machine.events import Compensated, Completed, How, OpenItem, Place, Purpose
from sagalang.runtime import journal, words
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.driven import SettlementRefusedError
from sagalang.runtime.earlier import Earlier, EarlierRunError
from sagalang.runtime.engine import (
    Engine,
    EngineError,
    MemoryEngine,
    NoSuchRunError,
    OtherInputError,
)
from sagalang.runtime.logs import log
from sagalang.runtime.observers import Observer, observers
from sagalang.runtime.saga import BadValue, Running, RunResult, begin, connect, event_id
from sagalang.runtime.saga_calls import SagaCall, SagaDefinition
from sagalang.runtime.saga_services import Service
from sagalang.runtime.saga_statements import given
from sagalang.runtime.transport import Transport

__all__ = [
    "BadValue",
    "EarlierRunError",
    "EngineError",
    "How",
    "NoSuchRunError",
    "OtherInputError",
    "Owed",
    "RunOverError",
    "RunView",
    "Runs",
    "SettlementRefusedError",
    "State",
    "serving",
]

logger: Final = logging.getLogger("sagalang.app")

GRACE: Final = 10.0
"""Seconds that runs under way are given to end when the application stops."""


class RunOverError(EngineError):
    """The run has ended: it takes in no more events."""


class State(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    ESCALATED = "escalated"
    """A person is needed; it may still be under way."""


@dataclass(frozen=True, slots=True)
class Owed:
    """What a person must settle: the operation, the name of its error, and who is asked. `at` is
    its place in the saga's text (`hold[tea]`: in the iteration `tea`), `run` the id of the run in
    which it is open: this one, or that of a saga that it runs as a step."""

    step: str
    error: str
    team: str
    at: str
    run: str


@dataclass(frozen=True, slots=True)
class RunView:
    """A run at a moment. `value`: what a completed saga returned. `error`: the name of the error
    of a compensated one; the fields of errors stay out, for they may be secret."""

    saga_id: str
    state: State
    value: Any = None
    error: str | None = None
    owed: tuple[Owed, ...] = ()


class Runs:
    """The runs of an application, on an engine made by `make_engine`, which is given the observer
    to tell. Not for use by several threads: all methods belong to the event loop."""

    def __init__(self, make_engine: Callable[[Observer], Engine], observer: Observer = log) -> None:
        self._open = _OpenItems()
        self._engine = make_engine(Earlier().guarded(observers(self._open, observer)))
        self._stopped = False
        self._runs: dict[str, tuple[Running[Any], asyncio.Task[RunResult[Any]]]] = {}
        self._sent: dict[tuple[str, str], Any] = {}

    def start(self, call: SagaCall[Any], saga_id: str | None = None) -> str:
        """Start the saga, and return the run's id: by default what the saga's `id` gives.

        The same id is the same run: where it was started before with the same input, nothing
        happens. Raises `OtherInputError` (it runs, or ran, with other input), `BadValue` (the id
        has no value), ValueError (the saga has no id), `EngineError` (the id is empty, or
        the application has stopped).
        """
        if self._stopped:
            raise EngineError("the application has stopped: it starts no more sagas")
        running = begin(call, engine=self._engine, saga_id=saga_id)
        if running.saga_id not in self._runs:
            self._go_on(running)
        return running.saga_id

    def signal(self, saga_id: str, event: Any, id: str | None = None) -> None:  # noqa: A002
        """Send a run an event; one that comes before the saga waits for it is kept.

        The same `id` (by default a hash of the content) is the same event: sent again, also after
        the end, it changes nothing. Raises `NoSuchRunError`, `RunOverError`, `OtherInputError`
        (the id was that of an event with other content), TypeError (the saga waits for no event
        of this class).
        """
        running, task = self._run(saga_id)
        _check_event(event, running.call.definition)
        name = saga_id, event_id(event) if id is None else id
        if name in self._sent:
            if self._sent[name] != event:
                raise OtherInputError(f"{saga_id} was sent another event of this id")
            return
        if task.done():
            raise RunOverError(f"{saga_id} is over")
        running.signal(event, name[1])
        self._sent[name] = event

    def cancel(self, saga_id: str) -> None:
        """Ask a run to abort and undo, also one that waits for people; past its pivot it goes on.
        Raises `NoSuchRunError`, `RunOverError`."""
        running = self._reached(saga_id)
        running.cancel()
        self._wake(running)

    def settle(
        self, saga_id: str, owed: Owed, how: How, value: Any = None, *, by: str, why: str = ""
    ) -> None:
        """Settle what a run owes (one of `inspect(saga_id).owed`) as a person; the run goes on.

        `Retry`: once more. `Done`: it happened, and gave `value`, or was undone by hand. `Not
        done`: it did not happen and will not, or will not be undone. `by` and `why` go on record.
        Raises `NoSuchRunError`, `RunOverError`, and `SettlementRefusedError` where the answer
        does not fit what is open.
        """
        running = self._reached(saga_id)
        item = self._open.find(owed)
        if item is None:
            raise SettlementRefusedError(f"{owed.at} is not open: there is nothing to settle")
        running.settle(item, how, value, by=by, why=why, child=owed.run)
        self._wake(running)

    def inspect(self, saga_id: str) -> RunView:
        """A run as it stands. Raises `NoSuchRunError`, `EarlierRunError` (an earlier process ran
        it, and may have completed what this one would have to undo: nothing was undone),
        `EngineError` (it was given up when the application stopped), and whatever else stopped it,
        which is never an outcome of the saga."""
        _, task = self._run(saga_id)
        owed = self._open.of(saga_id)
        if not task.done():
            return RunView(saga_id, State.ESCALATED if owed else State.RUNNING, owed=owed)
        if task.cancelled():
            raise EngineError(f"{saga_id} was given up when the application stopped")
        match task.result().outcome:
            case Completed(value):
                return RunView(saga_id, State.COMPLETED, value=value)
            case Compensated(error):
                return RunView(saga_id, State.COMPENSATED, error=error.name)
            case _:
                return RunView(saga_id, State.ESCALATED, owed=owed)

    async def stop(self, grace: float = GRACE) -> tuple[str, ...]:
        """Wait for the runs under way, at most `grace` seconds, then end what is left of them and
        return their ids. What those did is not undone."""
        self._stopped = True
        try:
            if under_way := [task for _, task in self._runs.values() if not task.done()]:
                await asyncio.wait(under_way, timeout=grace)
        finally:
            left = {id_: task for id_, (_, task) in self._runs.items() if not task.done()}
            for task in left.values():
                task.cancel()
        await asyncio.gather(*left.values(), return_exceptions=True)
        return tuple(left)

    def _go_on(self, running: Running[Any]) -> None:
        task = asyncio.create_task(running.result(), name=f"saga {running.saga_id}")
        task.add_done_callback(_say_if_stopped)
        task.add_done_callback(lambda task: self._ended(running, task))
        self._runs[running.saga_id] = running, task

    def _ended(self, running: Running[Any], task: asyncio.Task[RunResult[Any]]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if not failed and running.session.waiting():
            self._wake(running)  # something came while it was ending

    def _wake(self, running: Running[Any]) -> None:
        """Let a run go on that had ended: something came for it."""
        _, task = self._runs[running.saga_id]
        if task.done() and not self._stopped:
            self._go_on(running)

    def _reached(self, saga_id: str) -> Running[Any]:
        """A run that is under way, or waits for people."""
        running, task = self._run(saga_id)
        if task.done() and (self._stopped or not self._open.of(saga_id)):
            raise RunOverError(f"{saga_id} is over")
        return running

    def _run(self, saga_id: str) -> tuple[Running[Any], asyncio.Task[RunResult[Any]]]:
        try:
            return self._runs[saga_id]
        except KeyError:
            raise NoSuchRunError(f"there is no run {saga_id}") from None


@asynccontextmanager
async def serving(
    services: Iterable[Service[Any]],
    environ: Mapping[str, str],
    *,
    own: Mapping[str, Transport] | None = None,
    folder: str = "",
    observer: Observer = log,
    grace: float = GRACE,
) -> AsyncIterator[Runs]:
    """Runs in the memory of this process while the body runs; for the lifespan of an application.

    Afterwards the runs under way have `grace` seconds to end; the others are lost, and named in
    the log (`sagalang.app`). `own` and `folder` as for `connect`, which says what it raises.
    """
    transport = connect(services, environ, own=own, folder=folder)
    try:
        draw = random.SystemRandom().random
        runs = Runs(lambda told: MemoryEngine(SystemClock(), transport, draw, told), observer)
        try:
            yield runs
        finally:
            lost = await runs.stop(grace)
            if lost:
                ids = ", ".join(map(words.printable, lost))
                logger.error("lost, for this engine keeps runs in memory only: %s", ids)
    finally:
        await transport.aclose()


def _say_if_stopped(task: asyncio.Task[RunResult[Any]]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        # Only the name: the text of an exception may show what the saga works with.
        name = words.printable(task.get_name())
        logger.error("%s was stopped by %s", name, type(error).__name__)


def _check_event(event: Any, saga: SagaDefinition[..., Any]) -> None:
    awaited = _awaited(saga)
    if type(event) not in awaited:
        names = " or ".join(sorted(each.__name__ for each in awaited)) or "no event"
        shown = event if isinstance(event, type) else type(event)
        what = "the class" if isinstance(event, type) else "an instance of"
        raise TypeError(f"{saga.name} waits for {names}: {what} {shown.__name__} is none")


@cache
def _awaited(saga: SagaDefinition[..., Any]) -> frozenset[type]:
    """The events that a saga waits for, or one that it runs as a step."""
    found = tuple(given(saga).values())
    inside = (_awaited(each) for each in found if isinstance(each, SagaDefinition))
    return frozenset(each for each in found if isinstance(each, type)).union(*inside)


class _OpenItems:
    """An observer that knows what is open, of each run and its child sagas."""

    def __init__(self) -> None:
        self._items: dict[str, dict[tuple[Place, Purpose], OpenItem]] = {}
        self._children: dict[str, list[str]] = {}

    def __call__(self, entry: journal.Entry) -> None:
        items = self._items.get(entry.saga_id, {})
        match entry:
            case journal.EscalationRaised(saga_id=saga_id, item=item):
                self._items.setdefault(saga_id, {})[item.place, item.purpose] = item
            case journal.EscalationSettled(place=place, purpose=purpose):
                items.pop((place, purpose), None)
            case journal.AbortBegan(place=Place(path="")):
                items.clear()  # closed: from here on it is undone
            case journal.ChildStarted(saga_id=saga_id, child_id=child):
                self._children.setdefault(saga_id, []).append(child)
            case _:
                pass

    def of(self, saga_id: str) -> tuple[Owed, ...]:
        own = self._items.get(saga_id, {}).values()
        children = dict.fromkeys(self._children.get(saga_id, ()))
        return (
            *(_owed(saga_id, item) for item in own),
            *(owed for child in children for owed in self.of(child)),
        )

    def find(self, owed: Owed) -> OpenItem | None:
        items = self._items.get(owed.run, {}).values()
        return next((item for item in items if str(item.place) == owed.at), None)


def _owed(saga_id: str, item: OpenItem) -> Owed:
    return Owed(item.label, item.failure.name, item.team, str(item.place), saga_id)
