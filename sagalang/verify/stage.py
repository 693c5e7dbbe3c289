"""What stays the same while a saga is explored: its program, its options, its names."""

from __future__ import annotations

from sagalang.graph.structure import blocks_of, statements
from sagalang.machine import events as m
from sagalang.machine.definition import Definition, define
from sagalang.machine.frozen import FrozenMap
from sagalang.machine.turn import needs_result
from sagalang.model import program as p
from sagalang.verify import order
from sagalang.verify.inputs import shared
from sagalang.verify.service import Rules
from sagalang.verify.values import Domain, Symbol
from sagalang.verify.world import Courses, Id, Interface, Loops, Options, Path


class Stage:
    """Everything about one exploration but the worlds. Without `args` nothing is known of the
    saga's parameters. `interfaces`: by the name of a stand-in (`modular`), what it may do.
    `courses`: what calls come to, which stages with the same options and rules may share."""

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
        self.courses: Courses = {} if courses is None else courses
        # Where something is shared, nothing is stood in for.
        self.shared = frozenset[str]() if interfaces else shared(program, saga)
        self.domain = Domain(program)
        params = program.sagas[saga].params
        self.args = args or FrozenMap({q.name: Symbol(q.name, q.type) for q in params})
        every = [one for found in program.sagas.values() for one in statements(found.body)]
        attempts = [one for one in every if isinstance(one, p.Attempt)]
        self.handled = frozenset(e for one in attempts for h in one.handlers for e in h.errors)
        self.polls = any(isinstance(one, p.Poll) for one in every)
        self._awaited: dict[str, dict[str, int]] = {}
        self._definitions: dict[str, Definition] = {}
        self._names: dict[Path, str] = {(): saga}
        self._resolving: dict[tuple[str, str], bool] = {}
        self._iterations: dict[tuple[Path, Loops], int] = {}

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

    def exempt(self, id_: Id) -> bool:
        """Outside of the rules on effects: `best effort`, and `compensate none`."""
        path, place = id_
        statement = self.definition(path).statements[place.path]
        return (
            not isinstance(statement, p.Step)
            or statement.best_effort
            or isinstance(statement.compensation, p.NoCompensation)
        )

    def command(self, id_: Id) -> p.Operation:
        path, place = id_
        statement = self.definition(path).statements[place.path]
        assert isinstance(statement, p.Step)
        return self.program.operation(statement.call)

    def owed(self, path: Path, place: m.Place) -> bool:
        statement = self.definition(path).statements[place.path]
        return (
            isinstance(statement, p.Step)
            and isinstance(statement.compensation, p.Compensation)
            and not statement.best_effort
        )

    def resolves(self, id_: Id) -> bool:
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

    def follows(self, path: Path, place: m.Place, other: m.Place) -> bool:
        """Whether `other` happens after `place`, by the text."""
        ranks = self._iterations

        def rank(loops: Loops) -> int:
            return ranks.get((path, loops), 0)

        return order.follows(self.definition(path), place, other, rank)

    def awaited(self, path: Path) -> dict[str, int]:
        """How many events of each kind are worth sending to the saga."""
        name = self._names[path]
        if name not in self._awaited:
            self._awaited[name] = _waits(self.program, name)
        return self._awaited[name]

    def christen(self, path: Path, saga: str) -> None:
        """A child saga begins at `path`."""
        self._names[path] = saga

    def begun(self, path: Path, loops: Loops) -> None:
        """Iterations are numbered as they first begin: in a sequential loop one begins only after
        the one before it, in every world."""
        for depth in range(1, len(loops) + 1):
            self._iterations.setdefault((path, loops[:depth]), len(self._iterations))


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
