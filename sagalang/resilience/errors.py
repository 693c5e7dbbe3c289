"""What a protection raises. Whatever the function itself raises comes out as it is."""

from __future__ import annotations

from typing import Any, Final

from sagalang.machine import outcomes
from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected, Unknown
from sagalang.model.errors import (
    BULKHEAD_FULL,
    CIRCUIT_OPEN,
    NOT_SENT,
    RATE_LIMITED,
    TIMEOUT,
    UNAVAILABLE,
)
from sagalang.model.program import Ms
from sagalang.runtime.problems import NotSent


class Refused(NotSent):
    """A protection kept the call back: the function was not called.

    `name`: whose protection. `retry_after`: milliseconds after which it is worth trying again,
    where that is known.
    """

    def __init__(self, name: str, reason: str, retry_after: Ms | None = None) -> None:
        again = "" if retry_after is None else f"; try again in {retry_after} ms"
        super().__init__(f"{name}: {reason}{again}", retry_after=retry_after)
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.reason, self.retry_after)


class CircuitOpen(Refused):
    """The breaker is open, or waits for the verdict of its probe. Then nobody knows how long, and
    `retry_after` is None."""


class BulkheadFull(Refused):
    """As many calls as may be are under way, and the queue is full or did not move in time."""


class RateLimited(Refused):
    """As many calls as may be were made lately."""


class AttemptTimeout(TimeoutError):  # noqa: N818 - a name of the field
    """No answer in time. Nobody knows whether the call happened."""


_REFUSALS: Final[dict[str, type[Refused]]] = {
    CIRCUIT_OPEN: CircuitOpen,
    BULKHEAD_FULL: BulkheadFull,
    RATE_LIMITED: RateLimited,
}


class Failed:
    """What the attempts of one call raised, and what comes out of it in the end."""

    __slots__ = ("_last", "_name", "_rejects", "_unanswered")

    def __init__(self, name: str, rejects: type[Exception] | tuple[type[Exception], ...]) -> None:
        self._name = name
        self._rejects = rejects
        self._unanswered: Exception | None = None
        self._last: Exception | None = None

    def outcome(self, error: Exception) -> Outcome:
        """What an attempt that raised this came to."""
        self._last, kind = error, type(error).__name__
        if isinstance(error, NotSent):
            return outcomes.NotSent(Failure(NOT_SENT, error, kind), error.retry_after)
        if isinstance(error, self._rejects):
            return Rejected(Failure(kind, error, kind))
        self._unanswered = error
        return Unknown(Failure(UNAVAILABLE, error, kind))

    def result(self, outcome: Outcome) -> Any:
        """The value of the whole call, or its exception. Where it may have happened, no exception
        says that it was not sent."""
        if isinstance(outcome, Ok):
            return outcome.value
        last = outcome.error.value
        if isinstance(outcome, outcomes.NotSent):
            if last is not None:
                raise last
            refusal = _REFUSALS[outcome.error.name]
            raise refusal(self._name, outcome.error.detail, outcome.retry_after) from self._last
        if isinstance(outcome, Rejected) or last is self._unanswered is not None:
            raise last
        if isinstance(last, self._rejects):
            last.add_note("an earlier attempt went unanswered; it may have happened")
            raise last
        if outcome.error.name == TIMEOUT:
            raise AttemptTimeout(f"{self._name}: no answer in time")
        doubt = self._unanswered or AttemptTimeout(f"{self._name}: no answer in time")
        doubt.add_note(f"the next attempt was not sent: {outcome.error.detail or last}")
        raise doubt
