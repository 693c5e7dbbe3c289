"""What Prometheus is told. No label names a single run: series stay few."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sagalang.model.program import Ms
from sagalang.runtime import journal as j

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
_STEP: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_RUN: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400)

Begun = Callable[[str], tuple[str, Ms] | None]
"""Of a run by its id, that began before this process or in it: its saga, and when."""


class Metrics:
    """An observer. Times are those of the journal, so a run's duration spans restarts."""

    def __init__(self, begun: Begun) -> None:
        self._begun = begun
        self._known: dict[str, tuple[str, Ms]] = {}
        self._intents: dict[str, dict[object, Ms]] = {}
        self._registry = registry = CollectorRegistry()
        self._starts = Counter("saga_runs_begun", "Runs that began.", ["saga"], registry=registry)
        self._ends = Counter(
            "saga_runs_ended",
            "Runs that ended, by their state. One that a person settled may end once more.",
            ["saga", "state"],
            registry=registry,
        )
        self._running = Gauge(
            "saga_runs_running", "Runs that are under way here.", ["saga"], registry=registry
        )
        self._durations = Histogram(
            "saga_run_duration_seconds",
            "From the beginning of a run to its end.",
            ["saga", "state"],
            buckets=_RUN,
            registry=registry,
        )
        self._steps = Counter(
            "saga_steps",
            "Calls whose outcome is on record, retries included in one.",
            ["operation", "purpose", "outcome"],
            registry=registry,
        )
        self._took = Histogram(
            "saga_step_duration_seconds",
            "From a call's intent to its outcome, with retries and waits.",
            ["operation", "purpose"],
            buckets=_STEP,
            registry=registry,
        )

    def __call__(self, entry: j.Entry) -> None:
        match entry:
            case j.SagaStarted(saga=saga):
                self._known[entry.saga_id] = saga, entry.at
                self._starts.labels(saga).inc()
            case j.Intent():
                self._intents.setdefault(entry.saga_id, {})[_call(entry)] = entry.at
            case j.OutcomeRecorded(label=label, purpose=purpose, kind=kind):
                self._steps.labels(label, purpose.value, kind).inc()
                began = self._intents.get(entry.saga_id, {}).pop(_call(entry), None)
                if began is not None:
                    self._took.labels(label, purpose.value).observe(_seconds(began, entry.at))
            case j.SagaFinished(kind=kind):
                self._finished(entry.saga_id, kind, entry.at)
            case _:
                pass

    def _finished(self, saga_id: str, kind: str, at: Ms) -> None:
        self._intents.pop(saga_id, None)
        known = self._known.pop(saga_id, None) or self._begun(saga_id)
        if known is not None:
            saga, began = known
            self._ends.labels(saga, kind).inc()
            self._durations.labels(saga, kind).observe(_seconds(began, at))

    def text(self, running: Mapping[str, int]) -> bytes:
        """The text format of Prometheus. `running`: how many runs of a saga are under way."""
        self._running.clear()
        for saga, count in running.items():
            self._running.labels(saga).set(count)
        return generate_latest(self._registry)


def _call(entry: j.CallEntry) -> object:
    return entry.place, entry.purpose, entry.number


def _seconds(since: Ms, until: Ms) -> float:
    return max(0, until - since) / 1_000
