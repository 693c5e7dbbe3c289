"""What is on record about a run: plain data, in the order in which it happened.

Times are ms since the Unix epoch. What a saga works with (arguments, answers, events) stands in
the fields `args` and `value` only: who prints entries leaves those out, and no other field holds
a payload or a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagalang.machine.events import OpenItem, Place, Purpose, SagaOutcome, Timer
from sagalang.machine.outcomes import Outcome
from sagalang.model.program import Ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    at: Ms
    saga_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaStarted(Entry):
    saga: str
    args: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted(Entry):
    """The orchestrator died and the run goes on from its journal: what was in flight is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEntry(Entry):
    """`label` is `Service.operation`; `key` is None for queries; `number` tells the questions of
    one poll apart."""

    place: Place
    purpose: Purpose
    label: str
    key: str | None
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent(CallEntry):
    """Recorded before the first attempt: from now on the call may have happened."""

    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(CallEntry):
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded(CallEntry):
    """`kind`: `ok`, `rejected`, `not sent`, `unknown`. `error` is its name, `detail` a sentence.
    `replayed`: the service knew the key and repeated the answer it gave before."""

    attempt: int
    kind: str
    error: str | None = None
    detail: str = ""
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStarted(CallEntry):
    """`label` is the probe's; `attempt` counts the questions."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeEnded(CallEntry):
    """`kind`: `yes`, `no`, or `no answer`."""

    attempt: int
    kind: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(CallEntry):
    """Between attempts. `reason`: `backoff`, `retry-after`, `breaker`, `retry-budget`,
    `lands-within`."""

    reason: str
    delay: Ms
    until: Ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(CallEntry):
    """The bulkhead is full: the attempt waits for its turn, at most until then."""

    until: Ms | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRefused(CallEntry):
    """A retry was due, and the retry budget of the service has no room for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged(CallEntry):
    """This call made a breaker change. `scope`: the service, or `Service.operation`; `before` and
    `after`: `closed`, `open`, `half-open`; `until`: an open one lets a probe through from then."""

    scope: str
    before: str
    after: str
    until: Ms | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRecorded(CallEntry):
    """What the saga believes of the call from now on. `outcome` may hold an answer."""

    kind: str
    error: str | None
    value: Outcome
    unanswered: Ms | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStarted(Entry):
    place: Place
    saga: str
    child_id: str
    undo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFinished(Entry):
    place: Place
    child_id: str
    kind: str
    undo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerStarted(Entry):
    place: Place
    timer: Timer
    until: Ms


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerEnded(Entry):
    place: Place
    timer: Timer
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAccepted(Entry):
    event: str
    id: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked(Entry):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Entry):
    place: Place
    purpose: Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortBegan(Entry):
    """The saga (an empty path) or the attempt at `place` begins to undo what it did."""

    place: Place
    error: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationRaised(Entry):
    item: OpenItem
    retrying: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement(Entry):
    """A person settles what was open. `how`: `retry`, `done`, `not done`. `by` and `why` are that
    person's words. `value`: what a step that was done by hand gave."""

    place: Place
    purpose: Purpose
    how: str
    by: str
    why: str
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationSettled(Entry):
    """What was escalated is open no more; after a `Settlement`, or by itself."""

    place: Place
    purpose: Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerted(Entry):
    error: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaFinished(Entry):
    """`kind`: `completed`, `compensated`, `escalated`."""

    kind: str
    error: str | None
    value: SagaOutcome
