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

    reason = "refused"

    def __init__(self, name: str, retry_after: Ms | None) -> None:
        again = "" if retry_after is None else f"; try again in {retry_after} ms"
        super().__init__(f"{name}: {self.reason}{again}", retry_after=retry_after)
        self.name = name


class CircuitOpen(Refused):
    """The breaker is open, or waits for the verdict of its probe."""

    reason = "the breaker is open"


class BulkheadFull(Refused):
    """As many calls as may be are under way, and the queue is full or did not move in time."""

    reason = "too many calls are under way"


class RateLimited(Refused):
    """As many calls as may be were made lately."""

    reason = "the rate limit is reached"


class AttemptTimeout(TimeoutError):  # noqa: N818 - a name of the field
    """No answer in time. Nobody knows whether the call happened."""


_REFUSALS: Final[dict[str, type[Refused]]] = {
    CIRCUIT_OPEN: CircuitOpen,
    BULKHEAD_FULL: BulkheadFull,
    RATE_LIMITED: RateLimited,
}


class Failed:
    """What the attempts of one call raised, and what comes out of it in the end."""

    __slots__ = ("_name", "_rejects", "_unanswered")

    def __init__(self, name: str, rejects: type[Exception] | tuple[type[Exception], ...]) -> None:
        self._name = name
        self._rejects = rejects
        self._unanswered: Exception | None = None

    def outcome(self, error: Exception) -> Outcome:
        """What an attempt that raised this came to."""
        if isinstance(error, NotSent):
            return outcomes.NotSent(Failure(NOT_SENT, error), error.retry_after)
        if isinstance(error, self._rejects):
            return Rejected(Failure(type(error).__name__, error))
        self._unanswered = error
        return Unknown(Failure(UNAVAILABLE, error))

    def result(self, outcome: Outcome) -> Any:
        """The value of the whole call, or its exception. Where it may have happened, no exception
        says that it was not sent."""
        if isinstance(outcome, Ok):
            return outcome.value
        last = outcome.error.value
        if isinstance(outcome, outcomes.NotSent):
            raise last or _REFUSALS[outcome.error.name](self._name, outcome.retry_after)
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
