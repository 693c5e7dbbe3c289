"""One call, from its intent to its outcome: attempts, back-offs, probes, doubt.

`start` and `advance` are pure. What may follow an attempt is the table `AFTER`; whether there is
still time and budget for it is decided beside it. Times are ms since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine import backoff
from sagalang.machine.frozen import Choice
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model.errors import CIRCUIT_OPEN, NOT_SENT, OWN_REFUSALS, UNAVAILABLE
from sagalang.model.program import DEFAULT_TIMEOUT, Ms, Operation, Policy, Retry


class CallConfig(Struct, frozen=True, gc=False):
    """What a call may do. `deadline` is absolute; no sleep is started that would reach it.

    `resolve`: the call was made before and its outcome is unknown; find out, do not insist: once
    it is certain that it did not happen, it is not made again.

    `patient`: it must get through. Refusals by our own protections (an open breaker, a full
    bulkhead, the rate limit, the retry budget) are waited out and use up no retries. So it is for
    compensations, and for whatever is retried forever.
    """

    timeout: Ms = DEFAULT_TIMEOUT
    total: Ms | None = None
    retry: Retry | None = None
    deadline: Ms | None = None
    is_query: bool = False
    keyed: bool = False
    key_for: Ms = 86_400_000
    records_rejections: bool = False
    idempotent: bool = False
    has_probe: bool = False
    lands_within: Ms | None = None
    resolve: bool = False
    patient: bool = False

    @classmethod
    def of(
        cls,
        operation: Operation,
        policy: Policy,
        *,
        deadline: Ms | None = None,
        resolve: bool = False,
        patient: bool = False,
    ) -> CallConfig:
        promises = operation.promises
        return cls(
            timeout=DEFAULT_TIMEOUT if policy.timeout is None else policy.timeout,
            total=policy.total,
            retry=policy.retry,
            deadline=deadline,
            is_query=operation.is_query,
            keyed=promises.keyed,
            key_for=promises.key_for,
            records_rejections=promises.records_rejections,
            idempotent=promises.idempotent,
            has_probe=operation.probe is not None,
            lands_within=promises.lands_within,
            resolve=resolve,
            patient=patient or endless(policy.retry),
        )


def endless(retry: Retry | None) -> bool:
    return retry is not None and retry.retries is None


class Phase(Choice):
    NEW = "new"
    ATTEMPTING = "attempting"
    SLEEPING = "sleeping"
    """Then the next attempt."""
    ASKING = "asking"
    HOLDING = "holding"
    """Sleeping; then the probe."""
    DONE = "done"


# Bound once: a member of an enum is looked up the slow way in Python 3.11, and every call asks.
_NEW: Final = Phase.NEW
_ATTEMPTING: Final = Phase.ATTEMPTING


class CallState(Struct, frozen=True, gc=False):
    """`doubt`: an attempt went unanswered and may have happened, or may yet.

    `unanswered`: when the last such attempt ended; it outlives the doubt where a later attempt
    succeeded, because the late one may still land.

    `refused`: attempts that our own protections kept from leaving. `stood`: whether it has waited
    for an open breaker, which a call that is not patient does once.
    """

    phase: Phase = Phase.NEW
    began: Ms = 0
    first_attempt: Ms | None = None
    attempts: int = 0
    asked: int = 0
    asked_in_vain: int = 0
    doubt: bool = False
    unanswered: Ms | None = None
    waited: Ms = 0
    refused: int = 0
    stood: bool = False
    last: Outcome | None = None
    interrupted: bool = False


# --- Events and commands -----------------------------------------------------------------------


class Begin(Struct, frozen=True, gc=False):
    pass


class AttemptEnded(Struct, frozen=True, gc=False):
    outcome: Outcome


class ProbeEnded(Struct, frozen=True, gc=False):
    """`Ok(None)` is the probe's no; `Ok(value)` its yes."""

    outcome: Outcome


class Woke(Struct, frozen=True, gc=False):
    """`budget`: whether the retry budget has room for the retry that is due (`spends_budget`)."""

    budget: bool = True


class Interrupted(Struct, frozen=True, gc=False):
    """Nothing new may start; what is in flight is awaited."""


CallEvent = Begin | AttemptEnded | ProbeEnded | Woke | Interrupted


class Attempt(Struct, frozen=True, gc=False):
    """`timeout` counts from when it is sent, `ends` is the moment at which it is given up, sent or
    still waiting for its turn."""

    number: int
    timeout: Ms
    ends: Ms | None = None


class Probe(Struct, frozen=True, gc=False):
    number: int
    timeout: Ms
    ends: Ms | None = None


class Sleep(Struct, frozen=True, gc=False):
    """`reason`: `backoff`, `retry-after`, `breaker`, `retry-budget`, `lands-within`."""

    until: Ms
    delay: Ms
    reason: str


