"""What people and other processes send to a run: events, cancels, settlements.

    desk = Desk(path)
    about = desk.look("o-1")
    desk.signal(about, "Review", event_value(about, "Review", '{"verdict": "Approved"}'))
    desk.settle(about, item, How.RETRY, by="ada", why="the bank is back")

All that can be known is checked before anything is sent, on the journal as it stands, with what
waits in the inbox already. The process that owns the file decides; `Sent` says whether it has.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from sagalang.diagnostics.suggest import hint
from sagalang.host.book import nearest_ids
from sagalang.host.definitions import Definition, restored
from sagalang.host.sqlite_book import SqliteBook
from sagalang.host.standing import Standing, after, standing
from sagalang.interpret.run import event_id as own_event_id
from sagalang.machine import events as m
from sagalang.machine.saga import refusal
from sagalang.machine.turn import Pivot
from sagalang.model.program import Ms, Wait
from sagalang.model.types import RecordRef
from sagalang.runtime.codec import DecodeError, EncodeError, decode
from sagalang.runtime.engine import EngineError, NoSuchRunError
from sagalang.runtime.entry_types import ProgramTypes
from sagalang.runtime.journal import EventAccepted
from sagalang.runtime.journal_events import Outside, entry_of, event_of
from sagalang.runtime.sqlite import FullError, Message, Owner, Reader, Run, reading, send
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.sqlite_engine import Codec
from sagalang.runtime.sqlite_history import history

PATIENCE: Final = 2.0
"""Seconds to wait for the answer of the process that owns the file."""
_PAUSE: Final = 0.02


class SendingError(EngineError):
    """Nothing was sent. The message is a plain sentence, `advice` what to do."""

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message, advice)
        self.advice = advice

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownRunError(SendingError, NoSuchRunError):
    """There is no such run."""


class MessageError(SendingError):
    """It is nothing that could be sent to this saga at any time: no such event, no such step, a
    value that does not fit."""


class RefusedError(SendingError):
    """The run does not take it as it stands now, or its owner refused it."""


class OtherEventError(RefusedError):
    """An event of the same id, with other content, was sent before."""


class UnderWayError(RefusedError):
    """What was sent before has the same effect, and is on its way. `root`: the run that takes it
    in when it goes on; `owner`: who has it, and takes it in without being asked."""

    def __init__(self, message: str, root: str, owner: Owner | None) -> None:
        super().__init__(message)
        self.root, self.owner = root, owner


@dataclass(frozen=True)
class About:
    """A run to which something is to be sent, as it stands, with all that was sent to it.
    `root`: the id of the run whose step, at any depth, it is, else its own; `family` stands for
    that run, `recorded` as if nothing waited in its inbox. `events`: what was received, by the run
    and the id of the event. `waiting`: what was not taken yet, and for which run. `owner`: who is
    there to take it."""

    run: Run
    root: str
    definition: Definition
    family: Standing
    recorded: Standing
    events: Mapping[tuple[str, str], EventAccepted]
    waiting: tuple[tuple[str, m.Event], ...]
    owner: Owner | None

    @property
    def saga_id(self) -> str:
        return self.run.id

    @property
    def stands(self) -> Standing:
        return next(each for each in self.family.family() if each.saga_id == self.run.id)

    @property
    def below(self) -> list[Standing]:
        """It, and the child sagas below it."""
        return list(self.stands.family())


@dataclass(frozen=True)
class Sent:
    """`taken`: the run has it, on record. Else it waits for a process that goes on with the run;
    `owner` has the file open, and did not take it in, in time. `again`: it was sent before.
    `compiled`: only its module goes on with the run."""

    run_id: str
    root: str
    event: str
    taken: bool
    owner: Owner | None = None
    again: bool = False
    compiled: bool = False


class Sending(Protocol):
    """What an engine offers to those who operate its runs. All raise `EngineError`."""

    def look(self, run_id: str) -> About:
        """Raises `UnknownRunError`, `DefinitionError`."""
        ...

    def signal(self, to: About, event: str, value: Any, event_id: str | None = None) -> Sent:
        """Send an event; sent again with the same id (by default a hash of its content) it is
        taken once. Raises `MessageError`, `OtherEventError`, `RefusedError`."""
        ...

    def cancel(self, to: About) -> Sent:
        """Ask a run to abort and undo. Raises `UnderWayError`, `RefusedError`."""
        ...

    def cancel_compiled(self, run_id: str) -> Sent:
        """The same for a run that cannot be looked at, for it is of a compiled saga
        (`CompiledError`). Raises `RefusedError`."""
        ...

    def settle(
        self, to: About, item: m.OpenItem, how: m.How, value: Any = None, *, by: str, why: str
    ) -> Sent:
        """Settle what is open in this very run. Raises `RefusedError`."""
        ...


# --- Values ------------------------------------------------------------------------------------


def event_value(to: About, event: str, text: str | bytes) -> Any:
    """The value of an event from JSON. Raises `MessageError`."""
    require_event(to, event)
    type_ = to.definition.values.python_type(RecordRef(event))
    try:
        return decode(text, type_)
    except DecodeError as problem:
        fields = to.definition.program.events[event].fields
        shape = ", ".join(f'"{field.name}": …' for field in fields)
        raise MessageError(
            f"this is no {event}: {problem}", f"it has the fields {{{shape}}}"
        ) from None


def settled_value(to: About, item: m.OpenItem, text: str | bytes) -> Any:
    """What a person says that a step gave, from JSON. Raises `MessageError`."""
    types = ProgramTypes(to.definition.program, to.definition.values)
    type_ = types.settled(to.stands.saga, item.place.path, item.purpose)
    if type_ is Any or type_ is None:
        raise MessageError(f"{item.label} at {item.place} has no value", "leave --value out")
    try:
        return decode(text, type_)
    except DecodeError as problem:
        raise MessageError(f"this is no value of {item.label}: {problem}") from None


def require_event(to: About, event: str) -> None:
    """Raises `MessageError` if the saga never waits for it."""
    waits = _waits(to.stands)
    if event in waits:
        return
    for each in to.below[1:]:
        if event in _waits(each):
            raise MessageError(
                f"{to.saga_id} never waits for {event}, its child saga does",
                f"send it to {each.saga_id}",
            )
    known = sorted(waits)
    what = "never waits for" if event in to.definition.program.events else "has no event"
    listed = f"it waits for {', '.join(known)}" if known else "it waits for no event"
    raise MessageError(f"{to.stands.saga} {what} {event}", hint(event, known) or listed)


def _waits(stands: Standing) -> set[str]:
    statements = stands.definition.statements.values()
    return {each.event for each in statements if isinstance(each, Wait)}


# --- The journal file --------------------------------------------------------------------------


class Desk:
    """Sends to the runs of a journal file (see `Sending`). `wait`: seconds for an answer."""

    def __init__(self, path: Path, wait: float = PATIENCE) -> None:
        self.path = path
        self._wait = wait
        self._sealing = Sealing(path)
        self._definitions: dict[str, Definition] = {}

    def look(self, run_id: str) -> About:
        with reading(self.path) as reader:
            run = reader.run(run_id)
            if run is None:
                raise _unknown(reader, self.path, run_id)
            root = run
            while root.parent is not None:
                above = reader.run(root.parent)
                assert above is not None
                root = above
            definition = self._definition(reader, root)
            codec = definition.stored.codec
            entries = [entry for _, entry in history(reader, codec, root)]
            family = standing(definition, root.saga, root.id, entries)
            if family is None or all(each.saga_id != run.id for each in family.family()):
                raise RefusedError(f"{run_id} never began", f"saga resume {root.id}")
            known = {each.saga_id: each for each in family.family()}
            waiting = tuple(
                (each.run_id, _event(each, known[each.run_id].saga, codec))
                for each in reader.waiting_messages()
                if each.run_id in known
            )
            accepted = {
                (entry.saga_id, entry.id): entry
                for entry in entries
                if isinstance(entry, EventAccepted)
            }
            return About(
                run,
                root.id,
                definition,
                _expecting(family, waiting),
                family,
                accepted,
                waiting,
                reader.present_owner(),
            )

    def signal(self, to: About, event: str, value: Any, event_id: str | None = None) -> Sent:
        require_event(to, event)
        if event_id is None:
            event_id = own_event_id(to.definition.values, event, value)
        elif not event_id.strip():
            raise MessageError("the id of an event cannot be empty")
        state = to.stands.state
        again = event_id in state.seen
        known = to.events.get((to.saga_id, event_id))
        if known is not None:
            _require_same(to, event_id, event, value, known)
        if again and to.run.ended is not None:
            return Sent(to.saga_id, to.root, event_id, taken=True, again=True)
        _refuse_over(to.run)
        if state.error is not None and not again:
            raise RefusedError(f"{to.saga_id} is being undone: it waits for nothing any more")
        received = m.EventReceived(_now(), event, event_id, value)
        return self._send(to, "signal", event_id, received, again=again)

    def cancel(self, to: About) -> Sent:
        _refuse_step(to.saga_id, to.root)
        _refuse_over(to.run)
        if any(isinstance(each, m.CancelRequested) for _, each in to.waiting):
            raise UnderWayError(
                f"a cancel of {to.saga_id} is on its way already", to.root, to.owner
            )
        state = to.stands.state
        if state.error is not None:
            raise RefusedError(f"{to.saga_id} is being undone already")
        if state.pivot is Pivot.PASSED:
            raise RefusedError(
                f"{to.saga_id} is past its point of no return: it can only go on",
                "what is open in it can be settled" if to.stands.open_items() else None,
            )
        return self._send(to, "cancel", str(uuid.uuid4()), m.CancelRequested(_now()))

    def cancel_compiled(self, run_id: str) -> Sent:
        with reading(self.path) as reader:
            run, owner = reader.run(run_id), reader.present_owner()
            if run is None:
                raise _unknown(reader, self.path, run_id)
        _refuse_step(run_id, run.parent or run_id)
        _refuse_over(run)
        key = str(uuid.uuid4())
        sent, owner = self._put(run_id, "cancel", key, b"", _now(), owner)
        return Sent(run_id, run_id, key, sent.taken is not None, owner, compiled=True)

    def settle(
        self, to: About, item: m.OpenItem, how: m.How, value: Any = None, *, by: str, why: str
    ) -> Sent:
        if not by.strip() or not why.strip():
            raise MessageError("who settles it, and why, goes on record: neither may be empty")
        event = m.Settle(_now(), item.place, item.purpose, how, value, by, why)
        _refuse_over(to.run)
        refused = refusal(to.stands.definition, to.stands.state, event)
        if refused is not None:
            raise RefusedError(refused)
        return self._send(to, "settle", str(uuid.uuid4()), event)

    def _send(self, to: About, kind: str, key: str, event: Outside, *, again: bool = False) -> Sent:
        body = b""
        if kind != "cancel":
            try:
                body = to.definition.stored.codec.encode(to.run.saga, entry_of(event, to.saga_id))
            except EncodeError as problem:
                raise MessageError(str(problem)) from None
        sent, owner = self._put(to.saga_id, kind, key, body, event.at, to.owner)
        if isinstance(event, m.EventReceived) and sent.body != body:
            # It was there before, at least with another time.
            there = to.definition.stored.codec.decode(to.run.saga, to.saga_id, sent.body)
            assert isinstance(there, EventAccepted)
            _require_same(to, key, event.event, event.value, there)
        return Sent(to.saga_id, to.root, key, sent.taken is not None, owner, again)

    def _put(
        self, run_id: str, kind: str, key: str, body: bytes, at: Ms, owner: Owner | None
    ) -> tuple[Message, Owner | None]:
        """The message, and who has the file open and did not take it in time."""
        try:
            sent = send(self.path, run_id, kind, key, body, at)
        except FullError as problem:
            raise FullError(
                f"{problem}: it was not sent", "free some space, and send it again"
            ) from None
        if owner is not None:
            sent = _answered(self.path, sent, self._wait)
        if sent.refused is not None:
            raise RefusedError(sent.refused)
        return sent, None if sent.taken is not None else owner

    def _definition(self, reader: Reader, run: Run) -> Definition:
        found = self._definitions.get(run.definition)
        if found is None:
            text = reader.definition(run.definition)
            assert text is not None
            found = self._definitions[run.definition] = restored(
                run.definition, text, self._sealing
            )
        return found


def _answered(path: Path, sent: Message, wait: float) -> Message:
    until = time.monotonic() + wait
    with reading(path) as reader:
        while sent.taken is None and sent.refused is None and time.monotonic() < until:
            time.sleep(_PAUSE)
            # None: the run ended, and was pruned.
            sent = reader.message(sent.number) or sent
    return sent


def _unknown(reader: Reader, path: Path, run_id: str) -> UnknownRunError:
    near = nearest_ids(SqliteBook(reader, path), run_id)
    advice = f"did you mean {', '.join(f'`{each}`' for each in near)}?" if near else None
    return UnknownRunError(f"there is no run {run_id} in {path.name}", advice)


def _refuse_step(run_id: str, root: str) -> None:
    if run_id != root:
        raise MessageError(
            f"{run_id} is a step of {root}, and is not cancelled alone", f"cancel {root}"
        )


def _refuse_over(run: Run) -> None:
    if run.ended is not None:
        raise RefusedError(f"{run.id} is {run.state.value}: it is over")


def _require_same(to: About, event_id: str, event: str, value: Any, known: EventAccepted) -> None:
    """Raises `OtherEventError` unless `known` has this content."""
    values = to.definition.values
    if own_event_id(values, event, value) != own_event_id(values, known.event, known.value):
        raise OtherEventError(
            f"{to.saga_id} was sent another event of the id {event_id}",
            "an event with other content needs another id",
        )


def _event(message: Message, saga: str, codec: Codec) -> m.Event:
    if message.kind == "cancel":
        return m.CancelRequested(message.at)
    event = event_of(codec.decode(saga, message.run_id, message.body))
    assert event is not None
    return event


def _expecting(family: Standing, waiting: Iterable[tuple[str, m.Event]]) -> Standing:
    """As if all that waits in the inbox had been taken."""
    for run_id, event in waiting:
        family = _taken(family, run_id, event)
    return family


def _taken(stands: Standing, run_id: str, event: m.Event) -> Standing:
    if stands.saga_id == run_id:
        return after(stands, event)
    children = tuple(_taken(child, run_id, event) for child in stands.children)
    return Standing(stands.saga_id, stands.definition, stands.state, children)


def _now() -> int:
    return time.time_ns() // 1_000_000
