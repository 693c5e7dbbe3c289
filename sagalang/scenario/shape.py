"""A program's sagas as scenarios look at them: statements by path, what stands in what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sagalang.graph.structure import bodies, statements
from sagalang.machine.events import SAGA, Place
from sagalang.model import program as p


@dataclass(frozen=True, slots=True)
class Shape:
    """`statements`: those with a path. `bodies`: per attempt, the paths inside its body at any
    depth, which are undone together."""

    saga: p.Saga
    statements: Mapping[str, p.Statement]
    aborts: tuple[p.Abort, ...]
    bodies: Mapping[str, frozenset[str]]


def everything(saga: p.Saga) -> Iterator[p.Statement]:
    """All statements of a saga, those of `when compensated` included."""
    for body in bodies(saga):
        yield from statements(body)


def shape(saga: p.Saga) -> Shape:
    found = tuple(everything(saga))
    return Shape(
        saga,
        {path: s for s in found if (path := path_of(s))},
        tuple(s for s in found if isinstance(s, p.Abort)),
        {
            s.path: frozenset(filter(None, map(path_of, statements(s.body))))
            for s in found
            if isinstance(s, p.Attempt)
        },
    )


def path_of(statement: p.Statement) -> str:
    return getattr(statement, "path", "")


def undone_with(shape: Shape, scopes: Iterable[Place], place: Place) -> bool:
    """Whether what is done at a place is undone when these scopes (the saga, attempts) are."""
    return any(
        scope == SAGA
        or (
            place.path in shape.bodies[scope.path]
            and place.loops[: len(scope.loops)] == scope.loops
        )
        for scope in scopes
    )


def never_undone(step: p.Step | p.ChildStep) -> bool:
    """Whether it is outside of `nothing left`: best effort, or `compensate none "why"`."""
    if step.best_effort:
        return True
    return isinstance(step, p.Step) and isinstance(step.compensation, p.NoCompensation)
