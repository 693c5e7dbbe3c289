"""Undoing: starts what is due in an undo tree, and takes in what became of it.

The trees are those of the machine (`machine.undo`); what stands here is what an interpreter of
the program reads from it, and a compiled saga tells with each step: the calls themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine import keys
from sagalang.machine.backward import CHILD_NOT_UNDONE, CHILD_OPEN, child_failure
from sagalang.machine.events import (
    CallEnded,
    ChildEnded,
    Compensated,
    Completed,
    Escalated,
    How,
    OpenItem,
    Place,
    Purpose,
    SagaOutcome,
    Settle,
    Timer,
    TimerFired,
)
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.undo import NOTHING, Entry, Status, Undo, change, due, entries, settled
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED, NOT_DONE, UNAVAILABLE
from sagalang.runtime.saga_calls import Call, SagaCall
from sagalang.runtime.saga_driver import Driver
from sagalang.runtime.saga_errors import BadValue, failure_of, translated
from sagalang.runtime.saga_statements import contract_of

AS_CAPTURED: Final[tuple[Any, ...]] = ()
"""What stands in `Entry.args` once the compensation's call is known; the call is in `Made`."""


# Bound once: a member of an enum is looked up the slow way in Python 3.11, and every call asks.
_SETTLING: Final = Status.SETTLING
_OWED: Final = Status.OWED


Delivered = CallEnded | ChildEnded | TimerFired | Settle


class Made(Struct):
    """A step as the saga made it. `undo` waits for the result where it is a function; `undoing`
    is the compensation with its arguments, captured."""

    label: str
    team: str = ""
    call: Call[Any] | None = None
    child: SagaCall[Any] | None = None
    undo: Call[Any] | Callable[[Any], Call[Any]] | None = None
    undoing: Call[Any] | None = None
    policy: p.Policy = p.RELENTLESS
    """Of the compensation."""
    best_effort: bool = False


