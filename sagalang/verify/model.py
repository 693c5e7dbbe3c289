"""A saga and the world around it as one value, and everything that may happen to it next.

The saga is the real machine. Around it stand calls in flight, timers, and, for each step, what its
service knows. Time is not counted: a timer fires before or after anything else, except where a
promise says otherwise (after `lands within` nothing lands any more).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sagalang.graph.structure import blocks_of
from sagalang.machine import calls
from sagalang.machine import events as m
from sagalang.machine.definition import Definition, define
from sagalang.machine.frames import Loop, Par, PollLeaf, Seq, Try, waiting
from sagalang.machine.frames import trees as in_frames
from sagalang.machine.frozen import EMPTY, FrozenMap
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.saga import Phase, State, advance, start
from sagalang.machine.turn import Pivot, needs_result
from sagalang.machine.undo import Entry, Status, Undo, entries
from sagalang.model import program as p
from sagalang.model.errors import (
    CANCELLED,
    CONTRACT_MISMATCH,
    NOT_SENT,
    NOT_SENT_ERRORS,
    TIMEOUT,
    UNKNOWN_ERRORS,
)
from sagalang.model.types import Null, RecordRef
from sagalang.verify import call as one
from sagalang.verify.order import follows
from sagalang.verify.service import Belief, Rules, Unit, threatens
from sagalang.verify.values import Domain, Question, Symbol, Undecided

Path = tuple[m.Place, ...]
"""Which saga: () is the one that is explored, then the places of child sagas."""
Id = tuple[Path, m.Place]
Loops = tuple[tuple[str, str], ...]


class Flight(Struct, frozen=True, gc=False):
    """A call under way. `variant`: what struck from outside since it began (`call.results`).
    `unit`: where its service stood when it began; None for a query."""

    path: Path
    place: m.Place
    purpose: m.Purpose
    limited: bool
    variant: str = ""


class Branch(Struct, frozen=True, gc=False):
    """The rest of a parallel part, of which only the interface counts (`modular`)."""

    path: Path
    place: m.Place
    name: str
    interrupted: bool = False
    undoing: bool = False


_SOME_ERROR: Final = Failure("")
"""Which error a saga is being undone for makes no difference to how."""


Courses = dict[Any, tuple[one.Result, ...]]
"""What calls come to, by what decides it: may be shared by all models with the same options."""


class World(Struct, frozen=True, gc=False):
    """`answers`: what this path has decided about values that are not known."""

    sagas: tuple[tuple[Path, State], ...]
    flights: tuple[Flight, ...] = ()
    branches: tuple[Branch, ...] = ()
    timers: tuple[tuple[Path, m.Place, m.Timer], ...] = ()
    units: tuple[tuple[Id, Unit], ...] = ()
    answers: FrozenMap = EMPTY
    crashes: int = 0
    sent: tuple[tuple[str, int], ...] = ()
    cancelled: bool = False
    aborted: tuple[Path, ...] = ()

    @property
    def root(self) -> State:
        return self.sagas[0][1]


class Breach(Struct, frozen=True, gc=False):
    """A promise of the language that does not hold. `rule` names it; `at` is the step."""

    rule: str
    at: Id | None
    detail: str = ""


class Edge(Struct, frozen=True, gc=False):
    """What happened. `kind`: `call`, `timer`, `event`, `cancel`, `crash`, `branch`. `decided`
    are the questions answered on the way."""

    kind: str
    label: str
    path: Path = ()
    place: m.Place | None = None
    purpose: m.Purpose | None = None
    outcome: Any = None
    story: tuple[one.Happening, ...] = ()
    decided: tuple[tuple[Question, Any], ...] = ()
    commands: tuple[tuple[Path, m.Command], ...] = ()


@dataclass(frozen=True)
class Options:
    """`faults`: which kinds may happen at all; None for every kind. `crashes`: how often the
    orchestrator may die. The reductions: `inert` drops late copies that can never do
    anything any more, `normal` leaves out of a world what decides nothing, `symmetry` takes
    worlds that differ by an exchange of like branches for one."""

    crashes: int = 1
    faults: frozenset[str] | None = None
    inert: bool = True
    normal: bool = True
    symmetry: bool = True
    cancel: bool = True
    late_events: bool = True


@dataclass(frozen=True)
class Interface:
    """What the rest of a parallel part may do to a branch. Faults by error."""

    completes: bool
    errors: tuple[tuple[str, int], ...]
    escalates: int | None


@dataclass
class Successor:
    """`ledger`: the world with all its units, where a promise is broken."""

    faults: int
    edge: Edge
    world: World
    breaches: tuple[Breach, ...]
    ledger: World | None = None


class Model:
    """Everything that stays the same while a saga is explored."""

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
        self.program, self.saga = program, saga
        self.options, self.rules = options or Options(), rules or Rules()
        self.interfaces = interfaces or {}
        self.domain = Domain(program)
        self._definitions: dict[str, Definition] = {}
        params = program.sagas[saga].params
        self.args = args or FrozenMap({q.name: Symbol(q.name, q.type) for q in params})
        self._results: dict[Any, tuple[one.Result, ...]] = {}
        self._names: dict[Path, str] = {(): saga}
        self._resolving: dict[tuple[str, str], bool] = {}
        self._courses: Courses = {} if courses is None else courses
        self.handled = frozenset(_handled(program))
        self._waits = _waits(program, saga)
        self._polls = any(_polls(found.body) for found in program.sagas.values())
        self._iterations: dict[tuple[Path, Loops], int] = {}
        """Iterations, in the order in which they first began: in a sequential loop one begins
        only after the one before it, in every world."""

    def definition(self, path: Path) -> Definition:
        name = self._names[path]
        found = self._definitions.get(name)
        if found is None:
            found = define(self.program, name, self.domain.build)
            self._definitions[name] = found
        return found

    def name(self, path: Path) -> str:
        return self._names[path]

    def allows(self, fault: str) -> bool:
        faults = self.options.faults
        return faults is None or fault in faults

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
        unit = self._unit(world, flight.path, flight.place)
        operation = self._operation(flight)
        for result in self._results_of(world, flight, operation, unit):
            outcome = result.outcome
            unanswered = 0 if result.unanswered else None
            event = m.CallEnded(0, flight.place, flight.purpose, outcome, unanswered)
            flights = tuple(f for f in world.flights if f is not flight)
            after = replace(world, flights=flights)
            if unit is not None:
                belief = _belief(flight.purpose, outcome)
                after = _with_unit(
                    after, (flight.path, flight.place), replace(result.unit, belief=belief)
                )
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

    def _results_of(
        self, world: World, flight: Flight, operation: p.Operation, unit: Unit | None
    ) -> tuple[one.Result, ...]:
        name = self._names[flight.path]
        bare = None if unit is None else replace(unit, belief=Belief.OPEN, sealed=False)
        key = (name, flight.place.path, flight.purpose, bare, flight.variant, flight.limited)
        found = self._results.get(key)
        if found is None:
            found = self._course(self._kind(flight, operation), bare or Unit(), flight.variant)
            found = self._merged(operation, flight, found)
            self._results[key] = found
        if unit is None or not unit.sealed:
            return found
        return tuple(replace(r, unit=replace(r.unit, sealed=True)) for r in found)

    def _course(self, kind: one.Kind, unit: Unit, variant: str) -> tuple[one.Result, ...]:
        """What the call may come to: once for all operations that promise the same."""
        key = (kind.like, unit, variant)
        found = self._courses.get(key)
        if found is None:
            found = one.results(kind, unit, variant, self.rules, reduce_inert=self.options.inert)
            self._courses[key] = found
        return found

    def _merged(
        self, operation: p.Operation, flight: Flight, found: tuple[one.Result, ...]
    ) -> tuple[one.Result, ...]:
        """One result for those that nothing can tell apart: errors that no handler names."""
        best: dict[Any, one.Result] = {}
        matters = not self.options.normal or self._waits_for_late(flight, operation)
        for result in found:
            outcome = self._named(flight, operation, result.outcome)
            unanswered = result.unanswered and matters
            key = (outcome, unanswered, result.unit)
            if key not in best or result.faults < best[key].faults:
                best[key] = replace(result, outcome=outcome, unanswered=unanswered)
        return tuple(best.values())

    def _waits_for_late(self, flight: Flight, operation: p.Operation) -> bool:
        """Whether it matters to the compensation that an attempt went unanswered."""
        statement = self.definition(flight.path).statements[flight.place.path]
        if not isinstance(statement, p.Step) or operation.promises.lands_within is None:
            return False
        undo = statement.compensation
        return (
            isinstance(undo, p.Compensation)
            and not self.program.operation(undo.call).promises.fences_late
        )

    def _named(self, flight: Flight, operation: p.Operation, outcome: Outcome) -> Outcome:
        """The outcome with the values that it brings: as unknown as all others."""
        match outcome:
            case Ok(value):
                return outcome if value is not one.ANSWER else Ok(self._answer(flight, operation))
            case Rejected(error):
                return Rejected(self._error(flight, error))
            case NotSent(error):
                return NotSent(self._error(flight, error))
            case Unknown(error):
                return Unknown(self._error(flight, error))

    def _answer(self, flight: Flight, operation: p.Operation) -> Symbol | None:
        if isinstance(operation.result, Null):
            return None
        statement = self.definition(flight.path).statements[flight.place.path]
        around = "".join(f"{place}." for place in flight.path)
        return Symbol(around + _bound(statement, flight.place), operation.result)

    def _error(self, flight: Flight, error: Failure) -> Failure:
        name = error.name
        if name in self.program.errors:
            fields = self.program.errors[name].fields
            value = Symbol(f"{name}({flight.place})", RecordRef(name)) if fields else None
            return Failure(name, value)
        return Failure(name)

    def _kind(self, flight: Flight, operation: p.Operation) -> one.Kind:
        definition = self.definition(flight.path)
        statement = definition.statements[flight.place.path]
        undoing = None
        policy: p.Policy
        if flight.purpose is m.Purpose.COMPENSATE:
            assert isinstance(statement, p.Step)
            assert isinstance(statement.compensation, p.Compensation)
            undoing = self.program.operation(statement.call)
            policy = statement.compensation.policy
        elif flight.purpose is m.Purpose.RESOLVE:
            assert isinstance(statement, p.Step)
            assert isinstance(statement.compensation, p.Compensation)
            policy = statement.compensation.policy
        else:
            assert isinstance(statement, p.Step | p.Poll)
            policy = statement.policy
        back = flight.purpose in (m.Purpose.COMPENSATE, m.Purpose.RESOLVE)
        config = calls.CallConfig.of(
            operation, policy, resolve=flight.purpose is m.Purpose.RESOLVE, patient=back
        )
        faults = one.FAULTS if self.options.faults is None else self.options.faults & one.FAULTS
        if undoing is not None and not self.allows("failing compensation"):
            faults = frozenset()
        limited = flight.limited or config.total is not None
        return one.Kind(
            operation,
            config,
            undoing,
            limited,
            faults,
            self._named_in_handlers(NOT_SENT, NOT_SENT_ERRORS),
            self._named_in_handlers(TIMEOUT, UNKNOWN_ERRORS - {CONTRACT_MISMATCH}),
        )

    def _named_in_handlers(self, usual: str, names: frozenset[str]) -> tuple[str, ...]:
        return (usual, *sorted((names & self.handled) - {usual}))

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
            yield from self._advance(after, edge, 0 if fault is None else 1, path, event)
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
            command = self._command(id_)
            lands = command.promises.lands_within
            if lands is None or lands > now:
                continue
            lost = replace(unit, late=False)
            landed = self.rules.request(command, lost, keyed=True)[0]
            ends = dict.fromkeys((lost, landed))
            found = [_with_unit(one_, id_, end) for one_ in found for end in ends]
        return found

    def _events(self, world: World) -> Iterator[Successor]:
        if not self.allows("event"):
            return
        for path, state in world.sagas:
            if path or state.frame is None:
                continue  # events are addressed to the saga that was started from outside
            awaited: dict[str, None] = {}
            for leaf in waiting(state.frame):
                statement = self.definition(path).statements[leaf.place.path]
                assert isinstance(statement, p.Wait)
                awaited[statement.event] = None
            sent = dict(world.sent)
            for event, most in self._waits.items():
                count = sent.get(event, 0)
                early = event not in awaited
                if count >= most or (
                    early and not (self.options.late_events and self.allows("early"))
                ):
                    continue
                value = Symbol(f"{event} {count + 1}", RecordRef(event))
                arrived = m.EventReceived(0, event, f"{event} {count + 1}", value)
                told = tuple(sorted({**sent, event: count + 1}.items()))
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
            return _with_saga(world, path, after), [(path, c) for c in commands]

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
            breaches += self._broken(after)
            ledger = after if breaches else None
            after = replace(after, answers=self._kept(after, answers))
            after = _sorted(self._normal(after))
            full = replace(edge, decided=decided, commands=tuple(told))
            yield Successor(cost, full, after, tuple(breaches), ledger)

    def _kept(self, world: World, answers: FrozenMap) -> FrozenMap:
        """Without the answers about a poll that asks again: the next answer is another value."""
        asking = [
            f"{_poll_name(flight.place)}"
            for flight in world.flights
            if flight.purpose is m.Purpose.POLL
        ]
        asking += [_poll_name(place) for _, place, timer in world.timers if timer is m.Timer.POLL]
        if not asking or not answers:
            return answers
        return FrozenMap(
            {q: a for q, a in answers.items() if not any(name in q for name in asking)}
        )

    def _normal(self, world: World) -> World:
        """The same world without what can make no difference any more."""
        if not self.options.normal:
            return world
        world = replace(world, units=tuple(self._normal_units(world)))
        sagas = tuple((path, self._normal_saga(path, state)) for path, state in world.sagas)
        world = replace(world, sagas=sagas)
        root = world.root
        if root.phase is not Phase.FORWARD:
            world = replace(world, cancelled=True, sent=())
            if root.phase is not Phase.OVER and self._closing(()) is None:
                kept = {q: a for q, a in world.answers.items() if q.startswith("exists")}
                world = replace(world, answers=FrozenMap(kept))
        return world

    def _closing(self, path: Path) -> p.WhenCompensated | None:
        return self.definition(path).saga.when_compensated

    def _normal_units(self, world: World) -> Iterator[tuple[Id, Unit]]:
        for id_, unit in world.units:
            if unit.late or unit.effects not in (0, 1) or unit.belief is Belief.OPEN:
                yield id_, unit
            elif unit.belief in (Belief.NOT_DONE, Belief.UNDONE) and unit.effects == 0:
                continue  # nothing of it is left, and nothing of it will come
            elif unit.belief is Belief.DONE or not self._resolves(id_):
                # No request is sent any more, so what is kept under the key decides nothing.
                kept = unit.undo_kept
                yield (
                    id_,
                    Unit(unit.effects, undo_kept=kept, belief=unit.belief, sealed=unit.sealed),
                )
            else:
                yield id_, unit

    def _resolves(self, id_: Id) -> bool:
        """Whether the step's request may be repeated to find out what became of it."""
        path, place = id_
        key = (self._names[path], place.path)
        found = self._resolving.get(key)
        if found is None:
            step = self.definition(path).statements[place.path]
            found = (
                isinstance(step, p.Step)
                and isinstance(step.compensation, p.Compensation)
                and needs_result(step.compensation.call.args)
            )
            self._resolving[key] = found
        return found

    def _normal_saga(self, path: Path, state: State) -> State:
        if state.phase is Phase.FORWARD:
            if self._polls and state.frame is not None:
                return replace(state, frame=_first_question(state.frame))
            return state
        changes: dict[str, Any] = {"inbox": (), "seen": frozenset(), "deadline": None}
        if state.phase is Phase.BACKWARD:
            if self._closing(path) is None and state.error is not None:
                changes |= {"args": EMPTY, "error": _SOME_ERROR}
            changes["tree"] = self._normal_tree(path, state.tree)
        return replace(state, **changes)

    def _normal_tree(self, path: Path, tree: Undo) -> Undo:
        if isinstance(tree, Entry):
            if tree.args is None or tree.status is not Status.OWED:
                return tree
            statement = self.definition(path).statements[tree.place.path]
            if not isinstance(statement, p.Step) or tree.failure is not None:
                return tree
            lands = self.program.operation(statement.call).promises.lands_within
            return replace(
                tree, outcome=None, unanswered=None if lands is None else tree.unanswered, sent=()
            )
        items = tuple(self._normal_tree(path, item) for item in tree.items)
        return tree if items == tree.items else replace(tree, items=items)

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
                    world = _interrupted(world, path, place, purpose)
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
                    self._names[inner] = saga
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
                    world = _with_saga(world, inner, state)
                    queue += [(inner, c) for c in more]
                case m.UndoChild(place, saga, _, error):
                    if saga in self.interfaces:
                        branch = Branch(path, place, saga, undoing=True)
                        world = replace(world, branches=(*world.branches, branch))
                        continue
                    inner = (*path, place)
                    event = m.UndoRequested(0, error)
                    state, more = advance(self.definition(inner), dict(world.sagas)[inner], event)
                    world = _with_saga(world, inner, state)
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

    def _child_ended(
        self, world: World, path: Path, outcome: m.SagaOutcome
    ) -> tuple[World, list[tuple[Path, m.Command]]]:
        parent, place = path[:-1], path[-1]
        above = dict(world.sagas)[parent]
        purpose = m.Purpose.COMPENSATE if _undoing_child(above, place) else m.Purpose.STEP
        event = m.ChildEnded(0, place, purpose, outcome)
        after, commands = advance(self.definition(parent), above, event)
        return _with_saga(world, parent, after), [(parent, c) for c in commands]

    def _called(
        self, world: World, path: Path, command: m.RunCall, breaches: list[Breach]
    ) -> World:
        place, purpose = command.place, command.purpose
        flight = Flight(path, place, purpose, command.deadline is not None)
        world = replace(world, flights=(*world.flights, flight))
        operation = self.program.services[command.service].operations[command.operation]
        unit = self._unit(world, path, place)
        for depth in range(1, len(place.loops) + 1):
            self._iterations.setdefault((path, place.loops[:depth]), len(self._iterations))
        if purpose is m.Purpose.COMPENSATE:
            if path not in world.aborted:
                breaches.append(Breach("compensation-before-fault", (path, place)))
            if unit is not None and unit.sealed:
                breaches.append(Breach("compensation-after-pivot", (path, place)))
            for (other, where), later in world.units:
                if (
                    other == path
                    and later.belief in (Belief.DONE, Belief.UNKNOWN, Belief.OPEN, Belief.UNDOING)
                    and self._owed(path, where)
                    and self._follows(path, place, where)
                ):
                    breaches.append(Breach("out-of-order", (path, place), str(where)))
        if purpose is m.Purpose.STEP and not operation.is_query and unit is None:
            world = _with_unit(world, (path, place), Unit())
        elif unit is not None and purpose is not m.Purpose.STEP:
            world = _with_unit(world, (path, place), replace(unit, belief=Belief.UNDOING))
        elif unit is not None:
            world = _with_unit(world, (path, place), replace(unit, belief=Belief.OPEN))
        return world

    def _owed(self, path: Path, place: m.Place) -> bool:
        statement = self.definition(path).statements[place.path]
        return (
            isinstance(statement, p.Step)
            and isinstance(statement.compensation, p.Compensation)
            and not statement.best_effort
        )

    def _follows(self, path: Path, place: m.Place, other: m.Place) -> bool:
        """Whether `other` happens after `place`, by the text."""
        ranks = self._iterations

        def rank(loops: Loops) -> int:
            return ranks.get((path, loops), 0)

        return follows(self.definition(path), place, other, rank)

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
                        world = _with_unit(world, (path, place), replace(unit, sealed=True))
        return world

    # --- What must hold --------------------------------------------------------------------------

    def _unit(self, world: World, path: Path, place: m.Place) -> Unit | None:
        wanted = (path, place)
        for id_, unit in world.units:
            if id_ == wanted:
                return unit
        return None

    def exempt(self, id_: Id) -> bool:
        """Outside of the rules on effects: `best effort`, and `compensate none`."""
        path, place = id_
        statement = self.definition(path).statements[place.path]
        return (
            not isinstance(statement, p.Step)
            or statement.best_effort
            or isinstance(statement.compensation, p.NoCompensation)
        )

    def _broken(self, world: World) -> list[Breach]:
        found: list[Breach] = []
        outcome = world.root.outcome if world.root.phase is Phase.OVER else None
        for id_, unit in world.units:
            if self.exempt(id_):
                continue
            if unit.effects > 1:
                found.append(Breach("done-twice", id_))
            if unit.effects < 0:
                found.append(Breach("undone-before-done", id_))
        if outcome is None:
            return found
        if world.flights:
            found.append(Breach("ended-with-calls-in-flight", None))
        for id_, unit in world.units:
            if self.exempt(id_):
                continue
            operation = self._command(id_)
            late = threatens(operation, unit, self.rules)
            match unit.belief:
                case Belief.DONE if unit.effects == 1 and late:
                    found.append(Breach("done-twice", id_, "late"))
                case Belief.DONE if unit.effects == 0 and isinstance(outcome, m.Completed):
                    found.append(Breach("not-done", id_))
                case Belief.NOT_DONE | Belief.UNDONE if unit.effects or late:
                    found.append(Breach("left", id_, "late" if late else ""))
                case Belief.OPEN | Belief.UNDOING:
                    if not isinstance(outcome, m.Escalated):
                        found.append(Breach("forgotten", id_))
                case Belief.UNKNOWN | Belief.DONE if isinstance(outcome, m.Compensated):
                    if unit.effects or late or unit.belief is Belief.UNKNOWN:
                        found.append(Breach("left", id_, "late" if late else ""))
                case Belief.UNKNOWN if isinstance(outcome, m.Completed):
                    found.append(Breach("forgotten", id_))
                case _:
                    pass
        return found

    def _command(self, id_: Id) -> p.Operation:
        path, place = id_
        statement = self.definition(path).statements[place.path]
        assert isinstance(statement, p.Step)
        return self.program.operation(statement.call)


