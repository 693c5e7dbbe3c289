"""What can go wrong in a saga, statement by statement: what an atlas tries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from sagalang import graph as g
from sagalang.graph.structure import statements
from sagalang.graph.undoing import is_undone
from sagalang.model import program as p
from sagalang.model.errors import BUILT_IN_ERRORS, CANCELLED, DEADLINE_EXCEEDED
from sagalang.render.compensation import label
from sagalang.render.paths.whens import (
    Aborted,
    CallFault,
    NotInTime,
    Stopped,
    Target,
    When,
    aborts,
    worded,
)

_Leaf = p.Step | p.ChildStep | p.Wait | p.Poll | p.Sleep


class Kind(Enum):
    """What fails; the value is the heading of its section."""

    REFUSED = "A step is refused"
    NO_ANSWER = "A step gets no answer"
    ABORTED = "The saga aborts, or something does not come in time"
    STOPPED = "It is cancelled, or its deadline passes"
    NOT_UNDONE = "Something cannot be undone"
    HANDLED = "Handled by the saga"


@dataclass(frozen=True, slots=True)
class Way:
    """One thing to try. `variants` are tried one by one; those that come to the same are one."""

    kind: Kind
    at: str
    variants: tuple[tuple[When, str], ...]


def ways(graph: g.SagaGraph, names: Names) -> Iterator[Way]:
    saga, program = graph.saga, graph.program
    numbers: Counter[str] = Counter()
    for statement in statements(saga.body):
        match statement:
            case p.Step():
                yield from _step_ways(program, statement, names)
            case p.ChildStep():
                yield from _child_ways(graph, statement, names)
            case p.Abort(error=error):
                numbers[error] += 1
                yield _abort_way(saga, statement, numbers[error])
            case p.Wait() | p.Poll():
                if isinstance(statement.otherwise, p.Abort):
                    numbers[statement.otherwise.error] += 1
                yield _missing_way(statement, names)
            case _:
                pass
        if isinstance(statement, p.Step | p.ChildStep | p.Wait | p.Poll):
            yield _stop_way(saga, statement, names)


def _step_ways(program: p.Program, step: p.Step, names: Names) -> Iterator[Way]:
    operation, name, target = program.operation(step.call), names.of(step), names.target(step)
    title = names.title(step)
    refusals = tuple(
        (rejects(name, target, r.error), f"{title} rejects {r.error}") for r in operation.rejects
    )
    yield Way(Kind.REFUSED, step.path, refusals)
    yield _lost(step.path, name, target, title)


def _lost(path: str, name: str, target: Target, title: str) -> Way:
    lost = (
        (always(name, target, "times out before effect"), f"{title}: the request is lost"),
        (always(name, target, "times out after effect"), f"{title}: the answer is lost"),
    )
    return Way(Kind.NO_ANSWER, path, lost)


def rejects(subject: str, target: Target, error: str) -> CallFault:
    """A call that is refused once. `subject`: what a `--when` calls it."""
    return CallFault(worded(subject, "rejects", error), target, "rejects", error)


def always(subject: str, target: Target, kind: str) -> CallFault:
    """A call that never gets through."""
    return CallFault(worded(subject, kind, None, times="always"), target, kind, times=None)


def _child_ways(graph: g.SagaGraph, step: p.ChildStep, names: Names) -> Iterator[Way]:
    name, target, title = names.of(step), names.target(step), names.title(step)
    errors = [e for e in graph.program.sagas[step.saga].errors if e not in BUILT_IN_ERRORS]
    refusals = tuple(
        (rejects(name, target, error), f"{title} ends with {error}") for error in errors
    )
    yield Way(Kind.REFUSED, step.path, refusals)
    called = {inner.call.label: saga for saga, inner in inside(graph.program, step)}
    for name, saga in called.items():
        if not names.known(name):
            yield _lost(step.path, name, Target(name), f"{name} inside saga {saga}")


def inside(program: p.Program, step: p.ChildStep) -> Iterator[tuple[str, p.Step]]:
    """The steps of a child saga and of its own ones, each with the name of its saga."""
    for statement in statements(program.sagas[step.saga].body):
        match statement:
            case p.Step():
                yield step.saga, statement
            case p.ChildStep():
                yield from inside(program, statement)
            case _:
                pass


def _abort_way(saga: p.Saga, abort: p.Abort, nth: int) -> Way:
    many = len(aborts(saga, abort.error)) > 1
    text = f"abort {abort.error}" + (f" #{nth}" if many else "")
    when = Aborted(text, abort.error, abort)
    return Way(Kind.ABORTED, abort_place(abort), ((when, text),))


def _missing_way(statement: p.Wait | p.Poll, names: Names) -> Way:
    name = names.of(statement)
    text = f"no {name}"
    return Way(
        Kind.ABORTED,
        statement.path,
        ((NotInTime(text, statement.path), f"no {names.title(statement)} in time"),),
    )


def _stop_way(saga: p.Saga, leaf: p.Step | p.ChildStep | p.Wait | p.Poll, names: Names) -> Way:
    waiting = isinstance(leaf, p.Wait | p.Poll)
    when = "before" if waiting else "after"
    moment, title = f"{when} {names.of(leaf)}", f"{when} {names.title(leaf)}"
    stops = [("cancelled", CANCELLED)]
    if saga.deadline is not None:
        stops.append(("deadline", DEADLINE_EXCEEDED))
    variants = tuple(
        (Stopped(f"{what} {moment}", error, (leaf.path,), waiting), f"{what} {title}")
        for what, error in stops
    )
    return Way(Kind.STOPPED, leaf.path, variants)


class Names:
    """`of`: what a `--when` calls a step: its operation, or its own name where that is not enough.
    `title`: what a reader calls it; `undo`: what a reader calls what undoes it."""

    def __init__(self, graph: g.SagaGraph) -> None:
        leaves = [*(node.statement for node in (*graph.nodes, *graph.farewell))]
        self._alike: dict[str, dict[str, int]] = {}
        for leaf in leaves:
            alike = self._alike.setdefault(self._plain(leaf), {})
            alike[leaf.path] = len(alike) + 1
        self._bound = Counter((self._plain(leaf), getattr(leaf, "name", None)) for leaf in leaves)
        self._undone = Counter(
            label(leaf)
            for leaf in leaves
            if isinstance(leaf, p.Step | p.ChildStep) and is_undone(leaf)
        )
        self._many = Counter(self._plain(leaf) for leaf in leaves)
        undone = (
            leaf.compensation.call.label
            for leaf in leaves
            if isinstance(leaf, p.Step) and isinstance(leaf.compensation, p.Compensation)
        )
        self._many.update(set(undone))

    def _plain(self, leaf: _Leaf) -> str:
        match leaf:
            case p.Step(call=call):
                return call.label
            case p.ChildStep(saga=saga):
                return saga
            case p.Wait(event=event):
                return event
            case p.Poll(name=name):
                return name
            case _:
                return leaf.path

    def known(self, called: str) -> bool:
        """Whether the saga itself calls this operation."""
        return self._many[called] > 0

    def title(self, leaf: _Leaf) -> str:
        plain = self._plain(leaf)
        text = f"saga {plain}" if isinstance(leaf, p.ChildStep) else plain
        alike = self._alike[plain]
        if len(alike) < 2:
            return text
        name = getattr(leaf, "name", None)
        if name is not None and self._bound[plain, name] == 1:
            return f"{text} ({name})"
        return f"{text} ({alike[leaf.path]} of {len(alike)})"

    def undo(self, step: p.Step | p.ChildStep) -> str:
        text = label(step)
        return text if self._undone[text] < 2 else f"{text} of {self.title(step)}"

    def of(self, leaf: _Leaf) -> str:
        name = self._plain(leaf)
        if self._many[name] == 1:
            return name
        return f"{name}#1" if leaf.path == name else leaf.path

    def target(self, step: p.Step | p.ChildStep) -> Target:
        called = f"saga {step.saga}" if isinstance(step, p.ChildStep) else step.call.label
        alone = isinstance(step, p.Step) and self._many[called] == 1
        return Target(called) if alone else Target(called, step.path)


def abort_place(abort: p.Abort) -> str:
    return f"abort at {abort.span.start}"
