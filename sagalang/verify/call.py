"""One call, in every way it may go: the call machine against a service that keeps its contract.

What a call comes to depends on nothing outside it but crashes and interruptions. So each contract
is explored once, attempt by attempt, and the saga's exploration goes on with the results: the
outcome, the state of the service, and the smallest number of faults that leads there. Faults of
one kind in a row are one fault: the service was in that trouble for as long.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine import calls
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model.errors import CONTRACT_MISMATCH, NOT_SENT, TIMEOUT
from sagalang.model.program import Operation
from sagalang.verify.service import (
    Reply,
    Rules,
    Unit,
    inert,
    lands,
    undoes_again,
)

CRASH: Final = "c"
INTERRUPTION: Final = "i"


class Happening(Struct, frozen=True, gc=False):
    """One thing that went on in a call. `what`: `ok`, `rejects`, `not sent`, `request lost`,
    `answer lost`, `late`, `duplicated`, `strange answer`
    (it happened), `strange refusal` (it did not), `yes`, `no`, `no answer`, `late lands`,
    `key expires`, `time is up`, `interrupted`, `crash`."""

    what: str
    error: str = ""
    asking: bool = False


FAULTS: Final = frozenset(
    {
        "rejects",
        "not sent",
        "request lost",
        "answer lost",
        "late",
        "duplicated",
        "strange answer",
        "strange refusal",
        "no answer",
        "key expires",
        "time is up",
        "crash",
    }
)


ANSWER: Final = "the answer"
"""What every ok brings; the saga's exploration puts the step's own value in its place."""


class Kind(Struct, frozen=True, gc=False):
    """What of a command decides how its call may go."""

    operation: Operation
    config: calls.CallConfig
    undoing: Operation | None
    """The command that this call compensates, whose late copies may still land."""
    limited: bool
    """Whether the saga's deadline, or a total, may cut it short."""
    faults: frozenset[str]
    """Which faults may happen."""
    refusals: tuple[str, ...] = (NOT_SENT,)
    """The names of what is not sent: one, and those that a handler tells apart."""
    silences: tuple[str, ...] = (TIMEOUT,)
    """The names of what goes unanswered, likewise."""

    @property
    def like(self) -> tuple[Any, ...]:
        """Equal for calls that go alike: what the names are makes no difference."""
        operation, undoing = self.operation, self.undoing
        errors = tuple(rejection.error for rejection in operation.rejects)
        undone = None if undoing is None else undoing.promises
        return (
            operation.is_query,
            operation.promises,
            errors,
            self.config,
            undone,
            self.limited,
            self.faults,
            self.refusals,
            self.silences,
        )


class Result(Struct, frozen=True, gc=False):
    outcome: Outcome
    unanswered: bool
    unit: Unit
    faults: int
    story: tuple[Happening, ...]


class _Local(Struct, frozen=True, gc=False):
    """`held`: time has gone on to where a call that went unanswered can no longer land."""

    call: calls.CallState
    command: Any
    unit: Unit
    trouble: str = ""
    variant: str = ""
    held: bool = False


