"""A rate limit as a value: at most `calls` in any `per` ms, wherever they begin. Pure.

A token bucket or a fixed window lets up to twice as many through around its edges, and a provider
that counts its own way would refuse them; here every window [t, t + per) keeps the limit. Calls
are noted in slots of a hundredth of `per`. A slot counts as long as its last call does, so the
log is short and at least 99 % of the rate can be used (all of it where `per` is up to 100 ms, or
where calls come in bursts). Times are ms of a clock that does not run backwards.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sagalang.model.program import Ms, Rate

_SLOTS: Final = 100


class RateState(Struct, frozen=True, gc=False):
    """`used` calls count at present: `count` in the newest slot, and those in `older`.

    `older` holds (time of its last call, calls) per slot, oldest first: at most 101 of them.
    """

    used: int = 0
    last: Ms = 0
    """When the last call was admitted; its slot is the newest."""
    count: int = 0
    older: tuple[tuple[Ms, int], ...] = ()


IDLE: Final = RateState()


def admit(config: Rate, state: RateState, now: Ms) -> tuple[RateState, Ms | None]:
    """None: the call is admitted and noted. Else: in so many ms (at least 1) there may be room."""
    at = now if now > state.last else state.last
    width = (config.per + _SLOTS - 1) // _SLOTS
    if state.used >= config.calls or at // width != state.last // width:
        state = _slid(config, state, at, width)
        if state.used >= config.calls:
            oldest = state.older[0][0] if state.older else state.last
            return state, oldest + config.per - now
    return RateState(state.used + 1, at, state.count + 1, state.older), None


def _slid(config: Rate, state: RateState, at: Ms, width: Ms) -> RateState:
    """The slot before `at` is closed, and what no longer counts is dropped."""
    used, count, older = state.used, state.count, state.older
    if count and at // width != state.last // width:
        older, count = (*older, (state.last, count)), 0
    gone = 0
    while gone < len(older) and older[gone][0] + config.per <= at:
        used -= older[gone][1]
        gone += 1
    return RateState(used, state.last, count, older[gone:])
