"""What is undone where a saga fails, to the statement: which iterations, and after which error.

`graph.undoing` gives the plan of a failure as far as it may reach. A picture must not say more
than what happens: of the iteration that failed only what stands before the failure is undone, and
a handler of several errors may find different things to undo after each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from sagalang import graph as g
from sagalang.graph.structure import blocks_of, statements
from sagalang.graph.undoing import (
    NOTHING,
    failures,
    failures_of,
    in_sequence,
    undo_of,
    undo_of_statement,
)
from sagalang.model import program as p
from sagalang.model.errors import BUILT_IN_ERRORS
from sagalang.render import words


class UndoSome(g.UndoEach, frozen=True):
    """Of a loop that did not come to its end. `others`: the iteration that failed excepted."""

    others: bool = False


def loop_label(plan: g.UndoEach) -> str:
    if not isinstance(plan, UndoSome):
        return words.each(plan.loop)
    return words.each_other(plan.loop) if plan.others else words.each_begun(plan.loop)


def begun(plan: g.Undo) -> g.Undo:
    """The plan of what may not have come to its end."""
    match plan:
        case UndoSome():
            return plan
        case g.UndoEach(loop=loop, body=body):
            return UndoSome(loop, begun(body))
        case g.UndoSequence(items=items) | g.UndoTogether(items=items):
            return replace(plan, items=tuple(begun(item) for item in items))
        case g.UndoCase(arms=arms):
            return replace(plan, arms=tuple(begun(arm) for arm in arms))
        case _:
            return plan


# --- Where something fails -----------------------------------------------------------------------


def failures_at(program: p.Program, statement: p.Statement) -> tuple[g.Failure, ...]:
    """The declared failures that leave a statement, each with what of it is undone then."""
    return tuple(
        g.Failure(failure.at, failure.errors, _of_statement(statement, failure.at))
        for failure in failures_of(program, statement)
    )


def undo_at(block: p.Block, at: p.Statement) -> g.Undo:
    """What of the block is undone where it fails at one of its statements, at any depth."""
    before: g.Undo = NOTHING
    for statement in block.statements:
        if statement is at or any(_holds(inner, at) for inner in blocks_of(statement)):
            return in_sequence((_of_statement(statement, at), before))
        before = in_sequence((undo_of_statement(statement), before))
    return before


def _holds(block: p.Block, at: p.Statement) -> bool:
    return any(statement is at for statement in statements(block))


def _of_statement(statement: p.Statement, at: p.Statement) -> g.Undo:
    match statement:
        case p.For(body=body):
            return undo_of_loop(statement, undo_at(body, at))
        case p.Parallel(branches=branches):
            plans = (undo_at(b, at) if _holds(b, at) else begun(undo_of(b)) for b in branches)
            return together(plans, partly=True)
        case _:
            inside = (block for block in blocks_of(statement) if _holds(block, at))
            return next((undo_at(block, at) for block in inside), NOTHING)


def undo_of_loop(loop: p.For, failed: g.Undo) -> g.Undo:
    """What is undone of a loop in which one iteration failed, which owes `failed`."""
    whole = undo_of(loop.body)
    if whole == NOTHING:
        return failed
    if failed == whole:
        return UndoSome(loop, whole)
    if loop.at_once > 1:
        return together((failed, UndoSome(loop, begun(whole), others=True)))
    return in_sequence((failed, UndoSome(loop, whole, others=True)))


def together(plans: Iterable[g.Undo], *, partly: bool = False) -> g.Undo:
    left = tuple(plan for plan in plans if plan != NOTHING)
    if len(left) > 1:
        return g.UndoTogether(left, partly)
    return left[0] if left else NOTHING


# --- What an attempt catches ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Caught:
    """What is undone before a handler runs, after some of its errors. `at`: the statements that
    fail so; none where any may. `label`: the errors, and from where if that makes a difference."""

    errors: tuple[str, ...]
    plan: g.Undo
    at: tuple[p.Statement, ...]
    label: str


def caught(program: p.Program, attempt: p.Attempt, handler: p.Handler) -> tuple[Caught, ...]:
    """The errors of a handler, those together after which the same is undone."""
    groups: list[tuple[g.Undo, dict[str, None], list[p.Statement]]] = []
    declared = failures(program, attempt.body)

    def add(error: str, plan: g.Undo, at: p.Statement | None) -> None:
        group = next((one for one in groups if one[0] == plan), None)
        if group is None:
            group = (plan, {}, [])
            groups.append(group)
        group[1][error] = None
        if at is not None:
            group[2].append(at)

    for error in handler.errors:
        places = [failure.at for failure in declared if error in failure.errors]
        if error in BUILT_IN_ERRORS:  # it can strike at any point, the last one included
            add(error, begun(undo_of(attempt.body)), None)
        elif not places:
            add(error, NOTHING, None)
        for at in places:
            add(error, undo_at(attempt.body, at), at)
    many = {e for e in handler.errors if sum(e in errors for _, errors, _ in groups) > 1}
    return tuple(
        Caught(tuple(errors), plan, tuple(at), _label(errors, at, many))
        for plan, errors, at in groups
    )


def _label(errors: Iterable[str], at: Iterable[p.Statement], many: set[str]) -> str:
    text = " or ".join(errors)
    names = dict.fromkeys(_name(one) for one in at)
    return f"{text} from {' or '.join(names)}" if names and many.intersection(errors) else text


def _name(statement: p.Statement) -> str:
    match statement:
        case p.Step(call=call, path=path):
            return call.label if path.startswith(call.label) else f"{call.label} ({path})"
        case p.ChildStep(saga=saga):
            return f"saga {saga}"
        case p.Wait(name=name) | p.Poll(name=name):
            return name
        case _:
            return "abort"