class Undoing:
    """Works on the undo trees of one run. `escalate`: whom compensations are handed to."""

    def __init__(self, driver: Driver, escalate: p.Escalation | None) -> None:
        self._driver = driver
        self._escalate = escalate
        self.made: dict[Place, Made] = {}
        self.written_off: list[OpenItem] = []
        """Compensations that a person gave up."""

    # --- What a step owes ----------------------------------------------------------------------

    def prepare(self, place: Place, made: Made, sent: tuple[Any, ...]) -> Entry:
        """What the step will owe once its intent is recorded."""
        self.made[place] = made
        args = None
        if type(made.undo) is Call:
            made.undoing, args = made.undo, AS_CAPTURED
        return Entry(place, _SETTLING, args=args, sent=sent, started=self._driver.now)

    def settle(self, entry: Entry, outcome: Outcome, unanswered: int | None) -> Undo:
        """What is owed once the step's outcome is known: nothing if it did not happen."""
        made = self.made.get(entry.place)
        happened = type(outcome) is Ok or type(outcome) is Unknown
        if made is None or made.undo is None or not happened:
            return NOTHING
        # The only changes of an entry that every step makes: written out, not `replace`d.
        owed = Entry(
            entry.place,
            _OWED,
            args=entry.args,
            sent=entry.sent,
            started=entry.started,
            outcome=outcome,
            unanswered=unanswered,
        )
        if owed.args is None and isinstance(outcome, Ok):
            return self._capture(owed, made, outcome)
        return owed

    def _capture(self, entry: Entry, made: Made, outcome: Ok) -> Entry:
        """The compensation that needs the result. Where it has no value, nobody but a person can
        undo the step; that is told when its turn comes, for the saga may still complete."""
        undo = cast(Callable[[Any], Call[Any]], made.undo)
        try:
            made.undoing = self._driver.exactly(lambda: undo(outcome.value))
        except Exception as raised:
            error = translated(raised)
            if error is None:
                raise
            return replace(entry, failure=failure_of(error))
        return replace(entry, args=AS_CAPTURED)

    def settle_child(self, entry: Entry, event: ChildEnded) -> Undo:
        match event.outcome:
            case Completed():
                kept = self.made[entry.place].best_effort
                return NOTHING if kept else replace(entry, status=Status.OWED)
            case Compensated():
                return NOTHING
            case Escalated() as outcome:
                return self._stuck(entry, child_failure(outcome), Purpose.STEP)

    # --- Working on a tree ---------------------------------------------------------------------

    def work(self, tree: Undo, error: Failure) -> Undo:
        """Start everything that is due. Nothing is, while a step of the tree is in flight."""
        if not settled(tree):
            return tree
        while True:
            found = tuple(due(tree))
            if not found:
                return tree
            for entry in found:
                tree = change(tree, entry.place, lambda owed: self._start(owed, error))

    def _start(self, entry: Entry, error: Failure) -> Undo:
        driver, made = self._driver, self.made[entry.place]
        if entry.failure is not None:
            return self._stuck(entry, entry.failure, Purpose.COMPENSATE)
        if made.child is not None:
            driver.undo_child(entry.place, made.child.definition.name, error)
            return replace(entry, status=Status.RUNNING)
        if made.undoing is None:
            return self._resolve(entry, made)
        assert made.call is not None
        lands = made.call.contract.promises.lands_within
        fenced = made.undoing.contract.promises.fences_late
        if entry.unanswered is not None and lands is not None and not fenced:
            safe = entry.unanswered + lands
            if safe > driver.now:
                driver.start_timer(entry.place, Timer.LANDS, safe)
                return replace(entry, status=Status.DELAYED)
        key = driver.key(entry.place, keys.COMPENSATE)
        try:
            probe = self._asking(entry.place, made.undoing)
        except BadValue as bad:
            return self._stuck(entry, failure_of(bad), Purpose.COMPENSATE)
        driver.start_call(
            entry.place,
            Purpose.COMPENSATE,
            key,
            made.undoing,
            made.policy,
            probe=probe,
            first_attempt=entry.first_undo,
            unanswered=entry.undo_unanswered,
        )
        self._start_clock(entry.place)
        if made.undoing.contract.promises.idempotent or entry.first_undo is not None:
            return replace(entry, status=Status.RUNNING)
        return replace(entry, status=Status.RUNNING, first_undo=driver.now)

    def _resolve(self, entry: Entry, made: Made) -> Undo:
        assert made.call is not None
        try:
            probe = self._asking(entry.place, made.call)
        except BadValue as bad:
            return self._stuck(entry, failure_of(bad), Purpose.RESOLVE)
        self._driver.start_call(
            entry.place,
            Purpose.RESOLVE,
            self._driver.key(entry.place),
            made.call,
            made.policy,
            probe=probe,
            first_attempt=entry.started,
            unanswered=entry.unanswered,
        )
        self._start_clock(entry.place)
        return replace(entry, status=Status.RESOLVING)

    def _asking(self, place: Place, call: Call[Any]) -> Call[Any] | None:
        """The probe; it sees the key of the step. Raises `BadValue`."""
        try:
            return self._driver.exactly(call.asking, self._driver.key(place))
        except Exception as raised:
            error = translated(raised)
            if error is None or error is raised:
                raise
            raise error from raised

    def deliver(self, tree: Undo, event: Delivered) -> Undo:
        """The tree after an event that belongs to one of its entries; others change nothing."""
        return change(tree, event.place, lambda entry: self._take(entry, event))

    def _take(self, entry: Entry, event: Delivered) -> Undo:
        match entry.status, event:
            case Status.SETTLING, CallEnded(outcome=outcome, unanswered=unanswered):
                return self.settle(entry, outcome, unanswered)
            case Status.SETTLING, ChildEnded():
                return self.settle_child(entry, event)
            case Status.DELAYED, TimerFired(timer=Timer.LANDS):
                return replace(entry, status=Status.OWED)
            case ((Status.RUNNING | Status.RESOLVING), TimerFired(timer=Timer.ESCALATE)):
                return self._overdue(entry)
            case Status.RESOLVING, CallEnded(purpose=Purpose.RESOLVE, outcome=outcome):
                return self._resolved(entry, outcome)
            case Status.RUNNING, CallEnded(purpose=Purpose.COMPENSATE, outcome=Ok()):
                self._stop_clock(entry)
                return NOTHING
            case Status.RUNNING, CallEnded(purpose=Purpose.COMPENSATE, outcome=outcome):
                failure = Failure(NOT_DONE) if isinstance(outcome, Ok) else outcome.error
                return self._stuck(tried(entry, event), failure, Purpose.COMPENSATE)
            case Status.RUNNING, ChildEnded(purpose=Purpose.COMPENSATE, outcome=outcome):
                return self._child_undone(entry, outcome)
            case Status.STUCK, ChildEnded(purpose=purpose) if purpose is entry.purpose:
                return self._child_again(entry, event)
            case Status.STUCK, Settle(purpose=purpose) if purpose is entry.purpose:
                return self._settled(entry, event)
            case _:
                return entry

    def _child_undone(self, entry: Entry, outcome: SagaOutcome) -> Undo:
        if isinstance(outcome, Compensated):
            return NOTHING
        failure = CHILD_NOT_UNDONE
        if isinstance(outcome, Escalated):
            failure = child_failure(outcome, CHILD_NOT_UNDONE)
        return self._stuck(entry, failure, Purpose.COMPENSATE)

    def _child_again(self, entry: Entry, event: ChildEnded) -> Undo:
        """A child saga that was escalated came to another end."""
        if not child_waited_for(entry.failure, event.outcome):
            return entry
        self._driver.settled(entry.place, entry.purpose)
        entry = replace(entry, failure=None)
        if entry.purpose is Purpose.COMPENSATE:
            return self._child_undone(entry, event.outcome)
        return self.settle_child(entry, event)

    def _settled(self, entry: Entry, event: Settle) -> Undo:
        """What comes of a person's word, which was not refused."""
        self._driver.settled(entry.place, entry.purpose)
        match event.how:
            case How.RETRY:
                if entry.refused:
                    self._driver.renew(entry.place, keys.COMPENSATE)
                    entry = replace(entry, refused=False, first_undo=None, undo_unanswered=None)
                return replace(entry, status=Status.OWED, failure=None, stopping=False)
            case How.DONE if entry.purpose is Purpose.RESOLVE:
                return self._happened(entry, Ok(event.value))
            case How.NOT_DONE if entry.purpose is not Purpose.RESOLVE:
                item = self._item(entry.place, entry.failure or Failure(NOT_DONE), entry.purpose)
                self.written_off.append(replace(item, written_off=True))
        return NOTHING

    def _happened(self, entry: Entry, outcome: Ok) -> Undo:
        """The step turned out to have happened: what went unanswered before is the same effect
        under the same key, now known."""
        entry = replace(entry, status=_OWED, outcome=outcome, overdue=False, failure=None)
        return self._capture(entry, self.made[entry.place], outcome)

    def _resolved(self, entry: Entry, outcome: Outcome) -> Undo:
        match outcome:
            case Ok():
                self._stop_clock(entry)
                return self._happened(entry, outcome)
            case Rejected() | NotSent():
                self._stop_clock(entry)
                return NOTHING
            case Unknown(error):
                return self._stuck(entry, error, Purpose.RESOLVE)

    # --- Escalation ----------------------------------------------------------------------------

    def _timed(self, place: Place) -> bool:
        return timed(self._escalate, self.made[place].policy)

    def _start_clock(self, place: Place) -> None:
        if self._timed(place):
            assert self._escalate is not None
            at = self._driver.now + self._escalate.after
            self._driver.start_timer(place, Timer.ESCALATE, at)

    def _stop_clock(self, entry: Entry) -> None:
        if entry.overdue:
            self._driver.settled(entry.place, _purpose(entry))
        elif self._timed(entry.place):
            self._driver.stop_timer(entry.place, Timer.ESCALATE)

    def _overdue(self, entry: Entry) -> Entry:
        failure = Failure(UNAVAILABLE, None, "still being retried")
        item = self._item(entry.place, failure, _purpose(entry))
        self._driver.escalate(item, retrying=True)
        return replace(entry, overdue=True, failure=failure)

    def _stuck(self, entry: Entry, failure: Failure, purpose: Purpose) -> Entry:
        if not entry.overdue:
            self._driver.escalate(self._item(entry.place, failure, purpose))
            if entry.status in (Status.RUNNING, Status.RESOLVING):
                self._stop_clock(entry)
        return replace(entry, status=Status.STUCK, failure=failure, purpose=purpose, overdue=False)

    def stop_overdue(self, tree: Undo) -> Undo:
        """Interrupt what is escalated and still retrying, because nothing else can move."""
        for entry in tuple(entries(tree)):
            if entry.overdue and not entry.stopping:
                self._driver.interrupt(entry.place, _purpose(entry))
                tree = change(tree, entry.place, lambda found: replace(found, stopping=True))
        return tree

    def open_items(self, tree: Undo) -> tuple[OpenItem, ...]:
        """What a person must settle, in text order."""
        return tuple(
            self._item(entry.place, entry.failure or Failure(CANCELLED), entry.purpose)
            for entry in entries(tree)
            if entry.status is Status.STUCK
        )

    def _item(self, place: Place, failure: Failure, purpose: Purpose) -> OpenItem:
        made = self.made[place]
        label = made.label
        if purpose is Purpose.COMPENSATE and made.undo is not None:
            undone = made.undo.contract if type(made.undo) is Call else contract_of(made.undo)
            label = label if undone is None else undone.label
        team = self._escalate.team if self._escalate is not None else ""
        return OpenItem(place, purpose, label, failure, team)


def tried(entry: Entry, event: CallEnded) -> Entry:
    """What is known of a compensation after a call that did not undo the step."""
    if isinstance(event.outcome, Rejected):
        return replace(entry, refused=True)
    if entry.first_undo is None:
        return entry
    if isinstance(event.outcome, NotSent):
        return replace(entry, first_undo=None, undo_unanswered=None)
    return replace(entry, undo_unanswered=event.unanswered)


def child_waited_for(failure: Failure | None, outcome: SagaOutcome) -> bool:
    """Whether a child saga came to another end than the one that is waited with."""
    if failure not in (CHILD_OPEN, CHILD_NOT_UNDONE):
        return False
    return not (isinstance(outcome, Escalated) and child_failure(outcome, failure) == failure)


def timed(escalate: p.Escalation | None, policy: p.Policy) -> bool:
    """Whether people are told while retrying goes on: only where it goes on for ever."""
    return escalate is not None and policy.retry is not None and policy.retry.retries is None


def _purpose(entry: Entry) -> Purpose:
    return Purpose.RESOLVE if entry.status is Status.RESOLVING else Purpose.COMPENSATE