class _Course:
    """The exploration of one call."""

    def __init__(self, kind: Kind, rules: Rules, reduce_inert: bool) -> None:
        self.kind, self.rules, self.reduce_inert = kind, rules, reduce_inert
        config = kind.config
        self.config = replace(config, deadline=None, total=None)
        self.over = replace(config, deadline=0, total=None)
        self.expired = replace(self.config, keyed=False)

    def starts(self, unit: Unit) -> Iterator[_Local]:
        """Before its first attempt, and, for one that goes on after an abort, where it stood."""
        state = calls.start(0)
        if self.kind.config.resolve:
            state = calls.recover(0, 0, 0)
        yield self._settled(_Local(state, None, unit))

    def _machine(self, unit: Unit) -> calls.CallConfig:
        return self.expired if unit.expired else self.config

    def _step(self, local: _Local, event: calls.CallEvent, config: calls.CallConfig) -> _Local:
        now = self._now(local)
        state, commands = calls.advance(config, local.call, event, now, 0.5)
        command = commands[0] if commands else local.command
        return self._settled(replace(local, call=state, command=command))

    def _now(self, local: _Local) -> int:
        return (self.kind.config.lands_within or 0) if local.held else 0

    def _settled(self, local: _Local) -> _Local:
        """The same state in its one normal form: times and counts that decide nothing are 0."""
        call, unit = local.call, local.unit
        endless = calls.endless(self.kind.config.retry)
        command = local.command
        if isinstance(command, calls.Sleep):
            command = calls.Sleep(0, 0, command.reason)
        elif isinstance(command, calls.Attempt | calls.Probe):
            command = replace(command, number=min(command.number, 2), ends=None)
        call = replace(
            call,
            began=0,
            first_attempt=None if call.first_attempt is None else 0,
            attempts=min(call.attempts, 2) if endless else call.attempts,
            asked=0,
            asked_in_vain=min(call.asked_in_vain, 1) if endless else call.asked_in_vain,
            refused=0,
            waited=0,
            unanswered=None if call.unanswered is None else 0,
            stood=False,
        )
        held = local.held and call.unanswered is not None
        if (
            self.reduce_inert
            and unit.late
            and inert(self.kind.undoing or self.kind.operation, unit)
        ):
            unit = replace(unit, late=False)
        return replace(local, call=call, command=command, unit=unit, held=held)

    # --- What may happen next --------------------------------------------------------------------

    def next(self, local: _Local, variant: str) -> Iterator[tuple[Happening | None, int, _Local]]:
        """(what happens, how many faults, where it leads). `variant` is what comes from outside:
        the crashes and interruptions that are still to come, in order."""
        unit, command = local.unit, local.command
        if unit.late:
            landed = lands(self.kind.undoing or self.kind.operation, unit, self.rules)
            yield Happening("late lands"), 0, self._settled(replace(local, unit=landed))
        left = variant[len(local.variant) :]
        if left:
            yield from self._from_outside(local, left[0])
        match command:
            case None:
                yield None, 0, self._step(local, calls.Begin(), self._machine(unit))
                if self.kind.limited and "time is up" in self.kind.faults:
                    gone = self._step(local, calls.Begin(), self.over)
                    yield Happening("time is up"), 1, gone
            case calls.Attempt():
                for happening, outcome, after in self._attempt(local):
                    yield self._answered(local, happening, calls.AttemptEnded(outcome), after)
            case calls.Probe():
                for happening, outcome in self._probe(local):
                    yield self._answered(local, happening, calls.ProbeEnded(outcome), unit)
            case calls.Sleep(reason="lands-within"):
                gone = replace(local, held=True, unit=replace(unit, late=False))
                yield None, 0, self._step(gone, calls.Woke(), self._machine(unit))
            case calls.Sleep():
                yield None, 0, self._step(local, calls.Woke(), self._machine(unit))
                if (
                    self.kind.config.keyed
                    and not unit.expired
                    and "key expires" in self.kind.faults
                ):
                    late = replace(local, unit=replace(unit, expired=True, late=False))
                    yield Happening("key expires"), 1, self._step(late, calls.Woke(), self.expired)
        if self.kind.limited and isinstance(command, calls.Attempt | calls.Probe):
            yield from self._cut_short(local)

    def _answered(
        self, local: _Local, happening: Happening, event: calls.CallEvent, unit: Unit
    ) -> tuple[Happening, int, _Local]:
        what = f"{happening.what} {happening.error}" if happening.what in FAULTS else ""
        cost = 1 if what and what != local.trouble else 0
        after = replace(local, unit=unit, trouble=what)
        return happening, cost, self._step(after, event, self._machine(unit))

    def _cut_short(self, local: _Local) -> Iterator[tuple[Happening, int, _Local]]:
        """The attempt fails and there is no time left for another one."""
        if "time is up" not in self.kind.faults or not isinstance(local.command, calls.Attempt):
            return
        for happening, outcome, unit in self._attempt(local):
            if happening.what in ("not sent", "request lost", "answer lost", "late"):
                after = replace(local, unit=unit, trouble="")
                ended = self._step(after, calls.AttemptEnded(outcome), self.over)
                if isinstance(ended.command, calls.Done):
                    yield happening, 1, ended

    def _from_outside(self, local: _Local, what: str) -> Iterator[tuple[Happening, int, _Local]]:
        local = replace(local, variant=local.variant + what)
        if what == INTERRUPTION:
            yield from self._interrupted(local)
        else:
            for unit in self._at_crash(local):
                known = INTERRUPTION in local.variant
                state = calls.recover(0, 0, None) if self.rules.recovers else calls.start(0)
                again = self._settled(_Local(state, None, unit, variant=local.variant))
                if known:
                    again = self._step(again, calls.Interrupted(), self._machine(unit))
                yield Happening("crash"), 0, again

    def _interrupted(self, local: _Local) -> Iterator[tuple[Happening, int, _Local]]:
        unit = local.unit
        if not self.rules.awaits and isinstance(local.command, calls.Attempt):
            gone = replace(local.call, phase=calls.Phase.DONE, last=NotSent(Failure(NOT_SENT)))
            left = replace(local, call=gone, command=calls.Done(NotSent(Failure(NOT_SENT)), None))
            yield Happening("interrupted"), 0, replace(left, unit=replace(unit, late=True))
            return
        yield (
            Happening("interrupted"),
            0,
            self._step(local, calls.Interrupted(), self._machine(unit)),
        )

    def _at_crash(self, local: _Local) -> Iterable[Unit]:
        """Where the service stands when the orchestrator dies with an attempt in flight: it came,
        it was lost, or it is still under way."""
        found = {local.unit: None}
        if isinstance(local.command, calls.Attempt):
            for happening, _, unit in self._attempt(local):
                if happening.what in ("ok", "late"):
                    found[unit] = None
        return found

    def _attempt(self, local: _Local) -> Iterator[tuple[Happening, Outcome, Unit]]:
        kind, unit = self.kind, local.unit
        ok = Ok(ANSWER)
        nobody_knows = Unknown(Failure(TIMEOUT))
        strange = Unknown(Failure(CONTRACT_MISMATCH), repeat=False)
        after, reply = self._arrive(local)
        match reply:
            case Reply.OK:
                yield Happening("ok"), ok, after
            case Reply.REFUSED:
                error = kind.operation.rejects[0].error if kind.operation.rejects else NOT_SENT
                yield Happening("ok"), Rejected(Failure(error)), after
            case Reply.STRANGE:
                yield Happening("ok"), strange, after
        faults = kind.faults
        if "rejects" in faults:
            refused = unit if kind.undoing else self.rules.refusal(kind.operation, unit)
            if refused is not None:
                for rejection in kind.operation.rejects:
                    error = rejection.error
                    yield Happening("rejects", error), Rejected(Failure(error)), refused
        if "not sent" in faults:
            for name in kind.refusals:
                told = "" if name == NOT_SENT else name
                yield Happening("not sent", told), NotSent(Failure(name)), unit
        if "request lost" in faults:
            for name in kind.silences:
                told = "" if name == TIMEOUT else name
                yield Happening("request lost", told), Unknown(Failure(name)), unit
        if kind.operation.is_query:
            if "strange answer" in faults:
                yield Happening("strange answer"), strange, unit
            return
        if "answer lost" in faults:
            yield Happening("answer lost"), nobody_knows, after
        if "late" in faults and kind.undoing is None:
            yield Happening("late"), nobody_knows, replace(unit, late=True)
        if "late" in faults and kind.undoing is not None and undoes_again(kind.operation, unit):
            yield Happening("late"), nobody_knows, replace(unit, undo_late=True)
        if "duplicated" in faults and reply is Reply.OK and self._once(unit):
            twice, _ = self._arrive(replace(local, unit=after))
            yield Happening("duplicated"), ok, twice
        if "strange answer" in faults:
            for end in dict.fromkeys((after, unit)):
                what = "strange answer" if end is after else "strange refusal"
                yield Happening(what), strange, end

    def _once(self, unit: Unit) -> bool:
        """Whether the service promises that two copies have the effect of one. Where it does not,
        nothing could help, and a copy is a fault of the network that no contract knows."""
        promises = self.kind.operation.promises
        return promises.idempotent or (promises.keyed and not unit.expired)

    def _arrive(self, local: _Local) -> tuple[Unit, Reply]:
        kind = self.kind
        if kind.operation.is_query:
            return local.unit, Reply.OK
        if kind.undoing is not None:
            return self.rules.undo(kind.operation, local.unit)
        assert isinstance(local.command, calls.Attempt)
        with_key = self.rules.keyed(local.command.number, CRASH in local.variant)
        return self.rules.request(kind.operation, local.unit, keyed=with_key)

    def _probe(self, local: _Local) -> Iterator[tuple[Happening, Outcome]]:
        unit = local.unit
        if unit.undone if self.kind.undoing is not None else unit.effects > 0:
            yield Happening("yes", asking=True), Ok(ANSWER)
        else:
            yield Happening("no", asking=True), Ok(None)
        if "no answer" in self.kind.faults:
            yield Happening("no answer", asking=True), Unknown(Failure(TIMEOUT))


