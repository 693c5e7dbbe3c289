"""What a call came to: it happened, it did not happen, or nobody knows.

The four classes are used for one attempt (what the transport saw) and for a whole step (what the
saga may believe). See language.md, section 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sagalang.model.errors import (
    BAD_VALUE,
    BUILT_IN_ERRORS,
    BULKHEAD_FULL,
    CANCELLED,
    CIRCUIT_OPEN,
    CONTRACT_MISMATCH,
    DEADLINE_EXCEEDED,
    NOT_DONE,
    NOT_SENT,
    NOT_SENT_ERRORS,
    RATE_LIMITED,
    THROTTLED,
    TIMEOUT,
    UNAVAILABLE,
    UNKNOWN_ERRORS,
)

__all__ = [
    "BAD_VALUE",
    "BUILT_IN_ERRORS",
    "BULKHEAD_FULL",
    "CANCELLED",
    "CIRCUIT_OPEN",
    "CONTRACT_MISMATCH",
    "DEADLINE_EXCEEDED",
    "NOT_DONE",
    "NOT_SENT",
    "NOT_SENT_ERRORS",
    "RATE_LIMITED",
    "THROTTLED",
    "TIMEOUT",
    "UNAVAILABLE",
    "UNKNOWN_ERRORS",
    "Failure",
    "NotSent",
    "Ok",
    "Outcome",
    "Rejected",
    "Unknown",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error by name, with its fields (a record value, or None) and a sentence for people.

    `detail` never holds a secret or a payload.
    """

    name: str
    value: Any = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ok:
    """A declared answer arrived. `replayed`: the service had given it before, to the same key."""

    value: Any = None
    replayed: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The service declared that it did nothing. `replayed`: as for `Ok`."""

    error: Failure
    replayed: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class NotSent:
    """The call never left. `retry_after`: milliseconds the service asked us to wait. `repeat` is
    False for a call that cannot be sent at all, such as one with an empty part of its path."""

    error: Failure
    retry_after: int | None = None
    repeat: bool = True


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have happened, and it may still happen.

    `repeat` is False for a contract mismatch: repeating would not help, whatever is allowed.
    """

    error: Failure
    retry_after: int | None = None
    repeat: bool = True


Outcome = Ok | Rejected | NotSent | Unknown
