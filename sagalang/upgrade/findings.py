"""What a comparison of two definitions says: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from sagalang.text import Span


class Verdict(IntEnum):
    """Of a position, or of a change for the positions that it concerns; the worst is the highest.

    SAFE: the new definition would have led there in the same way. DRAIN: the journal fits, but
    something was done otherwise than the new definition would have done it, so the run should end
    under the old one. BREAKS: the journal does not fit, or may not.
    """

    SAFE = 0
    DRAIN = 1
    BREAKS = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class Kind(Enum):
    """How a run stands to a statement."""

    BEFORE = "before"
    """All that comes before it is done, and nothing of it is on record."""
    IN = "in"
    """It is under way, or open for a person to settle."""
    UNDOING = "undoing after"
    """It was begun, and what was done is being undone."""
    AFTER = "after"
    """A child saga that completed: its parent goes on, or undoes it."""


@dataclass(frozen=True, slots=True)
class Position:
    """`what` names the statement: a step's operation, `saga Other`, `wait Review`, `the end`.
    `path`: its identity in the journal; empty where it leaves none. `changes`: those that make the
    verdict what it is or add to it, as indexes of `SagaUpgrade.changes`."""

    kind: Kind
    what: str
    path: str
    span: Span
    epilogue: bool
    """Within `when compensated`."""
    verdict: Verdict
    changes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A difference that concerns some position. `old`, `new`: the places; None where there is none.
    `verdict`: what becomes of the positions that it concerns."""

    verdict: Verdict
    text: str
    advice: str
    old: Span | None
    new: Span | None


@dataclass(frozen=True, slots=True)
class SagaUpgrade:
    """One saga. `old` or `new` is None where there is none: it was added, or removed."""

    saga: str
    old: Span | None
    new: Span | None
    positions: tuple[Position, ...]
    changes: tuple[Change, ...]

    @property
    def verdict(self) -> Verdict:
        return max((position.verdict for position in self.positions), default=Verdict.SAFE)
