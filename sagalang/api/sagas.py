"""Sagas in an asyncio program: they are started, awaited, looked at, sent what they wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sagalang.api import errors
from sagalang.api.keeping import Runs
from sagalang.api.reading import listed, open_items, viewed
from sagalang.api.results import How, Owed, Result, RunInfo, RunView, State, open_one
from sagalang.api.telling import told
from sagalang.diagnostics.suggest import hint
from sagalang.host.definitions import Definition
from sagalang.host.handle import Handle
from sagalang.host.host import for_good
from sagalang.interpret.run import defined, event_id
from sagalang.machine import events as m
from sagalang.machine.frozen import freeze
from sagalang.machine.saga import saga_id as own_id
from sagalang.model.program import ChildStep, Poll, Saga, Step, Wait
from sagalang.model.types import RecordRef
from sagalang.runtime.codec import Mode, encode, read
from sagalang.runtime.engine import Engine, named
from sagalang.runtime.sqlite import Run as Row
from sagalang.runtime.sqlite import State as Standing
from sagalang.runtime.values import read_input

_HOW: Final[Mapping[str, m.How]] = {
    "retry": m.How.RETRY,
    "done": m.How.DONE,
    "not-done": m.How.NOT_DONE,
}


class AsyncRun:
    """A run that was started or resumed here: await it for its `Result`. `found`: it was on record
    already when it was asked for."""

    def __init__(self, runs: Runs, handle: Handle, *, found: bool) -> None:
        self.id = handle.saga_id
        self.found = found
        self._runs, self._handle = runs, handle

    async def result(self) -> Result:
        """Where it came to: its end, or where nothing but a person can move it. Whoever stops
        waiting stops nothing else. Raises `StoreError`, `EarlierRun`, which stop a run as it is.
        """
        result = None
        with told():
            while result is None:
                # A settlement may have made it go on, under another handle.
                await _end(self._runs.handles.get(self.id, self._handle))
                result = _view(self._runs, self.id).result
        return result

    def __await__(self) -> Generator[Any, None, Result]:
        return self.result().__await__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class AsyncSagas:
    """The sagas of a file, and their runs. Belongs to the event loop that opened it."""

    def __init__(self, definition: Definition, runs: Runs) -> None:
        self._definition, self._runs = definition, runs
        self._closed = False

    async def start(self, saga: str, input: Any = None, *, id: str | None = None) -> AsyncRun:  # noqa: A002
        """Start a saga; when this returns, the run is on record.

        `input`: a mapping with its parameters, or the value of its only one; JSON-like data, or
        values with attributes, which are read by their declared types. `id`: by default what the
        saga's `id` clause gives. The same id is the same run: one that is on record with the same
        input goes on, or is over and calls nobody.

        Raises `InvalidInput`, `OtherInput`, `NotConnected`, `EarlierRun`, `StoreError`.
        """
        runs = self._ready()
        declared = self._saga(saga)
        with told():
            args = self._read(declared, {} if input is None else input)
            saga_id = named(self._id(declared, args) if id is None else id)
            found = saga_id in runs.handles or runs.find(saga_id) is not None
            handle = await runs.start(self._definition, saga, args, saga_id)
            await self._on_record(handle)
            return AsyncRun(runs, handle, found=found)

    async def run(self, saga: str, input: Any = None, *, id: str | None = None) -> Result:  # noqa: A002
        """Start a saga and await its result."""
        return await (await self.start(saga, input, id=id))

    async def resume(self, *ids: str) -> list[AsyncRun]:
        """Go on with runs whose process died, by the definitions that they began with: with these,
        or (none is named) with all that can go on.

        Raises `NoSuchRun`, `NotConnected`, `EarlierRun`, `StoreError`.
        """
        runs = self._ready()
        with told():
            wanted = ids or [row.id for row in runs.unfinished()]
            return [AsyncRun(runs, await runs.resume(id_), found=True) for id_ in wanted]

    def get(self, id: str) -> RunView:  # noqa: A002
        """A run as it stands. Raises `NoSuchRun`, `StoreError`."""
        runs = self._ready()
        with told():
            return _view(runs, id)

    def runs(
        self,
        *,
        state: State | Sequence[State] = ("running", "completed", "compensated", "escalated"),
        saga: str | None = None,
        since: datetime | None = None,
        limit: int | None = 100,
        children: bool = False,
    ) -> list[RunInfo]:
        """Runs in one of these states, that began `since` or later; the last to begin first, at
        most `limit`. `children`: also sagas that run as steps of others. Raises `InvalidInput`,
        `StoreError`."""
        runs = self._ready()
        try:
            states = [Standing(each) for each in ([state] if isinstance(state, str) else state)]
        except ValueError:
            names = ", ".join(Standing)
            raise errors.InvalidInput("there is no such state", f"there are {names}") from None
        if since is not None and since.utcoffset() is None:
            raise errors.InvalidInput(
                "`since` has no time zone",
                "write for example datetime.now(UTC) - timedelta(days=1)",
            )
        began = None if since is None else round(since.timestamp() * 1_000)
        with told():
            return [listed(row) for row in runs.listed(states, saga, began, limit, children)]

    async def signal(
        self,
        id: str,  # noqa: A002
        event: str,
        value: Any = None,
        *,
        event_id: str | None = None,
    ) -> None:
        """Send a run an event; one that comes before the saga waits for it is kept. On record when
        this returns. `value`: its fields, read as `input` of `start`. The same `event_id` (by
        default a hash of the content) is the same event: sent again it changes nothing.

        Raises `InvalidInput`, `NoSuchRun`, `RunOver`, `StoreError`.
        """
        with told():
            runs = self._ready()
            definition = runs.definition(_row(runs, id))
            if event not in definition.program.events:
                raise _unknown("event", event, definition, definition.program.events)
            values, type_ = definition.values, RecordRef(event)
            content = read({} if value is None else value, values.python_type(type_), Mode.GIVEN)
            name = _event_id(definition, event, content) if event_id is None else event_id
            await self._send(id, lambda engine: engine.signal(id, event, name, content))

    async def cancel(self, id: str) -> None:  # noqa: A002
        """Ask a run to abort and undo; past its pivot it goes on. On record when this returns.
        Raises `NoSuchRun`, `RunOver`, `InvalidInput` (it is a step of another), `StoreError`."""
        with told():
            runs = self._ready()
            root = runs.root(_row(runs, id))
            if root.id != id:
                raise errors.InvalidInput(f"{id} is a step of {root.id}", "cancel that one")
            await self._send(id, lambda engine: engine.request_cancel(id))

    async def settle(
        self,
        id: str,  # noqa: A002
        step: str,
        how: How,
        value: Any = None,
        *,
        by: str,
        why: str = "",
    ) -> None:
        """Settle, as a person, what is open (an `Owed`) under this step or operation; the run goes
        on. `value`: what a step gave that is `done`, read by its type. `by` and `why` go on record.
        Raises `NotSettled`, `InvalidInput`, `NoSuchRun`, `RunOver`, `StoreError`."""
        if how not in _HOW:
            raise errors.InvalidInput("there is no such settlement", f"there are {', '.join(_HOW)}")
        with told():
            handle, row = await self._reached(id)
            item = self._open(handle, row, step)
            given = None if value is None else _gave(handle, row, item, value)
            try:
                handle.run.settle(item, _HOW[how], given, by=by, why=why, child=row.id)
            except KeyError:
                raise errors.NotSettled(f"nothing is open in {row.id}") from None
            await self._go_on(handle)

    # --- Inside --------------------------------------------------------------------------------

    def close(self) -> None:
        self._closed = True

    def _ready(self) -> Runs:
        if self._closed:
            raise errors.Closed("the sagas are closed", "use them inside of their `with` block")
        return self._runs

    def _saga(self, name: str) -> Saga:
        sagas = self._definition.program.sagas
        if name not in sagas:
            raise _unknown("saga", name, self._definition, sagas)
        return sagas[name]

    def _read(self, saga: Saga, given: Any) -> dict[str, Any]:
        values = self._definition.values
        args = read_input(values, saga, given)
        for param in saga.params:
            try:
                encode(args[param.name], values.python_type(param.type))
            except (TypeError, OverflowError):
                raise errors.InvalidInput(f"{param.name}: a value in it has no JSON form") from None
        return args

    def _id(self, saga: Saga, args: Mapping[str, Any]) -> str:
        if saga.id is None:
            raise errors.InvalidInput(f"{saga.name} has no id of its own", "give it one: id=…")
        ready = defined(self._definition.program, saga.name, self._definition.values)
        return own_id(ready, freeze(dict(args)), time.time_ns() // 1_000_000)

    async def _send(self, saga_id: str, put: Callable[[Engine], None]) -> None:
        """Let an event be taken in, and the run go on. Raises `RunOver`."""
        runs = self._ready()
        row, root = _going_on(runs, saga_id)
        engine = await runs.engine(row)
        row, root = _going_on(runs, saga_id)  # it may have ended meanwhile
        if root.id in runs.handles:
            handle, _ = await self._reached(saga_id)
            put(engine)
        else:
            # On record before it goes on: else it could go past the point that this is about.
            put(engine)
            handle = await runs.resume(root.id)
        await self._go_on(handle)

    async def _reached(self, saga_id: str) -> tuple[Handle, Row]:
        """A run that takes in what comes, as long as nobody awaits anything. Raises `RunOver`."""
        runs = self._ready()
        row, root = _going_on(runs, saga_id)
        handle = runs.handles.get(root.id)
        if handle is None:
            handle = await runs.resume(root.id)
        elif handle.over:
            await handle.end()
        await handle.rests()
        outcome = handle.run.outcome
        if outcome is not None and for_good(outcome):
            raise errors.RunOver(f"{root.id} is over")
        return handle, row

    async def _on_record(self, handle: Handle) -> None:
        await handle.stands()
        await self._runs.committed()

    async def _go_on(self, handle: Handle) -> None:
        self._runs.wake(handle)
        await self._runs.committed()

    def _open(self, handle: Handle, row: Row, step: str) -> m.OpenItem:
        found = open_items(handle.journal())
        one = open_one(found, row.id, step)
        item = None if one is None else found[one]
        if item is None:
            raise errors.NotSettled(
                f"{step} is not open in {row.id}", _what_is_open(row.id, tuple(found))
            )
        return item


def _what_is_open(saga_id: str, found: Sequence[Owed]) -> str:
    if not found:
        return "nothing is"
    return "open: " + ", ".join(
        each.step if each.run == saga_id else f"{each.step} of {each.run}" for each in found
    )


async def _end(handle: Handle) -> None:
    task = asyncio.current_task()
    cancels = task.cancelling() if task else 0
    try:
        await handle.end()
    except asyncio.CancelledError:
        if task is not None and task.cancelling() > cancels:
            raise
        raise errors.Closed(
            f"{handle.saga_id} was left as it is when the sagas were closed",
            "where it is kept in a journal file, it can be resumed",
        ) from None


def _row(runs: Runs, saga_id: str) -> Row:
    row = runs.find(saga_id)
    if row is None:
        raise errors.NoSuchRun(f"there is no run {saga_id}")
    return row


def _going_on(runs: Runs, saga_id: str) -> tuple[Row, Row]:
    """A run that is not over, and the one whose step it is, or itself. Raises `RunOver`."""
    row = _row(runs, saga_id)
    root = runs.root(row)
    for each in (root, row):
        if each.ended is not None:
            raise errors.RunOver(f"{each.id} is {each.state.value}: it is over")
    return row, root


def _view(runs: Runs, saga_id: str) -> RunView:
    row = _row(runs, saga_id)
    journal = runs.journal(saga_id) if row.ended is None else runs.last(row)
    return viewed(row, runs.definition(row), journal)


def _event_id(definition: Definition, event: str, content: Any) -> str:
    return event_id(definition.values, event, content)


def _gave(handle: Handle, row: Row, item: m.OpenItem, given: Any) -> Any:
    """What a step gave, by a person's word."""
    definition = handle.definition
    ready = defined(definition.program, row.saga, definition.values)
    statement = ready.statements.get(item.place.path)
    if item.purpose is m.Purpose.COMPENSATE or not isinstance(
        statement, Step | ChildStep | Poll | Wait
    ):
        raise errors.InvalidInput(f"{item.place} gives no value", "leave it out")
    return read(given, definition.values.python_type(statement.type), Mode.GIVEN)


def _unknown(
    kind: str, name: str, definition: Definition, known: Mapping[str, Any]
) -> errors.InvalidInput:
    advice = hint(name, known) or f"it has {', '.join(known) or 'none'}"
    return errors.InvalidInput(f"there is no {kind} {name} in {definition.program.main}", advice)
