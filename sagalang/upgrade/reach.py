"""The positions of a saga's runs, and which statements a run there has come to.

A statement's slot is its way from the saga: the number of the block (0 the body, 1 `when
compensated`), its index there, the number of the block inside it, the index there, and so on. The
slot after the last statement of a block is the block's end. The empty slot is the saga itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Flag
from typing import Final

from sagalang.graph.structure import blocks_of, goes_on, statements
from sagalang.model import program as p
from sagalang.model.expressions import may_fail
from sagalang.text import Span
from sagalang.upgrade.findings import Kind

Slot = tuple[int, ...]
WHOLE: Final[Slot] = ()
BODY: Final[Slot] = (0,)
EPILOGUE: Final[Slot] = (1,)


class Reach(Flag):
    """What may have become of a statement in a run."""

    BEGUN = 1
    ENDED = 2
    """It has an outcome, and the run goes by that."""
    DOUBT = 4
    """Its call may be in flight, or not known to have happened."""
    UNDONE = 8
    """It is being undone, or was."""


_PASSED: Final = Reach.BEGUN | Reach.ENDED
_ALL: Final = _PASSED | Reach.DOUBT | Reach.UNDONE

Reached = Mapping[Slot, Reach]
Leaf = p.Step | p.ChildStep | p.Wait | p.Poll | p.Sleep


@dataclass(frozen=True, slots=True)
class Station:
    """A position, and what is reached there. `statement`: None for the end of the saga."""

    kind: Kind
    statement: p.Statement | None
    span: Span
    epilogue: bool
    reached: Reached


def stations(saga: p.Saga, *, is_child: bool) -> tuple[Station, ...]:
    """All positions of a saga's runs, in text order. `is_child`: another saga runs it, and may
    undo it once it is completed."""
    found: list[Station] = []
    begun: Reached = {WHOLE: Reach.BEGUN}
    _, settled = _walk(found, saga.body, BODY, begun, begun, final=False)
    last = saga.body.statements[-1].span if saga.body.statements else saga.span
    end = Span(last.file, last.end, last.end)
    if goes_on(saga.body):
        found.append(Station(Kind.BEFORE, None, end, False, settled))
    if is_child:
        done = _with(begun, *_whole(saga.body, BODY, _PASSED))
        found.append(Station(Kind.AFTER, None, end, False, done))
    if saga.when_compensated is not None:
        gone = _undone(_with(begun, *_whole(saga.body, BODY, _ALL)))
        _walk(found, saga.when_compensated.body, EPILOGUE, gone, gone, final=True)
    return tuple(found)


def leaves_record(statement: p.Statement) -> bool:
    """Whether a run that passed the statement may have something of it on record."""
    if isinstance(statement, Leaf | p.Attempt):
        return True
    inside = (inner for block in blocks_of(statement) for inner in statements(block))
    return any(isinstance(inner, Leaf | p.Attempt) for inner in inside)


def failing(statement: p.Statement) -> bool:
    """Whether a statement that calls nothing may fail, because a value is missing."""
    match statement:
        case p.Let(value=value) | p.Return(value=value) | p.If(condition=value):
            return may_fail(value)
        case p.For(source=source, by=by):
            return may_fail(source) or may_fail(by)
        case _:
            return False


# --- The walk ------------------------------------------------------------------------------------


def _walk(
    found: list[Station],
    block: p.Block,
    at: Slot,
    passed: Reached,
    settled: Reached,
    *,
    final: bool,
) -> tuple[Reached, Reached]:
    """`passed`: what a run under way in the block has reached. `settled`: what one has on record
    that has not begun the next statement; what was only worked out will be worked out anew.
    `final`: nothing here is ever undone."""
    epilogue = at[:1] == EPILOGUE
    for index, statement in enumerate(block.statements):
        slot = (*at, index)

        def add(kind: Kind, reached: Reached, statement: p.Statement = statement) -> None:
            found.append(Station(kind, statement, statement.span, epilogue, reached))

        if isinstance(statement, Leaf):
            add(Kind.BEFORE, settled)
            add(Kind.IN, _with(passed, (slot, Reach.BEGUN | Reach.DOUBT)))
        if isinstance(statement, p.Return):
            add(Kind.BEFORE, settled)
        if (isinstance(statement, Leaf | p.Abort) or failing(statement)) and not final:
            add(Kind.UNDOING, _undone(_with(passed, (slot, _ALL))))
        _inside(found, statement, slot, passed, settled, final)
        final = final or (isinstance(statement, p.Step | p.ChildStep) and statement.pivot)
        passed = _with(passed, *_whole_statement(statement, slot, _PASSED))
        if leaves_record(statement):
            settled = passed
    return passed, settled


def _inside(
    found: list[Station],
    statement: p.Statement,
    slot: Slot,
    passed: Reached,
    settled: Reached,
    final: bool,
) -> None:
    begun = _with(passed, (slot, Reach.BEGUN))
    match statement:
        case p.Parallel(branches=branches):
            for number, branch in enumerate(branches):
                # The others may be anywhere.
                beside = [
                    pair
                    for other, sibling in enumerate(branches)
                    if other != number
                    for pair in _whole(sibling, (*slot, other), _PASSED | Reach.DOUBT)
                ]
                others = any(map(leaves_record, _of(branches, number)))
                before = _with(settled, (slot, Reach.BEGUN), *beside) if others else settled
                _walk(found, branch, (*slot, number), _with(begun, *beside), before, final=final)
        case p.For(body=body, at_once=at_once):
            # Other iterations may have come to their end, or be anywhere.
            flags = _PASSED if at_once == 1 else _PASSED | Reach.DOUBT
            beside = list(_whole(body, (*slot, 0), flags))
            before = _with(settled, (slot, Reach.BEGUN), *beside)
            _walk(found, body, (*slot, 0), _with(begun, *beside), before, final=final)
        case p.Attempt(body=body, handlers=handlers):
            _walk(found, body, (*slot, 0), begun, settled, final=False)
            gone = _with(begun, (slot, _ALL), *_whole(body, (*slot, 0), _ALL))
            for number, handler in enumerate(handlers):
                _walk(found, handler.body, (*slot, number + 1), gone, gone, final=final)
        case _:
            for number, block in enumerate(blocks_of(statement)):
                _walk(found, block, (*slot, number), begun, settled, final=final)


def _of(branches: tuple[p.Block, ...], left_out: int) -> Iterator[p.Statement]:
    for number, branch in enumerate(branches):
        if number != left_out:
            yield from branch.statements


# --- What lies behind ----------------------------------------------------------------------------


def _whole(block: p.Block, at: Slot, flags: Reach) -> Iterator[tuple[Slot, Reach]]:
    """All of a block, its end included."""
    for index, statement in enumerate(block.statements):
        yield from _whole_statement(statement, (*at, index), flags)
    yield (*at, len(block.statements)), flags


def _whole_statement(
    statement: p.Statement, slot: Slot, flags: Reach
) -> Iterator[tuple[Slot, Reach]]:
    yield slot, flags
    match statement:
        case p.Attempt(body=body, handlers=handlers):
            # The body may have failed anywhere; then it was undone.
            yield slot, _ALL
            yield from _whole(body, (*slot, 0), _ALL)
            for number, handler in enumerate(handlers):
                yield from _whole(handler.body, (*slot, number + 1), flags)
        case p.If(then=then, otherwise=otherwise) if not flags & Reach.UNDONE:
            # An arm that ends the saga was not taken.
            for number, arm in enumerate((then, otherwise)):
                if goes_on(arm):
                    yield from _whole(arm, (*slot, number), flags)
        case _:
            for number, block in enumerate(blocks_of(statement)):
                yield from _whole(block, (*slot, number), flags)


def _with(reached: Reached, *more: tuple[Slot, Reach]) -> Reached:
    found = dict(reached)
    for slot, flags in more:
        found[slot] = found.get(slot, Reach(0)) | flags
    return found


def _undone(reached: Reached) -> Reached:
    return {slot: flags | Reach.UNDONE for slot, flags in reached.items()}
