"""What came of a scenario: plain values."""

from __future__ import annotations

from dataclasses import dataclass

from sagalang.machine.events import OpenItem, SagaOutcome
from sagalang.model import program as p
from sagalang.runtime.fakes import Arrival, Entry
from sagalang.runtime.journal import Entry as JournalEntry
from sagalang.text import Span


@dataclass(frozen=True, slots=True)
class Course:
    """What a run did. Times are ms since the Unix epoch; the world is settled: every call that was
    late has arrived.

    `outcome` is None where the run did not end; `problem` says why. `owed`: what a person must
    settle, child sagas included. `kept`: the ids of accepted events that no wait took.
    """

    saga_id: str
    started: p.Ms
    ended: p.Ms
    outcome: SagaOutcome | None
    owed: tuple[OpenItem, ...]
    journal: tuple[JournalEntry, ...]
    arrivals: tuple[Arrival, ...]
    ledger: tuple[Entry, ...]
    kept: frozenset[str] = frozenset()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """An expectation. `text`, where it was not met: what was expected and the nearest that was
    found, as one sentence without a capital or a full stop. `other`: a place that explains it."""

    expect: p.Expect
    met: bool
    text: str = ""
    other: tuple[Span, str] | None = None


@dataclass(frozen=True, slots=True)
class Unused:
    """Something of the scenario that made no difference: a fault that never struck, an event that
    nothing consumed, a cancel after the end."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """`problem`: why the scenario fails whatever it expects; empty where it could be judged."""

    scenario: p.Scenario
    seed: int
    course: Course
    findings: tuple[Finding, ...]
    unused: tuple[Unused, ...]
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem and all(finding.met for finding in self.findings)

    @property
    def took(self) -> p.Ms:
        """Simulated, from the start to the end of the saga."""
        return self.course.ended - self.course.started
