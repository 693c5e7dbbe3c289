"""The state that protects a service, shared by its operations and by all sagas of the process.

The rules are those of `machine`; here is only what holds their states, and what lets a call wait
for its turn. Every change is made under a lock and takes no time, so that threads may share it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, TypeVar

from msgspec import Struct

from sagalang.machine import breaker, budget, bulkhead, rate
from sagalang.machine.outcomes import Failure, NotSent
from sagalang.model import program as p
from sagalang.model.errors import BULKHEAD_FULL, CIRCUIT_OPEN, RATE_LIMITED
from sagalang.model.program import Ms

C = TypeVar("C", p.Breaker, p.Rate, p.Bulkhead, p.RetryBudget)
T = TypeVar("T")


class BreakerChanged(Struct, frozen=True, gc=False):
    """A breaker changed. `scope` is the service, or `Service.operation`; `until`: where it opened,
    from when on it lets a probe through."""

    scope: str
    before: breaker.Phase
    after: breaker.Phase
    until: Ms | None


Notice = Callable[[BreakerChanged], None]


class BreakerCell:
    """One breaker."""

    __slots__ = ("_lock", "config", "scope", "state")

    def __init__(self, scope: str, config: p.Breaker) -> None:
        self.scope = scope
        self.config = config
        self.state = breaker.CLOSED
        self._lock = Lock()

    def admit(self, now: Ms, lease: Ms, notice: Notice) -> breaker.Permit | NotSent:
        with self._lock:
            before = self.state
            after, answer = breaker.admit(self.config, before, now, lease)
            self.state = after
        if after.phase is not before.phase:
            self._tell(before, after, notice)
        if not isinstance(answer, int):
            return answer
        if before.phase is breaker.Phase.OPEN:
            return NotSent(Failure(CIRCUIT_OPEN, None, "the breaker is open"), answer)
        # Half-open: how long the probe takes is not known, so the caller's own back-off decides.
        return NotSent(Failure(CIRCUIT_OPEN, None, "the breaker waits for its probe"))

    def record(
        self, permit: breaker.Permit, *, ok: bool, took: Ms, now: Ms, notice: Notice
    ) -> None:
        with self._lock:
            before = self.state
            self.state = after = breaker.record(
                self.config, before, permit, ok=ok, took=took, now=now
            )
        if after.phase is not before.phase:
            self._tell(before, after, notice)

    def release(self, permit: breaker.Permit) -> None:
        with self._lock:
            self.state = breaker.release(self.state, permit)

    def stale(self, permit: breaker.Permit) -> bool:
        """Whether the breaker has changed since it gave this permit."""
        return permit.generation != self.state.generation

    def _tell(
        self, before: breaker.BreakerState, after: breaker.BreakerState, notice: Notice
    ) -> None:
        until = after.until if after.phase is breaker.Phase.OPEN else None
        notice(BreakerChanged(self.scope, before.phase, after.phase, until))


class RateCell:
    """One rate limit."""

    __slots__ = ("_lock", "config", "state")

    def __init__(self, _scope: str, config: p.Rate) -> None:
        self.config = config
        self.state = rate.IDLE
        self._lock = Lock()

    def admit(self, now: Ms) -> NotSent | None:
        with self._lock:
            self.state, wait = rate.admit(self.config, self.state, now)
        if wait is None:
            return None
        return NotSent(Failure(RATE_LIMITED, None, "the rate limit is reached"), wait)


class Turn:
    """A place in a bulkhead's queue. `wake` is called when its turn comes, from whichever thread
    made room; who sets it looks at `granted` afterwards."""

    __slots__ = ("granted", "wake")

    def __init__(self) -> None:
        self.granted = False
        self.wake: Callable[[], None] | None = None


class BulkheadCell:
    """One bulkhead, with those who wait for it in order."""

    __slots__ = ("_lock", "_queue", "config", "state")

    def __init__(self, _scope: str, config: p.Bulkhead) -> None:
        self.config = config
        self.state = bulkhead.EMPTY
        self._queue: OrderedDict[Turn, None] = OrderedDict()
        self._lock = Lock()

    def enter(self) -> Turn | NotSent | None:
        """None: it is in, and must `leave`. A turn: it waits, and must `leave` once granted or
        else `give_up`."""
        with self._lock:
            self.state, entry = bulkhead.enter(self.config, self.state)
            if entry is bulkhead.Entry.ENTERED:
                return None
            if entry is bulkhead.Entry.QUEUED:
                turn = Turn()
                self._queue[turn] = None
                return turn
        return full()

    def leave(self) -> None:
        with self._lock:
            self.state, passed_on = bulkhead.leave(self.state)
            if not passed_on:
                return
            turn, _ = self._queue.popitem(last=False)
            turn.granted = True
            wake = turn.wake
        if wake is not None:
            wake()

    def give_up(self, turn: Turn) -> bool:
        """Stop waiting. False: the turn had come meanwhile, and the slot must be left."""
        with self._lock:
            if turn.granted:
                return False
            del self._queue[turn]
            self.state = bulkhead.give_up(self.state)
            return True


def full() -> NotSent:
    return NotSent(Failure(BULKHEAD_FULL, None, "too many calls are under way"))


class BudgetCell:
    """One retry budget."""

    __slots__ = ("_lock", "config", "state")

    def __init__(self, _scope: str, config: p.RetryBudget) -> None:
        self.config = config
        self.state = budget.FRESH
        self._lock = Lock()

    def request(self, now: Ms) -> None:
        with self._lock:
            self.state = budget.request(self.config, self.state, now)

    def retry(self, now: Ms) -> bool:
        with self._lock:
            self.state, allowed = budget.retry(self.config, self.state, now)
        return allowed


class Guard(Struct, frozen=True, gc=False):
    """What protects the calls of one operation under one policy."""

    breaker: BreakerCell | None = None
    rate: RateCell | None = None
    bulkhead: BulkheadCell | None = None
    budget: BudgetCell | None = None


UNGUARDED: Final = Guard()


class Protections:
    """All shared protections of a process (or of one test)."""

    def __init__(self) -> None:
        self._cells: dict[tuple[type, str, Any], Any] = {}
        self._guards: dict[tuple[str, str, p.Policy], Guard] = {}

    def guard(self, service: str, operation: str, policy: p.Policy) -> Guard:
        """What protects this operation under this policy; always the same for the same."""
        if not (policy.breaker or policy.bulkhead or policy.rate or policy.budget):
            return UNGUARDED
        key = (service, operation, policy)
        guard = self._guards.get(key)
        if guard is None:
            guard = self._guards[key] = Guard(
                self._shared(BreakerCell, service, operation, policy.breaker),
                self._shared(RateCell, service, operation, policy.rate),
                self._shared(BulkheadCell, service, operation, policy.bulkhead),
                self._shared(BudgetCell, service, operation, policy.budget),
            )
        return guard

    def breakers(self) -> tuple[BreakerCell, ...]:
        """Those that calls have met so far."""
        return tuple(cell for cell in self._cells.values() if isinstance(cell, BreakerCell))

    def _shared(
        self, make: Callable[[str, C], T], service: str, operation: str, config: C | None
    ) -> T | None:
        """The cell of a clause: operations of a service with the same clause share it."""
        if config is None:
            return None
        scope = f"{service}.{operation}" if config.per_operation else service
        key = (type(config), scope, config)
        if key not in self._cells:
            self._cells[key] = make(scope, config)
        found: T = self._cells[key]
        return found
