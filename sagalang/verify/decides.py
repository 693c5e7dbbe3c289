"""What of a saga decides anything: all other values are only handed on, and no value is known.

A name decides where a condition, the run of a loop or the very existence of a value depends on it.
Everything else that a step answers or a call is given makes no difference to what may happen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from sagalang.graph.structure import bodies, statements
from sagalang.machine.definition import Definition
from sagalang.model import program as p
from sagalang.model.types import JSON, is_optional, reveal


def deciding(blocks: Iterable[p.Block], without: Iterable[p.Block] = ()) -> frozenset[str]:
    """The names whose values something in the blocks may depend on: a condition, the run of a
    loop, whether an expression has a value. `without`: blocks that are left out."""
    found: set[str] = set()
    flows: dict[str, set[str]] = {}

    left_out = {id(statement) for block in without for statement in statements(block)}
    every = (statement for block in blocks for statement in statements(block))
    for statement in (one for one in every if id(one) not in left_out):
        opaque, used = _uses(statement)
        found.update(names(used), names(expr for expr in opaque if not total(expr)))
        if isinstance(statement, p.Let):
            flows.setdefault(statement.name, set()).update(names((statement.value,)))
    while more := {n for name in found for n in flows.get(name, ())} - found:
        found |= more
    return frozenset(found)


def _uses(statement: p.Statement) -> tuple[list[p.Expr], list[p.Expr]]:
    """The expressions whose values are only handed on, and those that decide something."""
    opaque: list[p.Expr | None] = []
    used: list[p.Expr | None] = []
    match statement:
        case p.Step(call=call, compensation=compensation):
            opaque += call.args
            if isinstance(compensation, p.Compensation):
                opaque += compensation.call.args
        case p.ChildStep(args=args):
            used += args
        case p.Let(value=value) | p.Return(value=value):
            opaque.append(value)
        case p.If(condition=condition):
            used.append(condition)
        case p.Abort(fields=fields):
            used += [value for _, value in fields]
        case p.Sleep(value=value):
            used.append(value)
        case p.For(source=source, by=by):
            used += [source, by]
        case p.Wait(where=where):
            used.append(where)
        case p.Poll(call=call, until=until):
            opaque += call.args
            used.append(until)
        case _:
            pass
    if isinstance(statement, p.Wait | p.Poll) and isinstance(statement.otherwise, p.Abort):
        used += [value for _, value in statement.otherwise.fields]
    return [e for e in opaque if e is not None], [e for e in used if e is not None]


def total(expr: p.Expr) -> bool:
    """Whether the expression has a value for sure, and asks nothing on the way."""
    match expr:
        case p.Const() | p.Ref() | p.KeyOf() | p.ResultOf():
            return True
        case p.Convert(value=value):
            return total(value)
        case p.Member(value=value) | p.Update(value=value):
            more = [item for _, item in expr.fields] if isinstance(expr, p.Update) else []
            bare = reveal(value.type)
            return bare != JSON and not is_optional(bare) and all(map(total, [value, *more]))
        case p.MakeRecord(fields=fields):
            return all(total(value) for _, value in fields)
        case p.MakeList(items=items) | p.Interpolate(parts=items):
            return all(map(total, items))
        case _:
            return False


# --- Looking at a text ---------------------------------------------------------------------------


def bound(statement: p.Statement) -> Iterator[str]:
    match statement:
        case p.For(variable=variable):
            yield variable
        case p.Attempt(handlers=handlers):
            yield from (handler.binder for handler in handlers if handler.binder is not None)
        case p.Step(name=str() as name) | p.ChildStep(name=str() as name):
            yield name
        case p.Let(name=name) | p.Wait(name=name) | p.Poll(name=name):
            yield name
        case _:
            pass


def expressions(definition: Definition) -> Iterator[Any]:
    """All expressions of a saga, with those inside of them and the probes of its commands."""
    for statement in (s for block in bodies(definition.saga) for s in statements(block)):
        for some in _uses(statement):
            yield from inside(some)
        calls = [statement.call] if isinstance(statement, p.Step | p.Poll) else []
        if isinstance(statement, p.Step) and isinstance(statement.compensation, p.Compensation):
            calls.append(statement.compensation.call)
        for call in calls:
            probe = definition.program.operation(call).probe
            if probe is not None:
                yield from inside(probe.args)


def inside(values: Iterable[Any]) -> Iterator[Any]:
    """Every expression, or other struct, in the values, at any depth."""
    for value in values:
        if isinstance(value, tuple):
            yield from inside(value)
        elif isinstance(value, Struct):
            yield value
            fields = (n for n in value.__struct_fields__ if n not in ("span", "type"))
            yield from inside(getattr(value, name) for name in fields)


def names(exprs: Iterable[p.Expr | None]) -> set[str]:
    return {expr.name for expr in inside(exprs) if isinstance(expr, p.Ref)}
