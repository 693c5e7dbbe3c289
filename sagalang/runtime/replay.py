"""What a journal says of a run, handed out in the order in which the run's machine needs it.

A run is what its machine makes of its events, one after the other; both stand in the journal, the
events and what was done about them. So a run is rebuilt by handing its events to a new machine:
what that wants done was done, as the entries say, until one is missing. There its orchestrator
died, and from there the run goes on by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sagalang.machine import events as m
from sagalang.machine.outcomes import Failure
from sagalang.runtime import journal as j
from sagalang.runtime.engine import EngineError
from sagalang.runtime.entry_kinds import ENTRIES
from sagalang.runtime.journal_events import child_ended, event_of

_DONE: Final = (
    j.ChildStarted,
    j.TimerStarted,
    j.TimerEnded,
    j.Interrupted,
    j.AbortBegan,
    j.EscalationRaised,
    j.EscalationSettled,
    j.Alerted,
    j.SagaFinished,
)
"""What a run's own decisions leave in its journal, at once and in their order."""

_TELLING: Final = frozenset(
    {"place", "purpose", "timer", "stopped", "saga", "child_id", "undo", "kind", "error", "item"}
)
"""The fields by which such an entry is known again. Times and payloads are as the journal says."""


_NAMES: Final = {kind: name for name, kind in ENTRIES.items()}


class ReplayError(EngineError):
    """The journal of a run is not one that its definition leads to. Nothing was done."""


class Family:
    """The journal of a run and of its child sagas, by run."""

    def __init__(self, entries: Iterable[j.Entry]) -> None:
        self._entries: dict[str, list[tuple[int, j.Entry]]] = {}
        self._outcomes: dict[int, m.SagaOutcome] = {}
        """By the number of a `ChildFinished`: what that child came to."""
        self._reported: dict[str, tuple[int, str]] = {}
        """By the id of a child saga: where its parent heard last of its end, and of which."""
        ends: dict[str, m.SagaOutcome] = {}
        for number, entry in enumerate(entries):
            self._of(entry.saga_id).append((number, entry))
            match entry:
                case j.ChildStarted(undo=True):
                    self._of(entry.child_id).append((number, entry))
                case j.SagaFinished():
                    ends[entry.saga_id] = entry.value
                case j.ChildFinished():
                    if entry.child_id not in ends:
                        raise _misfit(entry.saga_id, _told(entry), "the child saga has no end")
                    self._outcomes[number] = ends[entry.child_id]
                    self._reported[entry.child_id] = number, entry.kind

    def started(self, saga_id: str) -> j.SagaStarted | None:
        """The first entry of a run; None: it never began."""
        # An event may have come before the run began: it was kept for it.
        entries = (entry for _, entry in self._of(saga_id))
        return next((entry for entry in entries if isinstance(entry, j.SagaStarted)), None)

    def replay(self, saga_id: str, undone_for: Failure | None) -> Replay:
        """`undone_for`: the error for which its parent asked to undo the run, if it did."""
        return Replay(self, saga_id, self._of(saga_id), self._outcomes, undone_for)

    def cancels(self, saga_id: str) -> list[int]:
        return [n for n, entry in self._of(saga_id) if isinstance(entry, j.CancelAsked)]

    def woken(self, saga_id: str) -> bool:
        """Whether a child saga that ended escalated was settled or cancelled since."""
        number, kind = self._reported.get(saga_id, (0, ""))
        return kind == "escalated" and self._called(saga_id) > number

    def _called(self, saga_id: str) -> int:
        """The last entry that may have made a run, or one below it, go on after its end."""
        called = -1
        for number, entry in self._of(saga_id):
            match entry:
                case j.CancelAsked() | j.Settlement():
                    called = max(called, number)
                case j.ChildStarted(child_id=child_id) if child_id != saga_id:
                    called = max(called, self._called(child_id))
        return called

    def _of(self, saga_id: str) -> list[tuple[int, j.Entry]]:
        return self._entries.setdefault(saga_id, [])


