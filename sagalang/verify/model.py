"""A saga and the world around it as one value, and everything that may happen to it next.

The saga is the real machine. Around it stand calls in flight, timers, and, for each step, what its
service knows. Time is not counted: a timer fires before or after anything else, except where a
promise says otherwise (after `lands within` nothing lands any more).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from sagalang.machine import events as m
from sagalang.machine.frames import trees as in_frames
from sagalang.machine.frames import waiting
from sagalang.machine.frozen import FrozenMap
from sagalang.machine.outcomes import Failure
from sagalang.machine.saga import Phase, State, advance, start
from sagalang.machine.turn import Pivot
from sagalang.machine.undo import Status, entries
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED
from sagalang.model.types import RecordRef
from sagalang.verify import call as one
from sagalang.verify.holds import broken
from sagalang.verify.normal import normal
from sagalang.verify.outcomes import Outcomes, belief, poll_name
from sagalang.verify.service import Belief, Rules, Unit
from sagalang.verify.shared import alike, undoing_of
from sagalang.verify.stage import Stage
from sagalang.verify.values import Question, Symbol, Undecided
from sagalang.verify.world import (
    Branch,
    Breach,
    Courses,
    Edge,
    Flight,
    Interface,
    Options,
    Path,
    Successor,
    World,
    in_order,
    interrupted_at,
    unit_at,
    with_saga,
    with_unit,
)


class Model(Stage):
    """Everything that may happen on a stage."""

    def __init__(
        self,
        program: p.Program,
        saga: str,
        args: FrozenMap | None = None,
        options: Options | None = None,
        rules: Rules | None = None,
        interfaces: dict[str, Interface] | None = None,
        courses: Courses | None = None,
    ) -> None:
        super().__init__(program, saga, args, options, rules, interfaces)
        self._outcomes = Outcomes(self, courses)

    # --- Beginning -----------------------------------------------------------------------------

    def begin(self) -> Iterator[Successor]:
        """Every way the saga may begin."""
        edge = Edge("start", self.saga)
        empty = World(sagas=())
        yield from self._decide(empty, edge, 0, lambda: self._begin())

    def _begin(self) -> tuple[World, list[tuple[Path, m.Command]]]:
        state, commands = start(self.definition(()), "id", self.args, 0)
        return World(sagas=(((), state),)), [((), c) for c in commands]

    # --- What may happen -----------------------------------------------------------------------

    def successors(self, world: World) -> Iterator[Successor]:
        if world.root.phase is Phase.OVER:
            return
        for flight in world.flights:
            yield from self._ends(world, flight)
        for branch in world.branches:
            yield from self._branch(world, branch)
        for timer in world.timers:
            yield from self._fires(world, timer)
        if world.root.phase is Phase.FORWARD:
            yield from self._events(world)
            if self.options.cancel and not world.cancelled and self.allows("cancel"):
                event = m.CancelRequested(0)
                yield from self._advance(
                    replace(world, cancelled=True), Edge("cancel", "cancel"), 1, (), event
                )
        if world.flights and world.crashes < self.options.crashes and self.allows("crash"):
            flights = tuple(replace(f, variant=f.variant + one.CRASH) for f in world.flights)
            crashed = replace(world, flights=flights, crashes=world.crashes + 1)
            yield Successor(1, Edge("crash", "crash"), crashed, ())

    def _ends(self, world: World, flight: Flight) -> Iterator[Successor]:
        unit = unit_at(world, flight.path, flight.place)
        operation = self._operation(flight)
        for result in self._outcomes.of(flight, operation, unit):
            outcome = result.outcome
            unanswered = 0 if result.unanswered else None
            event = m.CallEnded(0, flight.place, flight.purpose, outcome, unanswered)
            flights = tuple(f for f in world.flights if f is not flight)
            after = replace(world, flights=flights)
            if unit is not None:
                held = belief(flight.purpose, outcome)
                known = replace(result.unit, belief=held)
                after = with_unit(after, (flight.path, flight.place), known)
                if held is Belief.UNDONE:
                    after = self._undone_with(after, flight, operation)
            edge = Edge(
                "call",
                operation.label,
                flight.path,
                flight.place,
                flight.purpose,
                outcome,
                result.story,
            )
            yield from self._advance(after, edge, result.faults, flight.path, event)

    def _operation(self, flight: Flight) -> p.Operation:
        statement = self.definition(flight.path).statements[flight.place.path]
        if flight.purpose is m.Purpose.COMPENSATE:
            assert isinstance(statement, p.Step)
            assert isinstance(statement.compensation, p.Compensation)
            return self.program.operation(statement.compensation.call)
        assert isinstance(statement, p.Step | p.Poll)
        return self.program.operation(statement.call)

    # --- Timers, events, the rest of a parallel part ---------------------------------------------

    def _fires(self, world: World, timer: tuple[Path, m.Place, m.Timer]) -> Iterator[Successor]:
        path, place, what = timer
        faults = {m.Timer.DEADLINE: "deadline", m.Timer.ESCALATE: "no end", m.Timer.WAIT: "missing"}
        fault = faults.get(what)
        if fault is not None and not self.allows(fault):
            return
        after = replace(world, timers=tuple(t for t in world.timers if t is not timer))
        edge = Edge("timer", what.value, path, place)
        event = m.TimerFired(0, place, what)
        if what is not m.Timer.LANDS:
            cost = 0 if fault in (None, "missing") else 1  # that nobody answers is no fault
            yield from self._advance(after, edge, cost, path, event)
            return
        # By now a call that went unanswered has landed, or never will.
        step = self.definition(path).statements[place.path]
        assert isinstance(step, p.Step)
        now = self.program.operation(step.call).promises.lands_within or 0
        for gone in self._landed(after, path, now):
            yield from self._advance(gone, edge, 0, path, m.TimerFired(now, place, what))

    def _landed(self, world: World, path: Path, now: p.Ms) -> list[World]:
        """Every way in which late calls that can land up to now have landed, or were lost."""
        found = [world]
        for id_, unit in world.units:
            if id_[0] != path or not unit.late:
                continue
            command = self.command(id_)
            lands = command.promises.lands_within
            if lands is None or lands > now:
                continue
            lost = replace(unit, late=False)
            landed = self.rules.request(command, lost, keyed=True)[0]
            ends = dict.fromkeys((lost, landed))
            found = [with_unit(one_, id_, end) for one_ in found for end in ends]
        return found

    def _events(self, world: World) -> Iterator[Successor]:
        if not self.allows("event"):
            return
        for path, state in world.sagas:
            if state.frame is None or state.phase is not Phase.FORWARD:
                continue
            # An event is addressed to one saga: a child has an id of its own.
            child = "".join(f"{place}/" for place in path)
            awaited: dict[str, None] = {}
            for leaf in waiting(state.frame):
                statement = self.definition(path).statements[leaf.place.path]
                assert isinstance(statement, p.Wait)
                awaited[statement.event] = None
            sent = dict(world.sent)
            for event, most in self.awaited(path).items():
                count = sent.get(child + event, 0)
                early = event not in awaited
                if count >= most or (
                    early and not (self.options.late_events and self.allows("early"))
                ):
                    continue
                name = f"{child}{event} {count + 1}"
                value = Symbol(name, RecordRef(event))
                arrived = m.EventReceived(0, event, name, value)
                told = tuple(sorted({**sent, child + event: count + 1}.items()))
                after = replace(world, sent=told)
                edge = Edge("event", event, path)
                yield from self._advance(after, edge, 1 if early else 0, path, arrived)

    def _branch(self, world: World, branch: Branch) -> Iterator[Successor]:
        interface = self.interfaces[branch.name]
        rest = tuple(b for b in world.branches if b is not branch)
        after = replace(world, branches=rest)

        def ended(outcome: m.SagaOutcome, faults: int) -> Iterator[Successor]:
            purpose = m.Purpose.COMPENSATE if branch.undoing else m.Purpose.STEP
            event = m.ChildEnded(0, branch.place, purpose, outcome)
            edge = Edge("branch", branch.name, branch.path, branch.place, purpose, outcome)
            yield from self._advance(after, edge, faults, branch.path, event)

        if branch.undoing:
            yield from ended(m.Compensated(Failure(CANCELLED)), 0)
        else:
            if interface.completes:
                yield from ended(m.Completed(), 0)
            if branch.interrupted:
                yield from ended(m.Compensated(Failure(CANCELLED)), 0)
            for name, faults in interface.errors:
                yield from ended(m.Compensated(Failure(name)), faults)
        if interface.escalates is not None:
            yield from ended(m.Escalated(()), interface.escalates)

    # --- One step of the machine -----------------------------------------------------------------

    def _advance(
        self, world: World, edge: Edge, faults: int, path: Path, event: m.Event
    ) -> Iterator[Successor]:
        def step() -> tuple[World, list[tuple[Path, m.Command]]]:
            state = dict(world.sagas)[path]
            after, commands = advance(self.definition(path), state, event)
            return with_saga(world, path, after), [(path, c) for c in commands]

        yield from self._decide(world, edge, faults, step)

    def _decide(self, world: World, edge: Edge, faults: int, step: Any) -> Iterator[Successor]:
        """Run a step, following every answer to every question it asks."""
        pending: list[tuple[FrozenMap, int, tuple[tuple[Question, Any], ...]]] = [
            (world.answers, faults, ())
        ]
        while pending:
            answers, cost, decided = pending.pop()
            self.domain.answers = answers
            told: list[tuple[Path, m.Command]] = []
            breaches: list[Breach] = []
            try:
                after, commands = step()
                after = self._obey(after, commands, told, breaches)
            except Undecided as open_:
                for answer, more in open_.answers:
                    known = answers.plus({open_.question.id: answer})
                    pending.append((known, cost + more, (*decided, (open_.question, answer))))
                continue
            breaches += broken(self, after)
            ledger = after if breaches else None
            after = replace(after, answers=self._kept(after, answers))
            after = in_order(normal(self, after))
            full = replace(edge, decided=decided, commands=tuple(told))
            yield Successor(cost, full, after, tuple(breaches), ledger)

    def _kept(self, world: World, answers: FrozenMap) -> FrozenMap:
        """Without the answers about a poll that asks again: the next answer is another value."""
        asking = [
            f"{poll_name(flight.place)}"
            for flight in world.flights
            if flight.purpose is m.Purpose.POLL
        ]
        asking += [poll_name(place) for _, place, timer in world.timers if timer is m.Timer.POLL]
        if not asking or not answers:
            return answers
        return FrozenMap(
            {q: a for q, a in answers.items() if not any(name in q for name in asking)}
        )

    def _obey(
        self,
        world: World,
        commands: list[tuple[Path, m.Command]],
        told: list[tuple[Path, m.Command]],
        breaches: list[Breach],
    ) -> World:
        """Carry out what the machines want, and what the machines of child sagas want then."""
        queue = list(commands)
        while queue:
            path, command = queue.pop(0)
            told.append((path, command))
            match command:
                case m.RunCall():
                    world = self._called(world, path, command, breaches)
                case m.Interrupt(place, purpose):
                    world = interrupted_at(world, path, place, purpose)
                case m.StartTimer(place, timer):
                    world = replace(world, timers=(*world.timers, (path, place, timer)))
                case m.StopTimer(place, timer):
                    gone = (path, place, timer)
                    world = replace(world, timers=tuple(t for t in world.timers if t != gone))
                case m.RunChild(place, saga, _, args):
                    if saga in self.interfaces:
                        branch = Branch(path, place, saga)
                        world = replace(world, branches=(*world.branches, branch))
                        continue
                    inner = (*path, place)
                    self.christen(inner, saga)
                    params = self.program.sagas[saga].params
                    given = {q.name: a for q, a in zip(params, args, strict=True)}
                    state, more = start(self.definition(inner), "id", given, 0)
                    world = replace(world, sagas=(*world.sagas, (inner, state)))
                    queue += [(inner, c) for c in more]
                case m.CancelChild(place):
                    child = self.definition(path).statements[place.path]
                    assert isinstance(child, p.ChildStep)
                    if child.saga in self.interfaces:
                        # One that had ended escalated goes on, to be undone.
                        branch = Branch(path, place, child.saga, interrupted=True)
                        others = [b for b in world.branches if (b.path, b.place) != (path, place)]
                        world = replace(world, branches=(*others, branch))
                        continue
                    inner = (*path, place)
                    event: m.Event = m.CancelRequested(0)
                    state, more = advance(self.definition(inner), dict(world.sagas)[inner], event)
                    world = with_saga(world, inner, state)
                    queue += [(inner, c) for c in more]
                case m.UndoChild(place, saga, _, error):
                    if saga in self.interfaces:
                        branch = Branch(path, place, saga, undoing=True)
                        world = replace(world, branches=(*world.branches, branch))
                        continue
                    inner = (*path, place)
                    event = m.UndoRequested(0, error)
                    state, more = advance(self.definition(inner), dict(world.sagas)[inner], event)
                    world = with_saga(world, inner, state)
                    queue += [(inner, c) for c in more]
                case m.AbortStarted(scope, _):
                    if scope == m.SAGA:
                        state = dict(world.sagas)[path]
                        if state.pivot is not Pivot.AHEAD:
                            breaches.append(Breach("abort-after-pivot", None))
                    if path not in world.aborted:
                        world = replace(
                            world, aborted=tuple(sorted((*world.aborted, path), key=repr))
                        )
                case m.Finished(outcome) if path:
                    world, more_ = self._child_ended(world, path, outcome)
                    queue += more_
        return self._seal(world)

    def _undone_with(self, world: World, flight: Flight, undo: p.Operation) -> World:
        """What else a compensation by inputs undid, and keeps out from now on."""
        path, state = flight.path, dict(world.sagas)[flight.path]
        undoing = undoing_of(self, path, state, flight.place)
        if undoing is None:
            return world
        for place in alike(self, path, state, undoing):
            unit = unit_at(world, path, place)
            if unit is not None and place != flight.place and unit.belief is Belief.DONE:
                fenced = unit.fenced or undo.promises.fences_late
                world = with_unit(world, (path, place), replace(unit, effects=0, fenced=fenced))
        fence = (path, *undoing)
        if undo.promises.fences_late and fence not in world.fences and self.repeats(path):
            world = replace(world, fences=(*world.fences, fence))
        return world

    def _child_ended(
        self, world: World, path: Path, outcome: m.SagaOutcome
    ) -> tuple[World, list[tuple[Path, m.Command]]]:
        parent, place = path[:-1], path[-1]
        above = dict(world.sagas)[parent]
        purpose = m.Purpose.COMPENSATE if _undoing_child(above, place) else m.Purpose.STEP
        event = m.ChildEnded(0, place, purpose, outcome)
        after, commands = advance(self.definition(parent), above, event)
        return with_saga(world, parent, after), [(parent, c) for c in commands]

    def _called(
        self, world: World, path: Path, command: m.RunCall, breaches: list[Breach]
    ) -> World:
        place, purpose = command.place, command.purpose
        flight = Flight(path, place, purpose, command.deadline is not None)
        world = replace(world, flights=(*world.flights, flight))
        operation = self.program.services[command.service].operations[command.operation]
        unit = unit_at(world, path, place)
        self.begun(path, place.loops)
        if purpose is m.Purpose.COMPENSATE:
            if path not in world.aborted:
                breaches.append(Breach("compensation-before-fault", (path, place)))
            if unit is not None and unit.sealed:
                breaches.append(Breach("compensation-after-pivot", (path, place)))
            for (other, where), later in world.units:
                if (
                    other == path
                    and later.belief in (Belief.DONE, Belief.UNKNOWN, Belief.OPEN, Belief.UNDOING)
                    and self.owed(path, where)
                    and self.follows(path, place, where)
                ):
                    breaches.append(Breach("out-of-order", (path, place), str(where)))
        if purpose is m.Purpose.STEP and not operation.is_query and unit is None:
            undoing = undoing_of(self, path, dict(world.sagas)[path], place)
            kept_out = undoing is not None and (path, *undoing) in world.fences
            world = with_unit(world, (path, place), Unit(fenced=kept_out))
        elif unit is not None and purpose is not m.Purpose.STEP:
            world = with_unit(world, (path, place), replace(unit, belief=Belief.UNDOING))
        elif unit is not None:
            world = with_unit(world, (path, place), replace(unit, belief=Belief.OPEN))
        return world

    def _seal(self, world: World) -> World:
        """Mark what was done when a saga passed its pivot."""
        for path, state in world.sagas:
            if state.pivot is not Pivot.PASSED:
                continue
            for (other, place), unit in world.units:
                if other == path and not unit.sealed and unit.belief is Belief.DONE:
                    statement = self.definition(path).statements[place.path]
                    if isinstance(statement, p.Step) and (
                        statement.pivot or not statement.after_pivot
                    ):
                        world = with_unit(world, (path, place), replace(unit, sealed=True))
        return world


def _undoing_child(state: State, place: m.Place) -> bool:
    trees = [state.tree]
    if state.frame is not None:
        trees += in_frames(state.frame)
    return any(
        entry.place == place and entry.status is Status.RUNNING
        for tree in trees
        for entry in entries(tree)
    )
