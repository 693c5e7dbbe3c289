# Made by `saga compile` from policies.saga; what follows: sha256 89c93ba8af8fffcf
"""Compiled from policies.saga.

policies.saga: sha256 0d97d909b0f24eb7

Change policies.saga and compile what imports it again.
"""

from __future__ import annotations

from decimal import Decimal

from sagalang.runtime.saga import Breaker, Bulkhead, Policy, Retry

__all__ = ["EDGE", "STUBBORN"]


# Policies. Times are milliseconds.

EDGE = Policy(
    timeout=2_000,
    retry=Retry(retries=4, backoff=200, factor=Decimal("2"), cap=5_000),
    breaker=Breaker(percent=50, calls=20, window=30_000, probe_after=10_000),
    bulkhead=Bulkhead(limit=16, queue=32),
)
STUBBORN = Policy(
    timeout=2_000,
    retry=Retry(retries=None, backoff=1_000, factor=Decimal("2"), cap=300_000),
    breaker=Breaker(percent=50, calls=20, window=30_000, probe_after=10_000),
    bulkhead=Bulkhead(limit=16, queue=32),
)
