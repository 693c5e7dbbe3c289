"""The same world under other names, without the values that decide nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec.structs import replace

from sagalang.graph.structure import bodies
from sagalang.machine import events as m
from sagalang.machine import frames as f
from sagalang.machine.definition import Definition, Ref
from sagalang.machine.events import Place
from sagalang.machine.frozen import EMPTY, FrozenMap
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.saga import State
from sagalang.machine.undo import Entry, InOrder, Together, Undo
from sagalang.model import program as p
from sagalang.model.types import NULL
from sagalang.verify.alike import Like, pattern
from sagalang.verify.decides import deciding, total
from sagalang.verify.values import Symbol
from sagalang.verify.world import Flight, World

_MOST: Final = 200_000
"""So many renamed parts of states are remembered."""

Names = Mapping[Any, Any]


class Bare:
    """What of a saga's values decides anything."""

    def __init__(self, definition: Definition) -> None:
        self.names = deciding(bodies(definition.saga))
        program = definition.program
        self.probed: set[str] = set()
        """Steps whose arguments are still to be asked something about."""
        for path, statement in definition.statements.items():
            if isinstance(statement, p.Step):
                calls = [statement.call]
                if isinstance(statement.compensation, p.Compensation):
                    calls.append(statement.compensation.call)
                probes = [program.operation(call).probe for call in calls]
                args = [arg for probe in probes if probe is not None for arg in probe.args]
                if not all(arg is None or total(arg) for arg in args):
                    self.probed.add(path)


