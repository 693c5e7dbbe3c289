"""From the journal of one run to its sequence diagram: what really happened.

Messages stand in the order in which they were recorded, so those of parallel parts mix. Each
begins with the time since the start, where time has passed since the message before it.

Of a call its operation is shown, the iteration and the number of the attempt; what it worked with
only where `Shown.values` says so and secrets were covered before. The journal of a real run cannot
tell a lost request from a lost answer; the picture says `unknown` and shows an answer that does
not arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from sagalang.machine.events import SAGA, Place, Purpose, Timer
from sagalang.model import program as p
from sagalang.render.cast import ORCHESTRATOR
from sagalang.render.diagram import (
    Fate,
    Message,
    MessageKind,
    Note,
    NoteKind,
    SequenceDiagram,
)
from sagalang.render.journal import told
from sagalang.render.journal.exchanges import (
    call_of,
    exchanges,
    goes_back,
    repetitions,
    struck_in,
    values_of,
)
from sagalang.render.journal.lanes import Entrants, family, lanes
from sagalang.render.journal.phases import Drawn, phases
from sagalang.render.journal.scripts import script
from sagalang.render.journal.told import PLAIN, Shown
from sagalang.render.journal.waits import Waits
from sagalang.runtime import journal as j
from sagalang.runtime import words
from sagalang.runtime.journal_file import FaultStruck, LateArrival, Line

__all__ = ["LateArrival", "Shown", "model"]


def model(
    program: p.Program,
    saga_name: str,
    journal: Sequence[Line],
    *,
    marks: Mapping[int, str] = {},
    undelivered: Collection[int] = frozenset(),
    shown: Shown = PLAIN,
) -> SequenceDiagram:
    """The sequence diagram of the first run of the saga in the journal, and of its child sagas.

    Indexes are those of `journal`. `marks`: what to note beside an entry. `undelivered`: those
    `AttemptStarted` and `ProbeStarted` whose request is known not to have reached the service.
    Raises ValueError if the journal has no run of the saga.
    """
    drawing = _Drawing(program, saga_name, journal, marks, frozenset(undelivered), shown)
    items = phases(tuple(drawing.items()))  # only then everybody has entered
    return SequenceDiagram(
        f"{saga_name} {drawing.run}", drawing.entrants.participants, items, shown.doc
    )


_Placed = j.CallEntry | j.ChildStarted | j.ChildFinished | j.TimerStarted | j.TimerEnded


class _Drawing:
    """One picture being made, entry by entry."""

    def __init__(
        self,
        program: p.Program,
        saga_name: str,
        journal: Sequence[Line],
        marks: Mapping[int, str],
        undelivered: frozenset[int],
        shown: Shown,
    ) -> None:
        kin = family(saga_name, [entry for entry in journal if isinstance(entry, j.Entry)])
        self.run = next(iter(kin))
        self._shown = shown
        self._lanes = lanes(kin)
        self.entrants = Entrants(self._lanes)
        scripts = {name: script(program.sagas[name]) for name in {k.saga for k in kin.values()}}
        self._scripts = {id_: scripts[one.saga] for id_, one in kin.items()}
        self._waits = Waits(self._scripts)
        self._marks = marks
        self._undelivered = undelivered
        self._story = [
            (index, entry)
            for index, entry in enumerate(journal)
            if not isinstance(entry, j.Entry) or entry.saga_id in kin
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
        self._hidden |= struck_in(self._story, self._hidden)
        self._unsent = frozenset(
            index for e in every if e.kind == "not sent" for index in (e.start, e.end)
        )
        self._flying: dict[int, j.CallEntry] = {}
        self._undone: set[str] = set()
        self._args, self._answers = values_of(recorded) if shown.values else ({}, {})
        self._last: dict[tuple[object, ...], str] = {}

    def _inside(self, entry: _Placed) -> str:
        """The iterations around an entry, those around its child saga first."""
        return told.iteration((*self._lanes[entry.saga_id].inside, *entry.place.loops))

    def items(self) -> Iterator[Drawn]:
        over = False
        for index, entry in self._story:
            yield from self._line(index, entry)
            if index in self._marks:
                yield None, Note((self._marks[index],), NoteKind.MARK)
            if isinstance(entry, j.Entry):
                self._waits.follow(entry)
            over = over or (isinstance(entry, j.SagaFinished) and entry.saga_id == self.run)
        if self._shown.cut or not over:
            why = ": its last line was not written to the end" if self._shown.cut else ""
            yield False, Note((f"the journal ends here{why}",), NoteKind.INFO)

    def _line(self, index: int, line: Line) -> Iterator[Drawn]:
        match line:
            case LateArrival(label=label, text=text):
                to = self.entrants.service(label)
                said = self._timed(line.at, f"{told.operation(label)} {text}")
                yield None, Message(ORCHESTRATOR, to, said, MessageKind.CALL, fate=Fate.LATE)
            case FaultStruck() if index in self._hidden:
                pass
            case FaultStruck(label=label, text=text):
                lane = self.entrants.service(label)
                said = self._timed(line.at, f"fault: {told.operation(label)} {text}")
                yield None, Note((said,), NoteKind.MARK, (lane, lane))
            case _:
                for event in self._waits.taken(line):
                    yield False, self._aside(line, f"takes the {event} that was kept")
                if index in self._repeated:
                    yield self._again(index, line)
                if index not in self._hidden:
                    yield from self._entry(index, line)

    def _again(self, index: int, entry: j.Entry) -> Drawn:
        again = self._repeated[index]
        assert isinstance(entry, j.CallEntry)
        what = "questions" if entry.purpose is Purpose.POLL else "attempts"
        probes = " and probes" if again.probes else ""
        until = told.offset(self._at[again.last] - self._start)
        text = f"… {again.count} more {what}{probes} until {until}"
        return goes_back(entry), self._aside(entry, text)

    def _entry(self, index: int, entry: j.Entry) -> Iterator[Drawn]:
        match entry:
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

    # --- Calls -----------------------------------------------------------------------------------

    def _sent(self, index: int, entry: j.AttemptStarted | j.ProbeStarted) -> Drawn:
        self._flying[index] = entry
        fate = Fate.LOST if index in self._undelivered else Fate.ARRIVES
        text = self._timed(entry.at, self._called(entry))
        undoes = entry.purpose is Purpose.COMPENSATE and isinstance(entry, j.AttemptStarted)
        kind = MessageKind.COMPENSATION if undoes else MessageKind.CALL
        source, target = self.entrants.saga(entry.saga_id), self.entrants.service(entry.label)
        details = [self._when(entry.at)]
        if entry.key is not None:
            details.append(f"key {entry.key}")
        which = "attempt" if isinstance(entry, j.AttemptStarted) else "probe"
        details.append(f"{which} {entry.attempt}")
        args = self._args_of(entry, told.LONG)
        if args:
            details.append(f"arguments {args}")
        return goes_back(entry), self._message(source, target, text, kind, entry, details, fate)

    def _answered(self, index: int, entry: j.AttemptEnded | j.ProbeEnded) -> Drawn:
        start = self._starts.get(index)
        if start is not None:
            self._flying.pop(start, None)
        if isinstance(entry, j.AttemptEnded):
            self._last[*call_of(entry), entry.number] = entry.kind
        value = self._answers.get(index)
        text, kind, fate = told.answer(entry, told.holding(value))
        if index in self._unsent:
            return goes_back(entry), self._aside(entry, f"{self._called(entry)}: {text}")
        inside = self._inside(entry)
        if start in self._undelivered:
            return goes_back(entry), self._aside(entry, f"✗ {text}{inside}")
        text = self._timed(entry.at, text + inside)
        source, target = self.entrants.service(entry.label), self.entrants.saga(entry.saga_id)
        details = [self._when(entry.at)]
        if start is not None:
            details.append(f"after {words.duration(entry.at - self._at[start])}")
        if isinstance(entry, j.AttemptEnded) and entry.detail:
            details.append(entry.detail)
        if value is not None:
            details.append(f"answer{told.holding(value, told.LONG)}")
        return goes_back(entry), self._message(source, target, text, kind, entry, details, fate)

    def _called(self, entry: j.CallEntry) -> str:
        return told.called(entry, self._inside(entry), self._args_of(entry, told.SHORT))

    def _args_of(self, entry: j.CallEntry, most: int) -> str:
        """`(o-1, 18.50)`. What a probe asks for is not on record."""
        args = self._args.get((call_of(entry), entry.number))
        if args is None or isinstance(entry, j.ProbeStarted | j.ProbeEnded):
            return ""
        return told.arguments(args, most)

    def _message(
        self,
        source: int,
        target: int,
        text: str,
        kind: MessageKind,
        entry: _Placed,
        details: Sequence[str] = (),
        fate: Fate = Fate.ARRIVES,
    ) -> Message:
        path = entry.place.path
        span = self._scripts[entry.saga_id].spans.get(path)
        return Message(source, target, text, kind, path, span, fate, tuple(details))

    def _believed(self, entry: j.OutcomeRecorded) -> Iterator[Drawn]:
        """Said only where the last attempt does not say it already."""
        last = self._last.get((*call_of(entry), entry.number))
        if last != entry.kind and not (last is None and entry.kind == "ok"):
            verb = ":" if last is None else " counts as"
            called, why = told.called(entry, self._inside(entry)), told.because(entry.error)
            text = f"{called}{verb} {entry.kind}{why}"
            yield goes_back(entry), self._aside(entry, text)
        if entry.kind == "ok" and entry.purpose is Purpose.STEP:
            yield from self._pivot(entry.saga_id, entry.place)

    def _pivot(self, saga_id: str, place: Place) -> Iterator[Drawn]:
        if place.path in self._scripts[saga_id].pivots:
            whose = "" if saga_id == self.run else f" of {self._lanes[saga_id].name}"
            yield False, Note((f"point of no return{whose}",), NoteKind.PIVOT)

    def _meanwhile(self, entry: j.CallEntry) -> Iterator[Drawn]:
        match entry:
            case j.Waiting():
                yield goes_back(entry), self._aside(entry, words.waiting(entry))
            case j.Queued():
                yield goes_back(entry), self._aside(entry, words.queued(entry))
            case j.RetryRefused():
                text = f"{told.called(entry, self._inside(entry))}: no retry, the budget is used up"
                yield goes_back(entry), self._aside(entry, text)
            case j.BreakerChanged(scope=scope, after=after):
                # In front of its service, not at the saga that happened to make it change.
                lane = self.entrants.service(scope)
                _, inside, operation = scope.partition(".")
                which = f"breaker of {operation}" if inside else "breaker"
                text = self._timed(entry.at, f"{which} {after}: {words.breaker(entry)}")
                yield goes_back(entry), Note((text,), NoteKind.INFO, (lane, lane))
            case _:
                pass

    # --- Everything else -------------------------------------------------------------------------

    def _child(self, entry: j.ChildStarted | j.ChildFinished) -> Iterator[Drawn]:
        parent, child = self.entrants.saga(entry.saga_id), self.entrants.saga(entry.child_id)
        inside = told.iteration(self._lanes[entry.child_id].inside)
        details = [self._when(entry.at), f"id {entry.child_id}"]
        if isinstance(entry, j.ChildStarted):
            if entry.undo:
                self._undone.add(entry.child_id)
            kind = MessageKind.COMPENSATION if entry.undo else MessageKind.CALL
            text = self._timed(entry.at, ("undo" if entry.undo else "run") + inside)
            yield entry.undo, self._message(parent, child, text, kind, entry, details)
            return
        # Whether a child that was undone completed no longer matters.
        came_to = "undone" if entry.undo and entry.kind == "compensated" else entry.kind
        text = self._timed(entry.at, came_to + inside)
        refused = entry.kind != "completed" and not entry.undo
        kind = MessageKind.REJECTION if refused else MessageKind.REPLY
        yield entry.undo, self._message(child, parent, text, kind, entry, details)
        if entry.kind == "completed" and not entry.undo:
            yield from self._pivot(entry.saga_id, entry.place)

    def _timer(self, entry: j.TimerStarted | j.TimerEnded) -> Iterator[Drawn]:
        """Those that a reader would miss: what is waited for, and what ran out."""
        event = self._scripts[entry.saga_id].waits.get(entry.place.path)
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
            ends = self.entrants.service(flying.label), self.entrants.saga(flying.saga_id)
            text = f"unknown: nobody hears the answer{self._inside(flying)}"
            lost = self._message(*ends, text, MessageKind.REPLY, flying, fate=Fate.LOST)
            yield goes_back(flying), lost
        self._flying.clear()
        text = self._timed(entry.at, "the orchestrator dies and goes on from its journal")
        yield None, Note((text,), NoteKind.CRASH)

    def _saga(self, entry: j.Entry) -> Iterator[Drawn]:
        match entry:
            case j.EventAccepted(event=event, value=value):
                source = self.entrants.actor(event)
                holds = told.holding(value) if self._shown.values else ""
                text = self._timed(entry.at, event + holds + self._waits.beside(entry))
                yield None, self._from_outside(source, entry, text)
            case j.CancelAsked():
                yield None, self._aside(entry, "somebody asks it to cancel")
            case j.AbortBegan(saga_id=id_) if id_ in self._undone:
                pass  # its parent said so
            case j.AbortBegan(place=place, error=error):
                what = "aborts" if place == SAGA else f"undoes {place}"
                whose = "" if entry.saga_id == self.run else f"{self._lanes[entry.saga_id].name} "
                said = f"{whose}{what}: {error}" + (f", {entry.detail}" if entry.detail else "")
                yield False, Note((self._timed(entry.at, said),), NoteKind.ABORT)
            case j.EscalationRaised(item=item, retrying=retrying):
                still = "; it goes on trying" if retrying else ""
                yield None, Note((self._timed(entry.at, told.task(item) + still),), NoteKind.MARK)
            case j.Settlement(place=place, how=how, why=why):
                source = self.entrants.actor(entry.by or "somebody")
                verb = "undoing of " if entry.purpose is Purpose.COMPENSATE else ""
                text = f"settles {verb}{place}: {how}{told.because(why)}"
                yield None, self._from_outside(source, entry, self._timed(entry.at, text))
            case j.EscalationSettled(place=place):
                yield None, self._aside(entry, f"{place} is settled")
            case j.Alerted(error=error, text=text):
                yield None, Note((self._timed(entry.at, f"{error}: {text}"),), NoteKind.MARK)
            case j.SagaFinished() if entry.saga_id == self.run:
                yield False, Note(told.outcome(entry, values=self._shown.values), NoteKind.OUTCOME)
            case _:
                pass

    # --- Words -----------------------------------------------------------------------------------

    def _timed(self, at: p.Ms, text: str) -> str:
        since = told.offset(at - self._start)
        if since == self._told:
            return text
        self._told = since
        return f"{since} {text}"

    def _when(self, at: p.Ms) -> str:
        since = f"{told.offset(at - self._start)} since the start"
        return f"{told.moment(at)}, {since}" if self._shown.clock else since

    def _from_outside(self, source: int, entry: j.Entry, text: str) -> Message:
        target, details = self.entrants.saga(entry.saga_id), (self._when(entry.at),)
        return Message(source, target, text, MessageKind.EVENT, details=details)

    def _aside(self, entry: j.Entry, text: str) -> Note:
        lane = self.entrants.saga(entry.saga_id)
        return Note((self._timed(entry.at, text),), NoteKind.INFO, (lane, lane))
