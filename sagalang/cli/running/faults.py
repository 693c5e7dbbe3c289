"""Which faults happened in a run on fakes, and when: for its journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sagalang.runtime import journal as j
from sagalang.runtime.fault_script import LATE, Kind, Script, Scripted, by_attempt
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.journal_file import FaultStruck, LateArrival

if TYPE_CHECKING:
    from sagalang.cli.running.plan import Plan
    from sagalang.cli.running.services import Fakes
    from sagalang.model.program import Ms, Operation

_CRASHES = frozenset({Kind.CRASH_BEFORE, Kind.CRASH_AFTER, Kind.CRASH_DURING})
"""The journal tells of these itself."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that struck a call of `label`, in words without values ('' if it needs none).
    `late`: the call is under way because of it, and arrives `due`; None: when the run is over."""

    label: str
    text: str
    late: bool = False
    due: Ms | None = None


class _Source(Protocol):
    def new(self) -> Iterator[Strike]: ...

    def sent(self, entry: j.AttemptStarted) -> None: ...


class Faults:
    """Told of each entry before it is kept, it gives what is to stand before that entry."""

    def __init__(self, plan: Plan, fakes: Fakes) -> None:
        self._source: _Source
        if fakes.scripted is not None:
            assert plan.script is not None
            self._source = _Script(plan.script, fakes.scripted, plan.operations)
        else:
            self._source = _Planned(plan.planned)
        self._under_way: list[tuple[Ms | None, str]] = []

    def before(self, entry: j.Entry) -> Iterator[FaultStruck | LateArrival]:
        for strike in self._source.new():
            if strike.text:
                yield FaultStruck(entry.at, strike.label, strike.text)
            if strike.late:
                self._under_way.append((strike.due, strike.label))
        yield from self._arrived(entry.at)
        if isinstance(entry, j.AttemptStarted):
            self._source.sent(entry)

    def _arrived(self, now: Ms) -> Iterator[LateArrival]:
        due = [(when, label) for when, label in self._under_way if when is not None and when <= now]
        for when, label in sorted(due):
            self._under_way.remove((when, label))
            yield LateArrival(when, label)

    def rest(self, now: Ms) -> Iterator[LateArrival]:
        """What arrives when the run is over."""
        for when, label in sorted((max(now, when or now), x) for when, x in self._under_way):
            yield LateArrival(when, label)


class _Planned:
    """The faults of `--fault`, each time they strike."""

    def __init__(self, planned: list[PlannedFault]) -> None:
        self._planned = planned
        self._told = [0] * len(planned)
        self._sent: dict[str, Ms] = {}

    def sent(self, entry: j.AttemptStarted) -> None:
        self._sent[entry.label] = entry.at

    def new(self) -> Iterator[Strike]:
        for index, fault in enumerate(self._planned):
            if fault.times == self._told[index]:
                continue
            self._told[index] = fault.times
            late = fault.kind == "arrives late" and fault.operation in self._sent
            due = self._sent[fault.operation] + fault.after if late else None
            yield Strike(fault.operation, _words(fault), late, due)


def _words(fault: PlannedFault) -> str:
    what = {"rejects": f"rejects {fault.error}", "returns": "returns what it was told to"}
    return what.get(fault.kind, fault.kind)


_SAID = {
    Kind.ANSWERS: "returns what it was told to",
    Kind.NOT_SENT: "is not sent",
    Kind.LATE: "arrives late",
    Kind.DUPLICATED: "is duplicated",
}


class _Script:
    """The faults of `--faults`, attempt by attempt."""

    def __init__(
        self, script: Script, scripted: Scripted, operations: Mapping[str, Operation]
    ) -> None:
        self._script, self._scripted, self._operations = script, scripted, operations
        self._by_attempt = by_attempt(script)
        self._seen = 0

    def sent(self, entry: j.AttemptStarted) -> None:
        pass

    def new(self) -> Iterator[Strike]:
        unused = self._scripted.unused
        for made in self._scripted.attempts[self._seen :]:
            index = self._by_attempt.get((made.operation, made.call, made.attempt))
            if index is None:
                continue
            fault = self._script.faults[index]
            if any(fault is one for one in unused):
                continue  # the service answered from memory
            after = fault.after
            if after is None:
                after = self._operations[made.operation].promises.lands_within
            due = None if after is None else made.at + after
            error = f" {fault.error}" if fault.error else ""
            text = (
                ""
                if fault.kind in _CRASHES
                else f"{_SAID.get(fault.kind, fault.kind.value)}{error}"
            )
            yield Strike(made.operation, text, fault.kind in LATE, due)
        self._seen = len(self._scripted.attempts)
