"""From a path to a script: each cue is put where a run with the cues before it has its place.

The exploration counts neither time nor values. So the run is played with what stands in the script
so far; it shows the number of each attempt, and the moments between which the next cue belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from sagalang.machine import events as m
from sagalang.model import program as p
from sagalang.runtime import journal as j
from sagalang.runtime.fault_replay import START, Played
from sagalang.runtime.fault_script import (
    LATE,
    VERSION,
    Attempt,
    Kind,
    Script,
    ScriptedEvent,
    ScriptedFault,
)
from sagalang.verify.replay import Replay, Theatre
from sagalang.verify.script import CallId, Cancelled, Cue, Ended, Fired, Lands, Sent, Spot, Tried

_REPEATED: Final = frozenset(
    {Kind.NOT_SENT, Kind.REQUEST_LOST, Kind.ANSWER_LOST, Kind.LATE, Kind.STRANGE_ANSWER}
)
_MANY: Final = 1_000
"""Attempts of one call that may fail alike."""


class Record:
    """What a run did, by the names that cues use."""

    def __init__(self, played: Played) -> None:
        self._spots: dict[tuple[str, m.Place], Spot] = {}
        self._sagas: dict[str, tuple[Spot, ...]] = {}
        self._attempts: dict[CallId, list[Attempt]] = {}
        self._ends: dict[CallId, j.Entry] = {}
        self._fired: dict[tuple[CallId, m.Timer], j.Entry] = {}
        counts: dict[tuple[str, str], int] = {}
        logs: dict[str, list[Attempt]] = {}
        for attempt in played.attempts:
            logs.setdefault(attempt.operation, []).append(attempt)
        for entry in played.journal:
            match entry:
                case j.SagaStarted():
                    self._sagas.setdefault(entry.saga_id, ())
                case j.Intent() | j.ChildStarted() | j.TimerStarted():
                    id_ = (entry.saga_id, entry.place)
                    if id_ not in self._spots:
                        at = (entry.saga_id, entry.place.path)
                        self._spots[id_] = Spot(entry.place.path, counts.get(at, 0))
                        counts[at] = counts.get(at, 0) + 1
                    if isinstance(entry, j.ChildStarted):
                        above = self._sagas[entry.saga_id]
                        self._sagas[entry.child_id] = (*above, self._spots[id_])
                case j.AttemptStarted() | j.ProbeStarted():
                    call = self._call(entry, probe=isinstance(entry, j.ProbeStarted))
                    log = logs.get(entry.label)
                    if log:
                        self._attempts.setdefault(call, []).append(log.pop(0))
                case j.OutcomeRecorded():
                    self._ends[self._call(entry)] = entry
                case j.TimerEnded(place=place, timer=timer, stopped=False):
                    spot = self._spots[entry.saga_id, place]
                    self._fired[CallId(self._sagas[entry.saga_id], spot), timer] = entry
                case _:
                    pass

    def _call(self, entry: j.CallEntry, *, probe: bool = False) -> CallId:
        back = entry.purpose is m.Purpose.COMPENSATE
        return CallId(
            self._sagas[entry.saga_id], self._spots[entry.saga_id, entry.place], back, probe
        )

    def attempt(self, cue: Tried) -> Attempt | None:
        made = self._attempts.get(cue.call, [])
        return made[cue.attempt - 1] if cue.attempt <= len(made) else None

    def at(self, cue: Cue) -> p.Ms | None:
        """When it happened, in ms from the start; None where it did not."""
        moment: p.Ms | None = None
        match cue:
            case Tried():
                attempt = self.attempt(cue)
                moment = None if attempt is None else attempt.at
            case Ended(call):
                end = self._ends.get(call)
                moment = None if end is None else end.at
            case Fired(call, timer):
                fired = self._fired.get((call, timer))
                moment = None if fired is None else fired.at
            case _:
                pass
        return None if moment is None else moment - START


def place(
    theatre: Theatre,
    saga: str,
    args: Mapping[str, Any],
    cues: Sequence[Cue],
    events: Mapping[str, Any],
    latency: p.Ms = 0,
) -> Replay:
    """The script of these cues, played. What cannot be placed is left out. `events`: the fields of
    those that are sent, as JSON, by symbol."""
    script = Script(VERSION, saga, latency=latency)
    replay = theatre.play(script, args)
    record = Record(replay.played)
    late: dict[CallId, list[int]] = {}
    tried: dict[CallId, Tried] = {}

    def again(changed: Script) -> None:
        nonlocal script, replay, record
        script = changed
        replay = theatre.play(script, args)
        record = Record(replay.played)

    def add(cue: Tried, attempt: Attempt) -> None:
        assert cue.kind is not None
        if cue.kind in LATE:
            late.setdefault(cue.call, []).append(len(script.faults))
        fault = ScriptedFault(
            attempt.operation,
            cue.kind,
            attempt.call,
            attempt.attempt,
            error=cue.error,
            value=cue.value,
        )
        again(replace(script, faults=(*script.faults, fault)))

    def stretch(last: Tried) -> None:
        """The attempts after this one fail alike: where the time is up on the path, there may be
        time left for others in the run."""
        nonlocal script
        assert last.kind is not None
        attempt = record.attempt(replace(last, attempt=last.attempt + 1))
        if attempt is None:
            return
        before, times, left = script, 1, 1
        while left and times <= _MANY:
            fault = ScriptedFault(
                attempt.operation, last.kind, attempt.call, attempt.attempt, times, last.error
            )
            again(replace(before, faults=(*before.faults, fault)))
            made = [
                a.attempt
                for a in replay.played.attempts
                if (a.operation, a.call) == (attempt.operation, attempt.call)
            ]
            left = max(0, max(made) - attempt.attempt + 1 - times)
            times *= 2
        fault = replace(fault, times=max(made) - attempt.attempt + 1)
        script = replace(before, faults=(*before.faults, fault))

    for index, cue in enumerate(cues):
        match cue:
            case Tried(call=call) if cue.kind is not None:
                tried[call] = cue
                attempt = record.attempt(cue)
                if attempt is not None:
                    add(cue, attempt)
            case Tried(call=call):
                tried.pop(call, None)
            case Lands(call):
                moment = _between(record, cues, index)
                for which in late.pop(call, ()) if moment is not None else ():
                    fault = script.faults[which]
                    sent = next(
                        a.at - START
                        for a in replay.played.attempts
                        if (a.operation, a.call, a.attempt)
                        == (fault.operation, fault.call, fault.attempt)
                    )
                    assert moment is not None
                    after = max(0, moment + latency // 2 - sent)
                    faults = list(script.faults)
                    faults[which] = replace(fault, after=after)
                    again(replace(script, faults=tuple(faults)))
            case Ended(call):
                last = tried.get(call)
                if last is not None and last.kind in _REPEATED:
                    stretch(last)
            case Sent(event, symbol):
                moment = _outside(record, cues, index)
                made = ScriptedEvent(event, events.get(symbol), moment)
                again(replace(script, events=(*script.events, made)))
            case Cancelled():
                again(replace(script, cancel=_outside(record, cues, index)))
            case _:
                pass
    merged = tuple(_in_a_row(script.faults))
    done = replace(script, input=theatre.plain_args(saga, args), faults=merged)
    return Replay(theatre.program, done, replay.played)


def _in_a_row(faults: Sequence[ScriptedFault]) -> list[ScriptedFault]:
    """The same faults, those of one kind in a row as one."""
    found: list[ScriptedFault] = []
    for fault in faults:
        before = found[-1] if found else None
        next_ = before and replace(before, attempt=before.attempt + before.times, times=fault.times)
        if before and fault == next_:
            found[-1] = replace(before, times=before.times + fault.times)
        else:
            found.append(fault)
    return found


def _between(record: Record, cues: Sequence[Cue], index: int) -> p.Ms | None:
    """A moment between the attempts around a cue; None where nothing comes after it."""
    tried = [(i, record.at(cue)) for i, cue in enumerate(cues) if isinstance(cue, Tried)]
    before = max((at for i, at in tried if i < index and at is not None), default=0)
    after = min((at for i, at in tried if i > index and at is not None and at > before), default=-1)
    return None if after < 0 else (before + after) // 2


def _outside(record: Record, cues: Sequence[Cue], index: int) -> p.Ms:
    """The moment of what comes from outside: after all that has ended, before what has not."""
    ends = [(i, record.at(cue)) for i, cue in enumerate(cues) if isinstance(cue, Ended | Fired)]
    before = max((at for i, at in ends if i < index and at is not None), default=0)
    after = min((at for i, at in ends if i > index and at is not None and at > before), default=-1)
    return before if after < 0 else (before + after) // 2
