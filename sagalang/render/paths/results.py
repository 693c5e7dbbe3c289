"""What a piece of a saga comes to, on one path."""

from __future__ import annotations

from dataclasses import dataclass

from sagalang import graph as g
from sagalang.graph.undoing import NOTHING
from sagalang.model import program as p
from sagalang.render.compensation import Matter, Open
from sagalang.render.diagram import Item


@dataclass(frozen=True, slots=True)
class Raised:
    """A failure on its way out. `stop`: a cancel or the deadline, which nothing handles."""

    error: str
    at: p.Ms
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Returned:
    """The saga ends here, well."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Only people can move it on. `held`: compensations that wait until they have."""

    open: tuple[Open, ...]
    held: tuple[g.UndoCall, ...] = ()


End = Raised | Returned | Stuck | None
"""None: it goes on."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a piece of a saga came to; `undo` is what it owes."""

    items: tuple[Item, ...] = ()
    undo: g.Undo = NOTHING
    end: End = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a saga ends. `kind`: `completed`, `compensated`, `escalated`, `endless`. `undone`: what
    was undone, that of an `attempt` first; `held`: what waits for a person; `owed`: what
    cannot be undone; `kept`: what happened and is never undone. `handled`: a failure was
    caught on the way."""

    kind: str
    items: tuple[Item, ...]
    error: str | None = None
    undone: tuple[g.Undo, ...] = ()
    open: tuple[Open, ...] = ()
    held: tuple[g.UndoCall, ...] = ()
    owed: tuple[g.UndoCall, ...] = ()
    kept: tuple[p.Step, ...] = ()
    handled: bool = False


def task(one: Open) -> str:
    """Who must do what."""
    if one.forever:
        return f"{one.label} is retried for ever, and nobody is told"
    verb = "undo" if one.matter is Matter.UNDO else "settle"
    return f"{one.team or 'somebody'} must {verb} {one.label}: {one.error}"