# --- Changing a world ----------------------------------------------------------------------------


def _with_saga(world: World, path: Path, state: State) -> World:
    sagas = tuple((known, state if known == path else old) for known, old in world.sagas)
    return replace(world, sagas=sagas)


def _with_unit(world: World, id_: Id, unit: Unit) -> World:
    units = world.units
    for index, (known, _) in enumerate(units):
        if known == id_:
            return replace(world, units=(*units[:index], (id_, unit), *units[index + 1 :]))
    return replace(world, units=(*units, (id_, unit)))


def _interrupted(world: World, path: Path, place: m.Place, purpose: m.Purpose) -> World:
    flights = tuple(
        replace(f, variant=f.variant + one.INTERRUPTION)
        if (f.path, f.place, f.purpose) == (path, place, purpose)
        and one.INTERRUPTION not in f.variant
        else f
        for f in world.flights
    )
    return replace(world, flights=flights)


def _polls(block: p.Block) -> bool:
    return any(
        isinstance(statement, p.Poll) or any(map(_polls, blocks_of(statement)))
        for statement in block.statements
    )


def _first_question(frame: Any) -> Any:
    """The same frame, whatever the number of times that its polls have asked."""
    match frame:
        case PollLeaf():
            return replace(frame, number=1)
        case Seq(child=child) | Try(child=child) if child is not None:
            return replace(frame, child=_first_question(child))
        case Par(branches=branches):
            return replace(frame, branches=tuple(map(_first_question, branches)))
        case Loop(active=active):
            return replace(frame, active=tuple((i, _first_question(f)) for i, f in active))
        case _:
            return frame


