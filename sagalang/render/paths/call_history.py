"""One call under faults: what the call machine does about them, attempt by attempt.

The machine is the real one (`machine/calls.py`); what is made up is the service at the other end,
which keeps its contract and nothing more, and a clock that jumps. Breakers and other protections
are left out: their state belongs to many calls, and a picture has but this one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from sagalang.machine import calls
from sagalang.machine.outcomes import (
    CONTRACT_MISMATCH,
    NOT_SENT,
    TIMEOUT,
    UNAVAILABLE,
    Failure,
    NotSent,
    Ok,
    Outcome,
    Rejected,
    Unknown,
)
from sagalang.model import program as p
from sagalang.render.paths.whens import CRASHES, CallFault

_DRAW: Final = 0.5
"""Every back-off is half as long as it may be: nothing drawn depends on more than its order."""
_MANY: Final = 1_000
"""After so many attempts a call that never gets through is taken to go on so until its limit."""
_FOREVER: Final = 12
"""The same where nothing limits it: there is nothing to wait for."""
NEVER: Final = 10**15


@dataclass(frozen=True, slots=True)
class Attempted:
    """`again`: the service knew it already."""

    fault: str | None
    outcome: Outcome
    again: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    fault: str | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Waited:
    """Until a late call can no longer land, which is `within` after the last attempt."""

    within: p.Ms


@dataclass(frozen=True, slots=True)
class Died:
    """The orchestrator did, and began again."""


@dataclass(frozen=True, slots=True)
class Landed:
    """A copy that was late has arrived; `known`: the service had carried it out before."""

    known: bool


@dataclass(frozen=True, slots=True)
class Forgotten:
    """It was repeated for so long that the service knows its key no more."""

    after: p.Ms


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """It was repeated very often, until its total or the saga's deadline was over."""


Happening = Attempted | Asked | Waited | Died | Landed | Forgotten | OutOfTime


@dataclass(frozen=True, slots=True)
class CallHistory:
    """`outcome`: None where the call never ends, for it is repeated for ever. `unanswered`: when
    its last attempt without an answer ended. `first` and `ended`: when it began and was over."""

    happenings: tuple[Happening, ...]
    outcome: Outcome | None
    unanswered: p.Ms | None
    first: p.Ms
    ended: p.Ms


@dataclass(slots=True)
class Service:
    """What a service knows of one call and its repeats."""

    operation: p.Operation
    happened: bool = False
    refused: Outcome | None = None
    late: list[p.Ms] = field(default_factory=list)

    @property
    def stored(self) -> bool:
        kept = self.operation.promises.keyed
        return kept and (self.happened or self.refused is not None)

    def land(self, now: p.Ms) -> list[Landed]:
        """Lets the copies arrive that are due."""
        due = [at for at in self.late if at <= now]
        self.late = [at for at in self.late if at > now]
        found = []
        for _ in due:
            known = self.happened or self.refused is not None
            self.happened = self.happened or not known
            found.append(Landed(known))
        return found

    def carry_out(self) -> Outcome:
        if self.stored and self.refused is not None:
            return self.refused
        self.happened = True
        return Ok(True)


Strike = Callable[[bool], CallFault | None]
"""The fault that strikes the attempt that is due; the service knows the call already, or not."""


def simulate(
    config: calls.CallConfig,
    service: Service,
    strike: Strike,
    ask: Strike,
    now: p.Ms,
    known: calls.CallState | None = None,
) -> CallHistory:
    """The call from its intent on. `ask`: what strikes its probe. `known`: what is known of it,
    where it was made before."""
    return _Simulation(config, service, strike, ask, now).run(known)


