"""A process that owns a journal file, and the runs in it that it runs.

with open_store(path, command="saga run", now=clock.now()) as store:
    async with Host(store, Sealing(path), reach, clock=clock) as host:
        handle = await host.start(definition, "PlaceOrder", args)
        result = await handle.result()
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from msgspec.structs import replace

from sagalang.host.definitions import Definition, restored
from sagalang.host.handle import Handle
from sagalang.interpret.run import (
    RunResult,
    Send,
    SettlementRefusedError,
    begin,
    defined,
    outcome_kind,
)
from sagalang.machine import events as m
from sagalang.machine.frozen import freeze
from sagalang.machine.saga import saga_id as own_id
from sagalang.model.program import Ms
from sagalang.runtime import words
from sagalang.runtime.clock import Clock, SystemClock
from sagalang.runtime.earlier import Earlier
from sagalang.runtime.engine import EngineError, NoSuchRunError, Observer, OtherInputError, named
from sagalang.runtime.entry_codec import EntryError
from sagalang.runtime.journal import Entry, SagaStarted
from sagalang.runtime.journal_events import event_of
from sagalang.runtime.problems import ConnectProblem
from sagalang.runtime.protection import Protections
from sagalang.runtime.sqlite import Message, State, Store
from sagalang.runtime.sqlite import Run as Row
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.sqlite_engine import SqliteEngine
from sagalang.runtime.sqlite_history import entries, history
from sagalang.runtime.transport import Transport

logger: Final = logging.getLogger("sagalang.host")

Reach = Callable[[Definition], AbstractAsyncContextManager[Transport]]
"""Opens the services of a definition; raises `ConnectProblem`."""

ENDED: Final = (State.COMPLETED, State.COMPENSATED)


class Host:
    """The runs of a journal file, in the process that owns it. `observer` is told of every entry.
    `earlier` stops runs before they undo what one without a journal may have completed.
    Belongs to one event loop; at its end all runs are left as they are."""

    def __init__(
        self,
        store: Store,
        sealing: Sealing,
        reach: Reach,
        *,
        clock: Clock | None = None,
        draw: Callable[[], float] | None = None,
        observer: Observer | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        self.store = store
        self.sealing = sealing
        self.clock = clock or SystemClock()
        self.handles: dict[str, Handle] = {}
        """The runs that are under way here, or that somebody waits for."""
        self._reach = reach
        self._draw = draw or random.SystemRandom().random
        self._earlier = earlier
        self._observer = observer
        if earlier is not None:
            self._observer = earlier.guarded(observer or _silent)
        self._protections = Protections()
        self._definitions: dict[str, Definition] = {}
        self._engines: dict[str, SqliteEngine] = {}
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._closing = False
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._hearing: asyncio.Task[None] | None = None
        self._gone_on: Callable[[Handle], object] | None = None
        self._heard = 0
        """The last message that was dealt with, or left."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        try:
            if self._hearing is not None:
                self._hearing.cancel()
                await asyncio.gather(self._hearing, return_exceptions=True)
            await asyncio.gather(*(handle.stop() for handle in tuple(self.handles.values())))
        finally:
            await self._opened.aclose()

    # --- Runs ----------------------------------------------------------------------------------

    async def start(
        self,
        definition: Definition,
        saga: str,
        args: Mapping[str, Any],
        saga_id: str | None = None,
        *,
        sends: Sequence[Send] = (),
        cancel_after: Ms | None = None,
    ) -> Handle:
        """Start a run, or go on with the one of this id: with the definition that it began with,
        and without a call where it is over.

        Raises `OtherInputError` (the id is that of a run with other input), `EmptyIdError`,
        `BadValueError` (the id has no value), `ConnectProblem`, `DefinitionError`, `StoreError`.
        """
        frozen = dict(freeze(dict(args)))
        if saga_id is None:
            ready = defined(definition.program, saga, definition.values)
            saga_id = own_id(ready, frozen, self.clock.now())
        named(saga_id)
        row = self.store.reader.run(saga_id)
        self._definitions.setdefault(definition.hash, definition)
        if row is None and saga_id not in self.handles:
            return await self._going(definition, saga, frozen, saga_id, None, sends, cancel_after)
        before: Mapping[str, Any]
        if row is None:  # begun a moment ago
            going = self.handles[saga_id]
            known, name, before = going.definition, going.run.definition.saga.name, going.run.args
        else:
            known, name = self.definition(row), row.saga
            before = self._args(known, row) or frozen
        if name != saga or not _same_input(saga, known, before, definition, frozen):
            raise OtherInputError(f"{saga_id} is on record, with other input")
        return await self._going(known, saga, before, saga_id, row, sends, cancel_after)

    async def resume(self, saga_id: str) -> Handle:
        """Go on with a run on record. Raises `NoSuchRunError`, `ConnectProblem`,
        `DefinitionError`, `StoreError`, `EntryError`."""
        row = self.store.reader.run(saga_id)
        if row is None:
            raise NoSuchRunError(f"there is no run {saga_id} in {self.store.path.name}")
        row = self.root(row)
        definition = self.definition(row)
        args = self._args(definition, row)
        if args is None:
            raise EngineError(f"{row.id} never began")
        return await self._going(definition, row.saga, args, row.id, row, (), None)

    def unfinished(self) -> list[Row]:
        """The runs that can go on: those under way, and those that a person has dealt with since,
        the first to begin first."""
        reader = self.store.reader
        found = {row.id: row for row in reader.runs(state=State.RUNNING, limit=None)}
        for message in reader.waiting_messages():
            row = reader.numbered(message.run)
            if row is not None and row.ended is None:
                found[row.id] = row
        roots = {root.id: root for root in map(self.root, found.values())}
        return sorted(roots.values(), key=lambda row: row.number)

    def root(self, row: Row) -> Row:
        """The run whose step, at any depth, this one is."""
        while row.parent is not None:
            above = self.store.reader.run(row.parent)
            assert above is not None
            row = above
        return row

    def definition(self, row: Row) -> Definition:
        """What a run on record goes by. Raises `DefinitionError`, `SealingError`."""
        found = self._definitions.get(row.definition)
        if found is None:
            text = self.store.reader.definition(row.definition)
            assert text is not None
            found = self._definitions[row.definition] = restored(row.definition, text, self.sealing)
        return found

    def journal(self, saga_id: str) -> list[Entry]:
        """What is on the disk of a run and its child sagas, in order. Raises `EngineError`,
        `EntryError`."""
        row = self.store.reader.run(saga_id)
        if row is None:
            return []
        codec = self.definition(row).stored.codec
        return [entry for _, entry in history(self.store.reader, codec, row)]

    def _args(self, definition: Definition, row: Row) -> Mapping[str, Any] | None:
        read = entries(self.store.reader, definition.stored.codec, row)
        first = next((entry for _, entry in read if isinstance(entry, SagaStarted)), None)
        return None if first is None else first.args

    async def _going(
        self,
        definition: Definition,
        saga: str,
        args: Mapping[str, Any],
        saga_id: str,
        row: Row | None,
        sends: Sequence[Send],
        cancel_after: Ms | None,
    ) -> Handle:
        if saga_id not in self.handles:
            engine = await self._engine(definition, over=row is not None and row.state in ENDED)
        if self._closing:
            raise EngineError(f"{self.store.path.name} is being closed")
        handle = self.handles.get(saga_id)  # somebody else may have asked for it meanwhile
        if handle is None:
            run = begin(
                definition.program,
                saga,
                args,
                engine=engine,
                saga_id=saga_id,
                values=definition.values,
            )
            handle = Handle(run, definition, row, partial(self.journal, saga_id))
            if row is None:
                self._go(handle, sends, cancel_after)
                return handle
        elif handle.run.definition.saga.name != saga or not _same_input(
            saga, handle.definition, handle.run.args, definition, args
        ):
            raise OtherInputError(f"{saga_id} runs already, with other input")
        self._go(handle)
        handle.expect(sends, cancel_after)
        return handle

    def _go(
        self, handle: Handle, sends: Sequence[Send] = (), cancel_after: Ms | None = None
    ) -> None:
        """Run it; when it stops, only those who wait for it still know it."""

        def stopped(task: asyncio.Task[RunResult]) -> None:
            if self.handles.get(handle.saga_id) is handle:
                del self.handles[handle.saga_id]
            handle.forget_the_world()
            if not task.cancelled() and (problem := task.exception()) and not handle.awaited:
                logger.error("%s stopped: %s", words.printable(handle.saga_id), problem)

        if handle.go(sends, cancel_after):
            self.handles[handle.saga_id] = handle
            handle.when_done(stopped)

    async def _engine(self, definition: Definition, *, over: bool) -> SqliteEngine:
        async with self._opening:
            engine = self._engines.get(definition.hash)
            if engine is None:
                # A run that is over calls nobody, whatever became of its services.
                transport: Transport = (
                    _NOWHERE
                    if over
                    else await self._opened.enter_async_context(self._reach(definition))
                )
                engine = SqliteEngine(
                    self.store,
                    definition.stored,
                    self.clock,
                    transport,
                    self._draw,
                    self._observer,
                    self._protections,
                    None if self._earlier is None else self._earlier.found,
                )
                if not over:
                    self._engines[definition.hash] = engine
        return engine

    # --- What others send ----------------------------------------------------------------------

    def listen(
        self,
        unknown: Callable[[Row], Awaitable[Handle | None]],
        gone_on: Callable[[Handle], object] | None = None,
    ) -> None:
        """From now on take in what other processes send. `unknown`: who goes on with a run that is
        not under way here; None: nobody, and its messages are kept for later. `gone_on` is told of
        each run that took something."""
        self._gone_on = gone_on
        self.store.listen(self._messages.put_nowait)
        self._hearing = asyncio.create_task(self._hear(unknown), name="inbox")

    async def caught_up(self) -> None:
        """Return when all that is in the inbox now was taken, refused or left."""
        assert self._hearing is not None
        last = max((message.number for message in self.store.reader.waiting_messages()), default=0)
        while self._heard < last:
            await asyncio.wait({self._hearing}, timeout=0.01)

    async def _hear(self, unknown: Callable[[Row], Awaitable[Handle | None]]) -> None:
        while True:
            message = await self._messages.get()
            try:
                await self._deal(message, unknown)
            except (EngineError, EntryError, ConnectProblem) as problem:
                # Nothing can be written any more, or the run cannot be gone on with; the message
                # is kept.
                logger.error("a message to %s: %s", words.printable(message.run_id), problem)
            except Exception:
                logger.exception("a message to %s", words.printable(message.run_id))
            self._heard = message.number

    async def _deal(
        self, message: Message, unknown: Callable[[Row], Awaitable[Handle | None]]
    ) -> None:
        row = self.store.reader.numbered(message.run)
        if row is None:
            return
        root = self.root(row)
        handle = self.handles.get(root.id)
        if handle is None:
            if root.ended is not None:
                self.store.refuse(message.number, _is_over(root.id, root.state))
                return
            handle = await unknown(root)
        if handle is None:
            return
        await handle.rests()
        outcome = handle.run.outcome
        if outcome is not None and for_good(outcome):
            self.store.refuse(message.number, _is_over(root.id, outcome_kind(outcome)))
            return
        engine = self._engines[handle.definition.hash]
        engine.taking = message.number
        try:
            refused = self._deliver(message, row, handle, engine)
        finally:
            engine.taking = None
        if refused is not None:
            self.store.refuse(message.number, refused)
            return
        self._go(handle)
        if self._gone_on is not None:
            self._gone_on(handle)
        # What the next message may ask for depends on what comes of this one.
        await handle.until(lambda: not engine.waiting(row.id))

    def _deliver(
        self, message: Message, row: Row, handle: Handle, engine: SqliteEngine
    ) -> str | None:
        """Give a run a message; why it does not take it."""
        if message.kind == "cancel":
            if row.id != handle.saga_id:
                return f"{row.id} is a step of {handle.saga_id}: cancel that"
            handle.run.cancel()
            return None
        codec = handle.definition.stored.codec
        try:
            event = event_of(codec.decode(row.saga, row.id, message.body))
        except EntryError as problem:
            return str(problem)
        match event:
            case m.EventReceived(event=name, id=event_id, value=value):
                if row.ended is not None:
                    return _is_over(row.id, row.state)
                engine.signal(row.id, name, event_id, value)
                return None
            case m.Settle():
                try:
                    handle.run.take_settlement(replace(event, at=self.clock.now()), row.id)
                except SettlementRefusedError as problem:
                    return str(problem)
                except KeyError:
                    return f"nothing is open in {row.id}"
                return None
            case _:
                return f"this sagalang knows no message of this kind ({message.kind})"


def for_good(outcome: m.SagaOutcome) -> bool:
    """Whether nobody can make a saga that came to this go on."""
    return not isinstance(outcome, m.Escalated) or all(item.written_off for item in outcome.steps)


def _is_over(saga_id: str, kind: str) -> str:
    return f"{saga_id} is {kind}: it is over"


async def nobody(_: Row) -> None:
    """For `Host.listen`: runs that are not under way here are left to others."""


def _same_input(
    saga: str,
    one: Definition,
    args: Mapping[str, Any],
    other: Definition,
    others: Mapping[str, Any],
) -> bool:
    if one.hash == other.hash:
        return one.stored.inputs.same(saga, args, others)
    if set(args) != set(others):
        return False
    return one.stored.inputs.canonical(saga, args) == other.stored.inputs.canonical(saga, others)


def _silent(_: Entry) -> None: ...


class _Nowhere:
    """The services of a run that is over."""

    async def call(self, request: Any) -> Any:
        raise EngineError(f"a run that is over called {request.contract.label}")

    async def aclose(self) -> None: ...


_NOWHERE: Final = _Nowhere()