def results(
    kind: Kind, unit: Unit, variant: str, rules: Rules, *, reduce_inert: bool
) -> tuple[Result, ...]:
    """All that the call may come to, each with the fewest faults; `variant` is what comes from
    outside before its end is on record: crashes (`c`) and interruptions (`i`), in order. A call
    comes to something whatever comes, or the saga would wait for it for ever."""
    course = _Course(kind, rules, reduce_inert)
    found: dict[tuple[Outcome, bool, Unit], Result] = {}
    back: dict[_Local, tuple[_Local | None, Happening | None]] = {}
    queue: list[tuple[int, int, int, _Local, _Local | None, Happening | None]] = []
    number = 0
    for local in course.starts(unit):
        heapq.heappush(queue, (0, 0, number, local, None, None))
        number += 1
    while queue:
        cost, length, _, local, before, how = heapq.heappop(queue)
        if local in back:
            continue
        back[local] = before, how
        if isinstance(local.command, calls.Done):
            left = variant[len(local.variant) :]
            if not left:
                heard: Any = rules.believes(local.call, local.command.outcome)
                key = (heard, local.command.unanswered is not None, local.unit)
                if key not in found:
                    found[key] = Result(*key, cost, _story(back, local))
            # It goes on where the orchestrator dies before the end is on record: one that ends as
            # soon as it begins leaves no other moment to die in.
            if not left.startswith(CRASH):
                continue
        for happening, more, after in course.next(local, variant):
            if after not in back:
                number += 1
                heapq.heappush(queue, (cost + more, length + 1, number, after, local, happening))
    return tuple(found.values())


def _story(
    back: dict[_Local, tuple[_Local | None, Happening | None]], local: _Local | None
) -> tuple[Happening, ...]:
    story: list[Happening] = []
    while local is not None:
        local, how = back[local]
        if how is not None:
            story.append(how)
    return tuple(reversed(story))
