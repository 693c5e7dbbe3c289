"""A retry budget as a value: retries in proportion to requests. Pure: the time comes in.

Where a service is down, every client that retries n times multiplies its load by n + 1; a budget
keeps that close to 1 (Site Reliability Engineering, ch. 22 "Handling Overload": 10 % per client;
Envoy's `retry_budget`). The reserve keeps a client with few requests able to retry at all. Times
are ms of a clock that does not run backwards; where it does, the newest time seen stands.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sagalang.model.program import Ms, RetryBudget

_BUCKETS: Final = 10
_RESERVE_EVERY: Final[Ms] = 1_000
"""The reserve is one retry in this time, whatever the share."""


class BudgetState(Struct, frozen=True, gc=False):
    """The counts of the newest ten buckets; `newest` is the number of the last of them.

    `older` holds the others as (number, requests, retries), oldest first, none of them empty. The
    newest bucket's own counts are what the sums exceed those by.
    """

    newest: int = 0
    requests: int = 0
    retries: int = 0
    older: tuple[tuple[int, int, int], ...] = ()


FRESH: Final = BudgetState()


def request(config: RetryBudget, state: BudgetState, now: Ms) -> BudgetState:
    """A first attempt is about to be made: counted when it starts, whatever becomes of it."""
    state = _at(config, state, now)
    return BudgetState(state.newest, state.requests + 1, state.retries, state.older)


def retry(config: RetryBudget, state: BudgetState, now: Ms) -> tuple[BudgetState, bool]:
    """True: a retry may be made, and is counted.

    With it, the retries of the last `window` ms are at most `percent` % of its requests plus the
    reserve of one a second (at least one).
    """
    state = _at(config, state, now)
    reserve = config.window // _RESERVE_EVERY or 1
    if (state.retries + 1) * 100 > config.percent * state.requests + reserve * 100:
        return state, False
    return BudgetState(state.newest, state.requests, state.retries + 1, state.older), True


def _at(config: RetryBudget, state: BudgetState, now: Ms) -> BudgetState:
    bucket = now // (config.window // _BUCKETS or 1)
    if bucket <= state.newest:
        return state
    requests, retries = state.requests, state.retries
    for _, some_requests, some_retries in state.older:
        requests, retries = requests - some_requests, retries - some_retries
    older = state.older
    if requests or retries:
        older = (*older, (state.newest, requests, retries))
    kept = tuple(one for one in older if one[0] > bucket - _BUCKETS)
    return BudgetState(bucket, sum(one[1] for one in kept), sum(one[2] for one in kept), kept)
