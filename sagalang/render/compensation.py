"""Compensation plans as items of a picture: dashed arrows in the order the machine runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from msgspec.structs import replace

from sagalang import graph as g
from sagalang.graph.undoing import NOTHING, calls_of, in_sequence
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.diagram import (
    Arm,
    Fragment,
    FragmentKind,
    Item,
    Note,
    NoteKind,
    Phase,
)
from sagalang.render.failing import loop_label, together
from sagalang.render.strokes import Strokes

DRAWN = 80
"""So many compensations are drawn as arrows; each failure of a long saga undoes most of it again,
and a picture that grows with the square of the saga is read by nobody."""


class Matter(Enum):
    CALL = "it did not happen"
    DOUBT = "it may have happened"
    EVENT = "it did not come"
    UNDO = "it is not undone"


@dataclass(frozen=True, slots=True)
class Open:
    """What only a person can move on: a call, or a child saga, of the step at `path`.

    `matter`: what is open about it. `forever`: it is retried for ever, and nobody is told.
    """

    path: str
    label: str
    error: str
    team: str = ""
    matter: Matter = Matter.CALL
    forever: bool = False


@dataclass(frozen=True, slots=True)
class Undone:
    """What came of a plan: `done` is what of it was undone. `held`: what waits until a person has
    settled what is `stuck`."""

    items: tuple[Item, ...] = ()
    stuck: tuple[Open, ...] = ()
    held: tuple[g.UndoCall, ...] = ()
    done: g.Undo = NOTHING


Perform = Callable[[g.UndoCall], Undone]


def perform(plan: g.Undo, call: Perform) -> Undone:
    """The plan carried out: what cannot be undone holds back what depends on it, nothing else."""
    match plan:
        case g.UndoCall():
            return call(plan)
        case g.UndoSequence(items=plans):
            found: list[Undone] = []
            for index, inner in enumerate(plans):
                found.append(perform(inner, call))
                if found[-1].stuck:
                    waiting = tuple(c for later in plans[index + 1 :] for c in calls_of(later))
                    return _joined((*found, Undone(held=waiting)))
            return _joined(found)
        case g.UndoTogether(items=plans, partly=partly):
            branches = [perform(inner, call) for inner in plans]
            labels = ["as far as begun" if partly else "", *("" for _ in plans[1:])]
            fragment = Fragment(FragmentKind.PAR, _arms(labels, branches))
            done = together((branch.done for branch in branches), partly=partly)
            return _inside(fragment, branches, done)
        case g.UndoEach(loop=loop, body=body):
            one = perform(body, call)
            arms = _arms([loop_label(plan)], [one])
            done = NOTHING if one.done == NOTHING else replace(plan, body=one.done)
            return _inside(Fragment(FragmentKind.LOOP, arms, loop.span), [one], done)
        case g.UndoCase(statement=statement, arms=plans):
            branches = [perform(inner, call) for inner in plans]
            pairs = zip(words.ways(statement), plans, branches, strict=True)
            taken = [(label, branch) for label, inner, branch in pairs if inner != NOTHING]
            arms = _arms([label for label, _ in taken], [branch for _, branch in taken])
            kind = FragmentKind.OPT if len(arms) == 1 else FragmentKind.ALT
            each = tuple(branch.done for branch in branches)
            done = replace(plan, arms=each) if any(one != NOTHING for one in each) else NOTHING
            return _inside(Fragment(kind, arms, statement.span), branches, done)


def _arms(labels: Sequence[str], parts: Sequence[Undone]) -> tuple[Arm, ...]:
    pairs = zip(labels, parts, strict=True)
    return tuple(Arm(label, part.items) for label, part in pairs)


def _inside(fragment: Fragment, parts: Sequence[Undone], done: g.Undo) -> Undone:
    whole = _joined(parts)
    return Undone((fragment,), whole.stuck, whole.held, done)


def _joined(parts: Sequence[Undone]) -> Undone:
    return Undone(
        tuple(item for part in parts for item in part.items),
        tuple(one for part in parts for one in part.stuck),
        tuple(one for part in parts for one in part.held),
        in_sequence(part.done for part in parts),
    )


class Compensations:
    """Draws plans that go well; remembers how much has been drawn, to be brief in the end."""

    def __init__(self, strokes: Strokes) -> None:
        self._strokes = strokes
        self._left = DRAWN

    def phase(self, plan: g.Undo) -> tuple[Phase, ...]:
        """The plan as a phase of its own; nothing where nothing is to be undone."""
        if plan == NOTHING:
            return ()
        calls = calls_of(plan)
        begun = self._left < DRAWN
        if begun and len(calls) > self._left:
            return (Phase((_in_brief(calls),)),)
        self._left -= len(calls)
        return (Phase(perform(plan, self._call).items),)

    def _call(self, one: g.UndoCall) -> Undone:
        return Undone((self._strokes.compensation(one.step),), done=one)


def label(step: p.Step | p.ChildStep) -> str:
    """What undoes a step, by name."""
    if isinstance(step, p.ChildStep):
        return f"saga {step.saga}"
    assert isinstance(step.compensation, p.Compensation)
    return step.compensation.call.label


def _in_brief(calls: tuple[g.UndoCall, ...]) -> Note:
    first, last = label(calls[0].step), label(calls[-1].step)
    lines = (f"{len(calls)} compensations, from {first}", f"back to {last}")
    return Note(lines, NoteKind.INFO)