class _Simulation:
    def __init__(
        self, config: calls.CallConfig, service: Service, strike: Strike, ask: Strike, now: p.Ms
    ) -> None:
        self.config, self.service, self.strike, self.ask = config, service, strike, ask
        self.began = self.now = now
        self.found: list[Happening] = []
        self.limit = _MANY
        retry = config.retry
        if retry is not None and retry.retries is None:
            if config.deadline is None and config.total is None:
                self.limit = _FOREVER
        elif retry is not None and retry.retries is not None:
            self.limit = max(_MANY, retry.retries + 2)
        self.always = False
        self.forgotten = not config.keyed or config.idempotent or config.is_query

    def run(self, known: calls.CallState | None) -> CallHistory:
        state = known or calls.start(self.began)
        event: calls.CallEvent = calls.Begin()
        tried = 0
        while True:
            state, (command, *_) = calls.advance(self.config, state, event, self.now, _DRAW)
            match command:
                case calls.Done(outcome=outcome, unanswered=unanswered):
                    return self._history(outcome, unanswered)
                case calls.Sleep(until=until, reason=reason):
                    self.now = until
                    if reason == "lands-within":
                        self.found.append(Waited(self.config.lands_within or 0))
                    event = calls.Woke()
                case calls.Probe() | calls.Attempt() if tried > self.limit and self.always:
                    if not self._outlives_its_key(state):
                        return self._given_up(state)
                    tried = 0
                    state = replace(state, phase=calls.Phase.SLEEPING)
                    event = calls.Woke()
                case calls.Probe(timeout=timeout, ends=ends):
                    tried += 1
                    event = calls.ProbeEnded(self._asked(timeout, ends))
                case calls.Attempt(timeout=timeout, ends=ends):
                    tried += 1
                    outcome, died = self._attempted(timeout, ends)
                    if died:
                        self.found.append(Died())
                        state = calls.recover(self.now, state.first_attempt or self.began)
                        event = calls.Begin()
                        continue
                    deadline = self.config.deadline
                    if deadline is not None and self.now >= deadline:
                        state, _ = calls.advance(
                            self.config, state, calls.Interrupted(), deadline, _DRAW
                        )
                    event = calls.AttemptEnded(outcome)

    def _history(self, outcome: Outcome | None, unanswered: p.Ms | None) -> CallHistory:
        return CallHistory(tuple(self.found), outcome, unanswered, self.began, self.now)

    def _outlives_its_key(self, state: calls.CallState) -> bool:
        """Jumps to when the key of a call that never gets through is forgotten, if that is the
        end of it."""
        first = state.first_attempt
        forever = self.config.retry is not None and self.config.retry.retries is None
        limited = self.config.deadline is not None or self.config.total is not None
        if self.forgotten or first is None or not forever or limited:
            return False
        self.forgotten = True
        self.now = first + self.config.key_for + 1
        self.found.append(Forgotten(self.config.key_for))
        return True

    def _given_up(self, state: calls.CallState) -> CallHistory:
        total = None if self.config.total is None else self.began + self.config.total
        ends = [at for at in (self.config.deadline, total) if at is not None]
        if not ends:
            return self._history(None, state.unanswered)
        self.now = min(ends)
        self.found.append(OutOfTime())
        last = state.last
        if state.doubt and last is not None:
            last = Unknown(calls.failure(last) or Failure(TIMEOUT))
        return self._history(last or NotSent(Failure(NOT_SENT)), state.unanswered)

    def _patience(self, timeout: p.Ms, ends: p.Ms | None) -> p.Ms:
        """How long an answer is waited for, where the whole call ends at `ends`."""
        return timeout if ends is None else max(0, min(timeout, ends - self.now))

    def _attempted(self, timeout: p.Ms, ends: p.Ms | None) -> tuple[Outcome, bool]:
        self.found += self.service.land(self.now)
        stored = self.service.stored
        fault = self.strike(stored)
        self.always = fault is not None and fault.times is None
        kind = fault.kind if fault is not None else None
        outcome: Outcome
        took = 0
        patience = self._patience(timeout, ends)
        match kind:
            case "rejects":
                assert fault is not None
                outcome = Rejected(Failure(fault.error or ""))
                if self.service.operation.promises.records_rejections:
                    self.service.refused = outcome
            case "times out before effect":
                outcome, took = Unknown(Failure(TIMEOUT)), patience
            case "times out after effect":
                self.service.carry_out()
                outcome, took = Unknown(Failure(TIMEOUT)), patience
            case "arrives late":
                assert fault is not None
                outcome, took = Unknown(Failure(TIMEOUT)), patience
                self.service.late.append(self._landing(fault.after))
            case "unavailable":
                outcome = Unknown(Failure(UNAVAILABLE))
            case "is not sent":
                outcome = NotSent(Failure(NOT_SENT))
            case "answers nonsense":
                self.service.carry_out()
                outcome = Unknown(Failure(CONTRACT_MISMATCH), repeat=False)
            case "crash before":
                outcome = Unknown(calls.STOPPED)
            case "crash after":
                self.service.carry_out()
                outcome = Unknown(calls.STOPPED)
            case _:
                outcome = self.service.carry_out()
        self.now += took
        self.found.append(Attempted(kind, outcome, stored))
        return outcome, kind in CRASHES

    def _landing(self, after: p.Ms | None) -> p.Ms:
        lands = self.service.operation.promises.lands_within
        if after is not None:
            return self.now + after
        return self.now + lands if lands is not None else NEVER

    def _asked(self, timeout: p.Ms, ends: p.Ms | None) -> Outcome:
        self.found += self.service.land(self.now)
        fault = self.ask(False)
        self.always = fault is not None and fault.times is None
        kind = fault.kind if fault is not None else None
        outcome: Outcome
        match kind:
            case "times out before effect" | "times out after effect" | "arrives late":
                outcome = Unknown(Failure(TIMEOUT))
                self.now += self._patience(timeout, ends)
            case "unavailable":
                outcome = Unknown(Failure(UNAVAILABLE))
            case "is not sent":
                outcome = NotSent(Failure(NOT_SENT))
            case "answers nonsense":
                outcome = Unknown(Failure(CONTRACT_MISMATCH), repeat=False)
            case "rejects":
                assert fault is not None
                outcome = Rejected(Failure(fault.error or ""))
            case _:
                outcome = Ok(True if self.service.happened else None)
                # A no that will never prove anything is asked for again and again.
                self.always = outcome.value is None and self.config.lands_within is None
        self.found.append(Asked(kind, outcome))
        return outcome
