"""What a protection does, as records of the standard `logging`: logger `sagalang.resilience`."""

from __future__ import annotations

import logging

from sagalang.machine import calls
from sagalang.machine.breaker import Phase
from sagalang.machine.outcomes import NotSent, Unknown
from sagalang.runtime.calls import Note, Queued, Told
from sagalang.runtime.protection import BreakerChanged

_LOG = logging.getLogger("sagalang.resilience")


def tell(name: str) -> Note:
    """Logs for the protection of this name. Records carry `saga_protection`, and what they are
    about in fields that begin with `saga_`; never arguments or results."""

    def note(what: Told) -> None:
        kind = type(what)
        if kind is BreakerChanged:
            _changed(name, what)  # type: ignore[arg-type]
        elif kind is calls.Sleep:
            _log(
                logging.INFO,
                f"{name}: again in {what.delay} ms ({what.reason})",  # type: ignore[union-attr]
                name,
                delay_ms=what.delay,  # type: ignore[union-attr]
                reason=what.reason,  # type: ignore[union-attr]
            )
        elif kind is calls.AttemptEnded:
            outcome = what.outcome  # type: ignore[union-attr]
            if isinstance(outcome, NotSent) and calls.kept_back(outcome):
                error = outcome.error
                _log(logging.INFO, f"{name}: refused, {error.detail}", name, error=error.name)
            elif isinstance(outcome, NotSent | Unknown):
                why = outcome.error.detail
                _log(logging.INFO, f"{name}: an attempt failed: {why}", name, error=why)
        elif kind is Queued:
            _log(logging.DEBUG, f"{name}: waits for its turn", name)

    return note


def _changed(name: str, what: BreakerChanged) -> None:
    level = logging.WARNING if what.after is Phase.OPEN else logging.INFO
    _log(
        level,
        f"{name}: the breaker is {what.after.value} (was {what.before.value})",
        name,
        before=what.before.value,
        after=what.after.value,
    )


def _log(level: int, message: str, name: str, **fields: object) -> None:
    if _LOG.isEnabledFor(level):
        extra = {f"saga_{field}": value for field, value in fields.items()}
        _LOG.log(level, "%s", message, extra={"saga_protection": name, **extra})
