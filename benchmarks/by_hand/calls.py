"""Calls of services that may be slow, busy or down, until it is certain what came of them.

What any saga written by hand needs; nothing in here knows the shop. Times are seconds.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

KEY_KEPT = 24 * 3600.0
"""How long a service remembers an idempotency key, counted from the first attempt."""


def now() -> float:
    return asyncio.get_running_loop().time()


# --- What a call may come to ---------------------------------------------------------------------


class Failure(Exception):  # noqa: N818 - named after what the services say
    """`retry_after`: how long the service, or our own breaker, asks to wait."""

    def __init__(self, name: str, retry_after: float | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.retry_after = retry_after


class Rejected(Failure):
    """The service says that it did nothing."""

    def __init__(self) -> None:
        super().__init__(type(self).__name__)

    @classmethod
    def of(cls, problem: Mapping[str, Any]) -> Rejected:
        """From the body of an answer; raises `Mismatch`."""
        return cls()


class NotSent(Failure):
    """It never left, so nothing can have happened."""


class Unknown(Failure):
    """It may have happened, and may still happen."""


class Mismatch(Unknown):
    """The service does not keep to its contract: repeating would not help."""

    def __init__(self) -> None:
        super().__init__("ContractMismatch")


OWN_REFUSALS = ("CircuitOpen", "BulkheadFull")
"""Ours, not the service's: who must get through waits for as long as they last."""


# --- Policies ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """`retries`: None is for ever."""

    retries: int | None
    backoff: float
    cap: float
    timeout: float = 2.0

    def exhausted(self, used: int) -> bool:
        return self.retries is not None and used > self.retries

    def nominal(self, repeat: int) -> float:
        return min(self.cap, self.backoff * 2.0 ** min(repeat - 1, 64))

    def delay(self, repeat: int, failed: Failure) -> float:
        """Full jitter; what was asked for is only ever lengthened."""
        backoff = random.uniform(0, self.nominal(repeat))
        asked = failed.retry_after
        if asked is None or asked <= backoff:
            return backoff
        spread = self.nominal(repeat)
        if failed.name == "CircuitOpen":  # all who wait for it wait for the same moment
            spread = max(spread, asked / 4)
        return asked + random.uniform(0, spread)


class Breaker:
    """Opens where half of at least 20 calls within 30 s failed; after 10 s one call may probe.

    A permit is the generation in which it was given: a call from before a change does not count.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._results: deque[tuple[float, bool]] = deque()
        self._open_until: float | None = None
        self._probing_until: float | None = None

    def admit(self, timeout: float) -> int:
        if self._open_until is not None:
            busy_until = max(self._open_until, self._probing_until or 0)
            if now() < busy_until:
                probing = self._probing_until is not None
                raise NotSent("CircuitOpen", None if probing else busy_until - now())
            self._probing_until = now() + 2 * timeout  # then it counts as forfeited
            self.generation += 1
        return self.generation

    def record(self, permit: int, ok: bool) -> None:
        if permit != self.generation:
            return
        if self._open_until is not None:
            self._change(open_until=None if ok else now() + 10)
            return
        self._results.append((now(), ok))
        while self._results[0][0] <= now() - 30:
            self._results.popleft()
        failed = sum(not ok for _, ok in self._results)
        if len(self._results) >= 20 and 2 * failed >= len(self._results):
            self._change(open_until=now() + 10)

    def release(self, permit: int) -> None:
        """The call was never sent or was cancelled: nothing was learned."""
        if permit == self.generation:
            self._probing_until = None

    def _change(self, open_until: float | None) -> None:
        self._open_until, self._probing_until = open_until, None
        self._results.clear()
        self.generation += 1


class Bulkhead:
    """At most 16 calls in flight, 32 more in a queue."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(16)
        self._queued = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        if self._free.locked() and self._queued >= 32:
            raise NotSent("BulkheadFull")
        self._queued += 1
        try:
            await self._free.acquire()
        finally:
            self._queued -= 1
        try:
            yield
        finally:
            self._free.release()


@dataclass
class Guard:
    """What protects one service from all sagas of the process."""

    breaker: Breaker = field(default_factory=Breaker)
    bulkhead: Bulkhead = field(default_factory=Bulkhead)


