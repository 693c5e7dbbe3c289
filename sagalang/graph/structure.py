"""Questions about the shape of a block that several analyses ask."""

from __future__ import annotations

from collections.abc import Iterator

from sagalang.model import program as p


def blocks_of(statement: p.Statement) -> tuple[p.Block, ...]:
    """The blocks of a compound statement, in text order; none for any other."""
    match statement:
        case p.Parallel(branches=branches):
            return branches
        case p.For(body=body):
            return (body,)
        case p.If(then=then, otherwise=otherwise):
            return (then, otherwise)
        case p.Attempt(body=body, handlers=handlers):
            return (body, *(handler.body for handler in handlers))
        case _:
            return ()


def statements(block: p.Block) -> Iterator[p.Statement]:
    """All statements of a block, at any depth, in text order."""
    for statement in block.statements:
        yield statement
        for inner in blocks_of(statement):
            yield from statements(inner)


def bodies(saga: p.Saga) -> tuple[p.Block, ...]:
    """The saga's statements, and those of `when compensated`."""
    after = saga.when_compensated
    return (saga.body,) if after is None else (saga.body, after.body)


def goes_on(block: p.Block) -> bool:
    """Whether what follows the block can be reached through it."""
    return all(_passes(statement) for statement in block.statements)


def _passes(statement: p.Statement) -> bool:
    match statement:
        case p.Abort() | p.Return():
            return False
        case p.Parallel(branches=branches):
            return all(goes_on(branch) for branch in branches)
        case p.If() | p.Attempt():
            return any(goes_on(block) for block in blocks_of(statement))
        case _:
            return True


def has_pivot(block: p.Block) -> bool:
    """Whether a pivot stands in the block, at any depth."""
    return any(
        isinstance(statement, p.Step | p.ChildStep) and statement.pivot
        for statement in statements(block)
    )
