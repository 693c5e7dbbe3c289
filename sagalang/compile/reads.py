"""Which names are read where, so that what nobody reads gets no variable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sagalang.model import program as p
from sagalang.model import types as t


def names_in(*exprs: p.Expr | None) -> frozenset[str]:
    """The names that expressions read."""
    return frozenset(name for expr in exprs if expr is not None for name in _names(expr))


def _names(expr: p.Expr) -> Iterator[str]:
    match expr:
        case p.Ref(name=name):
            yield name
        case p.Comprehension(element=element, variable=variable, source=source):
            yield from _names(source)
            yield from names_in(element, expr.condition) - {variable}
        case _:
            for part in parts(expr):
                yield from _names(part)


def parts(expr: p.Expr) -> tuple[p.Expr, ...]:
    """The expressions directly inside."""
    match expr:
        case p.Member(value=value) | p.Convert(value=value):
            return (value,)
        case p.Index(value=value, index=index):
            return value, index
        case p.Unary(operand=operand):
            return (operand,)
        case p.Binary(left=left, right=right):
            return left, right
        case p.Conditional(condition=condition, then=then, otherwise=otherwise):
            return condition, then, otherwise
        case p.MakeRecord(fields=fields):
            return tuple(value for _, value in fields)
        case p.Update(value=value, fields=fields):
            return value, *(item for _, item in fields)
        case p.MakeList(items=items) | p.Interpolate(parts=items):
            return items
        case p.Apply(args=args):
            return args
        case p.Comprehension(element=element, source=source, condition=condition):
            return (element, source) if condition is None else (element, source, condition)
        case _:
            return ()


def mentions(expr: p.Expr | None, kind: type[p.Expr] | tuple[type, ...]) -> bool:
    """Whether a node of this kind occurs in the expression."""
    if expr is None:
        return False
    return isinstance(expr, kind) or any(mentions(part, kind) for part in parts(expr))


def uses_now(expr: p.Expr | None) -> bool:
    if expr is None:
        return False
    if isinstance(expr, p.Apply) and expr.function == "now":
        return True
    return any(uses_now(part) for part in parts(expr))


def of_call(call: p.Call) -> frozenset[str]:
    return names_in(*call.args)


def of_block(block: p.Block) -> frozenset[str]:
    return frozenset().union(*(of(statement) for statement in block.statements))


def of(statement: p.Statement) -> frozenset[str]:
    """The names that a statement reads, at any depth. A name bound inside counts too: that can
    only make a variable out of something that needed none."""
    match statement:
        case p.Step(call=call, compensation=compensation):
            found = of_call(call)
            if isinstance(compensation, p.Compensation):
                found |= of_call(compensation.call)
            return found
        case p.ChildStep(args=args):
            return names_in(*args)
        case p.Parallel(branches=branches):
            return _all(of_block(branch) for branch in branches)
        case p.For(source=source, by=by, body=body):
            return names_in(source, by) | of_block(body)
        case p.If(condition=condition, then=then, otherwise=otherwise):
            return names_in(condition) | of_block(then) | of_block(otherwise)
        case p.Let(value=value) | p.Return(value=value) | p.Sleep(value=value):
            return names_in(value)
        case p.Abort(fields=fields):
            return names_in(*(value for _, value in fields))
        case p.Wait(where=where, otherwise=otherwise_):
            return names_in(where) | _of_otherwise(otherwise_)
        case p.Poll(call=call, until=until, otherwise=otherwise_):
            return of_call(call) | names_in(until) | _of_otherwise(otherwise_)
        case p.Attempt(body=body, handlers=handlers):
            return of_block(body) | _all(of_block(handler.body) for handler in handlers)


def _of_otherwise(otherwise: p.Otherwise) -> frozenset[str]:
    return of(otherwise) if isinstance(otherwise, p.Abort) else frozenset()


def _all(found: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*found)


def bound(block: p.Block) -> dict[str, t.Type]:
    """The names that a block binds for what follows it, with their types there."""
    found: dict[str, t.Type] = {}
    for statement in block.statements:
        match statement:
            case p.Step() | p.ChildStep() if statement.name is not None:
                found[statement.name] = statement.type
            case p.Wait() | p.Poll():
                found[statement.name] = statement.type
            case p.Let(name=name, value=value):
                found[name] = value.type
            case p.Parallel(branches=branches):
                for branch in branches:
                    found |= dict(branch.exports)
            case p.For(binds=binds):
                found |= {name: t.ListOf(kind) for name, kind in binds}
            case p.If(then=then):
                found |= dict(then.exports)
            case p.Attempt(body=body):
                found |= dict(body.exports)
            case _:
                pass
    return found


def forgotten(body: p.Block, handler: p.Block) -> frozenset[str]:
    """The names that are null behind the handler, and that the body may have bound before it
    failed."""
    # What every handler that goes on binds is never null.
    maybe = {name for name, kind in body.exports if t.is_optional(kind)}
    return (_bound_before(body) & maybe) - frozenset(bound(handler))


def _bound_before(block: p.Block) -> frozenset[str]:
    """The names that may have a value when a block fails: the statement that fails binds none,
    but what stands inside of it may have."""
    found = frozenset(bound(p.Block(block.statements[:-1])))
    match block.statements[-1:]:
        case (p.If(then=then, otherwise=otherwise),):
            return found | _bound_before(then) | _bound_before(otherwise)
        case (p.Attempt(body=body, handlers=handlers),):
            return found | _bound_before(body) | _all(_bound_before(h.body) for h in handlers)
        case _:
            return found


def gives(last: p.Statement | None, name: str) -> bool:
    """Whether the last statement of a block binds this name, and gives nothing else."""
    match last:
        case p.Step() | p.ChildStep() | p.Let():
            return last.name == name
        case p.Wait() | p.Poll():
            return last.name == name and not isinstance(last.otherwise, p.Abort)
        case p.For():
            return name in dict(last.binds)
        case _:
            return False


def raises(block: p.Block) -> bool:
    """Whether an exception is raised in the text of a block, functions inside it left out."""
    for item in block.statements:
        match item:
            case p.Abort():
                return True
            case p.Wait(otherwise=p.Abort()) | p.Poll(otherwise=p.Abort()):
                return True
            case p.If(then=then, otherwise=otherwise) if raises(then) or raises(otherwise):
                return True
            case p.For(at_once=1, body=body) if raises(body):
                return True
            case p.Attempt(body=body) if raises(body):  # a handler has an exception of its own
                return True
            case _:
                pass
    return False
