"""From the journal of one run to its sequence diagram: what really happened.

Messages stand in the order in which they were recorded, so those of parallel parts mix. Each
begins with the time since the start, where time has passed since the message before it.

No value of the saga is shown, as in every picture: of a call its operation, the iteration and
the number of the attempt. The journal of a real run cannot tell a lost request from a lost
answer; the picture says `unknown` and shows an answer that does not arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sagalang.machine.events import SAGA, Place, Purpose, Timer
from sagalang.model import program as p
from sagalang.render import told
from sagalang.render.cast import ORCHESTRATOR
from sagalang.render.diagram import (
    Fate,
    Item,
    Message,
    MessageKind,
    Note,
    NoteKind,
    Participant,
    ParticipantKind,
    Phase,
    SequenceDiagram,
)
from sagalang.render.exchanges import call_of, exchanges, repetitions
from sagalang.render.scripts import script
from sagalang.runtime import journal as j
from sagalang.runtime import words

_BACKWARDS = frozenset({Purpose.RESOLVE, Purpose.COMPENSATE})


@dataclass(frozen=True, slots=True)
class LateArrival:
    """Stands among the entries of a journal: a call of `label` (`Service.operation`) that reaches
    its service when nobody waits for it any more. `text` says what comes of it."""

    at: p.Ms
    label: str
    text: str = "arrives late"


def model(
    program: p.Program,
    saga_name: str,
    journal: Sequence[j.Entry | LateArrival],
    *,
    marks: Mapping[int, str] = {},
    undelivered: Collection[int] = frozenset(),
) -> SequenceDiagram:
    """The sequence diagram of the first run of the saga in the journal, and of its child sagas.

    Indexes are those of `journal`. `marks`: what to note beside an entry. `undelivered`: those
    `AttemptStarted` and `ProbeStarted` whose request is known not to have reached the service.
    Raises ValueError if the journal has no run of the saga.
    """
    drawing = _Drawing(program, saga_name, journal, marks, frozenset(undelivered))
    items = _phases(tuple(drawing.items()))  # only then everybody has entered
    return SequenceDiagram(f"{saga_name} {drawing.run}", drawing.participants, items)


# --- The run and its parts -----------------------------------------------------------------------


def _family(saga_name: str, journal: Sequence[j.Entry | LateArrival]) -> dict[str, str]:
    """The ids of the run and of its child sagas, each with the name of its saga."""
    family: dict[str, str] = {}
    for entry in journal:
        match entry:
            case j.SagaStarted(saga=saga, saga_id=id_) if not family and saga == saga_name:
                family[id_] = saga
            case j.ChildStarted(saga_id=parent, saga=saga, child_id=id_) if parent in family:
                family.setdefault(id_, saga)
            case _:
                pass
    if not family:
        raise ValueError(f"the journal has no run of {saga_name}")
    return family


# --- Drawing -------------------------------------------------------------------------------------

Side = bool | None
"""Whether an item belongs to going back; None: it goes with what is around it."""
Drawn = tuple[Side, Item]
_Placed = j.CallEntry | j.ChildStarted | j.ChildFinished | j.TimerStarted | j.TimerEnded


class _Drawing:
    """One picture being made, entry by entry."""

    def __init__(
        self,
        program: p.Program,
        saga_name: str,
        journal: Sequence[j.Entry | LateArrival],
        marks: Mapping[int, str],
        undelivered: frozenset[int],
    ) -> None:
        family = _family(saga_name, journal)
        self.run = next(iter(family))
        self._family = family
        self._scripts = {name: script(program.sagas[name]) for name in family.values()}
        self._marks = marks
        self._undelivered = undelivered
        self._story = [
            (index, entry)
            for index, entry in enumerate(journal)
            if isinstance(entry, LateArrival) or entry.saga_id in family
        ]
        recorded = [(i, entry) for i, entry in self._story if isinstance(entry, j.Entry)]
        self._at = {index: entry.at for index, entry in self._story}
        self._start = recorded[0][1].at
        self._told = told.offset(0)
        found = exchanges(recorded)
        kept = {*marks, *undelivered}
        self._repeated, self._hidden = repetitions(recorded, found, kept)
        every = [exchange for each in found.values() for exchange in each]
        self._starts = {e.end: e.start for e in every if e.end is not None}
        self._unsent = frozenset(
            index for e in every if e.kind == "not sent" for index in (e.start, e.end)
        )
        self._flying: dict[int, j.CallEntry] = {}
        self._undone: set[str] = set()
        self._around: dict[str, told.Loops] = {}
        self._last: dict[tuple[object, ...], str] = {}
        self._cast: dict[tuple[ParticipantKind, str], int] = {
            (ParticipantKind.ORCHESTRATOR, saga_name): ORCHESTRATOR
        }

    @property
    def participants(self) -> tuple[Participant, ...]:
        saga = ParticipantKind.SAGA
        return tuple(
            Participant(f"saga {name}" if kind is saga else name, kind) for kind, name in self._cast
        )

    def _whose(self, kind: ParticipantKind, name: str) -> int:
        return self._cast.setdefault((kind, name), len(self._cast))

    def _service(self, label: str) -> int:
        return self._whose(ParticipantKind.SERVICE, label.partition(".")[0])

    def _inside(self, entry: _Placed) -> str:
        """The iterations around an entry, those around its child saga first."""
        return told.iteration((*self._around.get(entry.saga_id, ()), *entry.place.loops))

    def _lane(self, saga_id: str) -> int:
        if saga_id == self.run:
            return ORCHESTRATOR
        return self._whose(ParticipantKind.SAGA, self._family[saga_id])

    def items(self) -> Iterator[Drawn]:
        over = False
        for index, entry in self._story:
            yield from self._entry(index, entry)
            if index in self._marks:
                yield None, Note((self._marks[index],), NoteKind.MARK)
            over = over or (isinstance(entry, j.SagaFinished) and entry.saga_id == self.run)
        if not over:
            yield False, Note(("the journal ends here",), NoteKind.INFO)

    def _entry(self, index: int, entry: j.Entry | LateArrival) -> Iterator[Drawn]:
        if index in self._repeated:
            again = self._repeated[index]
            assert isinstance(entry, j.CallEntry)
            what = "questions" if entry.purpose is Purpose.POLL else "attempts"
            if again.probes:
                what += " and probes"
            until = told.offset(self._at[again.last] - self._start)
            text = f"… {again.count} more {what} until {until}"
            yield _goes_back(entry), self._aside(entry, text)
        if index in self._hidden:
            return
        match entry:
            case LateArrival(label=label, text=text):
                to = self._service(label)
                said = self._timed(entry.at, f"{told.operation(label)} {text}")
                yield None, Message(ORCHESTRATOR, to, said, MessageKind.CALL, fate=Fate.LATE)
            case j.AttemptStarted() | j.ProbeStarted():
                if index not in self._unsent:
                    yield self._sent(index, entry)
            case j.AttemptEnded() | j.ProbeEnded():
                yield self._answered(index, entry)
            case j.OutcomeRecorded():
                yield from self._believed(entry)
            case j.CallEntry():
                yield from self._meanwhile(entry)
            case j.ChildStarted() | j.ChildFinished():
                yield from self._child(entry)
            case j.TimerStarted() | j.TimerEnded():
                yield from self._timer(entry)
            case j.Restarted():
                yield from self._crash(entry)
            case _:
                yield from self._saga(entry)

    # --- Calls ---

    def _sent(self, index: int, entry: j.AttemptStarted | j.ProbeStarted) -> Drawn:
        backwards = _goes_back(entry)
        self._flying[index] = entry
        fate = Fate.LOST if index in self._undelivered else Fate.ARRIVES
        text = self._timed(entry.at, told.called(entry, self._inside(entry)))
        undoes = entry.purpose is Purpose.COMPENSATE and isinstance(entry, j.AttemptStarted)
        kind = MessageKind.COMPENSATION if undoes else MessageKind.CALL
        source, target = self._lane(entry.saga_id), self._service(entry.label)
        return backwards, Message(source, target, text, kind, entry.place.path, fate=fate)

    def _answered(self, index: int, entry: j.AttemptEnded | j.ProbeEnded) -> Drawn:
        start = self._starts.get(index)
        if start is not None:
            self._flying.pop(start, None)
        if isinstance(entry, j.AttemptEnded):
            self._last[*call_of(entry), entry.number] = entry.kind
        inside = self._inside(entry)
        text, kind, fate = told.answer(entry)
        if index in self._unsent:
            text = f"{told.called(entry, inside)}: {text}"
            return _goes_back(entry), self._aside(entry, text)
        if start in self._undelivered:
            return _goes_back(entry), self._aside(entry, f"✗ {text}{inside}")
        text = self._timed(entry.at, text + inside)
        source, target = self._service(entry.label), self._lane(entry.saga_id)
        path = entry.place.path
        return _goes_back(entry), Message(source, target, text, kind, path, fate=fate)

    def _believed(self, entry: j.OutcomeRecorded) -> Iterator[Drawn]:
        """Said only where the last attempt does not say it already."""
        last = self._last.get((*call_of(entry), entry.number))
        if last != entry.kind and not (last is None and entry.kind == "ok"):
            verb = ":" if last is None else " counts as"
            called, why = told.called(entry, self._inside(entry)), told.because(entry.error)
            text = f"{called}{verb} {entry.kind}{why}"
            yield _goes_back(entry), self._aside(entry, text)
        if entry.kind == "ok" and entry.purpose is Purpose.STEP:
            yield from self._pivot(entry.saga_id, entry.place)

    def _pivot(self, saga_id: str, place: Place) -> Iterator[Drawn]:
        name = self._family[saga_id]
        if place.path in self._scripts[name].pivots:
            whose = "" if saga_id == self.run else f" of saga {name}"
            yield False, Note((f"point of no return{whose}",), NoteKind.PIVOT)

    def _meanwhile(self, entry: j.CallEntry) -> Iterator[Drawn]:
        match entry:
            case j.Waiting():
                text = words.waiting(entry)
            case j.Queued():
                text = words.queued(entry)
            case j.BreakerChanged(scope=scope, after=after):
                text = f"breaker {scope} {after}: {words.breaker(entry)}"
            case _:
                return
        yield _goes_back(entry), self._aside(entry, text)

    # --- Everything else ---

    def _child(self, entry: j.ChildStarted | j.ChildFinished) -> Iterator[Drawn]:
        parent, child = self._lane(entry.saga_id), self._lane(entry.child_id)
        path, inside = entry.place.path, self._inside(entry)
        if isinstance(entry, j.ChildStarted):
            around = self._around.get(entry.saga_id, ())
            self._around[entry.child_id] = (*around, *entry.place.loops)
            if entry.undo:
                self._undone.add(entry.child_id)
            kind = MessageKind.COMPENSATION if entry.undo else MessageKind.CALL
            text = self._timed(entry.at, ("undo" if entry.undo else "run") + inside)
            yield entry.undo, Message(parent, child, text, kind, path)
            return
        # Whether a child that was undone completed no longer matters.
        came_to = "undone" if entry.undo and entry.kind == "compensated" else entry.kind
        text = self._timed(entry.at, came_to + inside)
        refused = entry.kind != "completed" and not entry.undo
        kind = MessageKind.REJECTION if refused else MessageKind.REPLY
        yield entry.undo, Message(child, parent, text, kind, path)
        if entry.kind == "completed" and not entry.undo:
            yield from self._pivot(entry.saga_id, entry.place)

    def _timer(self, entry: j.TimerStarted | j.TimerEnded) -> Iterator[Drawn]:
        """Those that a reader would miss: what is waited for, and what ran out."""
        event = self._scripts[self._family[entry.saga_id]].waits.get(entry.place.path)
        inside = self._inside(entry)
        if isinstance(entry, j.TimerStarted):
            length = words.duration(entry.until - entry.at)
            match entry.timer:
                case Timer.WAIT if event is not None:
                    yield False, self._aside(entry, f"waits for {event}{inside}, at most {length}")
                case Timer.SLEEP:
                    yield False, self._aside(entry, f"sleeps {length}{inside}")
                case Timer.LANDS:
                    text = f"waits {length} until a late call can no longer land{inside}"
                    yield None, self._aside(entry, text)
                case _:
                    pass
        elif not entry.stopped:
            match entry.timer:
                case Timer.WAIT:
                    what = f"no {event}" if event is not None else f"{entry.place.path}: not"
                    yield None, self._aside(entry, f"{what} in time{inside}")
                case Timer.DEADLINE:
                    yield None, self._aside(entry, "the deadline has passed")
                case _:
                    pass

    def _crash(self, entry: j.Restarted) -> Iterator[Drawn]:
        """Of child sagas nothing more is said: they died with their parent."""
        if entry.saga_id != self.run:
            return
        for flying in self._flying.values():
            source, target = self._service(flying.label), self._lane(flying.saga_id)
            text = f"unknown: nobody hears the answer{self._inside(flying)}"
            kind, path = MessageKind.REPLY, flying.place.path
            yield _goes_back(flying), Message(source, target, text, kind, path, fate=Fate.LOST)
        self._flying.clear()
        text = self._timed(entry.at, "the orchestrator dies and goes on from its journal")
        yield None, Note((text,), NoteKind.CRASH)

    def _saga(self, entry: j.Entry) -> Iterator[Drawn]:
        match entry:
            case j.EventAccepted(event=event):
                source = self._whose(ParticipantKind.ACTOR, event)
                text = self._timed(entry.at, event)
                yield None, Message(source, self._lane(entry.saga_id), text, MessageKind.EVENT)
            case j.CancelAsked():
                yield None, self._aside(entry, "somebody asks it to cancel")
            case j.AbortBegan(saga_id=id_) if id_ in self._undone:
                pass  # its parent said so
            case j.AbortBegan(place=place, error=error):
                what = "aborts" if place == SAGA else f"undoes {place}"
                whose = "" if entry.saga_id == self.run else f"saga {self._family[entry.saga_id]} "
                said = f"{whose}{what}: {error}" + (f", {entry.detail}" if entry.detail else "")
                yield False, Note((self._timed(entry.at, said),), NoteKind.ABORT)
            case j.EscalationRaised(item=item, retrying=retrying):
                still = "; it goes on trying" if retrying else ""
                yield None, Note((self._timed(entry.at, told.task(item) + still),), NoteKind.MARK)
            case j.EscalationSettled(place=place):
                yield None, self._aside(entry, f"{place} is settled")
            case j.Alerted(error=error, text=text):
                yield None, Note((self._timed(entry.at, f"{error}: {text}"),), NoteKind.MARK)
            case j.SagaFinished() if entry.saga_id == self.run:
                yield False, Note(told.outcome(entry), NoteKind.OUTCOME)
            case _:
                pass

    # --- Words ---

    def _timed(self, at: p.Ms, text: str) -> str:
        since = told.offset(at - self._start)
        if since == self._told:
            return text
        self._told = since
        return f"{since} {text}"

    def _aside(self, entry: j.Entry, text: str) -> Note:
        lane = self._lane(entry.saga_id)
        return Note((self._timed(entry.at, text),), NoteKind.INFO, (lane, lane))


def _goes_back(entry: j.CallEntry) -> bool:
    return entry.purpose in _BACKWARDS


def _phases(drawn: Sequence[Drawn]) -> tuple[Item, ...]:
    """Going back, put into phases of its own."""
    items: list[Item] = []
    back: list[Item] = []
    around: list[Item] = []
    for side, item in drawn:
        if side is None and back:
            around.append(item)
        elif side:
            back += [*around, item]
            around = []
        else:
            if back:
                items.append(Phase(tuple(back)))
            items += [*around, item]
            back, around = [], []
    if back:
        items.append(Phase(tuple(back)))
    return (*items, *around)
