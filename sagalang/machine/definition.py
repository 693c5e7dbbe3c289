"""A saga made ready to run: every block and statement can be named by a small value.

States refer to blocks by number and to statements by path, so that they stay small, hashable and
independent of the program's syntax trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from sagalang.machine.evaluate import Build
from sagalang.model import program as p

ROOT: Final = 0


class Ref(Struct, frozen=True, gc=False):
    """A statement: the number of its block and its index there."""

    block: int
    index: int


@dataclass(frozen=True, eq=False, slots=True)
class Definition:
    """What runs of one saga have in common; made by `define`."""

    program: p.Program
    saga: p.Saga
    build: Build
    blocks: tuple[p.Block, ...]
    children: Mapping[Ref, tuple[int, ...]]
    """The blocks of a compound statement: branches, arms, body, body and handlers."""
    paths: tuple[frozenset[str], ...]
    """Per block: the paths of all statements in it, at any depth."""
    exports: tuple[tuple[str, ...], ...]
    """Per block: the names it hands to the statement around it."""
    statements: Mapping[str, p.Statement]
    """By path."""
    loops: Mapping[str, tuple[str, ...]]
    """By path: the paths of the loops around a statement."""
    epilogue: int | None
    """The block of `when compensated`."""

    def statement(self, ref: Ref) -> p.Statement:
        return self.blocks[ref.block].statements[ref.index]

    def has_pivot(self, block: int) -> bool:
        return any(
            isinstance(statement, p.Step | p.ChildStep) and statement.pivot
            for statement in map(self.statements.get, self.paths[block])
        )


def define(program: p.Program, saga_name: str, build: Build) -> Definition:
    """Index a saga of a checked program. Raises KeyError if there is no such saga."""
    saga = program.sagas[saga_name]
    blocks: list[p.Block] = []
    paths: list[frozenset[str]] = []
    exports: list[tuple[str, ...]] = []
    children: dict[Ref, tuple[int, ...]] = {}
    statements: dict[str, p.Statement] = {}
    loops: dict[str, tuple[str, ...]] = {}

    def add(block: p.Block, around: tuple[str, ...], names: tuple[str, ...]) -> int:
        number = len(blocks)
        blocks.append(block)
        paths.append(frozenset())
        exports.append(names)
        inside: set[str] = set()
        for index, statement in enumerate(block.statements):
            path = getattr(statement, "path", None)
            if path is not None:
                inside.add(path)
                statements[path] = statement
                loops[path] = around
            within = (*around, statement.path) if isinstance(statement, p.For) else around
            numbers = tuple(add(child, within, given) for child, given in _children(statement))
            if numbers:
                children[Ref(number, index)] = numbers
                inside.update(*(paths[child] for child in numbers))
        paths[number] = frozenset(inside)
        return number

    add(saga.body, (), ())
    after = saga.when_compensated
    epilogue = add(after.body, (), ()) if after is not None else None
    return Definition(
        program=program,
        saga=saga,
        build=build,
        blocks=tuple(blocks),
        children=children,
        paths=tuple(paths),
        exports=tuple(exports),
        statements=statements,
        loops=loops,
        epilogue=epilogue,
    )


def _children(statement: p.Statement) -> list[tuple[p.Block, tuple[str, ...]]]:
    def plain(block: p.Block) -> tuple[p.Block, tuple[str, ...]]:
        return block, tuple(name for name, _ in block.exports)

    match statement:
        case p.Parallel(branches=branches):
            return [plain(branch) for branch in branches]
        case p.For(body=body, binds=binds):
            return [(body, tuple(name for name, _ in binds))]
        case p.If(then=then, otherwise=otherwise):
            return [plain(then), plain(otherwise)]
        case p.Attempt(body=body, handlers=handlers):
            return [plain(body), *(plain(handler.body) for handler in handlers)]
        case _:
            return []
