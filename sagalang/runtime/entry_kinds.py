"""The names that entries and outcomes have where a journal is kept, in whatever format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sagalang.machine.events import Compensated, Completed, Escalated, SagaOutcome
from sagalang.machine.outcomes import NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.runtime import journal as j

ENTRIES: Final[Mapping[str, type[j.Entry]]] = {
    "saga started": j.SagaStarted,
    "restarted": j.Restarted,
    "intent": j.Intent,
    "attempt started": j.AttemptStarted,
    "attempt ended": j.AttemptEnded,
    "probe started": j.ProbeStarted,
    "probe ended": j.ProbeEnded,
    "waiting": j.Waiting,
    "queued": j.Queued,
    "retry refused": j.RetryRefused,
    "breaker changed": j.BreakerChanged,
    "outcome": j.OutcomeRecorded,
    "child started": j.ChildStarted,
    "child finished": j.ChildFinished,
    "timer started": j.TimerStarted,
    "timer ended": j.TimerEnded,
    "event": j.EventAccepted,
    "cancel asked": j.CancelAsked,
    "interrupted": j.Interrupted,
    "abort": j.AbortBegan,
    "escalation": j.EscalationRaised,
    "settlement": j.Settlement,
    "escalation settled": j.EscalationSettled,
    "alert": j.Alerted,
    "saga finished": j.SagaFinished,
}
OUTCOMES: Final[Mapping[str, type[Outcome]]] = {
    "ok": Ok,
    "rejected": Rejected,
    "not sent": NotSent,
    "unknown": Unknown,
}
ENDS: Final[Mapping[str, type[SagaOutcome]]] = {
    "completed": Completed,
    "compensated": Compensated,
    "escalated": Escalated,
}
