"""A saga and the world around it as one value, and everything that may happen to it next.

The saga is the real machine. Around it stand calls in flight, timers, and, for each step, what its
service knows. Time is not counted: a timer fires before or after anything else, except where a
promise says otherwise (after `lands within` nothing lands any more).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from msgspec.structs import replace

from sagalang.machine import events as m
from sagalang.machine.frames import waiting
from sagalang.machine.frozen import FrozenMap
from sagalang.machine.outcomes import Failure
from sagalang.machine.saga import Phase, start
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED
from sagalang.model.types import RecordRef
from sagalang.verify import call as one
from sagalang.verify.holds import broken
from sagalang.verify.normal import normal
from sagalang.verify.obey import Wanted, obey, tell
from sagalang.verify.outcomes import Outcomes, belief, poll_name
from sagalang.verify.shared import twins, undone_with
from sagalang.verify.stage import Stage
from sagalang.verify.values import Question, Symbol, Undecided
from sagalang.verify.world import (
    Branch,
    Edge,
    Flight,
    Path,
    Successor,
    World,
    in_order,
    unit_at,
    with_unit,
)


class Model(Stage):
    """Everything that may happen on a stage."""

    @cached_property
    def _outcomes(self) -> Outcomes:
        return Outcomes(self)

    # --- Beginning -----------------------------------------------------------------------------

    def begin(self) -> Iterator[Successor]:
        """Every way the saga may begin."""
        edge = Edge("start", self.saga)
        empty = World(sagas=())
        yield from self._decide(empty, edge, 0, lambda: self._begin())

    def _begin(self) -> tuple[World, Wanted]:
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
        id_ = flight.path, flight.place
        unit = unit_at(world, *id_)
        operation = self._operation(flight)
        others = twins(self, world, id_) if flight.purpose is m.Purpose.COMPENSATE else None
        if unit is not None and others is not None:
            unit = replace(unit, beside=others.have_effects)
        for result in self._outcomes.of(flight, operation, unit):
            outcome = result.outcome
            unanswered = 0 if result.unanswered else None
            event = m.CallEnded(0, flight.place, flight.purpose, outcome, unanswered)
            flights = tuple(f for f in world.flights if f is not flight)
            after = replace(world, flights=flights)
            if unit is not None:
                held = belief(flight.purpose, outcome)
                known = replace(result.unit, belief=held, beside=None, undo_late=False)
                after = with_unit(after, id_, known)
                if others is not None:
                    after = undone_with(after, others, result.unit)
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
        yield from self._decide(world, edge, faults, lambda: tell(self, world, path, event))

    def _decide(self, world: World, edge: Edge, faults: int, step: Any) -> Iterator[Successor]:
        """Run a step, following every answer to every question it asks."""
        pending: list[tuple[FrozenMap, int, tuple[tuple[Question, Any], ...]]] = [
            (world.answers, faults, ())
        ]
        while pending:
            answers, cost, decided = pending.pop()
            self.domain.answers = answers
            try:
                after, told, breaches = obey(self, *step())
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
            poll_name(flight.place) for flight in world.flights if flight.purpose is m.Purpose.POLL
        ]
        asking += [poll_name(place) for _, place, timer in world.timers if timer is m.Timer.POLL]
        if not asking or not answers:
            return answers
        return FrozenMap(
            {q: a for q, a in answers.items() if not any(name in q for name in asking)}
        )