# --- Calls ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """One call, not made yet. `send` makes attempt number n under a key, from 1.

    `probe` asks whether it happened; its no is believed `lands_within` after the last attempt.
    """

    label: str
    guard: Guard
    send: Callable[[str | None, int], Awaitable[T_co]]
    keyed: bool = False
    records_rejections: bool = False
    idempotent: bool = False
    probe: Call[T_co | None] | None = None
    lands_within: float = math.inf


async def attempt(
    call: Call[T], key: str | None, number: int, seconds: float, stop: asyncio.Event
) -> T:
    """One attempt through the protections: breaker, then bulkhead, then timeout."""
    breaker = call.guard.breaker
    permit: int | None = breaker.admit(seconds)
    try:
        async with call.guard.bulkhead.slot():
            if stop.is_set():
                raise NotSent("NotSent")
            if permit != breaker.generation:  # it changed while the call stood in the queue
                permit = None
                permit = breaker.admit(seconds)
            sent, permit = permit, None
            try:
                async with asyncio.timeout(seconds):
                    value = await call.send(key, number)
            except TimeoutError:
                breaker.record(sent, False)
                raise Unknown("Timeout") from None
            except Failure as failed:
                breaker.record(sent, isinstance(failed, Rejected))
                raise
            except BaseException:
                breaker.release(sent)
                raise
            breaker.record(sent, True)
            return value
    finally:
        if permit is not None:
            breaker.release(permit)


Note = Callable[[str], None]


async def settle(
    call: Call[T],
    key: str | None,
    policy: Policy,
    *,
    stop: asyncio.Event,
    note: Note,
    ends: float = math.inf,
    patient: bool = False,
) -> T:
    """Make a call until it is certain what came of it, or the policy gives up.

    Raises `Rejected` or `NotSent` (nothing happened), or `Unknown`. Doubt is sticky: a refusal
    that follows an unanswered attempt says nothing about that one, unless the service stores
    refusals under the key. `stop` ends sleeps and starts nothing new; what is in flight is
    awaited. No sleep is begun that would reach `ends`. `patient`: it must get through, so our own
    protections are waited out and use up no retries.
    """
    patient = patient or policy.retries is None
    first = unanswered = now()
    number = used = 0
    doubt = stood = False
    failed: Failure = NotSent("NotSent")

    def repeatable() -> bool:
        return call.idempotent or (call.keyed and now() <= first + KEY_KEPT)

    while not stop.is_set() and (repeatable() or not doubt):
        number += 1
        try:
            return await attempt(call, key, number, policy.timeout, stop)
        except Failure as raised:
            failed = raised
        note(f"attempt {number}: {failed.name}")
        used += not (patient and failed.name in OWN_REFUSALS)
        if isinstance(failed, Rejected):
            doubt = doubt and not (call.records_rejections and repeatable())
            break
        if isinstance(failed, Unknown):
            doubt, unanswered = True, now()
        if doubt and (isinstance(failed, Mismatch) or not repeatable()):
            if call.probe is None:
                break
            wait = policy.delay(number, failed)
            found = await ask(call, unanswered, wait, policy, stop=stop, note=note, ends=ends)
            if found is not None:
                return found
            doubt, mismatch = False, isinstance(failed, Mismatch)
            failed = NotSent(failed.name)
            if mismatch or policy.exhausted(used):
                break
            continue
        if policy.exhausted(used):
            break
        if failed.name == "CircuitOpen" and failed.retry_after is not None:
            if stood and not patient:
                break
            stood = True
        wait = policy.delay(number, failed)
        if now() + wait >= ends or not await slept(wait, stop):
            break
    raise Unknown(failed.name) if doubt and not isinstance(failed, Unknown) else failed


async def ask(
    call: Call[T],
    unanswered: float,
    wait: float,
    policy: Policy,
    *,
    stop: asyncio.Event,
    note: Note,
    ends: float,
) -> T | None:
    """Ask, after `wait`, whether a call happened whose last attempt went `unanswered` then.

    Its result, or None: it certainly did not happen. Raises `Unknown`.
    """
    assert call.probe is not None
    in_vain = 0
    while now() + wait < ends and await slept(wait, stop):
        try:
            found = await attempt(call.probe, None, 1, policy.timeout, stop)
        except Failure as failed:
            note(f"{call.probe.label}: {failed.name}")
            in_vain += not (policy.retries is None and failed.name in OWN_REFUSALS)
            if policy.exhausted(in_vain):
                break
            wait = policy.delay(max(in_vain, 1), failed)
            continue
        note(f"{call.probe.label}: {'no' if found is None else 'yes'}")
        believed = unanswered + call.lands_within
        if found is not None or now() >= believed:
            return found
        wait = believed - now()
    raise Unknown("Unavailable")


async def slept(seconds: float, stop: asyncio.Event) -> bool:
    """Whether the whole time passed without `stop`."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return True
    return False
