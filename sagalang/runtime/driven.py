"""A run from its beginning to its end, over the deaths of its orchestrator."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sagalang.machine import events as m
from sagalang.machine.outcomes import Failure
from sagalang.model.program import Ms
from sagalang.runtime import journal
from sagalang.runtime.activities import Crash
from sagalang.runtime.driver import Driver
from sagalang.runtime.engine import Engine, Session
from sagalang.runtime.replay import Family

Outside = Sequence[tuple[Ms, m.EventReceived | m.CancelRequested]]
"""What the world will send to a run, and when."""


class SettlementRefusedError(Exception):
    """What a person answered does not fit what is open; the message says why."""


class Driven(ABC):
    """The driving of a run, interpreted or compiled. It stands in memory, and everything that it
    knows can be made again of its journal (`rebuild`)."""

    def __init__(self, engine: Engine, session: Session, driver: Driver) -> None:
        self.engine = engine
        self.session = session
        self.undone_for: Failure | None = None
        """The error for which a parent asked to undo this run."""
        self.stands = asyncio.Event()
        """Set once it began, or was rebuilt."""
        self._driver = driver
        self._begun = False

    @property
    def saga_id(self) -> str:
        return self.session.saga_id

    def cancel(self) -> None:
        """Ask the run to abort; after its pivot this is refused."""
        self.engine.request_cancel(self.saga_id)

    def settle(
        self,
        item: m.OpenItem,
        how: m.How,
        value: Any = None,
        *,
        by: str,
        why: str = "",
        child: str | None = None,
    ) -> None:
        """Settle an open item (of `RunResult.owed`) as a person; `by` and `why` go on record.
        `child`: the id of the child saga, at any depth, in which it is open. Await `result` then.

        Raises `SettlementRefusedError`, and KeyError where there is no such child.
        """
        now = self.session.now()
        self.take_settlement(m.Settle(now, item.place, item.purpose, how, value, by, why), child)

    def take_settlement(self, event: m.Settle, child: str | None = None) -> None:
        """What `settle` does, with the event made already."""
        if child is not None and child != self.saga_id:
            place, run = self._towards(child)
            run.take_settlement(event, child)
            self._driver.wake_child(place)
            return
        refused = self._refusal(event)
        if refused is not None:
            raise SettlementRefusedError(refused)
        self.session.put(event)

    def _towards(self, saga_id: str) -> tuple[m.Place, Driven]:
        """The child saga that is, or leads to, the one of this id."""
        for place, child in self._runs():
            if child._knows(saga_id):
                return place, child
        raise KeyError(saga_id)

    def _knows(self, saga_id: str) -> bool:
        return self.saga_id == saga_id or any(child._knows(saga_id) for _, child in self._runs())

    def _runs(self) -> Iterator[tuple[m.Place, Driven]]:
        for place, child in self._driver.children.items():
            assert isinstance(child, Driven)
            yield place, child

    # --- What interpreted and compiled sagas do each in their way ------------------------------

    @property
    @abstractmethod
    def outcome(self) -> m.SagaOutcome | None:
        """What it came to, if it did; a settlement or its parent may make it go on."""

    @abstractmethod
    def _refusal(self, event: m.Settle) -> str | None:
        """Why a person's settlement is not taken, as a sentence; None: it is."""

    @abstractmethod
    def _input(self) -> tuple[str, Mapping[str, Any]]:
        """The name of the saga, and its arguments by their names in the language."""

    @abstractmethod
    def _renew(self) -> None:
        """Be as new: forget where the saga stood."""

    @abstractmethod
    def _start(self, at: Ms) -> None: ...

    @abstractmethod
    def _take(self, event: m.Event) -> None: ...

    # --- From the beginning to the end ---------------------------------------------------------

    async def run(self, outside: Outside = ()) -> m.SagaOutcome:
        """Run to the end, or until nothing but a person can move it; nothing is under way then.

        A run that is on record, and whose process died or which was left, goes on from there.
        Raises `EngineError`.
        """
        try:
            on_record = self._begun or self.session.begun
            if on_record and (self.outcome is None or self._driver.cut_off):
                self.rebuild(Family(await self.session.history()))
                self.stands.set()
            while True:
                outcome = await self.to_the_end(outside)
                await self.session.committed()
                if self.idle:  # somebody may have dealt with it meanwhile
                    return outcome
        finally:
            await self.stop()

    @property
    def idle(self) -> bool:
        """Whether it has stopped, or is about to: nothing is under way, and nothing waits."""
        under_way = self.session.waiting() or self._driver.running_children
        return self.outcome is not None and not under_way

    @property
    def calling(self) -> bool:
        """Whether a call is under way, here or in a saga that it runs as a step."""
        return self._driver.calling or any(child.calling for _, child in self._runs())

    async def to_the_end(self, outside: Outside = ()) -> m.SagaOutcome:
        if not self._begun:
            self._begin(outside)
        while (outcome := self.outcome) is None or not self.idle:
            event = await self.session.next()
            if isinstance(event, Crash):
                await self.stop()
                self.rebuild(Family(await self.session.history()))
            elif self._driver.accepts(event):
                self._take(event)
        return outcome

    def _begin(self, outside: Outside) -> None:
        self._driver.expect(outside)
        now = self.session.now()
        saga, args = self._input()
        started = journal.SagaStarted(at=now, saga_id=self.saga_id, saga=saga, args=args)
        self.session.record(started)
        self._begun = True
        self._start(now)
        self.stands.set()

    def rebuild(self, family: Family) -> None:
        """Make everything that stands in memory anew, from the journal alone, and go on where that
        ends. Raises `ReplayError`; then nothing was called."""
        self._driver.forget()
        self._renew()
        started = family.started(self.saga_id)
        self._begun = started is not None
        replay = family.replay(self.saga_id, self.undone_for)
        if started is None:
            for early in replay.end():  # what came before it began
                self.session.post(early)
            return
        self._driver.replay(replay)
        self._start(started.at)
        while self._driver.replaying:
            event = replay.event()
            if event is None:
                self._driver.take_up(replay, restarted=self.outcome is None)
            elif self._driver.accepts(event):
                self._take(event)

    async def stop(self) -> None:
        await self._driver.stop()
