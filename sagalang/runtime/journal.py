"""What is on record about a run: plain data, in the order in which it happened.

Times are ms since the Unix epoch. What a saga works with (arguments, answers, events) stands in
the fields `args` and `value` only: who prints entries leaves those out, and no other field holds
a payload or a secret. A changed copy: `msgspec.structs.replace`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from msgspec import Struct

from sagalang.machine.events import OpenItem, Place, Purpose, SagaOutcome, Timer
from sagalang.machine.outcomes import Outcome
from sagalang.model.program import Ms


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    at: Ms
    saga_id: str


class SagaStarted(Entry, frozen=True, kw_only=True, gc=False):
    saga: str
    args: Any


class Restarted(Entry, frozen=True, kw_only=True, gc=False):
    """The orchestrator died and the run goes on from its journal: what was in flight is unknown."""


class CallEntry(Entry, frozen=True, kw_only=True, gc=False):
    """`label` is `Service.operation`; `key` is None for queries; `number` tells the questions of
    one poll apart."""

    place: Place
    purpose: Purpose
    label: str
    key: str | None
    number: int = 1


class Intent(CallEntry, frozen=True, kw_only=True, gc=False):
    """Recorded before the first attempt: from now on the call may have happened."""

    args: tuple[Any, ...]


class AttemptStarted(CallEntry, frozen=True, kw_only=True, gc=False):
    attempt: int


class AttemptEnded(CallEntry, frozen=True, kw_only=True, gc=False):
    """`kind`: `ok`, `rejected`, `not sent`, `unknown`. `error` is its name, `detail` a sentence.
    `replayed`: the service knew the key: most often it repeated the answer it gave before."""

    attempt: int
    kind: str
    error: str | None = None
    detail: str = ""
    replayed: bool = False


class ProbeStarted(CallEntry, frozen=True, kw_only=True, gc=False):
    """`label` is the probe's; `attempt` counts the questions."""

    attempt: int


class ProbeEnded(CallEntry, frozen=True, kw_only=True, gc=False):
    """`kind`: `yes`, `no`, or `no answer`."""

    attempt: int
    kind: str
    error: str | None = None


class Waiting(CallEntry, frozen=True, kw_only=True, gc=False):
    """Between attempts. `reason`: `backoff`, `retry-after`, `breaker`, `retry-budget`,
    `lands-within`."""

    reason: str
    delay: Ms
    until: Ms


class Queued(CallEntry, frozen=True, kw_only=True, gc=False):
    """The bulkhead is full: the attempt waits for its turn, at most until then."""

    until: Ms | None


class RetryRefused(CallEntry, frozen=True, kw_only=True, gc=False):
    """A retry was due, and the retry budget of the service has no room for it."""


class BreakerChanged(CallEntry, frozen=True, kw_only=True, gc=False):
    """This call made a breaker change. `scope`: the service, or `Service.operation`; `before` and
    `after`: `closed`, `open`, `half-open`; `until`: an open one lets a probe through from then."""

    scope: str
    before: str
    after: str
    until: Ms | None


class OutcomeRecorded(CallEntry, frozen=True, kw_only=True, gc=False):
    """What the saga believes of the call from now on. `outcome` may hold an answer."""

    kind: str
    error: str | None
    value: Outcome
    unanswered: Ms | None


class ChildStarted(Entry, frozen=True, kw_only=True, gc=False):
    place: Place
    saga: str
    child_id: str
    undo: bool = False


class ChildFinished(Entry, frozen=True, kw_only=True, gc=False):
    place: Place
    child_id: str
    kind: str
    undo: bool = False


class TimerStarted(Entry, frozen=True, kw_only=True, gc=False):
    place: Place
    timer: Timer
    until: Ms


class TimerEnded(Entry, frozen=True, kw_only=True, gc=False):
    place: Place
    timer: Timer
    stopped: bool = False


class EventAccepted(Entry, frozen=True, kw_only=True, gc=False):
    event: str
    id: str
    value: Any


class CancelAsked(Entry, frozen=True, kw_only=True, gc=False):
    pass


class Interrupted(Entry, frozen=True, kw_only=True, gc=False):
    place: Place
    purpose: Purpose


class AbortBegan(Entry, frozen=True, kw_only=True, gc=False):
    """The saga (an empty path) or the attempt at `place` begins to undo what it did."""

    place: Place
    error: str
    detail: str = ""


class EscalationRaised(Entry, frozen=True, kw_only=True, gc=False):
    item: OpenItem
    retrying: bool = False


class Settlement(Entry, frozen=True, kw_only=True, gc=False):
    """A person settles what was open. `how`: `retry`, `done`, `not done`. `by` and `why` are that
    person's words. `value`: what a step that was done by hand gave."""

    place: Place
    purpose: Purpose
    how: str
    by: str
    why: str
    value: Any = None


class EscalationSettled(Entry, frozen=True, kw_only=True, gc=False):
    """What was escalated is open no more; after a `Settlement`, or by itself."""

    place: Place
    purpose: Purpose


class Alerted(Entry, frozen=True, kw_only=True, gc=False):
    error: str
    text: str


class SagaFinished(Entry, frozen=True, kw_only=True, gc=False):
    """`kind`: `completed`, `compensated`, `escalated`."""

    kind: str
    error: str | None
    value: SagaOutcome


class Recorded(Struct, frozen=True, gc=False):
    """What was on record at a moment: the first `count` entries of a journal that only grows and
    may be that of many runs. Nothing is copied before someone asks."""

    entries: Sequence[Entry] = ()
    count: int = 0

    def of(self, saga_id: str) -> tuple[Entry, ...]:
        """The entries of a run and of its child sagas, in order."""
        family, found = {saga_id}, []
        for entry in islice(self.entries, self.count):
            if entry.saga_id in family:
                found.append(entry)
                if isinstance(entry, ChildStarted):
                    family.add(entry.child_id)
        return tuple(found)
