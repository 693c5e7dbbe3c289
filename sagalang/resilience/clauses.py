"""What protects a call, said in Python: each function makes one clause of a policy.

Durations are a `timedelta`, or seconds. A contradiction raises `ValueError` with a sentence that
says what to write instead; the rules are those of the language (its reference, "Policies").
"""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from sagalang.model.program import Breaker, Bulkhead, Jitter, Ms, Rate, Retry, RetryBudget

Duration = float | timedelta
"""Seconds, or a `timedelta`."""


def retry(
    times: int | None,
    *,
    backoff: Duration,
    factor: float = 2,
    up_to: Duration | None = None,
    jitter: Literal["full", "equal", "decorrelated"] | float = "full",
) -> Retry:
    """Repeat at most `times` (None: forever), `backoff` after the first failure, each time
    `factor` times later, never more than `up_to` later.

    The cap comes before the jitter, so that clients still spread when all are at the cap.
    `jitter` as a number, 0.25, spreads by that share to either side. There is no retry at fixed
    intervals: clients that failed together would come back together. (M. Brooker, "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015.)
    """
    first, cap = ms(backoff, "backoff"), None if up_to is None else ms(up_to, "up_to")
    if times is not None:
        _count(times, "retry: `times`", "leave `retry` out where nothing shall be repeated")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 <= factor <= 100:
        raise ValueError("retry: `factor` is a number from 1 to 100; 2 is usual")
    if cap is not None and cap < first:
        raise ValueError("retry: `up_to` is shorter than the first back-off; make it longer")
    kind, percent = Jitter.PROPORTIONAL, 0
    if isinstance(jitter, str):
        if jitter not in ("full", "equal", "decorrelated"):
            raise ValueError(
                'retry: `jitter` is "full", "equal", "decorrelated" or a share like 0.25'
            )
        kind = Jitter(jitter)
    elif isinstance(jitter, int | float) and 0 < jitter <= 1:
        percent = max(1, round(jitter * 100))
    else:
        raise ValueError(
            'retry: `jitter` is "full", "equal", "decorrelated", or a share: more than 0, at most 1'
        )
    return Retry(times, first, Decimal(str(factor)), cap, kind, percent)


def retry_budget(percent: int, *, within: Duration = 10.0) -> RetryBudget:
    """Retries stay below `percent` of the calls of the last `within`, plus one a second: a
    service that is down gets no storm of retries."""
    return RetryBudget(_percent(percent, "retry_budget"), ms(within, "within"))


def breaker(
    percent: int,
    *,
    calls: int,
    within: Duration,
    probe_after: Duration,
    up_to: Duration | None = None,
    slow_after: Duration | None = None,
    probes: int = 1,
) -> Breaker:
    """Opens when at least `percent` of at least `calls` calls in the last `within` failed (or took
    longer than `slow_after`). While open, nothing is sent. After `probe_after` one call at a time
    goes through as a probe: if it succeeds the breaker closes, else it stays open as long again,
    twice as long each time where `up_to` says up to what. `probes`: how many results the verdict
    takes, by the same `percent`.
    """
    opened, longest = ms(probe_after, "probe_after"), None if up_to is None else ms(up_to, "up_to")
    _count(calls, "breaker: `calls`")
    _count(probes, "breaker: `probes`")
    if longest is not None and longest < opened:
        raise ValueError("breaker: `up_to` is shorter than `probe_after`; make it longer")
    return Breaker(
        _percent(percent, "breaker"),
        calls,
        ms(within, "within"),
        opened,
        longest,
        None if slow_after is None else ms(slow_after, "slow_after"),
        probes=probes,
    )


def bulkhead(limit: int, *, queue: int = 0, wait: Duration | None = None) -> Bulkhead:
    """At most `limit` calls at once; `queue` more wait in order, each at most `wait`."""
    _count(limit, "bulkhead: `limit`")
    if queue != 0:
        _count(queue, "bulkhead: `queue`", "leave it out where nobody shall wait")
    if wait is not None and not queue:
        raise ValueError("bulkhead: there is no queue in which a call could wait; add `queue`")
    return Bulkhead(limit, queue, None if wait is None else ms(wait, "wait"))


def rate(calls: int, *, per: Duration) -> Rate:
    """Never more than `calls` in any stretch of time of length `per`."""
    _count(calls, "rate: `calls`")
    return Rate(calls, ms(per, "per"))


def ms(duration: Duration, name: str) -> Ms:
    """A duration in milliseconds, at least 1. Raises ValueError."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"`{name}` is a duration: a timedelta, or seconds, more than 0")
    return max(1, round(seconds * 1_000))


def _count(number: int, name: str, advice: str = "") -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{name} is a whole number, 1 or more" + (f"; {advice}" if advice else ""))


def _percent(percent: int, name: str) -> int:
    if isinstance(percent, bool) or not isinstance(percent, int) or not 0 < percent <= 100:
        raise ValueError(
            f"{name}: `percent` is a whole number from 1 to 100: a half is 50, not 0.5"
        )
    return percent
