"""What entries say of compiled runs: what they owe, what they were sent, how they ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sagalang.machine.events import OpenItem, Place, Purpose, SagaOutcome
from sagalang.runtime import journal


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


UNKNOWN: Final = object()
"""For an event that a run was not sent."""


class Account:
    """An observer of runs and their child sagas; also of entries that are read from a file."""

    def __init__(self, entries: Iterable[journal.Entry] = ()) -> None:
        self._items: dict[str, dict[tuple[Place, Purpose], OpenItem]] = {}
        self._children: dict[str, list[str]] = {}
        self._events: dict[str, dict[str, Any]] = {}
        self._outcomes: dict[str, SagaOutcome] = {}
        for entry in entries:
            self(entry)

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
            case journal.EventAccepted(saga_id=saga_id, id=event_id, value=value):
                self._events.setdefault(saga_id, {}).setdefault(event_id, value)
            case journal.SagaFinished(saga_id=saga_id, value=outcome):
                self._outcomes[saga_id] = outcome
            case _:
                pass

    def take(self, other: Account) -> None:
        """What another knows of other runs."""
        self._items |= other._items
        self._children |= other._children
        self._events |= other._events
        self._outcomes |= other._outcomes

    def forget(self, saga_id: str) -> None:
        """A run, and the sagas that it ran as steps."""
        for child in self._children.pop(saga_id, ()):
            self.forget(child)
        for kept in (self._items, self._events, self._outcomes):
            kept.pop(saga_id, None)

    def event(self, saga_id: str, event_id: str) -> Any:
        """The event of this id that a run was sent, or `UNKNOWN`."""
        return self._events.get(saga_id, {}).get(event_id, UNKNOWN)

    def outcome(self, saga_id: str) -> SagaOutcome | None:
        """What a run came to last."""
        return self._outcomes.get(saga_id)

    def open_items(self, saga_id: str) -> tuple[OpenItem, ...]:
        """What is open in this very run."""
        return tuple(self._items.get(saga_id, {}).values())

    def owed(self, saga_id: str) -> tuple[Owed, ...]:
        """What is open in a run, and below it."""
        children = dict.fromkeys(self._children.get(saga_id, ()))
        return (
            *(_owed(saga_id, item) for item in self.open_items(saga_id)),
            *(owed for child in children for owed in self.owed(child)),
        )

    def find(self, owed: Owed) -> OpenItem | None:
        items = self.open_items(owed.run)
        return next((item for item in items if str(item.place) == owed.at), None)


def _owed(saga_id: str, item: OpenItem) -> Owed:
    return Owed(item.label, item.failure.name, item.team, str(item.place), saga_id)
