"""The journal as OpenTelemetry metrics. No attribute names a single run: series stay few."""

from __future__ import annotations

from collections import Counter
from typing import Final

from opentelemetry import metrics

from sagalang import __version__
from sagalang.machine.events import Place, Purpose
from sagalang.model.errors import BULKHEAD_FULL, CIRCUIT_OPEN, RATE_LIMITED
from sagalang.model.program import Ms
from sagalang.runtime import journal as j

_Key = tuple[Place, Purpose, int]

_PROTECTION: Final = {CIRCUIT_OPEN: "breaker", BULKHEAD_FULL: "bulkhead", RATE_LIMITED: "rate"}

_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30)
"""Seconds: those of the semantic conventions for HTTP, and one more for long timeouts."""


class Metrics:
    """An observer."""

    def __init__(self, provider: metrics.MeterProvider | None = None) -> None:
        meter = metrics.get_meter("sagalang", __version__, provider)
        self._attempts = meter.create_counter(
            "saga.attempts", "{attempt}", "Attempts that ended, refused ones not counted"
        )
        self._durations = meter.create_histogram(
            "saga.attempt.duration",
            "s",
            "How long attempts took, with the time in a bulkhead's queue",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )
        self._retries = meter.create_counter(
            "saga.retries", "{retry}", "Attempts and questions made again, by what they waited for"
        )
        self._refusals = meter.create_counter(
            "saga.refusals", "{attempt}", "Attempts that a protection kept from being sent"
        )
        self._changes = meter.create_counter(
            "saga.breaker.changes", "{change}", "Changes of breakers, by their new state"
        )
        self._breakers = meter.create_up_down_counter(
            "saga.breaker.state", "{breaker}", "Breakers in this state, of those that ever changed"
        )
        self._runs = meter.create_counter("saga.runs", "{run}", "Runs that ended, by outcome")
        self._names: dict[str, str] = {}
        self._began: dict[str, dict[_Key, Ms]] = {}
        self._waited: dict[str, dict[_Key, str]] = {}
        """Why a call that is to be made again has waited."""
        self._states: Counter[tuple[str, str]] = Counter()

    def __call__(self, entry: j.Entry) -> None:
        match entry:
            case j.AttemptStarted() | j.ProbeStarted():
                self._starts(entry)
            case j.AttemptEnded() | j.ProbeEnded():
                self._ended(entry)
            case j.Waiting(reason=reason):
                # A wait alone is no retry: the retry budget or an abort may follow.
                self._waited.setdefault(entry.saga_id, {})[_key(entry)] = reason
                if reason == "retry-budget":
                    self._refused(entry, reason)
            case j.BreakerChanged():
                self._changed(entry)
            case j.SagaStarted(saga=saga):
                self._names[entry.saga_id] = saga
            case j.Restarted():
                self._forget(entry)
            case j.SagaFinished():
                self._finished(entry)
            case _:
                pass

    def _starts(self, entry: j.CallEntry) -> None:
        self._began.setdefault(entry.saga_id, {})[_key(entry)] = entry.at
        reason = self._waited.get(entry.saga_id, {}).pop(_key(entry), None)
        if reason is not None:
            self._retries.add(1, {**_target(entry), "saga.reason": reason})

    def _ended(self, entry: j.AttemptEnded | j.ProbeEnded) -> None:
        since = self._began.get(entry.saga_id, {}).pop(_key(entry), None)
        protection = _PROTECTION.get(entry.error or "")
        if protection is not None:
            self._refused(entry, protection)
            return
        attributes = {**_target(entry), "saga.outcome": entry.kind}
        if entry.error is not None:
            attributes["error.type"] = entry.error
        self._attempts.add(1, attributes)
        if since is not None:
            self._durations.record((entry.at - since) / 1_000, attributes)

    def _refused(self, entry: j.CallEntry, protection: str) -> None:
        self._refusals.add(1, {**_target(entry), "saga.protection": protection})

    def _changed(self, entry: j.BreakerChanged) -> None:
        scope = entry.scope
        self._changes.add(1, {"saga.breaker": scope, "saga.breaker.state": entry.after})
        # Two breakers may share a scope; a breaker that never changed before is on no count.
        if self._states[scope, entry.before]:
            self._states[scope, entry.before] -= 1
            self._breakers.add(-1, {"saga.breaker": scope, "saga.breaker.state": entry.before})
        self._states[scope, entry.after] += 1
        self._breakers.add(1, {"saga.breaker": scope, "saga.breaker.state": entry.after})

    def _finished(self, entry: j.SagaFinished) -> None:
        self._forget(entry)
        name = self._names.pop(entry.saga_id, None)
        if name is None:  # a child that completed and is now undone: it was counted
            return
        attributes = {"saga.name": name, "saga.outcome": entry.kind}
        if entry.error is not None:
            attributes["saga.error"] = entry.error
        self._runs.add(1, attributes)

    def _forget(self, entry: j.Entry) -> None:
        self._began.pop(entry.saga_id, None)
        self._waited.pop(entry.saga_id, None)


def _key(entry: j.CallEntry) -> _Key:
    return entry.place, entry.purpose, entry.number


def _target(entry: j.CallEntry) -> dict[str, str]:
    service, _, operation = entry.label.partition(".")
    return {"saga.service": service, "saga.operation": operation}
