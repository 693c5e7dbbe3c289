"""The events of a run, and the entries of its journal that hold them: each is made of the other,
so that a run which goes by its journal sees what the living one saw.

What is not here is told by entries of other runs: that a child saga ended (the entry of its end
has the outcome), and that a completed one is to be undone (its parent has the error).
"""

from __future__ import annotations

from sagalang.machine import events as m
from sagalang.machine.frozen import freeze
from sagalang.machine.outcomes import Ok
from sagalang.runtime import journal as j

Outside = m.EventReceived | m.CancelRequested | m.Settle
"""What comes from outside of the run."""


def entry_of(event: Outside, saga_id: str) -> j.Entry:
    match event:
        case m.EventReceived(at, name, id_, value):
            return j.EventAccepted(at=at, saga_id=saga_id, event=name, id=id_, value=value)
        case m.CancelRequested(at):
            return j.CancelAsked(at=at, saga_id=saga_id)
        case m.Settle():
            return j.Settlement(
                at=event.at,
                saga_id=saga_id,
                place=event.place,
                purpose=event.purpose,
                how=event.how.value,
                by=event.by,
                why=event.why,
                value=event.value,
            )


def event_of(entry: j.Entry) -> m.Event | None:
    """The event that an entry holds; None: it holds none."""
    match entry:
        case j.OutcomeRecorded():
            return call_ended(entry)
        case j.TimerEnded(stopped=False):
            return m.TimerFired(entry.at, entry.place, entry.timer)
        case j.EventAccepted():
            return m.EventReceived(entry.at, entry.event, entry.id, entry.value)
        case j.CancelAsked():
            return m.CancelRequested(entry.at)
        case j.Settlement():
            return m.Settle(
                entry.at,
                entry.place,
                entry.purpose,
                m.How(entry.how),
                entry.value,
                entry.by,
                entry.why,
            )
        case _:
            return None


def call_ended(entry: j.OutcomeRecorded) -> m.CallEnded:
    outcome = entry.value
    if type(outcome) is Ok:
        outcome = Ok(freeze(outcome.value), outcome.replayed)
    return m.CallEnded(entry.at, entry.place, entry.purpose, outcome, entry.unanswered)


def child_ended(entry: j.ChildFinished, outcome: m.SagaOutcome) -> m.ChildEnded:
    purpose = m.Purpose.COMPENSATE if entry.undo else m.Purpose.STEP
    return m.ChildEnded(entry.at, entry.place, purpose, outcome)
