"""The engine whose runs survive their process: their journals stand in one SQLite file.

    with open_store(path, command="saga run", now=now) as store:
        engine = SqliteEngine(store, Stored(hash, text, codec, inputs), clock, transport, draw)
        result = await run(PLACE_ORDER(order), engine=engine)

A run is what its journal says, so entries are appended without waiting, and their order is kept.
Two things wait until what they rest on is on the disk: the first attempt of a call, for its intent,
and whoever awaits a result, for the run's end. Everything recorded before is then there, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary, ref

from msgspec import Struct

from sagalang.machine.events import CancelRequested, Escalated, EventReceived
from sagalang.model.program import Ms
from sagalang.runtime import journal
from sagalang.runtime.call_log import CallLog
from sagalang.runtime.calls import Draw, Interruption
from sagalang.runtime.clock import Clock
from sagalang.runtime.engine import (
    EngineError,
    LocalSession,
    NoSuchRunError,
    Observer,
    OtherInputError,
    StepCall,
)
from sagalang.runtime.journal_events import Outside, entry_of
from sagalang.runtime.protection import Protections
from sagalang.runtime.run_input import RunInput
from sagalang.runtime.sqlite import Change, NewRun, Run, State, Store
from sagalang.runtime.sqlite_history import Decoder, entries, history
from sagalang.runtime.transport import Transport


class OtherDefinitionError(EngineError):
    """The run began with another definition than the one that is to go on with it."""


class Codec(Decoder, Protocol):
    """`entry_codec.EntryCodec`."""

    def encode(self, saga: str, entry: journal.Entry) -> bytes: ...


class Stored(Struct, frozen=True):
    """The definition that runs of an engine go by, as it is stored with them. `codec` and `inputs`
    know its types."""

    hash: str
    text: str
    codec: Codec
    inputs: RunInput


class SqliteEngine:
    """The runs of one definition in a journal file. Those of others are in engines of their own,
    over the same store."""

    def __init__(
        self,
        store: Store,
        stored: Stored,
        clock: Clock,
        transport: Transport,
        draw: Draw,
        observer: Observer | None = None,
        protections: Protections | None = None,
        found: Callable[[Sequence[journal.Entry]], None] | None = None,
    ) -> None:
        """`found` is told what is on record of a run that is under way before it goes on; it may
        raise an `EngineError`."""
        self.store = store
        self.stored = stored
        self.clock = clock
        self.transport = transport
        self.draw = draw
        self.protections = protections or Protections()
        self.telling = False
        self.taking: int | None = None
        """The message of the inbox whose entry comes next."""
        self._observer = observer
        self._found = found
        self.parents: dict[str, int] = {}
        """The runs whose steps child sagas are that are about to begin."""
        self._sessions: WeakValueDictionary[str, SqliteSession] = WeakValueDictionary()
        self._closed: deque[tuple[int, SqliteSession]] = deque()

    def open(self, saga_id: str, saga: str, args: Mapping[str, Any]) -> SqliteSession:
        """Raises `OtherInputError`, `OtherDefinitionError`, and what the codec raises for a
        damaged entry."""
        session = self._sessions.get(saga_id)
        if session is None:
            found = self.store.run(saga_id)
            if found is not None:
                self._check(found, saga, args)
            session = SqliteSession(self, saga_id, saga, args, found)
            self._sessions[saga_id] = session
        elif session.saga != saga or not self.stored.inputs.same(saga, session.args, args):
            raise OtherInputError(f"{saga_id} runs already, with other input")
        return session

    def signal(self, saga_id: str, event: str, event_id: str, value: Any) -> None:
        """Raises `NoSuchRunError`."""
        self._put(saga_id, EventReceived(self.now(), event, event_id, value))

    def request_cancel(self, saga_id: str) -> None:
        """Raises `NoSuchRunError`."""
        self._put(saga_id, CancelRequested(self.now()))

    def waiting(self, saga_id: str) -> bool:
        """Whether a run has not taken in yet what came from outside."""
        session = self._sessions.get(saga_id)
        return session is not None and session.waiting()

    def now(self) -> Ms:
        return self.clock.now()

    def closed(self, session: SqliteSession, last: int) -> None:
        """A session ends whose last entry has this number: until that is on the disk, the file
        does not know what the session knows."""
        while self._closed and self._closed[0][0] <= self.store.durable:
            self._closed.popleft()
        if last > self.store.durable:
            self._closed.append((last, session))

    def tell(self, entry: journal.Entry) -> None:
        """Tell the observer of an entry that was appended."""
        if self._observer is not None:
            self.telling = True
            try:
                self._observer(entry)
            finally:
                self.telling = False

    def _put(self, saga_id: str, event: Outside) -> None:
        session = self._sessions.get(saga_id)
        if session is not None:
            session.put(event)
            return
        found = self.store.reader.run(saga_id)
        if found is None:
            raise NoSuchRunError(f"there is no run {saga_id}")
        # It is on record, and the run finds it there when it is gone on with.
        body = self._codec(found).encode(found.saga, entry_of(event, saga_id))
        again = isinstance(event, CancelRequested) and found.state is State.ESCALATED
        change = Change(state=State.RUNNING, at=event.at) if again and not found.ended else None
        self.store.append(found.number, body, change=change, took=self.taking)

    def _check(self, found: Run, saga: str, args: Mapping[str, Any]) -> None:
        read = entries(self.store.reader, self._codec(found), found)
        started = (entry for _, entry in read if isinstance(entry, journal.SagaStarted))
        first = next(started, None)  # none where the process died as early as that
        known = found.saga == saga and (
            first is None or self.stored.inputs.same(saga, first.args, args)
        )
        if not known:
            raise OtherInputError(f"{found.id} is on record, with other input")

    def _codec(self, run: Run) -> Codec:
        if run.definition != self.stored.hash:
            raise OtherDefinitionError(
                f"{run.id} began with another definition of {run.saga}."
                " Resume it with the one that is stored with it"
            )
        return self.stored.codec

    def history(self, run: Run) -> list[journal.Entry]:
        """The entries of a run and of its child sagas, in order."""
        found = [entry for _, entry in history(self.store.reader, self._codec(run), run)]
        begun = {entry.saga_id for entry in found}
        for entry in found:
            if isinstance(entry, journal.ChildStarted) and entry.child_id not in begun:
                parent = self.store.reader.run(entry.saga_id)
                assert parent is not None
                self.parents[entry.child_id] = parent.number  # it is about to begin
        if self._found is not None and run.state is State.RUNNING:
            self._found(found)
        return found


_RUNNING: Final = State.RUNNING  # an enum's members are looked up slowly, every entry asks
_GOING_ON: Final = (
    journal.Settlement,
    journal.CancelAsked,
    journal.Intent,
    journal.AbortBegan,
)
"""The first entries of a run that had come to an end and goes on."""


class SqliteSession(LocalSession):
    def __init__(
        self,
        engine: SqliteEngine,
        saga_id: str,
        saga: str,
        args: Mapping[str, Any],
        found: Run | None,
    ) -> None:
        super().__init__(engine, saga_id, saga, args, begun=found is not None)
        self._engine = engine
        self._number = None if found is None else found.number
        self._state = _RUNNING if found is None else found.state
        self._over = found is not None and found.ended is not None
        self._last = 0
        """The number of the last entry that was appended."""

        self._owner: ref[Any] | None

    @property
    def owner(self) -> Any:
        return None if self._owner is None else self._owner()

    @owner.setter
    def owner(self, run: Any) -> None:
        # Weakly: a run that nobody awaits any more goes at once, not when cycles are looked for.
        self._owner = None if run is None else ref(run)

    def record(self, entry: journal.Entry) -> None:
        engine, store = self._engine, self._engine.store
        body = engine.stored.codec.encode(self.saga, entry)
        if self._number is None:
            store.define(engine.stored.hash, engine.stored.text)
            parent = engine.parents.pop(self.saga_id, None)
            new = NewRun(
                id=self.saga_id,
                saga=self.saga,
                definition=engine.stored.hash,
                began=entry.at,
                parent=parent,
            )
            self._number, self._last = store.begin(new, body)
            self.begun = True
        else:
            took, engine.taking = engine.taking, None
            change = self._change(entry)
            self._last = store.append(self._number, body, change=change, took=took)
        if type(entry) is journal.ChildStarted and not entry.undo:
            engine.parents[entry.child_id] = self._number
        engine.tell(entry)

    def _change(self, entry: journal.Entry) -> Change | None:
        """What lists say of the run from now on."""
        if type(entry) is journal.SagaFinished:
            self._state = State(entry.kind)
            steps = entry.value.steps if isinstance(entry.value, Escalated) else ()
            self._over = all(item.written_off for item in steps)
            ended = entry.at if self._over else None
            return Change(state=self._state, at=entry.at, ended=ended, error=entry.error)
        if self._state is _RUNNING or not isinstance(entry, _GOING_ON):
            return None
        if self._over and isinstance(entry, journal.Settlement | journal.CancelAsked):
            return None
        # A person dealt with it, or its parent undoes it: from here on it has another end to come
        # to, also after a crash.
        self._state, self._over = _RUNNING, False
        return Change(state=_RUNNING, at=entry.at)

    async def step(self, call: StepCall, interruption: Interruption) -> journal.OutcomeRecorded:
        log = CallLog(call, self.saga_id, self.now, self.record)
        if not call.resumed:
            log.intent()
            await self.committed()
        return await self.made(call, interruption, log)

    async def close(self) -> None:
        await super().close()
        self._engine.closed(self, self._last)

    async def committed(self) -> None:
        await self._engine.store.committed(self._last)

    async def history(self) -> Sequence[journal.Entry]:
        last = None
        while last != self._last:  # an event may have come meanwhile
            last = self._last
            # Of all runs: an event may have come before the session, child sagas have their own.
            await self._engine.store.all_committed()
        run = self._engine.store.reader.run(self.saga_id)
        return () if run is None else self._engine.history(run)
