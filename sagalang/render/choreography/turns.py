"""Whose turn it is: who acts first in a piece of a saga, and who acts when it is over."""

from __future__ import annotations

from sagalang.model import program as p
from sagalang.render.cast import Cast
from sagalang.render.choreography.events import STARTER

_NOBODY = -1


def turns(cast: Cast, block: p.Block, after: int) -> tuple[int, ...]:
    """For each statement who acts when it is over; `after`: when all of them are."""
    found = []
    for statement in reversed(block.statements):
        found.append(after)
        after = first(cast, statement, after)
    return tuple(reversed(found))


def first_of(cast: Cast, block: p.Block, after: int) -> int:
    """Who acts first in a block; `after` where nobody does."""
    for statement in reversed(block.statements):
        after = first(cast, statement, after)
    return after


def first(cast: Cast, statement: p.Statement, after: int) -> int:
    """Who acts first in a statement. Nobody acts in a wait or a sleep: what was waited for, and
    the timer, belong to whoever acts then."""
    blocks: tuple[p.Block, ...]
    match statement:
        case p.Step(call=call) | p.Poll(call=call):
            return cast.service(call.service)
        case p.ChildStep(saga=name):
            return cast.saga(name)
        case p.Return():
            return STARTER
        case p.Parallel(branches=blocks):
            pass
        case p.If(then=then, otherwise=otherwise):
            blocks = (then, otherwise)
        case p.For(body=body) | p.Attempt(body=body):
            blocks = (body,)
        case _:
            return after
    found = (first_of(cast, block, _NOBODY) for block in blocks)
    return next((who for who in found if who != _NOBODY), after)
