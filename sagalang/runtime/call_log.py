"""What happens in one call, as entries of the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sagalang.machine import calls
from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected, Unknown
from sagalang.model.program import Ms
from sagalang.runtime import journal
from sagalang.runtime.calls import Queued, Told
from sagalang.runtime.protection import BreakerChanged

if TYPE_CHECKING:
    from sagalang.runtime.engine import StepCall

_KIND: Final = {
    calls.Kind.OK: "ok",
    calls.Kind.REJECTED: "rejected",
    calls.Kind.NOT_SENT: "not sent",
    calls.Kind.UNSENDABLE: "not sent",
    calls.Kind.UNKNOWN: "unknown",
    calls.Kind.MISMATCH: "unknown",
}


class CallLog:
    """Records the intent of a call, and everything that is noted of it."""

    __slots__ = ("_attempt", "_call", "_label", "_now", "_record", "_saga_id", "ended")

    ended: journal.OutcomeRecorded

    def __init__(
        self,
        call: StepCall,
        saga_id: str,
        now: Callable[[], Ms],
        record: Callable[[journal.Entry], None],
    ) -> None:
        self._call = call
        self._saga_id = saga_id
        self._now = now
        self._record = record
        self._label = call.contract.label
        self._attempt = 0

    def intent(self) -> None:
        call = self._call
        self._record(
            journal.Intent(
                at=self._now(),
                saga_id=self._saga_id,
                place=call.place,
                purpose=call.purpose,
                label=self._label,
                key=call.key,
                number=call.number,
                args=call.args,
            )
        )

    def note(self, what: Told) -> None:
        # Those of every call by their type, and written out: `match` asks each class in turn.
        kind = type(what)
        if kind is calls.Attempt:
            self._attempt_started(what)  # type: ignore[arg-type]
        elif kind is calls.AttemptEnded:
            self._attempt_ended(what)  # type: ignore[arg-type]
        elif kind is calls.Done:
            self._done(what)  # type: ignore[arg-type]
        elif kind is not calls.Begin:
            self._note_more(what)

    def _attempt_started(self, attempt: calls.Attempt) -> None:
        call = self._call
        self._attempt = attempt.number
        self._record(
            journal.AttemptStarted(
                at=self._now(),
                saga_id=self._saga_id,
                place=call.place,
                purpose=call.purpose,
                label=self._label,
                key=call.key,
                number=call.number,
                attempt=attempt.number,
            )
        )

    def _attempt_ended(self, ended: calls.AttemptEnded) -> None:
        call, outcome = self._call, ended.outcome
        kind, failure, replayed = _told(outcome)
        self._record(
            journal.AttemptEnded(
                at=self._now(),
                saga_id=self._saga_id,
                place=call.place,
                purpose=call.purpose,
                label=self._label,
                key=call.key,
                number=call.number,
                attempt=self._attempt,
                kind=kind,
                error=failure.name if failure else None,
                detail=failure.detail if failure else "",
                replayed=replayed,
            )
        )

    def _done(self, done: calls.Done) -> None:
        call, outcome = self._call, done.outcome
        kind, failure, _ = _told(outcome)
        self.ended = journal.OutcomeRecorded(
            at=self._now(),
            saga_id=self._saga_id,
            place=call.place,
            purpose=call.purpose,
            label=self._label,
            key=call.key,
            number=call.number,
            kind=kind,
            error=failure.name if failure else None,
            value=outcome,
            unanswered=done.unanswered,
        )
        self._record(self.ended)

    def _note_more(self, what: Told) -> None:
        match what:
            case calls.Probe(number=number):
                self._attempt = number
                self._probe(journal.ProbeStarted, attempt=number)
            case calls.ProbeEnded(outcome):
                failure = calls.failure(outcome)
                self._probe(
                    journal.ProbeEnded,
                    attempt=self._attempt,
                    kind=_answered(outcome),
                    error=failure.name if failure else None,
                )
            case calls.Sleep(until=until, delay=delay, reason=reason):
                self._entry(journal.Waiting, reason=reason, delay=delay, until=until)
            case Queued(until):
                self._entry(journal.Queued, until=until)
            case calls.Woke(budget=False):
                self._entry(journal.RetryRefused)
            case BreakerChanged(scope, before, after, until):
                self._entry(
                    journal.BreakerChanged,
                    scope=scope,
                    before=before.value,
                    after=after.value,
                    until=until,
                )
            case _:
                pass

    def _entry(self, entry: type[journal.CallEntry], label: str = "", **fields: object) -> None:
        call = self._call
        self._record(
            entry(
                at=self._now(),
                saga_id=self._saga_id,
                place=call.place,
                purpose=call.purpose,
                label=label or self._label,
                key=call.key,
                number=call.number,
                **fields,
            )
        )

    def _probe(self, entry: type[journal.CallEntry], **fields: object) -> None:
        question = self._call.probe
        assert question is not None
        self._entry(entry, question.contract.label, **fields)


def _told(outcome: Outcome) -> tuple[str, Failure | None, bool]:
    """Its kind, its error, and whether it was replayed."""
    if type(outcome) is Ok:
        return "ok", None, outcome.replayed
    replayed = isinstance(outcome, Rejected | Unknown) and outcome.replayed
    return _KIND[calls.kind(outcome)], calls.failure(outcome), replayed


def _answered(probed: Outcome) -> str:
    if not isinstance(probed, Ok):
        return "no answer"
    return "no" if probed.value is None else "yes"