class Done(Struct, frozen=True, gc=False):
    outcome: Outcome
    unanswered: Ms | None


CallCommand = Attempt | Probe | Sleep | Done
Step = tuple[CallState, tuple[CallCommand, ...]]


# --- The table ---------------------------------------------------------------------------------


class Kind(Choice):
    OK = "ok"
    REJECTED = "rejected"
    NOT_SENT = "not sent"
    UNSENDABLE = "unsendable"
    """Not sent, and never will be, however often it is tried."""
    UNKNOWN = "unknown"
    MISMATCH = "mismatch"


class Standing(Choice):
    """What repeating would mean."""

    CLEAR = "nothing can have happened"
    REPEATABLE = "it may have happened, and repeating does no harm"
    PROBED = "it may have happened, and the service can be asked"
    STUCK = "it may have happened, and nobody can tell"


class Action(Choice):
    FINISH = "finish"
    REPEAT = "repeat"
    ASK = "ask"


AFTER: Final[Mapping[tuple[Kind, Standing], Action]] = {
    **{(Kind.OK, standing): Action.FINISH for standing in Standing},
    **{(Kind.REJECTED, standing): Action.FINISH for standing in Standing},
    **{(Kind.UNSENDABLE, standing): Action.FINISH for standing in Standing},
    (Kind.NOT_SENT, Standing.CLEAR): Action.REPEAT,
    (Kind.NOT_SENT, Standing.REPEATABLE): Action.REPEAT,
    (Kind.NOT_SENT, Standing.PROBED): Action.ASK,
    (Kind.NOT_SENT, Standing.STUCK): Action.FINISH,
    (Kind.UNKNOWN, Standing.CLEAR): Action.REPEAT,  # a query: there is nothing to doubt
    (Kind.UNKNOWN, Standing.REPEATABLE): Action.REPEAT,
    (Kind.UNKNOWN, Standing.PROBED): Action.ASK,
    (Kind.UNKNOWN, Standing.STUCK): Action.FINISH,
    (Kind.MISMATCH, Standing.CLEAR): Action.FINISH,
    (Kind.MISMATCH, Standing.REPEATABLE): Action.FINISH,
    (Kind.MISMATCH, Standing.PROBED): Action.ASK,  # asking is not repeating
    (Kind.MISMATCH, Standing.STUCK): Action.FINISH,
}


def kind(outcome: Outcome) -> Kind:
    match outcome:
        case Ok():
            return Kind.OK
        case Rejected():
            return Kind.REJECTED
        case NotSent(repeat=False):
            return Kind.UNSENDABLE
        case NotSent():
            return Kind.NOT_SENT
        case Unknown(repeat=False):
            return Kind.MISMATCH
        case Unknown():
            return Kind.UNKNOWN


# --- Transitions -------------------------------------------------------------------------------

STOPPED: Final = Failure(
    UNAVAILABLE, None, "the orchestrator stopped before the answer was recorded"
)


def start(now: Ms) -> CallState:
    """A call that was never attempted."""
    return CallState(began=now)


def recover(now: Ms, first_attempt: Ms, unanswered: Ms | None = None) -> CallState:
    """A call whose intent is on record without an outcome: it is unknown.

    `unanswered`: when its last attempt ended, where that is known; else it may have been running
    until now.
    """
    return CallState(
        began=now,
        first_attempt=first_attempt,
        doubt=True,
        unanswered=now if unanswered is None else unanswered,
        last=Unknown(STOPPED),
    )


def advance(config: CallConfig, state: CallState, event: CallEvent, now: Ms, draw: float) -> Step:
    """The next state and what the driver is to do. `draw` is a random number in [0, 1).

    Every event is answered by at most one command; after `Done` by none.
    """
    # What every call does comes first, by its type: `match` asks each class in turn.
    if type(event) is Begin and state.phase is _NEW:
        return _begin(config, state, now, draw)
    if type(event) is AttemptEnded and state.phase is _ATTEMPTING:
        return _attempt_ended(config, state, event.outcome, now, draw)
    match event, state.phase:
        case _, Phase.DONE:
            return state, ()
        case Interrupted(), Phase.ATTEMPTING | Phase.ASKING:
            return replace(state, interrupted=True), ()
        case Interrupted(), _:
            return _finish(replace(state, interrupted=True))
        case ProbeEnded(outcome), Phase.ASKING:
            return _probe_ended(config, state, outcome, now, draw)
        case Woke(budget=False), Phase.SLEEPING:
            return _over_budget(config, state, now, draw)
        case Woke(), Phase.SLEEPING:
            return _attempt(config, state, now, draw)
        case Woke(), Phase.HOLDING:
            return _probe(config, state, now)
        case _:
            raise AssertionError(f"{type(event).__name__} while {state.phase.value}")


