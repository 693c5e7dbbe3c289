"""Where a run stands, from its journal alone: what was done, undone, is owed, and is waited for.

    status = status_of([entry for _, entry in book.history("o-1")])

Pure. It reads names, places, kinds and times, and no value, so the definition of the saga and the
keys of its secrets are not needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sagalang.machine.backward import CHILD_NOT_UNDONE, CHILD_OPEN
from sagalang.machine.events import SAGA, Escalated, OpenItem, Place, Purpose, Timer
from sagalang.model.program import Ms
from sagalang.runtime import journal as j
from sagalang.runtime import words


@dataclass(frozen=True, slots=True)
class Step:
    """A step that calls a service. `run_id`, `saga`: whose step it is; `within`: the steps of the
    run, outermost first, that lead to it, where it belongs to a child saga. `fate`: `done`,
    `undone`, `rejected`, `not sent`, `unknown`, `not done`, `written off`, `under way` or
    `undoing`. `error`: why, where it was not done. `key`: by which its service knows it."""

    run_id: str
    saga: str
    within: tuple[str, ...]
    place: str
    operation: str
    fate: str
    at: Ms
    error: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Owed:
    """What a person must settle in the run `run_id`, a child saga or the run itself. `retrying`:
    it is still being tried, and settles itself when that works. `child`: the run that is to be
    dealt with instead; when it is, this settles itself. `key`: of the call; `undoes`: that of the
    step that it undoes."""

    run_id: str
    saga: str
    place: str
    path: str
    iterations: tuple[str, ...]
    purpose: Purpose
    operation: str
    error: str
    detail: str
    team: str
    key: str | None
    undoes: str | None
    since: Ms
    retrying: bool
    child: str | None = None


@dataclass(frozen=True, slots=True)
class Timed:
    """A statement that waits. `path`: its place without iterations. `until`: at most."""

    run_id: str
    saga: str
    place: str
    path: str
    since: Ms
    until: Ms


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A call that has no outcome yet. `attempt`: how often it was sent. `note`: what it waits for
    between two attempts."""

    run_id: str
    place: str
    purpose: Purpose
    operation: str
    since: Ms
    attempt: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person settled: `how` is `retry`, `done` or `not done`."""

    run_id: str
    place: str
    purpose: Purpose
    how: str
    by: str
    why: str
    at: Ms


@dataclass(frozen=True, slots=True)
class Status:
    """`phase`: `forward`, `undoing`, or what the run came to: `completed`, `compensated`,
    `escalated`. `error`, `detail`: why it undoes, or undid. `waits`: for events or for polled
    answers. `sleeps`: for a time. `alerts`: what people were told on the way. `began` None: the
    run was never begun."""

    phase: str = "forward"
    began: Ms | None = None
    error: str | None = None
    detail: str = ""
    cancel_asked: Ms | None = None
    steps: tuple[Step, ...] = ()
    owed: tuple[Owed, ...] = ()
    waits: tuple[Timed, ...] = ()
    sleeps: tuple[Timed, ...] = ()
    under_way: tuple[UnderWay, ...] = ()
    decisions: tuple[Decision, ...] = ()
    alerts: tuple[str, ...] = ()


def status_of(entries: Iterable[j.Entry]) -> Status:
    """`entries`: of the run and its child sagas, in order; those of the run come first."""
    following = Following()
    for entry in entries:
        following.take(entry)
    return following.status()


_IN_A_CHILD = (CHILD_OPEN, CHILD_NOT_UNDONE)
_At = tuple[str, Place]
_Call = tuple[str, Place, Purpose]


@dataclass
class Following:
    """Takes the entries of a run and its child sagas one after the other."""

    root: str | None = None
    phase: str = "forward"
    began: Ms | None = None
    error: str | None = None
    detail: str = ""
    cancel_asked: Ms | None = None
    sagas: dict[str, str] = field(default_factory=dict)
    within: dict[str, tuple[str, ...]] = field(default_factory=dict)
    children: dict[_At, str] = field(default_factory=dict)
    keys: dict[_Call, str | None] = field(default_factory=dict)
    steps: dict[_At, Step] = field(default_factory=dict)
    owed: dict[_Call, Owed] = field(default_factory=dict)
    timers: dict[tuple[str, Place, Timer], Timed] = field(default_factory=dict)
    under_way: dict[_Call, UnderWay] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)

    def status(self) -> Status:
        timed = self.timers.items()
        return Status(
            self.phase,
            self.began,
            self.error,
            self.detail,
            self.cancel_asked,
            tuple(self.steps.values()),
            tuple(sorted(self.owed.values(), key=lambda item: item.child is not None)),
            tuple(each for (_, _, timer), each in timed if timer is Timer.WAIT),
            tuple(each for (_, _, timer), each in timed if timer is Timer.SLEEP),
            tuple(self.under_way.values()),
            tuple(self.decisions),
            tuple(self.alerts),
        )

    def take(self, entry: j.Entry) -> None:
        run = entry.saga_id
        self.root = self.root or run
        match entry:
            case j.SagaStarted():
                self.sagas[run] = entry.saga
                self.within.setdefault(run, ())
                self.began = entry.at if self.began is None else self.began
            case j.CallEntry():
                self._call(entry)
            case j.ChildStarted(place=place, child_id=child):
                self.children[run, place] = child
                self.within[child] = (*self.within.get(run, ()), str(place))
            case j.TimerStarted(place=place, timer=timer):
                where = (run, self._saga(run), str(place), place.path)
                self.timers[run, place, timer] = Timed(*where, entry.at, entry.until)
            case j.TimerEnded(place=place, timer=timer):
                self.timers.pop((run, place, timer), None)
            case j.AbortBegan(place=place) if place == SAGA:
                if run == self.root:
                    self.phase, self.error, self.detail = "undoing", entry.error, entry.detail
            case j.CancelAsked() if run == self.root:
                self.cancel_asked = entry.at
            case j.EscalationRaised():
                self._raise(run, entry.item, entry.at, retrying=entry.retrying)
            case j.EscalationSettled(place=place, purpose=purpose):
                self.owed.pop((run, place, purpose), None)
            case j.Settlement():
                self._settle(entry)
            case j.Alerted():
                self.alerts.append(f"{entry.error}: {entry.text}")
            case j.SagaFinished():
                self._finish(entry)

    def _saga(self, run: str) -> str:
        return self.sagas.get(run, "")

    def _call(self, entry: j.CallEntry) -> None:
        call = (entry.saga_id, entry.place, entry.purpose)
        match entry:
            case j.Intent():
                self._go_on()
                self.keys[call] = entry.key
                self.under_way[call] = UnderWay(
                    entry.saga_id, str(entry.place), entry.purpose, entry.label, entry.at, 0
                )
                self._begin(entry)
            case j.AttemptStarted():
                self._note(call, "", entry.attempt)
            case j.AttemptEnded() if entry.kind != "ok":
                self._note(call, words.attempt(entry))
            case j.Waiting():
                self._note(call, words.waiting(entry))
            case j.Queued():
                self._note(call, words.queued(entry))
            case j.OutcomeRecorded():
                self.under_way.pop(call, None)
                self._end(entry)

    def _note(self, call: _Call, note: str, attempt: int | None = None) -> None:
        found = self.under_way.get(call)
        if found is not None:
            self.under_way[call] = replace(
                found, note=note, attempt=found.attempt if attempt is None else attempt
            )

    def _begin(self, entry: j.Intent) -> None:
        at = (entry.saga_id, entry.place)
        if entry.purpose is Purpose.STEP:
            # One that is made again stands where it stood first.
            self.steps[at] = Step(
                entry.saga_id,
                self._saga(entry.saga_id),
                self.within.get(entry.saga_id, ()),
                str(entry.place),
                entry.label,
                "under way",
                entry.at,
                None,
                entry.key,
            )
        elif entry.purpose is Purpose.COMPENSATE and at in self.steps:
            self.steps[at] = replace(self.steps[at], fate="undoing", at=entry.at)

    def _end(self, entry: j.OutcomeRecorded) -> None:
        step = self.steps.get((entry.saga_id, entry.place))
        if step is None or entry.purpose is Purpose.POLL:
            return
        ok = entry.kind == "ok"
        match entry.purpose:
            case Purpose.COMPENSATE:
                # What could not be undone is owed, and still there.
                fate, error = ("undone", step.error) if ok else ("done", step.error)
            case Purpose.RESOLVE:
                doubt = "unknown" if entry.kind == "unknown" else "not done"
                fate, error = ("done", None) if ok else (doubt, entry.error)
            case _:
                fate, error = ("done", None) if ok else (entry.kind, entry.error)
        self.steps[entry.saga_id, entry.place] = replace(step, fate=fate, error=error, at=entry.at)

    def _raise(self, run: str, item: OpenItem, since: Ms, *, retrying: bool = False) -> None:
        call = (run, item.place, item.purpose)
        child = self.children.get((run, item.place)) if item.failure in _IN_A_CHILD else None
        backwards = item.purpose is Purpose.COMPENSATE
        self.owed[call] = Owed(
            run,
            self._saga(run),
            str(item.place),
            item.place.path,
            tuple(identity for _, identity in item.place.loops),
            item.purpose,
            item.label,
            item.failure.name,
            item.failure.detail,
            item.team,
            self.keys.get(call),
            self.keys.get((run, item.place, Purpose.STEP)) if backwards else None,
            since,
            retrying,
            child,
        )

    def _settle(self, entry: j.Settlement) -> None:
        run, place, purpose = entry.saga_id, entry.place, entry.purpose
        self._go_on()
        self.decisions.append(
            Decision(run, str(place), purpose, entry.how, entry.by, entry.why, entry.at)
        )
        self.owed.pop((run, place, purpose), None)
        step = self.steps.get((run, place))
        if step is None or entry.how == "retry":
            return
        done, not_done = (
            ("undone", "written off") if purpose is Purpose.COMPENSATE else ("done", "not done")
        )
        fate = done if entry.how == "done" else not_done
        self.steps[run, place] = replace(step, fate=fate, at=entry.at)

    def _finish(self, entry: j.SagaFinished) -> None:
        run = entry.saga_id
        self.under_way = {call: each for call, each in self.under_way.items() if call[0] != run}
        self.timers = {timer: each for timer, each in self.timers.items() if timer[0] != run}
        if isinstance(entry.value, Escalated):
            known = self.owed
            self.owed = {call: each for call, each in known.items() if call[0] != run}
            for item in entry.value.steps:
                if not item.written_off:
                    before = known.get((run, item.place, item.purpose))
                    self._raise(run, item, entry.at if before is None else before.since)
        else:
            self.owed = {call: each for call, each in self.owed.items() if call[0] != run}
        if run == self.root:
            self.phase = entry.kind
            self.error = entry.error or self.error

    def _go_on(self) -> None:
        """Something happens in the run, or in a child of it, after it had stopped."""
        if self.phase in ("completed", "escalated"):
            self.phase = "forward" if self.error is None else "undoing"
