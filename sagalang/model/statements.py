"""Statements of a saga: what they bind, where they lead, and which of them can never run."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from sagalang.model import errors as e
from sagalang.model import program as p
from sagalang.model.declare import is_scalar
from sagalang.model.fit import join
from sagalang.model.flow import Flow, Frame, Region
from sagalang.model.scope import Binding, Scope
from sagalang.model.simple_statements import abort, let, poll, return_, sleep, wait
from sagalang.model.steps import declare, step
from sagalang.model.types import (
    STRING,
    UNKNOWN,
    InlineRecord,
    ListOf,
    RecordRef,
    Secret,
    Type,
    Unknown,
    optional,
    reveal,
    show,
)
from sagalang.syntax import ast
from sagalang.text import Span

_NEVER_CAUGHT = (e.CANCELLED, e.DEADLINE_EXCEEDED)


def block(
    frame: Frame, written: Sequence[ast.Statement], flow: Flow, region: Region
) -> tuple[p.Block, Flow]:
    """The typed statements and what is known behind them."""
    made: list[p.Statement] = []
    for index, item in enumerate(written):
        if not flow.goes_on:
            frame.context.report(
                "unreachable",
                item.span.to(written[-1].span),
                "this can never run",
                other=(written[index - 1].span, "the saga never goes on behind this"),
                help="remove it",
            )
            _mark_used(frame, tuple(written[index:]))
            break
        statement_made, flow = statement(frame, item, flow, region)
        if statement_made is not None:
            made.append(statement_made)
    return p.Block(tuple(made)), flow


def _mark_used(frame: Frame, node: object) -> None:
    """What stands in statements that never run is used all the same."""
    if isinstance(node, tuple):
        for part in node:
            _mark_used(frame, part)
    elif isinstance(node, ast.Name | ast.Reference):
        name = node.text if isinstance(node, ast.Name) else node.name
        frame.used.add(name)
        frame.context.used.add(name)
    elif isinstance(node, Struct):
        for name in node.__struct_fields__:
            _mark_used(frame, getattr(node, name))


def statement(
    frame: Frame, written: ast.Statement, flow: Flow, region: Region
) -> tuple[p.Statement | None, Flow]:
    if region.farewell and not isinstance(written, ast.Step):
        frame.context.report(
            "misplaced-clause",
            written.span,
            "when everything is compensated, only `best effort` steps may follow",
            help="move it before, or into a saga of its own",
        )
    match written:
        case ast.Step():
            return step(frame, written, flow, region)
        case ast.If():
            return _if(frame, written, flow, region)
        case ast.Parallel():
            return _parallel(frame, written, flow, region)
        case ast.For():
            return _for(frame, written, flow, region)
        case ast.Let():
            return let(frame, written, flow, region)
        case ast.Abort():
            made = abort(frame, written, flow, region)
            return made, replace(flow, goes_on=False)
        case ast.Return():
            return return_(frame, written, flow, region)
        case ast.Sleep():
            return sleep(frame, written, flow, region)
        case ast.Wait():
            return wait(frame, written, flow, region)
        case ast.Poll():
            return poll(frame, written, flow, region)
        case ast.Attempt():
            return _attempt(frame, written, flow, region)
        case ast.Branch():
            frame.context.report(
                "misplaced-clause",
                written.span,
                "`branch` stands only directly inside `parallel`",
                help="remove the word and its braces, or put it into a `parallel { … }`",
            )
            return None, flow
        case ast.WhenCompensated():
            frame.context.report(
                "misplaced-clause",
                written.span,
                "`when compensated` is the last thing in a saga, outside of all blocks",
                help="move it to the end",
            )
            return None, flow
        case ast.SagaId() | ast.Deadline() | ast.CompensateWith():
            return None, flow


# --- statements that contain others ------------------------------------------------------------


def _if(frame: Frame, written: ast.If, flow: Flow, region: Region) -> tuple[p.If, Flow]:
    typing = frame.typing(flow)
    condition = typing.condition(written.condition)
    frame.done(typing)
    frame.bad_value(flow, region, condition)
    arms = []
    for body, holds in ((written.then, True), (written.otherwise, False)):
        start = flow.with_scope(flow.scope.assuming(typing.facts(written.condition, holds)))
        items = body.statements if body is not None else ()
        arms.append(block(frame, items, start, region))
    (then, after_then), (otherwise, after_else) = arms
    flow, exports = _meet(frame, flow, [after_then, after_else], missing_is_null=False)
    return (
        p.If(
            condition,
            replace(then, exports=exports),
            replace(otherwise, exports=exports),
            written.span,
        ),
        flow,
    )


def _meet(
    frame: Frame, before: Flow, arms: Sequence[Flow], *, missing_is_null: bool
) -> tuple[Flow, tuple[tuple[str, Type], ...]]:
    """Where several ways come together again; a name bound on only some of them is null on the
    others, or not visible at all."""
    going = [arm for arm in arms if arm.goes_on]
    if not going:
        return replace(before, goes_on=False, past=any(a.past for a in arms)), ()
    names: dict[str, Binding] = {}
    for arm in going:
        for name, binding in arm.scope.names.items():
            if name not in before.scope.names:
                names.setdefault(name, binding)
    scope = before.scope if len(going) > 1 else before.scope.assuming(going[0].scope.facts)
    maybe = dict(scope.maybe)
    exports: list[tuple[str, Type]] = []
    for name, binding in names.items():
        bindings = [arm.scope.names.get(name) for arm in going]
        kind: Type | None = binding.type
        for other in bindings:
            if other is None:
                kind = optional(kind) if missing_is_null and kind else None
            elif kind is not None:
                kind = join(frame.context, kind, other.type)
                if kind is None:
                    _two_types(frame, binding, other)
                    kind = UNKNOWN
        if kind is None:
            maybe[name] = binding.span
            continue
        paths = {b.path if b else None for b in bindings}
        same = binding if len(paths) == 1 else replace(binding, path=None, kind="let")
        scope = scope.bind(name, replace(same, type=kind))
        exports.append((name, kind))
    for arm in going:
        for name, span in arm.scope.maybe.items():
            if name not in scope.names:
                maybe.setdefault(name, span)
    flow = Flow(
        replace(scope, maybe=maybe),
        True,
        any(arm.clean for arm in going),
        any(arm.past for arm in going),
    )
    return flow, tuple(exports)


def _two_types(frame: Frame, one: Binding, other: Binding) -> None:
    frame.context.report(
        "type-mismatch",
        other.span,
        "a name that is bound on several paths needs one type",
        show(other.type),
        other=(one.span, show(one.type)),
        help="use two names",
    )


def _parallel(
    frame: Frame, written: ast.Parallel, flow: Flow, region: Region
) -> tuple[p.Parallel, Flow]:
    inside = replace(region, parallel=written.span)
    branches: list[p.Block] = []
    bound: dict[str, Binding] = {}
    goes_on = True
    ends: list[Flow] = []
    if len(written.body.statements) < 2:
        frame.context.report(
            "misplaced-clause",
            written.span,
            "nothing runs in parallel here: there are fewer than two branches",
            help="each statement is a branch; `branch { … }` groups several",
        )
    for item in written.body.statements:
        items = item.body.statements if isinstance(item, ast.Branch) else (item,)
        siblings = {name: b.span for name, b in bound.items()}
        scope = replace(flow.scope, maybe={**flow.scope.maybe, **siblings})
        made, after = block(frame, items, flow.with_scope(scope), inside)
        goes_on = goes_on and after.goes_on
        ends.append(after)
        new = {n: b for n, b in after.scope.names.items() if n not in flow.scope.names}
        for name, binding in new.items():
            if name in bound:
                frame.context.report(
                    "duplicate-name",
                    binding.span,
                    f"two branches bind `{name}`",
                    "here again",
                    other=(bound[name].span, "first here"),
                    help="choose another name",
                )
            bound.setdefault(name, binding)
        branches.append(replace(made, exports=tuple((n, b.type) for n, b in new.items())))
    scope = flow.scope
    for name, binding in bound.items():
        scope = scope.bind(name, binding)
    return (
        p.Parallel(tuple(branches), written.span),
        replace(_passed(flow, *ends), scope=scope, goes_on=goes_on),
    )


def _for(frame: Frame, written: ast.For, flow: Flow, region: Region) -> tuple[p.For, Flow]:
    context = frame.context
    typing = frame.typing(flow)
    source = typing.infer(written.source)
    frame.done(typing)
    frame.bad_value(flow, region, source)
    item: Type = UNKNOWN
    bare = reveal(source.type)
    if isinstance(bare, ListOf):
        item = bare.item
    elif not isinstance(bare, Unknown):
        context.report(
            "type-mismatch",
            source.span,
            f"`for` goes over a list, and this is `{show(source.type)}`",
            show(source.type),
        )
    if isinstance(source.type, Secret):
        context.report(
            "secret-leak",
            source.span,
            "the number of steps would show how long a secret list is",
            help="keep only its elements secret",
        )
    path = frame.label(f"for {written.variable.text}")
    scope = declare(frame, flow, written.variable, Binding(item, written.variable.span, "loop"))
    scope = replace(scope, loops=(*scope.loops, path))
    by = _identity(frame, written.by, flow.with_scope(scope), region) if written.by else None
    at_once = written.at_once.value if written.at_once else 1
    if written.at_once is not None and at_once < 1:
        context.report(
            "policy-conflict",
            written.at_once.span,
            "a loop of 0 at once never moves",
            help="use 1 or more, or leave it out: then one runs after the other",
        )
    inside = replace(
        region,
        loop=region.loop or written.span,
        parallel=region.parallel or (written.span if at_once > 1 else None),
    )
    body, after = block(frame, written.body.statements, flow.with_scope(scope), inside)
    known = {*flow.scope.names, written.variable.text}
    binds = tuple(
        (name, binding.type) for name, binding in after.scope.names.items() if name not in known
    )
    outside = flow.scope
    for name, _ in binds:
        inner = after.scope.names[name]
        outside = outside.bind(name, replace(inner, type=ListOf(inner.type)))
    made = p.For(
        path,
        written.variable.text,
        source,
        by,
        max(at_once, 1),
        replace(body, exports=binds),
        binds,
        written.span,
    )
    return made, _passed(flow, after).with_scope(outside)


def _passed(flow: Flow, *inner: Flow) -> Flow:
    """What follows a misplaced pivot is not before one; see `step`."""
    return replace(flow, clean=flow.clean and all(a.clean for a in inner if a.goes_on))


def _identity(frame: Frame, written: ast.Expr, flow: Flow, region: Region) -> p.Expr:
    """What makes an iteration the same one after a restart: a value with one short text."""
    typing = frame.typing(flow)
    made = typing.infer(written)
    frame.done(typing)
    frame.bad_value(flow, region, made)
    if isinstance(made.type, Secret):
        frame.context.report(
            "secret-leak",
            made.span,
            "the identity of an iteration is part of keys and journals, and this is secret",
            help="use another field",
        )
    elif not is_scalar(made.type):
        frame.context.report(
            "type-mismatch",
            made.span,
            f"`by` needs a value with one short text, and this is `{show(made.type)}`",
            show(made.type),
            help="use a string, an int, a uuid or an enum",
        )
    return made


def _attempt(
    frame: Frame, written: ast.Attempt, flow: Flow, region: Region
) -> tuple[p.Attempt, Flow]:
    names = [name.text for handler in written.handlers for name in handler.errors]
    inside = region
    if flow.past:
        inside = replace(region, caught=region.caught | frozenset(names), guarded=True)
    outer = frame.errors
    frame.errors = {}
    path = frame.label("attempt")
    body, after_body = block(frame, written.body.statements, flow, inside)
    raised, frame.errors = frame.errors, outer
    caught: dict[str, Span] = {}
    handlers: list[p.Handler] = []
    ways = [after_body]
    for handler in written.handlers:
        _check_caught(frame, handler, raised, caught)
        scope = flow.scope
        if handler.binder is not None:
            kind = _caught_type(frame, handler)
            scope = declare(
                frame, flow, handler.binder, Binding(kind, handler.binder.span, "error")
            )
            frame.bound.append((handler.binder.text, handler.binder.span, "name"))
        made, after = block(frame, handler.body.statements, flow.with_scope(scope), region)
        if handler.binder is not None:
            hidden = {n: b for n, b in after.scope.names.items() if n != handler.binder.text}
            after = after.with_scope(replace(after.scope, names=hidden))
        ways.append(after)
        handlers.append(
            p.Handler(
                tuple(name.text for name in handler.errors),
                handler.binder.text if handler.binder else None,
                made,
                handler.span,
            )
        )
    for error, span in raised.items():
        if error not in caught:
            frame.raises(error, span)
    flow_after, exports = _meet(frame, flow, ways, missing_is_null=True)
    if len([way for way in ways if way.goes_on]) > 1:
        # What the body learnt about null does not hold after a handler.
        flow_after = flow_after.with_scope(replace(flow_after.scope, facts=flow.scope.facts))
    made_attempt = p.Attempt(
        path,
        replace(body, exports=exports),
        tuple(replace(h, body=replace(h.body, exports=exports)) for h in handlers),
        written.span,
    )
    return made_attempt, flow_after


def _check_caught(
    frame: Frame, handler: ast.Handler, raised: dict[str, Span], caught: dict[str, Span]
) -> None:
    context = frame.context
    for name in handler.errors:
        declared = context.find(name.text, name.span.file, ("error",))
        if declared is None and name.text not in e.BUILT_IN_ERRORS:
            if name.text not in context.poisoned:
                context.unknown(name, ("error",), "an error")
            caught.setdefault(name.text, name.span)
            continue
        if name.text in caught:
            context.report(
                "needless-handler",
                name.span,
                f"`{name.text}` is already handled",
                other=(caught[name.text], "here"),
                help="remove one of them",
            )
        elif name.text in _NEVER_CAUGHT and name.text not in raised:
            context.report(
                "needless-handler",
                name.span,
                f"an `attempt` never catches `{name.text}`: it ends the whole saga",
                help="to tell somebody, use `when compensated`",
            )
        elif name.text not in raised and not context.doubtful:
            context.report(
                "needless-handler",
                name.span,
                f"nothing in this `attempt` fails with `{name.text}`",
                help="remove it"
                + ("; it can fail with " + ", ".join(f"`{r}`" for r in raised) if raised else ""),
            )
        caught.setdefault(name.text, name.span)


def _caught_type(frame: Frame, handler: ast.Handler) -> Type:
    """The type of `as e`: the fields of the one error that is handled."""
    names = {name.text for name in handler.errors}
    if len(names) == 1 and next(iter(names)) in frame.context.errors:
        return RecordRef(next(iter(names)))
    return InlineRecord((("name", STRING, "name"),))


def when_compensated(frame: Frame, written: ast.WhenCompensated, scope: Scope) -> p.WhenCompensated:
    """The last words of a saga; they see its parameters and the error."""
    flow = Flow(scope)
    if written.binder is not None:
        kind = InlineRecord((("name", STRING, "name"),))
        scope = declare(frame, flow, written.binder, Binding(kind, written.binder.span, "error"))
        frame.bound.append((written.binder.text, written.binder.span, "name"))
    region = Region(farewell=True)
    body, _ = block(frame, written.body.statements, flow.with_scope(scope), region)
    return p.WhenCompensated(written.binder.text if written.binder else None, body, written.span)
