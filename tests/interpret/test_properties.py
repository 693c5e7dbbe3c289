"""Random sagas, random faults, any order of events: what must hold whatever happens.

The pure machine is driven directly, so that every interleaving can be reached.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from sagalang.interpret.run import build
from sagalang.machine.events import (
    CallEnded,
    CancelRequested,
    Command,
    Compensated,
    Completed,
    Escalated,
    Event,
    Finished,
    Interrupt,
    Place,
    Purpose,
    RunCall,
)
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.saga import Definition, Phase, State, advance, define, start
from sagalang.model import program as p
from sagalang.runtime.contract import Request
from sagalang.runtime.values import Values

from .build import (
    Fault,
    World,
    attempt,
    block,
    broken_after,
    crash_after,
    crash_before,
    do,
    execute,
    loop,
    lost_after,
    lost_before,
    not_sent,
    ok,
    parallel,
    program,
    saga,
    strings,
)

SLOW = "SAGA_SLOW" in os.environ
MANY, SOME = (300, 150) if SLOW else (120, 70)

REJECTED = Rejected(Failure("No"))
NOT_SENT = NotSent(Failure("NotSent"))
UNKNOWN = Unknown(Failure("Timeout"))

# --- Random sagas ------------------------------------------------------------------------------

Shape = tuple[str, tuple["Shape", ...]]

shapes: st.SearchStrategy[Shape] = st.recursive(
    st.just(("step", ())),
    lambda inner: st.tuples(
        st.sampled_from(["seq", "par", "loop", "loop3", "attempt"]),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
    ),
    max_leaves=7,
)
sequences = st.lists(shapes, min_size=1, max_size=4).map(tuple)


@dataclass
class Maker:
    """Turns shapes into statements with distinct paths, and knows what happens before what."""

    counts: Counter[str] = field(default_factory=Counter)
    before: set[tuple[str, str]] = field(default_factory=set)
    loops: dict[str, tuple[str, bool]] = field(default_factory=dict)
    around: dict[str, tuple[tuple[str, bool], ...]] = field(default_factory=dict)
    """Per step path: (loop, sequential) around it."""

    def name(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{kind}{self.counts[kind]}"

    def sequence(
        self, shapes_: tuple[Shape, ...], around: tuple[tuple[str, bool], ...] = ()
    ) -> tuple[list[p.Statement], list[str]]:
        statements: list[p.Statement] = []
        names: list[str] = []
        for shape in shapes_:
            made, inside = self.one(shape, around)
            self.before.update((x, y) for x in names for y in inside)
            statements += made
            names += inside
        return statements, names

    def one(
        self, shape: Shape, around: tuple[tuple[str, bool], ...]
    ) -> tuple[list[p.Statement], list[str]]:
        kind, inner = shape
        match kind:
            case "step":
                name = self.name("s")
                self.around[name] = around
                return [do(name)], [name]
            case "seq":
                return self.sequence(inner, around)
            case "par":
                made = [self.one(part, around) for part in inner]
                branches = [block(*statements) for statements, _ in made]
                return [parallel(*branches)], [name for _, names in made for name in names]
            case "loop" | "loop3":
                path = self.name("for")
                sequential = kind == "loop"
                statements, names = self.sequence(inner, (*around, (path, sequential)))
                at_once = 1 if sequential else 3
                return [loop(strings("p", "q"), *statements, path=path, at_once=at_once)], names
            case _:
                body, names = self.sequence(inner, around)
                handler, handled = self.sequence((("step", ()),), around)
                self.before.update((x, y) for x in names for y in handled)
                path = self.name("attempt")
                made_ = attempt(block(*body), (["No"], block(*handler)), path=path)
                return [made_], names + handled

    def precedes(self, one: Place, other: Place) -> bool:
        """Whether `one` happens before `other`, both having run."""
        for (path, identity), (_, later) in zip(one.loops, other.loops, strict=False):
            if path not in dict(other.loops):
                break
            if identity != later:
                return dict(self.around[one.path])[path] and identity < later
        return (one.path, other.path) in self.before


# --- A driver that takes events in any order ---------------------------------------------------


@dataclass
class Driver:
    definition: Definition
    state: State
    commands: tuple[Command, ...]
    now: int = 0
    flying: list[RunCall] = field(default_factory=list)
    interrupted: set[tuple[Place, Purpose]] = field(default_factory=set)
    history: list[tuple[str, Place, Outcome | None]] = field(default_factory=list)
    """('do' | 'did' | 'undo' | 'undid', place, outcome)"""
    states: list[State] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.take(self.commands)

    def take(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            match command:
                case RunCall(place=place, purpose=purpose):
                    assert (place, purpose) not in {(c.place, c.purpose) for c in self.flying}
                    self.flying.append(command)
                    what = "do" if purpose is Purpose.STEP else "undo"
                    self.history.append((what, place, None))
                case Interrupt(place, purpose):
                    assert (place, purpose) in {(c.place, c.purpose) for c in self.flying}
                    self.interrupted.add((place, purpose))
                case Finished():
                    assert not self.flying, "finished with calls in flight"
                case _:
                    pass

    def event(self, event: Event) -> None:
        before, image = self.state, copy.deepcopy(self.state)
        after, commands = advance(self.definition, before, event)
        assert before == image, "advance changed its input"
        again, same = advance(self.definition, image, event)
        assert (again, same) == (after, commands)
        assert hash(again) == hash(after)
        self.state = after
        self.states.append(after)
        self.take(commands)

    def end(self, call: RunCall, outcome: Outcome) -> None:
        self.now += 1
        self.flying.remove(call)
        what = "did" if call.purpose is Purpose.STEP else "undid"
        self.history.append((what, call.place, outcome))
        self.event(CallEnded(self.now, call.place, call.purpose, outcome))

    def when(self, what: str, place: Place) -> int | None:
        found = [i for i, (w, where, _) in enumerate(self.history) if (w, where) == (what, place)]
        assert len(found) <= 1, f"{what} {place} twice"
        return found[0] if found else None

    def outcomes(self) -> Iterator[tuple[Place, Outcome]]:
        for what, place, outcome in self.history:
            if what == "did":
                assert outcome is not None
                yield place, outcome


def driver(statements: list[p.Statement]) -> Driver:
    made = program(saga(*statements))
    definition = define(made, "Main", build(Values(made)))
    return Driver(definition, *start(definition, "id", {}, 0))


USUAL: list[Outcome] = [Ok("v")] * 6
STEP_OUTCOMES = st.sampled_from([*USUAL, REJECTED, NOT_SENT, UNKNOWN])


def play(
    data: st.DataObject, run: Driver, undoing: st.SearchStrategy[Outcome], cancels: bool
) -> None:
    while run.state.phase is not Phase.OVER:
        assert run.flying, "nothing in flight and not over"
        if cancels and data.draw(st.integers(0, 12)) == 12:
            run.now += 1
            run.event(CancelRequested(run.now))
            continue
        call = run.flying[data.draw(st.integers(0, len(run.flying) - 1))]
        step = call.purpose is Purpose.STEP
        outcome: Outcome = data.draw(STEP_OUTCOMES if step else undoing)
        run.end(call, outcome)


# --- Properties --------------------------------------------------------------------------------


@settings(max_examples=MANY, deadline=None)
@given(st.data(), sequences, st.booleans())
def test_compensated_means_everything_that_may_have_happened_was_undone_in_reverse(
    data: st.DataObject, shapes_: tuple[Shape, ...], cancels: bool
) -> None:
    maker = Maker()
    run = driver(maker.sequence(shapes_)[0])
    play(data, run, st.just(Ok()), cancels)
    happened = [place for place, outcome in run.outcomes() if isinstance(outcome, Ok | Unknown)]
    undone = [place for what, place, _ in run.history if what == "undo"]
    assert set(undone) <= set(happened)
    if isinstance(run.state.outcome, Compensated):
        assert sorted(map(str, undone)) == sorted(map(str, happened))
    else:
        assert isinstance(run.state.outcome, Completed)
    for x in undone:
        for y in undone:
            began_x, ended_y, did_y = run.when("undo", x), run.when("undid", y), run.when("do", y)
            assert began_x is not None
            assert ended_y is not None
            assert did_y is not None
            # Where x was undone before y began (a handler), there is nothing to order.
            if maker.precedes(x, y) and did_y < began_x:
                assert ended_y < began_x


@settings(max_examples=SOME, deadline=None)
@given(st.data(), sequences)
def test_nothing_is_undone_while_a_call_of_its_scope_is_in_flight(
    data: st.DataObject, shapes_: tuple[Shape, ...]
) -> None:
    without = tuple(shape for shape in shapes_ if "attempt" not in str(shape))
    run = driver(Maker().sequence(without)[0])
    play(data, run, st.just(Ok()), cancels=True)
    flying: set[Place] = set()
    for what, place, _ in run.history:
        if what == "do":
            flying.add(place)
        elif what == "did":
            flying.remove(place)
        elif what == "undo":
            assert not flying


@settings(max_examples=SOME, deadline=None)
@given(st.data(), sequences, sequences)
def test_after_the_pivot_nothing_is_undone(
    data: st.DataObject, before: tuple[Shape, ...], after: tuple[Shape, ...]
) -> None:
    maker = Maker()
    plain = tuple(shape for shape in after if "attempt" not in str(shape))
    first, _ = maker.sequence(before)
    rest, _ = maker.sequence(plain)
    run = driver([*first, do("pivot", pivot=True), *rest])
    play(data, run, st.just(Ok()), cancels=True)
    pivot = next((o for place, o in run.outcomes() if place.path == "pivot"), None)
    began = run.when("do", Place("pivot"))
    late = [
        i
        for i, (what, _, _) in enumerate(run.history)
        if what == "undo" and began is not None and i > began
    ]
    match pivot:
        case Ok():
            assert not late
            assert isinstance(run.state.outcome, Completed | Escalated)
        case Unknown():
            assert not late
            assert isinstance(run.state.outcome, Escalated)
        case _:
            assert isinstance(run.state.outcome, Compensated)


@settings(max_examples=SOME, deadline=None)
@given(st.data(), sequences)
def test_an_open_compensation_holds_back_exactly_what_depends_on_it(
    data: st.DataObject, shapes_: tuple[Shape, ...]
) -> None:
    maker = Maker()
    without = tuple(shape for shape in shapes_ if "attempt" not in str(shape))
    run = driver(maker.sequence(without)[0])
    play(data, run, st.sampled_from([Ok()] * 4 + [REJECTED]), cancels=False)
    stuck = {
        place for what, place, outcome in run.history if what == "undid" and outcome == REJECTED
    }
    assert isinstance(run.state.outcome, Escalated) == bool(stuck)
    if isinstance(run.state.outcome, Escalated):
        assert {item.place for item in run.state.outcome.steps} == stuck
        owed = {place for place, o in run.outcomes() if isinstance(o, Ok | Unknown)}
        for place in owed:
            held = any(maker.precedes(place, other) for other in stuck)
            assert (run.when("undo", place) is None) == held


@settings(max_examples=100, deadline=None)
@given(st.data(), sequences)
def test_forks_of_a_state_go_their_own_ways(
    data: st.DataObject, shapes_: tuple[Shape, ...]
) -> None:
    run = driver(Maker().sequence(shapes_)[0])
    if not run.flying:
        return
    call = run.flying[0]
    base = run.state
    good = advance(run.definition, base, CallEnded(1, call.place, call.purpose, Ok("v")))
    bad = advance(run.definition, base, CallEnded(1, call.place, call.purpose, UNKNOWN))
    assert good[0] != bad[0]
    assert base == run.state
    assert {base: "base", good[0]: "good", bad[0]: "bad"}[copy.deepcopy(base)] == "base"


# --- Through the interpreter, with crashes -----------------------------------------------------


def honest_rejection(world: World, request: Request) -> Outcome:
    """A refusal that is recorded under the key, as `records rejections` promises."""
    assert request.key is not None
    if request.key in world.effects:
        return ok(world, request)
    world.fenced.add(request.key)
    return REJECTED


LOSSES: list[Fault] = [not_sent, lost_before, lost_after, broken_after, crash_before, crash_after]
FAULTS: list[Fault] = [ok] * 12 + [honest_rejection, *LOSSES]
UNDO_FAULTS: list[Fault] = [ok] * 8 + LOSSES


@settings(max_examples=SOME, deadline=None)
@given(st.integers(0, 2**32), sequences, st.none() | st.integers(0, 3_000))
def test_whatever_strikes_all_effects_stay_or_none_does(
    seed: int, shapes_: tuple[Shape, ...], cancel_after: int | None
) -> None:
    chance = Random(seed)

    def strike(world: World, request: Request) -> Outcome | None:
        if request.key in world.fenced and not request.contract.label.endswith("undo"):
            return REJECTED
        faults = UNDO_FAULTS if request.contract.label.endswith("undo") else FAULTS
        if len(world.log) > 150:  # so that retrying for ever ends
            return ok(world, request)
        return chance.choice(faults)(world, request)

    without = tuple(shape for shape in shapes_ if "attempt" not in str(shape))
    statements, _ = Maker().sequence(without)
    world = World({"S.do": [strike], "S.undo": [strike]})
    result, _ = execute(program(saga(*statements)), world, cancel_after=cancel_after)
    done = Counter(name for what, name in world.ends if what == "done")
    match result.outcome:
        case Completed():
            assert sum(done.values()) == len(world.effects)
            assert not any(what == "undone" for what, _ in world.ends)
        case Compensated():
            assert world.effects == {}
        case _:
            raise AssertionError(result.outcome)
