"""How long to wait before a repeat. Pure: the random draw in [0, 1) comes in."""

from __future__ import annotations

from sagalang.model.program import Jitter, Ms, Retry

# Where `retry` says `jitter none`, a pushed-back client must not spread either; elsewhere a
# Retry-After is spread upwards by at most the back-off it replaces.


def nominal(retry: Retry, repeat: int) -> Ms:
    """The back-off before repeat `repeat` (from 1), capped, before any jitter."""
    exponent = repeat - 1
    delay = float(retry.backoff)
    factor = float(retry.factor)
    limit = float(retry.cap) if retry.cap is not None else None
    if factor == 1 or exponent == 0:
        grown = delay
    else:
        try:
            grown = delay * factor**exponent
        except OverflowError:
            grown = float("inf")
    if limit is not None:
        grown = min(grown, limit)
    return round(min(grown, _A_CENTURY))


_A_CENTURY = 3_155_760_000_000


def delay(retry: Retry, repeat: int, previous: Ms, draw: float) -> Ms:
    """The wait before repeat `repeat` (from 1).

    The cap is applied before the jitter, so that clients at the cap still spread. `previous` is
    the wait before the last repeat (0 before the first); only `decorrelated` looks at it.
    """
    capped = nominal(retry, repeat)
    match retry.jitter:
        case Jitter.FULL:
            return round(capped * draw)
        case Jitter.EQUAL:
            return round(capped / 2 + capped / 2 * draw)
        case Jitter.DECORRELATED:
            upper = max(previous, retry.backoff) * 3
            if retry.cap is not None:
                upper = min(upper, retry.cap)
            lower = min(retry.backoff, upper)
            return round(lower + (upper - lower) * draw)
        case Jitter.PROPORTIONAL:
            return round(capped * (1 + (2 * draw - 1) * retry.percent / 100))
        case Jitter.NONE:
            return capped


def pushed_back(retry: Retry, repeat: int, asked: Ms, draw: float) -> Ms:
    """A `Retry-After` of `asked` ms, spread upwards only: never earlier than asked."""
    if retry.jitter is Jitter.NONE:
        return asked
    share = (
        asked * retry.percent / 100
        if retry.jitter is Jitter.PROPORTIONAL
        else nominal(retry, repeat)
    )
    return asked + round(share * draw)


def until_probe(retry: Retry, repeat: int, asked: Ms, draw: float) -> Ms:
    """The wait for an open breaker that probes in `asked` ms, spread upwards by a quarter of it
    at least: all who wait for it wait for the same moment, in every process."""
    if retry.jitter is Jitter.NONE:
        return asked
    return asked + round(max(nominal(retry, repeat), asked / 4) * draw)
