"""What a call came to: it happened, it did not happen, or nobody knows.

The four classes are used for one attempt (what the transport saw) and for a whole step (what the
saga may believe). See language.md, section 1.
"""

from __future__ import annotations

from typing import Any, final

from msgspec import Struct

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


class Failure(Struct, frozen=True, gc=False):
    """An error by name, with its fields (a record value, or None) and a sentence for people.

    `detail` never holds a secret or a payload.
    """

    name: str
    value: Any = None
    detail: str = ""


@final
class Ok(Struct, frozen=True, gc=False, eq=False):
    """A declared answer arrived. `replayed`: the service had given it before, to the same key;
    this makes no difference between two answers."""

    value: Any = None
    replayed: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ok) and self.value == other.value

    def __hash__(self) -> int:
        return hash((Ok, self.value))


class Rejected(Struct, frozen=True, gc=False, eq=False):
    """The service declared that it did nothing. `replayed`: as for `Ok`."""

    error: Failure
    replayed: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rejected) and self.error == other.error

    def __hash__(self) -> int:
        return hash((Rejected, self.error))


class NotSent(Struct, frozen=True, gc=False):
    """The call never left. `retry_after`: milliseconds the service asked us to wait. `repeat` is
    False for a call that cannot be sent at all, such as one with an empty part of its path."""

    error: Failure
    retry_after: int | None = None
    repeat: bool = True


class Unknown(Struct, frozen=True, gc=False):
    """It may have happened, and it may still happen.

    `repeat` is False for a contract mismatch: repeating would not help, whatever is allowed.
    `replayed`: the service said that it had met this key before.
    """

    error: Failure
    retry_after: int | None = None
    repeat: bool = True
    replayed: bool = False


Outcome = Ok | Rejected | NotSent | Unknown
