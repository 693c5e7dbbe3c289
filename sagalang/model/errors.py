"""The errors the language itself knows (language.md, section 5)."""

from __future__ import annotations

from typing import Final

TIMEOUT: Final = "Timeout"
UNAVAILABLE: Final = "Unavailable"
CONTRACT_MISMATCH: Final = "ContractMismatch"
NOT_SENT: Final = "NotSent"
CIRCUIT_OPEN: Final = "CircuitOpen"
BULKHEAD_FULL: Final = "BulkheadFull"
RATE_LIMITED: Final = "RateLimited"
THROTTLED: Final = "Throttled"
BAD_VALUE: Final = "BadValue"
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
CANCELLED: Final = "Cancelled"
NOT_DONE: Final = "NotDone"
"""A person said that a step did not happen (settlement of an escalation)."""

OWN_REFUSALS: Final = frozenset({CIRCUIT_OPEN, BULKHEAD_FULL, RATE_LIMITED})
"""Not sent, because our own protections held the call back."""

UNKNOWN_ERRORS: Final = frozenset({TIMEOUT, UNAVAILABLE, CONTRACT_MISMATCH})
NOT_SENT_ERRORS: Final = frozenset({NOT_SENT, CIRCUIT_OPEN, BULKHEAD_FULL, RATE_LIMITED, THROTTLED})
BUILT_IN_ERRORS: Final = (
    UNKNOWN_ERRORS | NOT_SENT_ERRORS | {BAD_VALUE, DEADLINE_EXCEEDED, CANCELLED, NOT_DONE}
)