def _begin(config: CallConfig, state: CallState, now: Ms, draw: float) -> Step:
    if config.deadline is not None and now >= config.deadline:
        return _finish(state)
    if state.doubt and config.has_probe and (config.resolve or not _repeatable(config, state, now)):
        return _probe(config, state, now)
    return _attempt(config, state, now, draw)


def _attempt(config: CallConfig, state: CallState, now: Ms, draw: float) -> Step:
    if state.doubt and not _repeatable(config, state, now):
        # The key expired meanwhile.
        return _ask(config, state, now, draw) if config.has_probe else _finish(state)
    ends = _ends(config, state)
    if state.phase is _NEW and state.first_attempt is None:
        # Nothing else has happened yet. Every call comes here, so it is written out.
        fresh = CallState(_ATTEMPTING, state.began, now, 1)
        return fresh, (Attempt(1, config.timeout, ends),)
    state = replace(
        state,
        phase=Phase.ATTEMPTING,
        attempts=state.attempts + 1,
        first_attempt=now if state.first_attempt is None else state.first_attempt,
    )
    return state, (Attempt(state.attempts, config.timeout, ends),)


def _probe(config: CallConfig, state: CallState, now: Ms) -> Step:
    state = replace(state, phase=Phase.ASKING, asked=state.asked + 1)
    return state, (Probe(state.asked, config.timeout, _ends(config, state)),)


def _attempt_ended(
    config: CallConfig, state: CallState, outcome: Outcome, now: Ms, draw: float
) -> Step:
    if type(outcome) is Ok:
        return _done(state, outcome)  # whatever stands in `AFTER`, an answer ends the call
    what = kind(outcome)
    if kept_back(outcome):
        state = replace(state, last=outcome, refused=state.refused + 1)
    else:
        state = replace(state, last=outcome)
    if what in (Kind.UNKNOWN, Kind.MISMATCH) and not config.is_query:
        state = replace(state, doubt=True, unanswered=now)
    elif what is Kind.REJECTED and config.records_rejections and _key_holds(config, state, now):
        state = replace(state, doubt=False, unanswered=None)
    if state.interrupted:
        return _finish(state)
    match AFTER[what, _standing(config, state, what, now)]:
        case Action.FINISH:
            return _finish(state)
        case Action.ASK:
            return _ask(config, state, now, draw)
        case Action.REPEAT:
            return _repeat(config, state, now, draw)


def _standing(config: CallConfig, state: CallState, what: Kind, now: Ms) -> Standing:
    if not state.doubt:
        return Standing.CLEAR
    if _repeatable(config, state, now) and what is not Kind.MISMATCH:
        return Standing.REPEATABLE
    return Standing.PROBED if config.has_probe else Standing.STUCK


def _repeat(config: CallConfig, state: CallState, now: Ms, draw: float) -> Step:
    if not _retries_left(config, _attempts(config, state)):
        return _finish(state)
    return _sleep(config, state, state.attempts, Phase.SLEEPING, state.last, now, draw)


def _over_budget(config: CallConfig, state: CallState, now: Ms, draw: float) -> Step:
    """The retry that was due would be one too many for the service."""
    if not config.patient:
        return _finish(state)
    assert config.retry is not None
    wait = backoff.delay(config.retry, state.attempts, state.waited, draw)
    # At least 1, so that time goes on whatever the draw.
    return _wait(config, state, Phase.SLEEPING, max(wait, 1), "retry-budget", now)


def _ask(config: CallConfig, state: CallState, now: Ms, draw: float) -> Step:
    """Probe, after a back-off where the policy has one; asking needs no retries to be left."""
    if config.retry is None:
        return _probe(config, state, now)
    return _sleep(config, state, max(state.attempts, 1), Phase.HOLDING, state.last, now, draw)


def _sleep(
    config: CallConfig,
    state: CallState,
    repeat: int,
    then: Phase,
    after: Outcome | None,
    now: Ms,
    draw: float,
) -> Step:
    """Wait for the repeat; `after` is what the last attempt or probe came to."""
    assert config.retry is not None
    wait, reason = backoff.delay(config.retry, repeat, state.waited, draw), "backoff"
    asked = after.retry_after if isinstance(after, NotSent | Unknown) else None
    if asked is not None and after is not None and kept_back(after, CIRCUIT_OPEN):
        # The breaker says when it will probe; sleeping on it again and again would be blind.
        if state.stood and not config.patient:
            return _finish(state)
        state = replace(state, stood=True)
        wait, reason = backoff.until_probe(config.retry, repeat, asked, draw), "breaker"
    elif asked is not None and asked > wait:
        wait, reason = backoff.pushed_back(config.retry, repeat, asked, draw), "retry-after"
    return _wait(config, state, then, wait, reason, now)


