"""Sagas: children before parents, so that a parent knows its child's errors and pivot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sagalang.model import errors as e
from sagalang.model import program as p
from sagalang.model.context import Context
from sagalang.model.declare import fields_of, is_scalar, resolve_type
from sagalang.model.flow import Flow, Frame, Region
from sagalang.model.policies import lookup
from sagalang.model.scope import Binding, Scope
from sagalang.model.statements import block, when_compensated
from sagalang.model.types import NULL, Null, Secret, Unknown, is_optional, show
from sagalang.syntax import ast
from sagalang.text import Span

_HOUR: p.Ms = 3_600_000


def declare_sagas(context: Context) -> None:
    declared = {
        name: found for name, found in context.declared.items() if isinstance(found, ast.SagaDecl)
    }
    children = {name: dict(_children(found.body)) for name, found in declared.items()}
    used_as_child = {child for calls in children.values() for child in calls}
    for name in declared:
        _in_order(context, name, declared, children, (), used_as_child)
    order = list(declared)
    context.sagas = {name: context.sagas[name] for name in order if name in context.sagas}


def _in_order(
    context: Context,
    name: str,
    declared: dict[str, ast.SagaDecl],
    children: dict[str, dict[str, Span]],
    chain: tuple[str, ...],
    used_as_child: set[str],
) -> None:
    if name in context.sagas or (name in context.poisoned and name in chain):
        return
    for child, where in children[name].items():
        if child == name or child in chain:
            context.report(
                "recursive-saga",
                where,
                f"the saga `{child}` would run itself",
                other=(declared[child].name.span, "declared here"),
                help="use a `for` over a list, or `poll` until something holds",
            )
            context.poisoned.add(child)
        elif child in declared and child not in context.sagas:
            _in_order(context, child, declared, children, (*chain, name), used_as_child)
    if name not in context.sagas:
        context.sagas[name] = _saga(context, declared[name], name in used_as_child)


def _children(node: Any) -> Iterator[tuple[str, Span]]:
    """The sagas that a block runs as steps, with the place."""
    match node:
        case ast.Step(_, _, ast.ChildCall(saga, _, _)):
            yield saga.text, saga.span
        case ast.Block(statements, _):
            for statement in statements:
                yield from _children(statement)
        case ast.Parallel() | ast.Branch() | ast.For():
            yield from _children(node.body)
        case ast.If():
            yield from _children(node.then)
            yield from _children(node.otherwise)
        case ast.Attempt():
            yield from _children(node.body)
            for handler in node.handlers:
                yield from _children(handler.body)


def _saga(context: Context, found: ast.SagaDecl, is_child: bool) -> p.Saga:
    params = tuple(
        p.Param(f.name, f.type, f.wire, f.span)
        for f in fields_of(context, found.params, f"the saga `{found.name.text}`")
    )
    result = resolve_type(context, found.result) if found.result else NULL
    if isinstance(found.result, ast.RecordType):
        context.report(
            "type-mismatch",
            found.result.span,
            f"the result of the saga `{found.name.text}` needs a name: callers are given its type",
            help="declare it as a `record`",
        )
    frame = Frame(context, found, result)
    scope = Scope(names={x.name: Binding(x.type, x.span, "param") for x in params})
    identity = _head(frame, found, scope)
    if identity is None and not is_child:
        context.report(
            "missing-id",
            found.name.span,
            f"nothing tells two runs of `{found.name.text}` apart",
            help="begin the saga with `id …`, the value that names the business transaction",
        )
    statements = [s for s in found.body.statements if not isinstance(s, _HEADS)]
    farewell = None
    if statements and isinstance(statements[-1], ast.WhenCompensated):
        farewell = statements.pop()
    body, flow = block(frame, statements, Flow(scope), Region())
    last = None
    if isinstance(farewell, ast.WhenCompensated):
        last = when_compensated(frame, farewell, scope)
    if flow.goes_on and not isinstance(result, Null):
        context.report(
            "missing-return",
            found.name.span,
            f"`{found.name.text}` promises `{show(result)}`, and can end without it",
            help="end every path with `return …` or `abort …`",
        )
    for name, span, what in frame.bound:
        if name not in frame.used and not name.startswith("_"):
            context.report(
                "unused-name",
                span,
                f"the {what} `{name}` is never used",
                help=f"remove it, or call it `_{name}`",
            )
    _unused_params(frame, params)
    errors = list(frame.errors)
    if frame.deadline is not None:
        errors.append(e.DEADLINE_EXCEEDED)
    return p.Saga(
        found.name.text,
        params,
        result,
        identity,
        frame.deadline,
        frame.compensate_with,
        frame.escalate,
        body,
        last,
        tuple(sorted(errors, key=lambda name: name in e.BUILT_IN_ERRORS)),
        found.doc,
        found.name.span,
    )


_HEADS = (ast.SagaId, ast.Deadline, ast.CompensateWith)


def _head(frame: Frame, found: ast.SagaDecl, scope: Scope) -> p.Expr | None:
    """`id`, `deadline` and `compensate with`."""
    context = frame.context
    identity: p.Expr | None = None
    seen: dict[type, Span] = {}
    for item in found.body.statements:
        if not isinstance(item, _HEADS):
            break
        if type(item) in seen:
            context.report(
                "repeated-clause",
                item.span,
                "a saga states this once",
                "here again",
                other=(seen[type(item)], "first here"),
                help="remove one",
            )
            continue
        seen[type(item)] = item.span
        match item:
            case ast.SagaId():
                identity = _identity(frame, item, scope)
            case ast.Deadline():
                frame.deadline = item.within.value
                if item.within.value <= 0:
                    context.report(
                        "policy-conflict", item.within.span, "a deadline of 0 has already passed"
                    )
            case ast.CompensateWith():
                frame.compensate_with = lookup(context, item.policy)
                if item.escalate is not None:
                    frame.escalate = p.Escalation(
                        item.escalate.team.value, _HOUR, item.escalate.span
                    )
    return identity


def _identity(frame: Frame, item: ast.SagaId, scope: Scope) -> p.Expr:
    typing = frame.typing(Flow(scope))
    made = typing.infer(item.value)
    frame.done(typing)
    if isinstance(made.type, Secret):
        frame.context.report(
            "secret-leak",
            made.span,
            "the id of a saga is part of keys, logs and diagrams, and this is secret",
            help="use another field",
        )
    elif not isinstance(made.type, Unknown) and (
        is_optional(made.type) or not is_scalar(made.type)
    ):
        frame.context.report(
            "type-mismatch",
            made.span,
            f"an id needs a value with one short text, and this is `{show(made.type)}`",
            show(made.type),
            help="use a string, an int or a uuid",
        )
    return made


def _unused_params(frame: Frame, params: tuple[p.Param, ...]) -> None:
    for param in params:
        if param.name not in frame.used and not param.name.startswith("_"):
            frame.context.report(
                "unused-name",
                param.span,
                f"the parameter `{param.name}` is never used",
                help=f"remove it, or call it `_{param.name}`",
            )
