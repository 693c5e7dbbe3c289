"""The journal as OpenTelemetry spans: a run, in it its calls, in them their attempts.

Times come from the journal, so that simulated and replayed runs have their own. Nothing that the
saga works with becomes an attribute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Final

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from sagalang import __version__
from sagalang.machine.events import Place, Purpose
from sagalang.model.errors import BUILT_IN_ERRORS, CANCELLED
from sagalang.model.program import Ms
from sagalang.runtime import journal as j
from sagalang.runtime import words
from sagalang.runtime.telemetry import UNDER_WAY, Begun

Value = str | int | bool

_FAULTS: Final = BUILT_IN_ERRORS - {CANCELLED}
"""Compensated for one of these, a run went wrong; for a declared error, it went as it should."""


@dataclass(slots=True)
class _Attempt:
    """`span` begins when it is sent, at the latest when it has ended."""

    label: str
    since: Ms
    attributes: dict[str, Value]
    parent: Context
    span: Span | None = None


@dataclass(slots=True)
class _Call:
    span: Span
    context: Context
    attempt: _Attempt | None = None


@dataclass(slots=True)
class _Run:
    span: Span
    context: Context
    calls: dict[tuple[Place, Purpose, int], _Call] = field(default_factory=dict)


class Spans:
    """An observer. Call `close` when no more entries come."""

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("sagalang", __version__, provider)
        self._runs: dict[str, _Run] = {}
        self._parents: dict[str, Context] = {}
        """Of child sagas that have not begun."""
        self._now: Ms = 0

    def __call__(self, entry: j.Entry) -> None:
        self._now = entry.at
        match entry:
            case j.CallEntry():
                self._take_call(entry)
            case j.SagaStarted(saga=saga):
                self._begin(entry, saga)
            case j.SagaFinished():
                self._finish(entry)
            case j.ChildStarted(saga=saga, child_id=child):
                run = self._runs.get(entry.saga_id)
                if run is not None:
                    self._parents[child] = run.context
                if entry.undo:
                    # It has ended once; what undoes it belongs to no span that is still open.
                    self._open(child, f"undo saga {saga}", saga, entry.at)
            case j.Restarted():
                self._restart(entry)
            case j.ChildFinished(child_id=child):
                self._parents.pop(child, None)
            case j.EventAccepted(event=name):
                self._tell(entry, "saga.event", {"saga.event": name})
            case j.CancelAsked():
                self._tell(entry, "saga.cancel", {})
            case j.AbortBegan(place=place, error=error):
                self._tell(entry, "saga.abort", {"saga.step": str(place), "saga.error": error})
            case j.Alerted(error=error, text=text):
                self._tell(entry, "saga.alert", {"saga.error": error, "saga.text": text})
            case j.EscalationRaised(item=item):
                told = {"saga.step": str(item.place), "saga.label": item.label}
                told |= {"saga.error": item.failure.name, "saga.team": item.team}
                self._tell(entry, "saga.escalation", told)
            case j.EscalationSettled(place=place):
                self._tell(entry, "saga.settled", {"saga.step": str(place)})
            case _:
                pass

    def close(self) -> None:
        """End what is open: runs that were left in the middle."""
        for saga_id in tuple(self._runs):
            run = self._runs.pop(saga_id)
            run.span.set_status(Status(StatusCode.ERROR, "left in the middle"))
            self._end(run, self._now)
        self._parents.clear()

    # --- Runs ----------------------------------------------------------------------------------

    def _begin(self, entry: j.Entry, saga: str) -> None:
        if entry.saga_id not in self._runs:
            self._open(entry.saga_id, f"saga {saga}", saga, entry.at)

    def _open(self, saga_id: str, name: str, saga: str, at: Ms) -> None:
        parent = self._parents.pop(saga_id, None)
        if parent is None:
            parent = contexts.get_current()  # whoever runs the saga: a request, a job
        attributes = {"saga.id": saga_id, "saga.name": saga}
        span = self._tracer.start_span(name, parent, attributes=attributes, start_time=_ns(at))
        self._runs[saga_id] = _Run(span, trace.set_span_in_context(span, parent))

    def _restart(self, entry: j.Entry) -> None:
        run = self._runs.get(entry.saga_id)
        if run is None:  # begun in another process
            self._open(entry.saga_id, "saga", "", entry.at)
        else:
            for call in run.calls.values():
                _break_off(call, entry.at)
        self._tell(entry, "saga.restarted", {})

    def _finish(self, entry: j.SagaFinished) -> None:
        run = self._runs.pop(entry.saga_id, None)
        if run is None:
            return
        run.span.set_attribute("saga.outcome", entry.kind)
        if entry.error is not None:
            run.span.set_attribute("saga.error", entry.error)
        if entry.kind == "escalated" or entry.error in _FAULTS:
            _fail(run.span, entry.error or entry.kind, "")
        self._end(run, entry.at)

    def _end(self, run: _Run, at: Ms) -> None:
        for call in run.calls.values():
            _break_off(call, at)
            call.span.end(_ns(at))
        run.span.end(_ns(at))

    def _tell(self, entry: j.Entry, name: str, attributes: dict[str, str]) -> None:
        run = self._runs.get(entry.saga_id)
        if run is not None:
            run.span.add_event(name, attributes, _ns(entry.at))

    # --- Calls ---------------------------------------------------------------------------------

    def _take_call(self, entry: j.CallEntry) -> None:
        run = self._runs.get(entry.saga_id)
        if run is None:  # it is over, or nobody told of its begin: nothing would end a span
            return
        key = entry.place, entry.purpose, entry.number
        call = run.calls.get(key)
        if call is None:
            call = run.calls[key] = self._call(run, entry)
        match entry:
            case j.AttemptStarted(attempt=number):
                self._attempt(call, entry, {"saga.attempt": number})
            case j.ProbeStarted(attempt=number):
                self._attempt(call, entry, {"saga.attempt": number, "saga.probe": True})
            case j.AttemptEnded() | j.ProbeEnded():
                UNDER_WAY.set(None)
                self._attempt_ended(call, entry)
            case j.Waiting(reason=reason, delay=delay):
                told: dict[str, Value] = {"saga.reason": reason, "saga.delay_ms": delay}
                call.span.add_event("saga.wait", told, _ns(entry.at))
            case j.Queued():
                call.span.add_event("saga.queued", None, _ns(entry.at))
            case j.BreakerChanged(scope=scope, before=before, after=after):
                told = {"saga.breaker": scope, "saga.breaker.before": before}
                told["saga.breaker.after"] = after
                call.span.add_event("saga.breaker", told, _ns(entry.at))
            case j.OutcomeRecorded(kind=kind, error=error):
                del run.calls[key]
                _break_off(call, entry.at)
                _settle(call.span, kind, error, "")
                call.span.end(_ns(entry.at))
            case _:
                pass

    def _call(self, run: _Run, entry: j.CallEntry) -> _Call:
        attributes: dict[str, Value] = _target(entry.label)
        attributes |= {"saga.id": entry.saga_id, "saga.step": str(entry.place)}
        attributes["saga.purpose"] = entry.purpose.value
        if entry.key is not None:
            attributes["saga.key"] = entry.key
        name = f"{entry.purpose.value} {entry.label}"
        span = self._tracer.start_span(
            name, run.context, attributes=attributes, start_time=_ns(entry.at)
        )
        return _Call(span, trace.set_span_in_context(span, run.context))

    def _attempt(self, call: _Call, entry: j.CallEntry, told: dict[str, Value]) -> None:
        _break_off(call, entry.at)
        attempt = _Attempt(entry.label, entry.at, told, call.context)
        call.attempt = attempt
        UNDER_WAY.set(partial(self._sending, attempt))

    def _sending(self, attempt: _Attempt) -> Begun:
        context = trace.set_span_in_context(self._span(attempt), attempt.parent)
        headers: dict[str, str] = {}
        propagate.inject(headers, context)
        token = contexts.attach(context)
        return tuple(headers.items()), partial(contexts.detach, token)

    def _span(self, attempt: _Attempt) -> Span:
        if attempt.span is None:
            service = attempt.label.partition(".")[0]
            # `peer.service` is what semantic conventions called it before; service maps read it.
            peer = {"service.peer.name": service, "peer.service": service}
            attempt.span = self._tracer.start_span(
                attempt.label,
                attempt.parent,
                SpanKind.CLIENT,
                {**_target(attempt.label), **peer, **attempt.attributes},
                start_time=_ns(attempt.since),
            )
        return attempt.span

    def _attempt_ended(self, call: _Call, entry: j.AttemptEnded | j.ProbeEnded) -> None:
        attempt, call.attempt = call.attempt, None
        if attempt is None:
            return
        if words.refused_here(entry) and attempt.span is None:
            told: dict[str, Value] = {"saga.error": entry.error or "", **attempt.attributes}
            call.span.add_event("saga.refused", told, _ns(entry.at))
            return
        span = self._span(attempt)
        detail = ""
        if isinstance(entry, j.AttemptEnded):
            detail = entry.detail
            if entry.replayed:
                span.set_attribute("saga.replayed", True)
        _settle(span, entry.kind, entry.error, detail)
        span.end(_ns(entry.at))


def _target(label: str) -> dict[str, Value]:
    service, _, operation = label.partition(".")
    return {"saga.service": service, "saga.operation": operation}


def _settle(span: Span, kind: str, error: str | None, detail: str) -> None:
    """A declared rejection is an answer, and no error of the call."""
    span.set_attribute("saga.outcome", kind)
    if error is not None:
        span.set_attribute("saga.error", error)
        if kind != "rejected":
            _fail(span, error, detail)


def _fail(span: Span, error: str, detail: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR, detail or error))


def _break_off(call: _Call, at: Ms) -> None:
    """An attempt that was cut off: nobody will tell how it ended."""
    attempt, call.attempt = call.attempt, None
    if attempt is not None and attempt.span is not None:
        attempt.span.set_status(Status(StatusCode.ERROR, "cut off"))
        attempt.span.end(_ns(at))


def _ns(at: Ms) -> int:
    return at * 1_000_000