class Renaming:
    """Part n of the like parts becomes part `to[n]`; without like parts, nothing but the values
    that decide nothing goes. What was renamed before is remembered by identity."""

    def __init__(
        self, definition: Definition, bare: Bare, like: Like | None, to: tuple[int, ...]
    ) -> None:
        self._bare, self._like, self._to = bare, like, to
        self._paths, self._blocks, self._names, self._words = (
            _pairs(column, to)
            for column in (
                (like.paths, like.blocks, like.names, like.words) if like else ((), (), (), ())
            )
        )
        self._loops: dict[tuple[str, str], tuple[str, str]] = {}
        self._branches: dict[str, int] = {}
        if like is not None and like.loop:
            self._loops = {
                (like.loop, name): (like.loop, like.identities[to[part]])
                for part, name in enumerate(like.identities)
            }
        elif like is not None:
            for branch, block in enumerate(definition.children[like.ref]):
                self._branches |= dict.fromkeys(definition.paths[block], branch)
        self._pattern = pattern(self._words) if self._words else None
        self._known: dict[int, tuple[Any, Any]] = {}
        self._places: dict[Place, Place] = {}
        self._texts: dict[str, str] = {}

    def world(self, world: World) -> World:
        ((path, state),) = world.sagas
        answers = world.answers
        if self._words and answers:
            answers = FrozenMap({self.text(q): answer for q, answer in answers.items()})
        units = [((path, self.place(place)), unit) for (path, place), unit in world.units]
        timers = [(path, self.place(place), timer) for path, place, timer in world.timers]
        flights = [self.flight(flight) for flight in world.flights]
        return replace(
            world,
            sagas=((path, self.state(state)),),
            flights=tuple(sorted(flights, key=_flight_order)),
            timers=tuple(sorted(timers, key=_timer_order)),
            units=tuple(sorted(units, key=_unit_order)),
            answers=answers,
        )

    def state(self, state: State) -> State:
        outcome = state.outcome
        match outcome:
            case m.Completed():
                outcome = m.Completed()
            case m.Escalated():
                outcome = m.Escalated(())  # what is open stands in the frame and in the tree
            case m.Compensated(error):
                outcome = m.Compensated(self.failure(error))
            case None:
                pass
        return replace(
            state,
            frame=None if state.frame is None else self.frame(state.frame),
            tree=self.tree(state.tree),
            error=None if state.error is None else self.failure(state.error),
            held=None if state.held is None else self.failure(state.held),
            outcome=outcome,
        )

    def flight(self, flight: Flight) -> Flight:
        place = self.place(flight.place)
        return flight if place is flight.place else replace(flight, place=place)

    # --- Frames ----------------------------------------------------------------------------------

    def frame(self, frame: Any) -> Any:
        """A frame, or a part that ended."""
        known = self._known.get(id(frame))
        if known is not None:
            return known[1]
        made = self._frame(frame)
        self._remember(frame, made)
        return made

    def _remember(self, one: Any, made: Any) -> None:
        if len(self._known) > _MOST:
            self._known.clear()
        self._known[id(one)] = (one, made)  # holding it keeps its identity its own

    def _frame(self, frame: Any) -> Any:
        match frame:
            case f.Done(binds, tree):
                return f.Done(self.names(binds), self.tree(tree))
            case f.Seq(block, names, loops, index, child, trees):
                inner = None if child is None else self.frame(child)
                return f.Seq(
                    self._blocks.get(block, block),
                    self.names(names),
                    self.loops(loops),
                    index,
                    inner,
                    tuple(map(self.tree, trees)),
                )
            case f.Par(ref, branches):
                made = [self.frame(branch) for branch in branches]
                if self._like is not None and ref == self._like.ref:
                    positions = self._like.positions
                    moved = list(made)
                    for part, position in enumerate(positions):
                        moved[positions[self._to[part]]] = made[position]
                    made = moved
                return f.Par(self.ref(ref), tuple(made))
            case f.Loop():
                return self._loop(frame)
            case f.Try(ref, names, loops, child, tree, failure, handler):
                return f.Try(
                    self.ref(ref),
                    self.names(names),
                    self.loops(loops),
                    None if child is None else self.frame(child),
                    None if tree is None else self.tree(tree),
                    None if failure is None else self.failure(failure),
                    handler,
                )
            case f.CallLeaf(place, entry):
                return replace(frame, place=self.place(place), entry=self.entry(entry))
            case f.WaitLeaf(place, names) | f.PollLeaf(place, names):
                return replace(frame, place=self.place(place), names=self.names(names))
            case f.Broken(item, tree, call):
                told = m.OpenItem(
                    self.place(item.place), item.purpose, "", self.failure(item.failure)
                )
                called = None if call is None else self.entry(call)
                return f.Broken(told, self.tree(tree), called)
            case _:
                return replace(frame, place=self.place(frame.place))

    def _loop(self, loop: f.Loop) -> f.Loop:
        active = [(index, self.frame(inner)) for index, inner in loop.active]
        done = [(index, self.frame(inner)) for index, inner in loop.done]
        items, identities = loop.items, loop.identities
        if self._like is not None and loop.ref == self._like.ref:
            # The items, renamed and in their new order, are what they were.
            active = sorted(((self._to[i], inner) for i, inner in active), key=_first)
            done = sorted(((self._to[i], inner) for i, inner in done), key=_first)
        else:
            items = tuple(map(self.value, items))
            identities = tuple(map(self.text, identities))
        return replace(
            loop,
            ref=self.ref(loop.ref),
            names=self.names(loop.names),
            loops=self.loops(loop.loops),
            items=items,
            identities=identities,
            active=tuple(active),
            done=tuple(done),
        )

    # --- What is to be undone --------------------------------------------------------------------

    def tree(self, tree: Undo) -> Undo:
        known = self._known.get(id(tree))
        if known is not None:
            made: Undo = known[1]
            return made
        match tree:
            case Entry():
                made = self.entry(tree)
            case InOrder(items):
                made = replace(tree, items=tuple(map(self.tree, items)))
            case Together(items, limit):
                renamed = [self.tree(item) for item in items]
                if self._like is not None and (limit is None) is not bool(self._like.loop):
                    order = [self._position(item) for item in renamed]
                    if None not in order:
                        pairs = sorted(zip(order, renamed, strict=True), key=_first)
                        renamed = [item for _, item in pairs]
                made = replace(tree, items=tuple(renamed))
        self._remember(tree, made)
        return made

    def _position(self, tree: Undo) -> Any:
        """Where a member of the like parts stands, by what is renamed already. A `parallel` has
        no limit, a loop has one: so nothing else has two positions in it."""
        while not isinstance(tree, Entry):
            tree = tree.items[0]
        like = self._like
        assert like is not None
        if not like.loop:
            return self._branches.get(tree.place.path)
        for path, identity in tree.place.loops:
            if path == like.loop and identity in like.identities:
                return like.identities.index(identity)
        return None

    def entry(self, entry: Entry) -> Entry:
        kept = entry.place.path in self._bare.probed
        args: tuple[Any, ...] | None = None
        if entry.args is not None:
            args = tuple(map(self.value, entry.args)) if kept else ()
        return replace(
            entry,
            place=self.place(entry.place),
            args=args,
            names=None if entry.names is None else self.names(entry.names),
            sent=tuple(map(self.value, entry.sent)) if kept else (),
            outcome=None if entry.outcome is None else self._outcome(entry.outcome),
            failure=None if entry.failure is None else self.failure(entry.failure),
        )

    def _outcome(self, outcome: Outcome) -> Outcome:
        match outcome:
            case Ok():
                return Ok()
            case Rejected(error) | NotSent(error) | Unknown(error):
                return replace(outcome, error=self.failure(error))

    # --- Names and values ------------------------------------------------------------------------

    def place(self, place: Place) -> Place:
        found = self._places.get(place)
        if found is None:
            path = self._paths.get(place.path, place.path)
            found = Place(path, self.loops(place.loops))
            found = self._places[place] = place if found == place else found
        return found

    def loops(self, loops: f.Loops) -> f.Loops:
        if not loops or not self._words:
            return loops
        return tuple(
            self._loops.get(pair) or (self._paths.get(pair[0], pair[0]), self.text(pair[1]))
            for pair in loops
        )

    def ref(self, ref: Ref) -> Ref:
        block = self._blocks.get(ref.block)
        return ref if block is None else Ref(block, ref.index)

    def names(self, names: FrozenMap) -> FrozenMap:
        if not names:
            return EMPTY
        known = self._known.get(id(names))
        if known is not None:
            made: FrozenMap = known[1]
            return made
        made = FrozenMap(
            {
                self._names.get(name, name): self.value(value)
                for name, value in names.items()
                if name in self._bare.names
            }
        )
        self._remember(names, made)
        return made

    def failure(self, failure: Failure) -> Failure:
        return Failure(failure.name, self.value(failure.value))

    def value(self, value: Any) -> Any:
        match value:
            case Symbol(text=text):
                return Symbol(self.text(text), NULL)  # two with one text are the same value
            case tuple():
                return tuple(map(self.value, value))
            case FrozenMap():
                return FrozenMap({name: self.value(item) for name, item in value.items()})
            case _:
                return value

    def text(self, text: str) -> str:
        if self._pattern is None:
            return text
        found = self._texts.get(text)
        if found is None:
            found = self._pattern.sub(lambda match: self._words[match[0]], text)
            self._texts[text] = found
        return found


def _pairs(column: tuple[tuple[Any, ...], ...], to: tuple[int, ...]) -> dict[Any, Any]:
    """The n-th of each part becomes the n-th of the part in its place."""
    return {
        one: other
        for part, some in enumerate(column)
        for one, other in zip(some, column[to[part]], strict=True)
    }


def symbols(names: FrozenMap) -> Iterator[str]:
    """The texts of the symbols among the names' values."""
    for value in names.values():
        if isinstance(value, Symbol):
            yield value.text


def _first(pair: tuple[int, Any]) -> int:
    return pair[0]


def _flight_order(flight: Flight) -> Any:
    return flight.place.path, flight.place.loops, flight.purpose.value


def _timer_order(timer: tuple[Any, Place, m.Timer]) -> Any:
    return timer[1].path, timer[1].loops, timer[2].value


def _unit_order(item: tuple[tuple[Any, Place], Any]) -> Any:
    return item[0][1].path, item[0][1].loops
