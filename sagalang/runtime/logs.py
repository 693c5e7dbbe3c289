"""The journal as records of the standard `logging`.

    MemoryEngine(..., observer=observers(logs.log))

Three loggers: `sagalang.saga` (how runs go), `sagalang.call` (attempts, retries, outcomes) and
`sagalang.breaker`. A record's message is a sentence that begins with the run's id; the same as
data stands in attributes of the record whose names begin with `saga_` (see `_FIELDS`).

Arguments, answers and the content of events are on no record: only fields of the journal that
are named here are read.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from sagalang.machine.events import SAGA, Purpose
from sagalang.runtime import journal as j
from sagalang.runtime import words

SAGAS: Final = logging.getLogger("sagalang.saga")
CALLS: Final = logging.getLogger("sagalang.call")
BREAKERS: Final = logging.getLogger("sagalang.breaker")

for _logger in (SAGAS, CALLS, BREAKERS):
    # Else `logging` would print warnings in programs that have set up no logging at all.
    _logger.addHandler(logging.NullHandler())

LEVELS: Final = ("debug", "info", "warning", "error")


def log(entry: j.Entry) -> None:
    """An observer of an engine's journal."""
    if isinstance(entry, j.BreakerChanged):
        logger = BREAKERS
    elif isinstance(entry, j.CallEntry):
        logger = CALLS
    else:
        logger = SAGAS
    level = _level(entry)
    if logger.isEnabledFor(level):
        saga_id = words.printable(entry.saga_id)
        logger.log(level, "%s: %s", saga_id, sentence(entry), extra=_fields(entry))


