"""Breaker, retry, bulkhead, rate limit, timeout: the policies of the language, usable alone.

from sagalang.resilience import Protection, breaker, retry
"""

from sagalang.machine.breaker import Phase
from sagalang.resilience.clauses import (
    Duration,
    breaker,
    bulkhead,
    rate,
    retry,
    retry_budget,
)
from sagalang.resilience.errors import (
    AttemptTimeout,
    BulkheadFull,
    CircuitOpen,
    RateLimited,
    Refused,
)
from sagalang.resilience.protection import Protection
from sagalang.runtime.clock import Clock, SimulatedClock, simulated
from sagalang.runtime.problems import NotSent

__all__ = [
    "AttemptTimeout",
    "BulkheadFull",
    "CircuitOpen",
    "Clock",
    "Duration",
    "NotSent",
    "Phase",
    "Protection",
    "RateLimited",
    "Refused",
    "SimulatedClock",
    "breaker",
    "bulkhead",
    "rate",
    "retry",
    "retry_budget",
    "simulated",
]
