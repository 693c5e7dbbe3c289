"""Where a run stands by its journal: the state of its machine, and of those of its child sagas.

Pure: nothing is called, nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from sagalang.host.definitions import Definition
from sagalang.interpret.run import defined
from sagalang.machine import definition as machine
from sagalang.machine import events as m
from sagalang.machine import saga as sagas
from sagalang.machine.backward import CHILD_NOT_UNDONE, CHILD_OPEN
from sagalang.machine.outcomes import Failure
from sagalang.machine.state import State
from sagalang.runtime.journal import Entry
from sagalang.runtime.replay import Family


class Standing(Struct, frozen=True):
    """`children`: the sagas that run, or ran, as its steps."""

    saga_id: str
    definition: machine.Definition
    state: State
    children: tuple[Standing, ...] = ()

    @property
    def saga(self) -> str:
        return self.definition.saga.name

    def family(self) -> Iterator[Standing]:
        """It, and the sagas below it, at any depth."""
        yield self
        for child in self.children:
            yield from child.family()

    def open_items(self) -> tuple[m.OpenItem, ...]:
        """What a person can settle in it; not what is settled in a child saga."""
        items = sagas.open_items(self.definition, self.state)
        return tuple(item for item in items if item.failure not in _IN_A_CHILD)


_IN_A_CHILD: Final = (CHILD_OPEN, CHILD_NOT_UNDONE)


def standing(
    definition: Definition, saga: str, saga_id: str, history: Sequence[Entry]
) -> Standing | None:
    """`history`: the entries of the run and its child sagas, in order. None: it never began.
    Raises `ReplayError`."""
    return _stands(definition, Family(history), saga, saga_id, None)


def after(stands: Standing, event: m.Event) -> Standing:
    """Where the run stands when it has taken in an event, and before anything comes of that."""
    state, _ = sagas.advance(stands.definition, stands.state, event)
    return Standing(stands.saga_id, stands.definition, state, stands.children)


def _stands(
    by: Definition, family: Family, saga: str, saga_id: str, undone_for: Failure | None
) -> Standing | None:
    started = family.started(saga_id)
    if started is None:
        return None
    definition = defined(by.program, saga, by.values)
    replay = family.replay(saga_id, undone_for)
    timers: set[tuple[m.Place, m.Timer]] = set()
    begun: dict[str, tuple[str, Failure | None]] = {}
    state, commands = sagas.start(definition, saga_id, started.args, started.at)
    while True:
        for command in commands:
            match command:
                case m.StartTimer(place, timer):
                    timers.add((place, timer))
                case m.StopTimer(place, timer):
                    timers.discard((place, timer))
                case m.RunChild():
                    begun[command.saga_id] = command.saga, None
                case m.UndoChild():
                    begun[command.saga_id] = command.saga, command.error
        event = replay.event()
        if event is None:
            break
        if isinstance(event, m.TimerFired):
            if (event.place, event.timer) not in timers:
                commands = ()  # it fired in the moment in which it was stopped
                continue
            timers.remove((event.place, event.timer))
        state, commands = sagas.advance(definition, state, event)
    children = (_stands(by, family, name, each, error) for each, (name, error) in begun.items())
    return Standing(saga_id, definition, state, tuple(c for c in children if c is not None))
