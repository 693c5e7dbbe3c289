"""The runs of an application: started, signalled, settled, looked at.

Where they are kept is a shelf's to say: the memory of this process, or a journal file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, Protocol

from sagalang.machine.events import Compensated, Completed, How, SagaOutcome
from sagalang.runtime import words
from sagalang.runtime.driven import SettlementRefusedError
from sagalang.runtime.earlier import Earlier
from sagalang.runtime.engine import (
    Engine,
    EngineError,
    NoSuchRunError,
    OtherInputError,
    named,
)
from sagalang.runtime.entry_codec import EntryError
from sagalang.runtime.logs import log
from sagalang.runtime.observers import Observer, observers
from sagalang.runtime.saga import Running, RunResult, begin, event_id, own_id
from sagalang.runtime.saga_account import UNKNOWN, Account, Owed
from sagalang.runtime.saga_calls import SagaCall, SagaDefinition
from sagalang.runtime.saga_durable import Found, RunOverError
from sagalang.runtime.saga_statements import given
from sagalang.runtime.sqlite import Run as Row

logger: Final = logging.getLogger("sagalang.app")

GRACE: Final = 10.0
"""Seconds that what is under way is given to end when the application stops."""
_TURN: Final = 0.01


class State(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    ESCALATED = "escalated"
    """A person is needed; it may still be under way."""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run at a moment. `value`: what a completed saga returned. `error`: the name of the error
    of a compensated one; the fields of errors stay out, for they may be secret."""

    saga_id: str
    state: State
    value: Any = None
    error: str | None = None
    owed: tuple[Owed, ...] = ()


class Shelf(Protocol):
    """Where runs are kept: in memory, or in a journal file (`saga_durable.Keeping`)."""

    @property
    def lasting(self) -> bool:
        """Whether what has ended can be read again from here."""
        ...

    def begin(self, call: SagaCall[Any], saga_id: str) -> Running[Any]: ...

    def ended(self, call: SagaCall[Any], saga_id: str) -> bool: ...

    def recall(self, saga_id: str) -> Running[Any]: ...

    def account(self, saga_id: str) -> tuple[SagaDefinition[..., Any], Account]: ...

    def unfinished(self) -> Iterable[Row]: ...

    async def committed(self) -> None:
        """Return when all that was recorded so far will be there after a crash."""
        ...


class InMemory:
    """Runs in the memory of this process: it knows none but those that are run now."""

    lasting: Final = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, call: SagaCall[Any], saga_id: str) -> Running[Any]:
        return begin(call, engine=self._engine, saga_id=saga_id)

    def ended(self, call: SagaCall[Any], saga_id: str) -> bool:
        return False

    def recall(self, saga_id: str) -> Running[Any]:
        raise NoSuchRunError(f"there is no run {saga_id}")

    def account(self, saga_id: str) -> tuple[SagaDefinition[..., Any], Account]:
        raise NoSuchRunError(f"there is no run {saga_id}")

    def unfinished(self) -> Iterable[Row]:
        return ()

    async def committed(self) -> None: ...


@dataclass(eq=False)
class _Live:
    """A run that is in memory."""

    running: Running[Any]
    task: asyncio.Task[RunResult[Any]]


