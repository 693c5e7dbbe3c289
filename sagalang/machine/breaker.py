"""A circuit breaker as a value: closed, open, half-open. Pure: the time comes in.

While closed, the results of the last `window` ms are counted; enough failures open it. While open
nothing passes. From `until` on, the next caller is let through as a probe, and the verdict on the
probes closes it or opens it again. (M. Nygard, Release It!, 2nd ed., "Circuit Breaker".)

Every transition starts a new generation, and a permit of an earlier one no longer counts: a call
that began before the service broke says nothing about whether it has recovered. Times are ms of a
clock that does not run backwards; where it does, the newest time seen stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from msgspec import Struct

from sagalang.model.program import Breaker, Ms

_BUCKETS: Final = 10
_DOUBLINGS: Final = 64
"""Doubling one ms so often outlasts every cap; beyond it the number would only grow."""


class Phase(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Turning(Enum):
    """What makes a breaker enter another phase."""

    BROKE = "enough of the newest calls failed, or were slow"
    PROBED = "the open time is over, and somebody calls"
    RECOVERED = "the probes went well"
    RELAPSED = "the probes failed, or were slow"


_CLOSED, _OPEN, _HALF_OPEN = Phase.CLOSED, Phase.OPEN, Phase.HALF_OPEN

NEXT: Final[Mapping[tuple[Phase, Turning], Phase]] = {
    (_CLOSED, Turning.BROKE): _OPEN,
    (_OPEN, Turning.PROBED): _HALF_OPEN,
    (_HALF_OPEN, Turning.RECOVERED): _CLOSED,
    (_HALF_OPEN, Turning.RELAPSED): _OPEN,
}


class Tally(Struct, frozen=True, gc=False):
    """The results of the newest ten buckets; `newest` is the number of the last of them.

    `older` holds the others as (number, total, failed, slow), oldest first, none of them empty.
    The newest bucket's own counts are what the sums exceed those by.
    """

    newest: int = 0
    total: int = 0
    failed: int = 0
    slow: int = 0
    older: tuple[tuple[int, int, int, int], ...] = ()


class Probing(Struct, frozen=True, gc=False):
    """One round of probes. `under_way` holds (number, when its lease ends), oldest first."""

    admitted: int = 0
    """Also those released or forfeited: the number of the last probe."""
    under_way: tuple[tuple[int, Ms], ...] = ()
    total: int = 0
    failed: int = 0
    slow: int = 0


_NO_CALLS: Final = Tally()
_NO_PROBES: Final = Probing()


class BreakerState(Struct, frozen=True, gc=False):
    """What does not belong to the phase is empty, so that equal situations are equal values."""

    phase: Phase
    generation: int = 0
    tally: Tally = _NO_CALLS
    """While closed."""
    until: Ms = 0
    """While open: from when on it probes."""
    rounds: int = 0
    """Rounds of probes failed in a row."""
    probing: Probing = _NO_PROBES
    """While half-open."""


CLOSED: Final = BreakerState(Phase.CLOSED)
"""The state at the start."""


class Permit(Struct, frozen=True, gc=False):
    """To be given back once: to `record` with the result, or to `release`."""

    generation: int
    probe: bool
    number: int
    """Which probe of its round, from 1; 0 for a call that is none."""
    since: Ms
    """When it was admitted."""


def admit(
    config: Breaker, state: BreakerState, now: Ms, lease: Ms
) -> tuple[BreakerState, Permit | Ms]:
    """A permit for one call, or the ms after which it is worth asking again (at least 1).

    While open that is the rest of the open time. While probes are under way their verdict may
    come at any moment; the answer is the open time to come if they fail, but no more than what is
    left of the oldest lease, after which the caller may be the probe itself.

    `lease`: a probe not reported that many ms after it was admitted is forfeited, and its place
    goes to the next caller. Twice the attempt timeout, at least 1.
    """
    phase = state.phase
    if phase is _CLOSED:
        return state, Permit(state.generation, False, 0, now)
    if phase is _OPEN:
        if now < state.until:
            return state, state.until - now
        state = _enter(state, Turning.PROBED, rounds=state.rounds)
    probing = state.probing
    under_way = _unforfeited(probing.under_way, now)
    taken = len(under_way)
    if taken >= config.probes_at_once or probing.total + taken >= config.probes:
        ends = min(end for _, end in under_way)
        wait = min(ends - now, _open_time(config, state.rounds + 1))
        return _with_probes(state, probing, under_way), max(wait, 1)
    number = probing.admitted + 1
    probing = Probing(
        number, (*under_way, (number, now + lease)), probing.total, probing.failed, probing.slow
    )
    return (
        BreakerState(_HALF_OPEN, state.generation, rounds=state.rounds, probing=probing),
        Permit(state.generation, True, number, now),
    )


def record(
    config: Breaker, state: BreakerState, permit: Permit, *, ok: bool, took: Ms, now: Ms
) -> BreakerState:
    """Count the result of a call that was sent; it took `took` ms.

    A call is slow when it took longer than `slow_after`. The shares of failed and of slow calls
    are judged each by itself, after every result. A permit of another generation and a probe
    that is forfeited or was given back before change nothing.
    """
    if permit.generation != state.generation:
        return state
    failed = 0 if ok else 1
    slow = 1 if config.slow_after is not None and took > config.slow_after else 0
    if state.phase is _CLOSED:
        tally = _counted(config, state.tally, failed, slow, now)
        if tally.total >= config.calls and _broken(config, tally):
            return _opened(config, state, Turning.BROKE, 0, now)
        return BreakerState(_CLOSED, state.generation, tally)
    return _probed(config, state, permit.number, failed, slow, now)


def release(state: BreakerState, permit: Permit) -> BreakerState:
    """Give back the permit of a call that was cancelled or never sent: it has no result."""
    if permit.generation != state.generation or not permit.probe:
        return state
    probing = state.probing
    return _with_probes(state, probing, _without(probing.under_way, permit.number))


def _counted(config: Breaker, tally: Tally, failed: int, slow: int, now: Ms) -> Tally:
    bucket = now // (config.window // _BUCKETS or 1)
    if bucket <= tally.newest:
        return Tally(
            tally.newest, tally.total + 1, tally.failed + failed, tally.slow + slow, tally.older
        )
    # The newest bucket becomes one of the older ones; those still in the window are summed anew.
    older = (*tally.older, (tally.newest, *_newest(tally)))
    kept = tuple(one for one in older if one[0] > bucket - _BUCKETS and one[1])
    return Tally(
        bucket,
        sum(one[1] for one in kept) + 1,
        sum(one[2] for one in kept) + failed,
        sum(one[3] for one in kept) + slow,
        kept,
    )


def _newest(tally: Tally) -> tuple[int, int, int]:
    total, failed, slow = tally.total, tally.failed, tally.slow
    for one in tally.older:
        total, failed, slow = total - one[1], failed - one[2], slow - one[3]
    return total, failed, slow


def _probed(
    config: Breaker, state: BreakerState, number: int, failed: int, slow: int, now: Ms
) -> BreakerState:
    probing = state.probing
    live = _unforfeited(probing.under_way, now)
    rest = _without(live, number)
    if len(rest) == len(live):
        return _with_probes(state, probing, live)
    probing = Probing(
        probing.admitted, rest, probing.total + 1, probing.failed + failed, probing.slow + slow
    )
    if probing.total < config.probes:
        return BreakerState(_HALF_OPEN, state.generation, rounds=state.rounds, probing=probing)
    if _broken(config, probing):
        return _opened(config, state, Turning.RELAPSED, state.rounds + 1, now)
    return _enter(state, Turning.RECOVERED)


def _broken(config: Breaker, counts: Tally | Probing) -> bool:
    limit = config.percent * counts.total
    return counts.failed * 100 >= limit or (
        config.slow_after is not None and counts.slow * 100 >= limit
    )


def _opened(
    config: Breaker, state: BreakerState, turning: Turning, rounds: int, now: Ms
) -> BreakerState:
    return _enter(state, turning, until=now + _open_time(config, rounds), rounds=rounds)


def _enter(
    state: BreakerState, turning: Turning, *, until: Ms = 0, rounds: int = 0
) -> BreakerState:
    """The phase that follows, empty but for what is given, in a generation of its own."""
    phase = NEXT[state.phase, turning]
    return BreakerState(phase, state.generation + 1, until=until, rounds=rounds)


def _open_time(config: Breaker, rounds: int) -> Ms:
    if config.probe_up_to is None:
        return config.probe_after
    return min(config.probe_after << min(rounds, _DOUBLINGS), config.probe_up_to)


def _unforfeited(under_way: tuple[tuple[int, Ms], ...], now: Ms) -> tuple[tuple[int, Ms], ...]:
    return tuple(one for one in under_way if now < one[1])


def _without(under_way: tuple[tuple[int, Ms], ...], number: int) -> tuple[tuple[int, Ms], ...]:
    return tuple(one for one in under_way if one[0] != number)


def _with_probes(
    state: BreakerState, probing: Probing, under_way: tuple[tuple[int, Ms], ...]
) -> BreakerState:
    if under_way == probing.under_way:
        return state
    probing = Probing(probing.admitted, under_way, probing.total, probing.failed, probing.slow)
    return BreakerState(_HALF_OPEN, state.generation, rounds=state.rounds, probing=probing)
