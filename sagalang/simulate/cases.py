"""Which policies an outage is simulated with: the operation's own, varied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Final

from msgspec.structs import replace

from sagalang.model.program import Breaker, Jitter, Policy, Retry, RetryBudget

DEFAULT_RETRY: Final = Retry(retries=2, backoff=100, factor=Decimal(2), cap=5_000)
DEFAULT_BREAKER: Final = Breaker(
    percent=50, calls=10, window=10_000, probe_after=5_000, probe_up_to=60_000
)
DEFAULT_BUDGET: Final = RetryBudget(percent=20)
"""Used where the operation's policy has none: Hystrix', resilience4j's and Polly's middle."""

_PERCENT: Final = 25


def _fixed(retry: Retry) -> Retry:
    return replace(retry, factor=Decimal(1), jitter=Jitter.NONE, percent=0)


def _growing(jitter: Jitter, percent: int = 0) -> Callable[[Retry], Retry]:
    def varied(retry: Retry) -> Retry:
        factor = retry.factor if retry.factor > 1 else DEFAULT_RETRY.factor
        return replace(retry, factor=factor, jitter=jitter, percent=percent)

    return varied


STRATEGIES: Final[Mapping[str, Callable[[Retry], Retry]]] = {
    "fixed": _fixed,
    "exponential": _growing(Jitter.NONE),
    "proportional": _growing(Jitter.PROPORTIONAL, _PERCENT),
    "equal": _growing(Jitter.EQUAL),
    "full": _growing(Jitter.FULL),
    "decorrelated": _growing(Jitter.DECORRELATED),
}
"""By name, from the least spread to the most. Each keeps the number of retries, the first back-off
and the cap."""


class Protection(Enum):
    PLAIN = "plain"
    BREAKER = "breaker"
    BUDGET = "budget"
    BOTH = "both"


def cases(policy: Policy, strategies: Sequence[str]) -> Iterator[tuple[str, Protection, Policy]]:
    """Every strategy under every protection. Timeouts, bulkhead and rate stay as they are."""
    retry = policy.retry or DEFAULT_RETRY
    breaker = policy.breaker or DEFAULT_BREAKER
    budget = policy.budget or DEFAULT_BUDGET
    for strategy in strategies:
        varied = replace(policy, retry=STRATEGIES[strategy](retry))
        for protection in Protection:
            yield (
                strategy,
                protection,
                replace(
                    varied,
                    breaker=breaker if protection in _WITH_BREAKER else None,
                    budget=budget if protection in _WITH_BUDGET else None,
                ),
            )


_WITH_BREAKER: Final = frozenset({Protection.BREAKER, Protection.BOTH})
_WITH_BUDGET: Final = frozenset({Protection.BUDGET, Protection.BOTH})