def _wait(
    config: CallConfig, state: CallState, then: Phase, wait: Ms, reason: str, now: Ms
) -> Step:
    if not _fits(config, state, now + wait):
        return _finish(state)
    state = replace(state, phase=then, waited=wait)
    return state, (Sleep(now + wait, wait, reason),)


def _probe_ended(
    config: CallConfig, state: CallState, outcome: Outcome, now: Ms, draw: float
) -> Step:
    if isinstance(outcome, Ok) and outcome.value is not None:
        return _finish(replace(state, last=outcome))
    if isinstance(outcome, Ok) and config.lands_within is not None:
        assert state.unanswered is not None
        believed_at = state.unanswered + config.lands_within
        if now >= believed_at:
            return _did_not_happen(config, state, now, draw)
        if state.interrupted or not _fits(config, state, believed_at):
            return _finish(state)
        wait = believed_at - now
        return replace(state, phase=Phase.HOLDING), (Sleep(believed_at, wait, "lands-within"),)
    if isinstance(outcome, Ok) and config.resolve and not _repeatable(config, state, now):
        # A no that will never prove anything: only a person can tell.
        return _finish(state)
    # No answer, or a no that proves nothing.
    if not (config.patient and kept_back(outcome)):
        state = replace(state, asked_in_vain=state.asked_in_vain + 1)
    if state.interrupted:
        return _finish(state)
    if config.resolve and state.attempts == 0 and _repeatable(config, state, now):
        return _attempt(config, state, now, draw)
    if not _retries_left(config, state.asked_in_vain):
        return _finish(state)
    repeat = max(state.asked_in_vain, 1)
    return _sleep(config, state, repeat, Phase.HOLDING, outcome, now, draw)


def _did_not_happen(config: CallConfig, state: CallState, now: Ms, draw: float) -> Step:
    mismatch = state.last is not None and kind(state.last) is Kind.MISMATCH
    state = replace(
        state, doubt=False, unanswered=None, asked_in_vain=0, last=NotSent(_error(state))
    )
    again = not config.resolve and not mismatch and not state.interrupted
    # A recovered call has not been attempted since: its first attempt now is no retry.
    if again and (state.attempts == 0 or _retries_left(config, _attempts(config, state))):
        return _attempt(config, state, now, draw)
    return _finish(state)


def _finish(state: CallState) -> Step:
    outcome: Outcome
    match state.last:
        case Ok() as ok:
            outcome = ok
        case Rejected(error) | NotSent(error) if state.doubt:
            outcome = Unknown(error)
        case None:
            outcome = NotSent(Failure(NOT_SENT, None, "nothing was sent"))
        case last:
            outcome = last
    return _done(state, outcome)


def _done(state: CallState, outcome: Outcome) -> Step:
    done = Done(outcome, state.unanswered)
    return replace(state, phase=Phase.DONE, last=outcome), (done,)


def _error(state: CallState) -> Failure:
    match state.last:
        case Rejected(error) | NotSent(error) | Unknown(error):
            return error
        case _:
            return Failure(NOT_SENT)


def _key_holds(config: CallConfig, state: CallState, at: Ms) -> bool:
    first = state.first_attempt
    return config.keyed and (first is None or at <= first + config.key_for)


def _repeatable(config: CallConfig, state: CallState, at: Ms) -> bool:
    return config.is_query or config.idempotent or _key_holds(config, state, at)


def _retries_left(config: CallConfig, used: int) -> bool:
    retry = config.retry
    return retry is not None and (retry.retries is None or used <= retry.retries)


def _attempts(config: CallConfig, state: CallState) -> int:
    """The attempts that count: those of a patient call do only if they were sent."""
    return state.attempts - state.refused if config.patient else state.attempts


def _ends(config: CallConfig, state: CallState) -> Ms | None:
    return None if config.total is None else state.began + config.total


def _fits(config: CallConfig, state: CallState, at: Ms) -> bool:
    ends = _ends(config, state)
    return (config.deadline is None or at < config.deadline) and (ends is None or at < ends)


def kept_back(outcome: Outcome, *names: str) -> bool:
    """Whether our own protections (or the one of that name) refused to let the call leave."""
    return isinstance(outcome, NotSent) and outcome.error.name in (names or OWN_REFUSALS)


def spends_budget(state: CallState) -> bool:
    """Whether the attempt that is due loads the service once more than the saga asked for. One
    that follows a refusal of our own does not: the refused one was never sent."""
    return state.phase is Phase.SLEEPING and not (state.last and kept_back(state.last))


def failure(outcome: Outcome) -> Failure | None:
    """The error of an outcome, None for ok."""
    return None if isinstance(outcome, Ok) else outcome.error


def value(outcome: Outcome) -> Any:
    return outcome.value if isinstance(outcome, Ok) else None