def to_stderr(level: str) -> None:
    """Print sagalang's records from this level on (one of `LEVELS`): for a command line.

    Not those of other libraries: an HTTP client's log names URLs, and those hold arguments.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s  %(message)s"))
    logger = logging.getLogger("sagalang")
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False


# --- Levels --------------------------------------------------------------------------------------

_LEVEL: Final[dict[type[j.Entry], int]] = {
    j.Intent: logging.DEBUG,
    j.AttemptStarted: logging.DEBUG,
    j.ProbeStarted: logging.DEBUG,
    j.TimerStarted: logging.DEBUG,
    j.TimerEnded: logging.DEBUG,
    j.Interrupted: logging.DEBUG,
    j.Restarted: logging.WARNING,
    j.Alerted: logging.WARNING,
    j.EscalationRaised: logging.ERROR,
}
"""Where it depends on nothing but the kind of entry, and is not INFO."""


def _level(entry: j.Entry) -> int:
    match entry:
        case j.AttemptEnded(kind="ok", replayed=False) | j.ProbeEnded(kind="yes" | "no"):
            return logging.DEBUG
        case j.OutcomeRecorded(kind="ok", purpose=purpose):
            return logging.INFO if purpose is Purpose.COMPENSATE else logging.DEBUG
        case j.OutcomeRecorded(kind="unknown") | j.BreakerChanged(after="open"):
            return logging.WARNING
        case j.SagaFinished(kind="escalated"):
            return logging.ERROR
        case _:
            return _LEVEL.get(type(entry), logging.INFO)


def told_by_default(entry: j.Entry) -> bool:
    """Whether it is of note: logs show it that show no details."""
    return _level(entry) >= logging.INFO


# --- Sentences -----------------------------------------------------------------------------------


def sentence(entry: j.Entry) -> str:
    """What happened, without any value."""
    match entry:
        case j.BreakerChanged(scope=scope, after=after):
            return f"the breaker of {scope} is {after}: {words.breaker(entry)}"
        case j.CallEntry():
            return f"{words.call(entry)}: {_about_call(entry)}"
        case j.SagaStarted(saga=saga):
            return f"saga {saga} begins"
        case j.Restarted():
            return "the orchestrator died; it goes on from its journal"
        case j.ChildStarted(saga=saga, child_id=child, undo=undo):
            return f"{'undoes' if undo else 'begins'} the child saga {saga} {child}"
        case j.ChildFinished(child_id=child, kind=kind):
            return f"the child saga {child} is {kind}"
        case j.TimerStarted(timer=timer, until=until):
            left = words.duration(until - entry.at)
            return f"the timer `{timer.value}`{_at(entry)} is set: {left}"
        case j.TimerEnded(timer=timer, stopped=stopped):
            return (
                f"the timer `{timer.value}`{_at(entry)} {'was stopped' if stopped else 'is over'}"
            )
        case j.EventAccepted(event=event):
            return f"received {event}"
        case j.CancelAsked():
            return "asked to cancel"
        case j.Interrupted():
            return f"nothing new is started{_at(entry)}"
        case j.AbortBegan(error=error):
            return f"{error}{_at(entry)}: undoing what was done"
        case j.EscalationRaised(item=item):
            return f"{item.label} needs {item.team or 'a person'}: {item.failure.name}"
        case j.EscalationSettled():
            return f"settled{_at(entry)}, a person is no longer needed"
        case j.Alerted(error=error, text=text):
            return f"{error}: {text}"
        case j.SagaFinished(kind=kind, error=error):
            return f"{kind} with {error}" if error else kind
        case _:
            return type(entry).__name__


def _about_call(entry: j.CallEntry) -> str:
    match entry:
        case j.Intent():
            return "begins"
        case j.AttemptStarted(attempt=attempt):
            return f"attempt {attempt}"
        case j.AttemptEnded(attempt=attempt, kind=kind, error=error, detail=detail):
            if words.refused_here(entry):
                return f"attempt {attempt} was refused here, {detail}"
            why = "".join(f", {part}" for part in (error, words.printable(detail)) if part)
            knew = f"; {words.KNEW_KEY}" if entry.replayed else ""
            return f"attempt {attempt} is {kind}{why}{knew}"
        case j.ProbeStarted(attempt=attempt):
            return f"asks whether it happened, for the {attempt}. time"
        case j.ProbeEnded(kind=kind, error=error):
            return f"did it happen: {kind}" + (f", {error}" if error else "")
        case j.Waiting():
            return words.waiting(entry)
        case j.Queued():
            return words.queued(entry)
        case j.RetryRefused():
            return "no retry: the retry budget is used up"
        case j.OutcomeRecorded(kind=kind, error=error):
            return f"{kind}, {error}" if error else kind
        case _:
            return type(entry).__name__


def _at(entry: Any) -> str:
    return "" if entry.place == SAGA else f" at {words.printable(str(entry.place))}"


# --- Fields --------------------------------------------------------------------------------------

_FIELDS: Final = {
    "attempt": "saga_attempt",
    "number": "saga_number",
    "kind": "saga_kind",
    "error": "saga_error",
    "detail": "saga_detail",
    "replayed": "saga_replayed",
    "key": "saga_key",
    "reason": "saga_reason",
    "delay": "saga_delay_ms",
    "until": "saga_until_ms",
    "scope": "saga_breaker",
    "before": "saga_breaker_before",
    "after": "saga_breaker_after",
    "saga": "saga_name",
    "child_id": "saga_child_id",
    "undo": "saga_undo",
    "stopped": "saga_stopped",
    "event": "saga_event",
    "text": "saga_text",
    "retrying": "saga_retrying",
}
"""Fields of the journal that become attributes as they are. A new field is on no record before it
stands here. Not here: what the saga works with, and the id of an event, which may be a hash of
what it holds."""


def _fields(entry: j.Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "saga_id": entry.saga_id,
        "saga_at_ms": entry.at,
        "saga_entry": type(entry).__name__,
    }
    for field, name in _FIELDS.items():
        value = getattr(entry, field, None)
        if value is not None:
            found[name] = value
    match entry:
        case j.CallEntry(label=label, place=place, purpose=purpose):
            service, _, operation = label.partition(".")
            found |= {"saga_service": service, "saga_operation": operation}
            found |= {"saga_step": str(place), "saga_purpose": purpose.value}
        case j.EscalationRaised(item=item):
            found |= {"saga_step": str(item.place), "saga_purpose": item.purpose.value}
            found |= {"saga_label": item.label, "saga_team": item.team}
            found |= {"saga_error": item.failure.name}
        case j.TimerStarted(timer=timer, place=place) | j.TimerEnded(timer=timer, place=place):
            found |= {"saga_timer": timer.value, "saga_step": str(place)}
        case (
            j.ChildStarted(place=place)
            | j.ChildFinished(place=place)
            | j.AbortBegan(place=place)
            | j.Interrupted(place=place)
            | j.EscalationSettled(place=place)
        ):
            found["saga_step"] = str(place)
        case _:
            pass
    return found
