"""What can go wrong in a saga, statement by statement: what an atlas tries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from sagalang import graph as g
from sagalang.graph.structure import statements
from sagalang.model import program as p
from sagalang.model.errors import BUILT_IN_ERRORS, CANCELLED, DEADLINE_EXCEEDED
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


@dataclass(frozen=True, slots=True)
class Way:
    """One thing to try. `variants` are tried one by one; those that come to the same are one."""

    kind: Kind
    at: str
    variants: tuple[tuple[When, str], ...]


def ways(graph: g.SagaGraph) -> Iterator[Way]:
    saga, program = graph.saga, graph.program
    names = _Names(graph)
    numbers: Counter[str] = Counter()
    for statement in statements(saga.body):
        match statement:
            case p.Step():
                yield from _step_ways(program, statement, names)
            case p.ChildStep():
                yield from _child_ways(program, statement, names)
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


def _step_ways(program: p.Program, step: p.Step, names: _Names) -> Iterator[Way]:
    operation, name, target = program.operation(step.call), names.of(step), names.target(step)
    refusals = tuple(
        (rejects(name, target, r.error), f"{name} rejects {r.error}") for r in operation.rejects
    )
    yield Way(Kind.REFUSED, step.path, refusals)
    lost = (
        (always(name, target, "times out before effect"), f"{name}: the request is lost"),
        (always(name, target, "times out after effect"), f"{name}: the answer is lost"),
    )
    yield Way(Kind.NO_ANSWER, step.path, lost)


def rejects(subject: str, target: Target, error: str) -> CallFault:
    """A call that is refused once. `subject`: what a `--when` calls it."""
    return CallFault(worded(subject, "rejects", error), target, "rejects", error)


def always(subject: str, target: Target, kind: str) -> CallFault:
    """A call that never gets through."""
    return CallFault(worded(subject, kind, None, times="always"), target, kind, times=None)


def _child_ways(program: p.Program, step: p.ChildStep, names: _Names) -> Iterator[Way]:
    name, target = names.of(step), names.target(step)
    errors = [e for e in program.sagas[step.saga].errors if e not in BUILT_IN_ERRORS]
    refusals = tuple(
        (rejects(name, target, error), f"saga {step.saga} ends with {error}") for error in errors
    )
    yield Way(Kind.REFUSED, step.path, refusals)


def _abort_way(saga: p.Saga, abort: p.Abort, nth: int) -> Way:
    many = len(aborts(saga, abort.error)) > 1
    text = f"abort {abort.error}" + (f" #{nth}" if many else "")
    when = Aborted(text, abort.error, abort)
    return Way(Kind.ABORTED, abort_place(abort), ((when, text),))


def _missing_way(statement: p.Wait | p.Poll, names: _Names) -> Way:
    name = names.of(statement)
    text = f"no {name}"
    return Way(
        Kind.ABORTED, statement.path, ((NotInTime(text, statement.path), f"{text} in time"),)
    )


def _stop_way(saga: p.Saga, leaf: p.Step | p.ChildStep | p.Wait | p.Poll, names: _Names) -> Way:
    waiting = isinstance(leaf, p.Wait | p.Poll)
    moment = f"{'before' if waiting else 'after'} {names.of(leaf)}"
    stops = [("cancelled", CANCELLED)]
    if saga.deadline is not None:
        stops.append(("deadline", DEADLINE_EXCEEDED))
    variants = tuple(
        (Stopped(f"{what} {moment}", error, (leaf.path,), waiting), f"{what} {moment}")
        for what, error in stops
    )
    return Way(Kind.STOPPED, leaf.path, variants)


class _Names:
    """What a `--when` calls a step: its operation, or its own name where that is not enough."""

    def __init__(self, graph: g.SagaGraph) -> None:
        leaves = [*(node.statement for node in (*graph.nodes, *graph.farewell))]
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
