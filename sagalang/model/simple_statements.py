"""Statements that contain no others: `let`, `abort`, `return`, `sleep`, `wait`, `poll`."""

from __future__ import annotations

from msgspec.structs import replace

from sagalang.model import errors as e
from sagalang.model import program as p
from sagalang.model.contracts import typed_call
from sagalang.model.flow import Flow, Frame, Region
from sagalang.model.policies import forwards
from sagalang.model.scope import Binding
from sagalang.model.steps import declare
from sagalang.model.types import (
    DATETIME,
    DURATION,
    UNKNOWN,
    Null,
    RecordRef,
    Type,
    optional,
)
from sagalang.syntax import ast


def let(frame: Frame, written: ast.Let, flow: Flow, region: Region) -> tuple[p.Let, Flow]:
    typing = frame.typing(flow)
    value = typing.infer(written.value)
    frame.done(typing)
    frame.bad_value(flow, region, value)
    frame.bound.append((written.name.text, written.name.span, "constant"))
    scope = declare(frame, flow, written.name, Binding(value.type, written.name.span, "let"))
    return p.Let(written.name.text, value, written.span), flow.with_scope(scope)


def abort(frame: Frame, written: ast.Abort, flow: Flow, region: Region) -> p.Abort:
    name = written.error
    found = frame.context.find(name.text, name.span.file, ("error",))
    typing = frame.typing(flow)
    if found is None:
        if name.text in e.BUILT_IN_ERRORS:
            frame.context.report(
                "unknown-name",
                name.span,
                f"`{name.text}` is an error of the language's own; a saga aborts with its own",
                help="declare one: `error MyReason`",
            )
        elif name.text not in frame.context.poisoned:
            frame.context.unknown(name, ("error",), "an error")
        for arg in written.args:
            typing.infer(arg.value)
        frame.done(typing)
        return p.Abort(name.text, (), written.span)
    fields = typing.record_arguments(
        written.args, RecordRef(name.text), f"`{name.text}`", name.span
    )
    frame.done(typing)
    frame.bad_value(flow, region, *(value for _, value in fields))
    frame.aborts(flow, region, name.text, written.span)
    return p.Abort(name.text, fields, written.span)


def return_(
    frame: Frame, written: ast.Return, flow: Flow, region: Region
) -> tuple[p.Statement | None, Flow]:
    typing = frame.typing(flow)
    if region.parallel is not None:
        frame.context.report(
            "misplaced-return",
            written.span,
            "a saga cannot return from a parallel part: the others are still running",
            other=(region.parallel, "runs in parallel"),
            help="return behind it",
        )
        wanted: Type = UNKNOWN
    elif isinstance(frame.result, Null):
        name = frame.declaration.name
        frame.context.report(
            "misplaced-return",
            written.span,
            f"the saga `{name.text}` promises no value",
            other=(name.span, "declared without `-> …`"),
            help="declare its result, or leave the `return` out",
        )
        wanted = UNKNOWN
    else:
        wanted = frame.result
    value = typing.check(written.value, wanted, f"the result of `{frame.declaration.name.text}`")
    frame.done(typing)
    frame.bad_value(flow, region, value)
    # A misplaced one goes on, so that what follows is not called unreachable as well.
    goes_on = region.parallel is not None
    return p.Return(value, written.span), replace(flow, goes_on=goes_on)


def sleep(frame: Frame, written: ast.Sleep, flow: Flow, region: Region) -> tuple[p.Sleep, Flow]:
    typing = frame.typing(flow)
    wanted = DATETIME if written.until else DURATION
    what = "`sleep until`" if written.until else "`sleep`"
    value = typing.check(written.value, wanted, what)
    frame.done(typing)
    frame.bad_value(flow, region, value)
    return p.Sleep(frame.label("sleep"), value, written.until, written.span), flow


def _otherwise(frame: Frame, written: ast.Otherwise, flow: Flow, region: Region) -> p.Otherwise:
    match written:
        case ast.Abort():
            return abort(frame, written, flow, region)
        case ast.ElseEscalate():
            if flow.clean:
                frame.raises(e.NOT_DONE, written.span)
            return p.Escalation(written.team.value, 0, written.span)
        case None:
            return None


def wait(frame: Frame, written: ast.Wait, flow: Flow, region: Region) -> tuple[p.Wait | None, Flow]:
    found = frame.context.find(written.event.text, written.event.span.file, ("event",))
    if found is None and written.event.text not in frame.context.poisoned:
        frame.context.unknown(written.event, ("event",), "an event")
    event: Type = RecordRef(written.event.text) if found is not None else UNKNOWN
    where = None
    if written.where is not None:
        inner = flow.scope.bind(written.name.text, Binding(event, written.name.span, "event"))
        typing = frame.typing(flow.with_scope(inner))
        where = typing.condition(written.where, "`where`")
        frame.done(typing)
        frame.bad_value(flow, region, where)
    otherwise = _otherwise(frame, written.otherwise, flow, region)
    kind = optional(event) if otherwise is None else event
    scope = declare(frame, flow, written.name, Binding(kind, written.name.span, "event"))
    made = p.Wait(
        frame.label(written.name.text),
        written.name.text,
        written.event.text,
        where,
        written.within.value,
        otherwise,
        kind,
        written.span,
    )
    return made, flow.with_scope(scope)


def poll(frame: Frame, written: ast.Poll, flow: Flow, region: Region) -> tuple[p.Poll | None, Flow]:
    typing = frame.typing(flow)
    call = typed_call(typing, written.call)
    frame.done(typing)
    answer: Type = UNKNOWN
    policy = p.Policy()
    if call is not None:
        operation = frame.context.services[call.service].operations[call.operation]
        answer, policy = operation.result, operation.policy
        frame.bad_value(flow, region, *call.args)
        if not operation.is_query:
            frame.context.report(
                "type-mismatch",
                written.call.span,
                f"`{operation.label}` is a command, and polling would run it again and again",
                other=(operation.span, "declared here"),
                help="poll a `query`",
            )
    if written.every.value <= 0 or written.every.value > written.within.value:
        frame.context.report(
            "policy-conflict",
            written.every.span,
            "the interval has to be more than 0 and fit into the time given",
            other=(written.within.span, "the time given"),
            help="ask more often, or give it more time",
        )
    inner = flow.scope.bind(written.name.text, Binding(answer, written.name.span, "step"))
    typing = frame.typing(flow.with_scope(inner))
    until = typing.condition(written.until, "`until`")
    frame.done(typing)
    frame.bad_value(flow, region, until)
    otherwise = _otherwise(frame, written.otherwise, flow, region)
    kind = optional(answer) if otherwise is None else answer
    scope = declare(frame, flow, written.name, Binding(kind, written.name.span, "let"))
    if call is None:
        return None, flow.with_scope(scope)
    made = p.Poll(
        frame.label(written.name.text),
        written.name.text,
        call,
        until,
        written.every.value,
        written.within.value,
        otherwise,
        forwards(policy),
        kind,
        written.span,
    )
    return made, flow.with_scope(scope)