class Runs:
    """The runs of an application. `make_shelf` is given the observer to tell, and what to tell of
    a run that goes on. Not for use by several threads: all methods belong to the event loop."""

    def __init__(
        self, make_shelf: Callable[[Observer, Found], Shelf], observer: Observer = log
    ) -> None:
        earlier = Earlier()
        self._account = Account()
        told = observers(self._account, observer)
        self._shelf = make_shelf(earlier.guarded(told), earlier.found)
        self._stopped = False
        self._live: dict[str, _Live] = {}

    async def start(self, call: SagaCall[Any], saga_id: str | None = None) -> str:
        """Start the saga, and return the run's id once it is on record: by default what the
        saga's `id` gives.

        The same id is the same run: where it was started before with the same input, nothing
        happens. Raises `OtherInputError` (it runs, or ran, with other input), `BadValue` (the id
        has no value), ValueError (the saga has no id), `OtherDefinitionError` (another version of
        the saga began it), `EngineError` (the id is empty, or the application has stopped),
        `StoreError`, and whatever else has stopped the run.
        """
        self._check_open()
        saga_id = named(own_id(call) if saga_id is None else saga_id)
        if saga_id not in self._live and self._shelf.ended(call, saga_id):
            return saga_id
        running = self._shelf.begin(call, saga_id)
        live = self._live.get(saga_id) or self._go_on(running)
        await live.running.stands.wait()
        if live.task.done() and not live.task.cancelled():
            live.task.result()  # raises what stopped it
        await self._shelf.committed()
        return saga_id

    def go_on(self) -> None:
        """Go on with all that an earlier process left unfinished."""
        for row in self._shelf.unfinished():
            try:
                self._recall(row.id)
            except (EngineError, EntryError) as problem:
                logger.error("%s is left as it is: %s", words.printable(row.id), problem)

    async def signal(self, saga_id: str, event: Any, id: str | None = None) -> None:  # noqa: A002
        """Send a run an event, and return once it is on record; one that comes before the saga
        waits for it is kept.

        The same `id` (by default a hash of the content) is the same event: sent again, also after
        the end, it changes nothing. Raises `NoSuchRunError`, `RunOverError`, `OtherInputError`
        (the id was that of an event with other content), TypeError (the saga waits for no event
        of this class), `StoreError`.
        """
        saga, account = self._known(saga_id)
        _check_event(event, saga)
        name = event_id(event) if id is None else id
        before = account.event(saga_id, name)
        if before is not UNKNOWN:
            if before != event:
                raise OtherInputError(f"{saga_id} was sent another event of this id")
            await self._shelf.committed()
            return
        live = self._live.get(saga_id)
        if live is None or live.task.done():
            raise _over(saga_id, live)
        self._check_open()
        live.running.signal(event, name)
        await self._shelf.committed()

    async def cancel(self, saga_id: str) -> None:
        """Ask a run to abort and undo, also one that waits for people; past its pivot it goes on.
        Raises `NoSuchRunError`, `RunOverError`, `OtherDefinitionError`, `StoreError`."""
        running = await self.reached(saga_id)
        running.cancel()
        self.wake(running)
        await self._shelf.committed()

    async def settle(
        self, saga_id: str, owed: Owed, how: How, value: Any = None, *, by: str, why: str = ""
    ) -> None:
        """Settle what a run owes (one of `inspect(saga_id).owed`) as a person; the run goes on.

        `Retry`: once more. `Done`: it happened, and gave `value`, or was undone by hand. `Not
        done`: it did not happen and will not, or will not be undone. `by` and `why` go on record.
        Raises `NoSuchRunError`, `RunOverError`, `OtherDefinitionError`, `StoreError`, and
        `SettlementRefusedError` where the answer does not fit what is open.
        """
        running = await self.reached(saga_id)
        item = self._account.find(owed)
        if item is None:
            raise SettlementRefusedError(f"{owed.at} is not open: there is nothing to settle")
        running.settle(item, how, value, by=by, why=why, child=owed.run)
        self.wake(running)
        await self._shelf.committed()

    def inspect(self, saga_id: str) -> RunView:
        """A run as it stands, also one that ended before this process began. Raises
        `NoSuchRunError`, `EarlierRunError` (an earlier process ran it without a journal, and may
        have completed what this one would have to undo: nothing was undone),
        `OtherDefinitionError` (another version of the saga began it, and did not finish it),
        `EngineError` (it was given up when the application stopped), `StoreError`, and whatever
        else stopped it, which is never an outcome of the saga."""
        _, account = self._known(saga_id)
        owed, live = account.owed(saga_id), self._live.get(saga_id)
        if live is None:
            return _view(saga_id, account.outcome(saga_id), owed)
        if not live.task.done():
            return RunView(saga_id, State.ESCALATED if owed else State.RUNNING, owed=owed)
        if live.task.cancelled():
            raise EngineError(f"{saga_id} was given up when the application stopped")
        return _view(saga_id, live.task.result().outcome, owed)

    async def stop(self, grace: float = GRACE) -> tuple[str, ...]:
        """Wait for what is under way, at most `grace` seconds, then end what is left of it and
        return the ids of those runs. In memory that is all runs, and what those left did is not
        undone; of a journal file it is the calls: the runs go on later where they were."""
        self._stopped = True
        now = asyncio.get_running_loop().time
        until = now() + grace
        turn = _TURN if self._shelf.lasting else grace
        try:
            while (waited := self._waited_for()) and (left := until - now()) > 0:
                await asyncio.wait(waited, timeout=min(left, turn))
        finally:
            unfinished = {id_: e.task for id_, e in self._live.items() if not e.task.done()}
            for task in unfinished.values():
                task.cancel()
        await asyncio.gather(*unfinished.values(), return_exceptions=True)
        return tuple(unfinished)

    # --- What stands in memory -----------------------------------------------------------------

    async def reached(self, saga_id: str) -> Running[Any]:
        """A run that is under way, or waits for people. Raises as `cancel` does."""
        live = self._live.get(saga_id)
        if live is None:
            self._check_open()
            live = self._recall(saga_id)
        await live.running.stands.wait()
        if live.task.done() and (self._stopped or not self._account.owed(saga_id)):
            raise _over(saga_id, live)
        return live.running

    def wake(self, running: Running[Any]) -> None:
        """Let a run go on that had ended: something came for it."""
        live = self._live.get(running.saga_id)
        if not self._stopped and (live is None or live.task.done()):
            self._go_on(running)

    def _waited_for(self) -> list[asyncio.Task[RunResult[Any]]]:
        under_way = [live for live in self._live.values() if not live.task.done()]
        return [e.task for e in under_way if not self._shelf.lasting or e.running.calling]

    def _known(self, saga_id: str) -> tuple[SagaDefinition[..., Any], Account]:
        live = self._live.get(saga_id)
        if live is not None:
            return live.running.call.definition, self._account
        return self._shelf.account(saga_id)

    def _recall(self, saga_id: str) -> _Live:
        running = self._shelf.recall(saga_id)
        self._account.take(self._shelf.account(saga_id)[1])
        return self._go_on(running)

    def _go_on(self, running: Running[Any]) -> _Live:
        task = asyncio.create_task(running.result(), name=f"saga {running.saga_id}")
        live = self._live[running.saga_id] = _Live(running, task)
        task.add_done_callback(_say_if_stopped)
        task.add_done_callback(lambda task: self._ended(live))
        return live

    def _ended(self, live: _Live) -> None:
        running, task = live.running, live.task
        running.stands.set()  # or nobody will
        if task.cancelled() or task.exception() is not None:
            return
        if not running.idle:
            self.wake(running)  # something came while it was ending
        elif self._shelf.lasting and not self._account.owed(running.saga_id):
            del self._live[running.saga_id]
            self._account.forget(running.saga_id)

    def _check_open(self) -> None:
        if self._stopped:
            raise EngineError("the application has stopped: it starts no more sagas")


def _over(saga_id: str, live: _Live | None) -> BaseException:
    """Why a run takes nothing any more."""
    stopped_by = None if live is None or live.task.cancelled() else live.task.exception()
    return stopped_by or RunOverError(f"{saga_id} is over")


def _view(saga_id: str, outcome: SagaOutcome | None, owed: tuple[Owed, ...]) -> RunView:
    match outcome:
        case None:
            return RunView(saga_id, State.RUNNING)
        case Completed(value):
            return RunView(saga_id, State.COMPLETED, value=value)
        case Compensated(error):
            return RunView(saga_id, State.COMPENSATED, error=error.name)
        case _:
            return RunView(saga_id, State.ESCALATED, owed=owed)


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
