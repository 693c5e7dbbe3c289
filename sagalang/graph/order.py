"""Happens-before, worked out from the structure: text order, relaxed by `parallel`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sagalang.graph.structure import blocks_of
from sagalang.model import program as p

Edge = tuple[str, str]


class _Part(NamedTuple):
    """What a piece of a saga looks like from outside.

    `skips`: it can be passed without any of its nodes. `goes_on`: it can be passed at all.
    """

    entries: tuple[str, ...]
    exits: tuple[str, ...]
    skips: bool
    goes_on: bool = True


def happens_before_edges(block: p.Block) -> tuple[Edge, ...]:
    """From each node to those that may follow it directly, as paths."""
    edges: dict[Edge, None] = {}
    _block(block, edges)
    return tuple(edges)


def _block(block: p.Block, edges: dict[Edge, None]) -> _Part:
    entries: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    at_start = True
    for statement in block.statements:
        part = _statement(statement, edges)
        edges.update(dict.fromkeys((a, b) for a in last for b in part.entries))
        if at_start:
            entries += part.entries
        if not part.goes_on:
            return _Part(entries, (), False, False)
        last = (*last, *part.exits) if part.skips else part.exits
        at_start = at_start and part.skips
    return _Part(entries, last, at_start)


def _statement(statement: p.Statement, edges: dict[Edge, None]) -> _Part:
    match statement:
        case p.Step() | p.ChildStep() | p.Wait() | p.Poll() | p.Sleep():
            return _Part((statement.path,), (statement.path,), False)
        case p.Let():
            return _Part((), (), True)
        case p.Abort() | p.Return():
            return _Part((), (), False, False)
        case p.Parallel():
            parts = [_block(branch, edges) for branch in statement.branches]
            return _Part(
                _joined(part.entries for part in parts),
                _joined(part.exits for part in parts),
                all(part.skips for part in parts),
                all(part.goes_on for part in parts),
            )
        case p.For():
            return _block(statement.body, edges)._replace(skips=True, goes_on=True)
        case p.If():
            return _either([_block(arm, edges) for arm in (statement.then, statement.otherwise)])
        case p.Attempt():
            return _attempt(statement, edges)


def _attempt(statement: p.Attempt, edges: dict[Edge, None]) -> _Part:
    """A handler comes after whatever of the body has happened."""
    body = _block(statement.body, edges)
    inside = _paths(statement.body)
    leads_on = {before for before, _ in edges}
    ends = tuple(path for path in inside if path not in leads_on)
    ways = [body]
    for handler in statement.handlers:
        part = _block(handler.body, edges)
        edges.update(dict.fromkeys((a, b) for a in ends for b in part.entries))
        exits = (*ends, *part.exits) if part.skips and part.goes_on else part.exits
        entries = () if inside else part.entries
        ways.append(_Part(entries, exits, part.skips and not inside, part.goes_on))
    return _either(ways)


def _either(ways: list[_Part]) -> _Part:
    alive = [way for way in ways if way.goes_on]
    return _Part(
        _joined(way.entries for way in ways),
        _joined(way.exits for way in alive),
        any(way.skips for way in alive),
        bool(alive),
    )


def _joined(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for some in paths for path in some))


def _paths(block: p.Block) -> tuple[str, ...]:
    found: list[str] = []
    for statement in block.statements:
        if isinstance(statement, p.Step | p.ChildStep | p.Wait | p.Poll | p.Sleep):
            found.append(statement.path)
        for inner in blocks_of(statement):
            found += _paths(inner)
    return tuple(found)