def _undoing_child(state: State, place: m.Place) -> bool:
    trees = [state.tree]
    if state.frame is not None:
        trees += in_frames(state.frame)
    return any(
        entry.place == place and entry.status is Status.RUNNING
        for tree in trees
        for entry in entries(tree)
    )


def _sorted(world: World) -> World:
    """The same world whatever the order in which things came about."""
    return replace(
        world,
        flights=tuple(sorted(world.flights, key=_flight_order)),
        timers=tuple(sorted(set(world.timers), key=_timer_order)),
        units=tuple(sorted(world.units, key=_unit_order)),
    )


def _flight_order(flight: Flight) -> Any:
    return str(flight.place), flight.purpose.value, len(flight.path), str(flight.path)


def _timer_order(timer: tuple[Path, m.Place, m.Timer]) -> Any:
    path, place, what = timer
    return str(place), what.value, len(path), str(path)


def _unit_order(item: tuple[Id, Unit]) -> Any:
    (path, place), _ = item
    return str(place), len(path), str(path)


def _belief(purpose: m.Purpose, outcome: Outcome) -> Belief:
    match purpose, outcome:
        case m.Purpose.COMPENSATE, Ok():
            return Belief.UNDONE
        case m.Purpose.COMPENSATE, _:
            return Belief.UNKNOWN
        case _, Ok():
            return Belief.DONE
        case _, Unknown():
            return Belief.UNKNOWN
        case _:
            return Belief.NOT_DONE


def _poll_name(place: m.Place) -> str:
    return f"{place}?"


def _bound(statement: p.Statement, place: m.Place) -> str:
    if isinstance(statement, p.Poll):
        return _poll_name(place)
    return str(place)


def _handled(program: p.Program) -> Iterator[str]:
    def visit(block: p.Block) -> Iterator[str]:
        for statement in block.statements:
            if isinstance(statement, p.Attempt):
                for handler in statement.handlers:
                    yield from handler.errors
            for inner in blocks_of(statement):
                yield from visit(inner)

    for saga in program.sagas.values():
        yield from visit(saga.body)


def _waits(program: p.Program, saga: str) -> dict[str, int]:
    """How many events of each kind are worth sending: one for each wait, one more to be refused."""
    found: dict[str, int] = {}

    def visit(block: p.Block, times: int) -> None:
        for statement in block.statements:
            if isinstance(statement, p.Wait):
                more = 2 if statement.where is not None else 1
                found[statement.event] = found.get(statement.event, 0) + more * times
            inside = times * 2 if isinstance(statement, p.For) else times
            for inner in blocks_of(statement):
                visit(inner, inside)

    visit(program.sagas[saga].body, 1)
    return found