class Replay:
    """What the journal says of one run. Each thing is handed out once.

    Raises `ReplayError` where the run asks for something else than what is on record.
    """

    def __init__(
        self,
        family: Family,
        saga_id: str,
        entries: Iterable[tuple[int, j.Entry]],
        outcomes: dict[int, m.SagaOutcome],
        undone_for: Failure | None,
    ) -> None:
        self.family = family
        self._saga_id = saga_id
        self._events: deque[tuple[int, m.Event]] = deque()
        self._done: deque[j.Entry] = deque()
        self._intents: dict[tuple[m.Place, m.Purpose], deque[j.Intent]] = {}
        self._cancels: dict[str, deque[int]] = {}
        self._number = -1
        """The entry of the event that is being worked on."""
        for number, entry in entries:
            match entry:
                case j.ChildStarted(child_id=child_id) if child_id == saga_id:
                    if undone_for is None:
                        raise _misfit(saga_id, "its parent asks to undo it", "and has no reason to")
                    self._events.append((number, m.UndoRequested(entry.at, undone_for)))
                case j.ChildFinished():
                    self._events.append((number, child_ended(entry, outcomes[number])))
                case j.Intent():
                    self._intents.setdefault((entry.place, entry.purpose), deque()).append(entry)
                case _ if (event := event_of(entry)) is not None:
                    self._events.append((number, event))
                case _ if isinstance(entry, _DONE):
                    self._done.append(entry)

    def event(self) -> m.Event | None:
        """The next event; None: there is no more."""
        if not self._events:
            return None
        self._number, event = self._events.popleft()
        return event

    def done(self, kind: type[j.Entry], fields: dict[str, Any]) -> j.Entry | None:
        """The entry that a decision left; None: the journal ends before it."""
        if not self._done:
            return None
        entry = self._done[0]
        if type(entry) is not kind or not all(
            _same(getattr(entry, name), value) for name, value in fields.items() if name in _TELLING
        ):
            due = _worded(kind, fields)
            raise _misfit(self._saga_id, _told(entry), f"{due} follows from what came before")
        return self._done.popleft()

    def interrupted(self, place: m.Place, purpose: m.Purpose) -> bool:
        """Whether it is on record that a call was told to stop, or that it had just ended."""
        match self._done:
            case [j.Interrupted(place=there, purpose=what), *_] if (there, what) == (
                place,
                purpose,
            ):
                self._done.popleft()
                return True
            case _:
                return any(
                    isinstance(event, m.CallEnded)
                    and (event.place, event.purpose) == (place, purpose)
                    for _, event in self._events
                )

    def cancelled(self, child_id: str) -> bool:
        """Whether a child saga was asked to cancel after the event that is being worked on."""
        asked = self._cancels.get(child_id)
        if asked is None:
            asked = self._cancels[child_id] = deque(self.family.cancels(child_id))
        while asked:
            if asked.popleft() > self._number:
                return True
        return False

    def intent(self, place: m.Place, purpose: m.Purpose, label: str) -> j.Intent | None:
        """The intent of a call; None: it never left."""
        found = self._intents.get((place, purpose))
        if not found:
            return None
        intent = found.popleft()
        if intent.label != label:
            raise _misfit(self._saga_id, _told(intent), f"{place} calls {label}")
        return intent

    def end(self) -> list[m.Event]:
        """The run goes on by itself now: the events that came before it could take them in.
        Raises `ReplayError` where something is on record that the run never asked for."""
        left = [*self._done, *(entry for found in self._intents.values() for entry in found)]
        if left:
            raise _misfit(self._saga_id, _told(left[0]), "nothing leads to that")
        return [event for _, event in self._events]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, m.OpenItem) and isinstance(other, m.OpenItem):
        return (one.place, one.purpose) == (other.place, other.purpose)
    return bool(one == other)


def _told(entry: j.Entry) -> str:
    return _worded(type(entry), {name: getattr(entry, name) for name in entry.__struct_fields__})


def _worded(kind: type[j.Entry], fields: Mapping[str, Any]) -> str:
    """An entry for people, without payloads."""
    item = fields.get("item")
    place = item.place if isinstance(item, m.OpenItem) else fields.get("place")
    told = [fields.get(name) for name in ("label", "saga", "timer", "kind", "error")]
    words = ", ".join(str(getattr(word, "value", word)) for word in told if word is not None)
    at = f" at {place}" if place is not None and place != m.SAGA else ""
    return f"`{_NAMES[kind]}`{at}" + (f" ({words})" if words else "")


def _misfit(saga_id: str, found: str, instead: str) -> ReplayError:
    return ReplayError(
        f"the journal of {saga_id} does not fit its saga: it says {found}, but {instead}."
        " Nothing was done. Resume it with the definition that it was started with"
    )
