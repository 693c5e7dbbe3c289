"""The most that one call may come to: attempts, probes, time.

To the longest call of `graph.deadline` the probes are added. After an unanswered attempt comes one
round of asking: a back-off, then probes until one is answered. As many may go unanswered in a row
as there are retries, and one more ends the call. A no that comes before `lands within` is over is
asked for once more when it is. So a round takes at most

    max(lands within, back-off) + (retries + 1) * (timeout + queue) + the back-offs between probes

There is a round for every attempt where only the probe allows another one, else one in all.
"""

from __future__ import annotations

from msgspec import Struct

from sagalang.graph.deadline import WorstCase, backoffs, worst_case
from sagalang.model import program as p
from sagalang.model.program import DEFAULT_TIMEOUT, Jitter, Ms, Policy, Retry


class CallLimits(Struct, frozen=True):
    """None: no limit."""

    attempts: int | None
    probes: int | None
    time: Ms | None


def call_limits(
    program: p.Program, operation: p.Operation, policy: Policy, *, resolving: bool = False
) -> CallLimits:
    """The limits of a call under a complete policy. `resolving`: an earlier one went unanswered
    and is to be made certain (`CallConfig.resolve`), which begins with a round of asking."""
    base = worst_case(policy)
    asking = operation.probe is not None
    if base is None or (policy.retry is not None and policy.retry.retries is None):
        # Under a total, time has a limit, and how often it is tried has none: waits may be short.
        return CallLimits(None, None if asking else 0, None if base is None else base.time)
    if operation.probe is None:
        return CallLimits(base.attempts, 0, base.time)
    holds = _stays_repeatable(operation, base)
    lands = operation.promises.lands_within
    rounds: tuple[int, ...]
    if resolving and not operation.repeatable:
        attempts, rounds = 0, (1,)
    elif holds or lands is None:
        attempts, rounds = base.attempts, (base.attempts,)
    else:
        attempts, rounds = base.attempts, tuple(range(1, base.attempts + 1))
    if resolving and operation.repeatable:
        rounds = (1, *rounds)
    in_vain = base.attempts
    probes = len(rounds) * (in_vain + (lands is not None))
    queue = _queue(program.operation(operation.probe).policy)
    time = (
        attempts * base.timeout
        + (base.queue if attempts else 0)
        + _waits(policy.retry, base, rounds, lands or 0, between=holds or lands is None)
        + len(rounds) * in_vain * (base.timeout + queue)
    )
    return CallLimits(attempts, probes, time if policy.total is None else min(time, policy.total))


def attempt_time(policy: Policy) -> Ms:
    """The longest that a call still takes once it is interrupted."""
    return DEFAULT_TIMEOUT if policy.timeout is None else policy.timeout


def _stays_repeatable(operation: p.Operation, base: WorstCase) -> bool:
    promises = operation.promises
    return promises.idempotent or (promises.keyed and base.time <= promises.key_for)


def _queue(policy: Policy) -> Ms:
    return policy.bulkhead.wait or 0 if policy.bulkhead is not None else 0


def _waits(
    retry: Retry | None, base: WorstCase, rounds: tuple[int, ...], lands: Ms, *, between: bool
) -> Ms:
    """All waits of a call that asks. `rounds`: after how many attempts each round begins;
    `between`: whether attempts follow each other without a round too."""
    if retry is None:
        return len(rounds) * lands
    retries = base.attempts - 1
    if retry.jitter is Jitter.DECORRELATED:
        # Each wait may be three times the last, whatever it was for.
        return len(rounds) * lands + backoffs(retry, retries + len(rounds) * (1 + retries))
    asking = sum(
        max(lands, backoffs(retry, after) - backoffs(retry, after - 1)) for after in rounds
    )
    whole = asking + len(rounds) * backoffs(retry, retries)
    return whole + base.backoff if between else whole
