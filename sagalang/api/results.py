"""What is told of runs: frozen values. No repr shows a secret."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

State = Literal["running", "completed", "compensated", "escalated"]
"""`escalated`: only a person can move it."""

Outcome = Literal["completed", "compensated", "escalated"]

How = Literal["retry", "done", "not-done"]
"""What a person says of what is open: try it once more; it happened (for a compensation: it was
undone by hand); it did not happen and will not (a compensation: it is given up)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of a saga that was compensated. `value`: the declared error, with its fields as
    attributes, None where it has none. `data`: the same as JSON-like data, secrets covered.
    `detail`: a sentence about what happened."""

    name: str
    detail: str
    data: Any = None
    value: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Owed:
    """What a person must settle: `settle(owed.run, owed.step, …)`. `run`: the id of the run, or of
    the child saga, in which it is open. `undoes`: it is the compensation of that step. `retrying`:
    it is still being tried, and settles itself when that works."""

    run: str
    step: str
    operation: str
    undoes: bool
    error: str
    detail: str
    team: str
    retrying: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """Where a run came to. `value`: what the saga returned, records with their fields as
    attributes. `data`: the same as JSON-like data, secrets covered."""

    id: str
    saga: str
    outcome: Outcome
    data: Any = None
    error: Failure | None = None
    owed: tuple[Owed, ...] = ()
    value: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run in a list. `parent`: the id of the run whose step it is. `error`: the name of the
    error it was compensated with. `ended`: None while something can still happen to it."""

    id: str
    saga: str
    state: State
    began: datetime
    changed: datetime
    ended: datetime | None = None
    error: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class RunView(RunInfo):
    """A run as it stands. `result`: None while it is running. `owed`: what is escalated, also
    while the rest is still running."""

    result: Result | None = None
    owed: tuple[Owed, ...] = ()


def open_one(owed: Iterable[Owed], run: str, step: str) -> Owed | None:
    """What is open in this run under the name of its step, or else of its operation."""
    here = [each for each in owed if each.run == run]
    exact = [each for each in here if each.step == step]
    found = exact or [each for each in here if each.operation == step]
    return found[0] if len(found) == 1 else None
