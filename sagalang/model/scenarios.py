"""Scenarios, and the faults and events that a command line may add to a run."""

from __future__ import annotations

from sagalang.diagnostics.suggest import hint
from sagalang.model import errors as e
from sagalang.model import program as p
from sagalang.model.calls import arguments
from sagalang.model.context import Context
from sagalang.model.expressions import Typing
from sagalang.model.scope import Scope
from sagalang.model.types import Null, RecordRef
from sagalang.syntax import ast

_CONSTANT = Scope(constant=True)


def scenario(context: Context, written: ast.ScenarioDecl) -> p.Scenario | None:
    typing = Typing(context, _CONSTANT)
    found = context.find(written.saga.text, written.saga.span.file, ("saga",))
    saga = context.sagas.get(written.saga.text)
    if found is None or saga is None:
        if found is None and written.saga.text not in context.poisoned:
            context.unknown(written.saga, ("saga",), "a saga")
        return None
    args = arguments(
        typing,
        saga.params,
        written.args,
        f"the saga `{saga.name}`",
        written.saga.span,
        saga.span,
    )
    faults: list[p.Fault] = []
    sends: list[p.Send] = []
    cancels: list[p.Cancel] = []
    expects: list[p.Expect] = []
    for item in written.items:
        match item:
            case ast.Fault():
                made = fault(context, item)
                if made is not None:
                    faults.append(made)
            case ast.Send():
                sent = send(context, item)
                if sent is not None:
                    sends.append(sent)
            case ast.Cancel():
                cancels.append(p.Cancel(item.after.value if item.after else 0, item.span))
            case ast.Expect():
                wanted = _expect(context, item, saga)
                if wanted is not None:
                    expects.append(wanted)
    return p.Scenario(
        written.title.value,
        saga.name,
        tuple(arg or p.Const(None, saga.result, written.span) for arg in args),
        tuple(faults),
        tuple(sends),
        tuple(cancels),
        tuple(expects),
        written.doc,
        written.span,
    )


def _operation(context: Context, name: ast.OperationName) -> p.Operation | None:
    found = context.find(name.service.text, name.span.file, ("service",))
    if found is None:
        if name.service.text not in context.poisoned:
            context.unknown(name.service, ("service",), "a service")
        return None
    operations = context.services[name.service.text].operations
    operation = operations.get(name.operation.text)
    if operation is None:
        context.report(
            "unknown-name",
            name.operation.span,
            f"the service `{name.service.text}` has no operation `{name.operation.text}`",
            help=hint(name.operation.text, operations)
            or f"it has {', '.join(f'`{known}`' for known in operations)}",
        )
    return operation


def fault(context: Context, written: ast.Fault) -> p.Fault | None:
    """The typed fault; None (reported) where the contract knows no such thing."""
    operation = _operation(context, written.operation)
    if operation is None:
        return None
    typing = Typing(context, _CONSTANT)
    args: tuple[p.Expr, ...] | None = None
    if written.args is not None:
        laid = arguments(
            typing,
            operation.params,
            written.args,
            f"`{operation.label}`",
            written.operation.span,
            operation.span,
        )
        args = tuple(a or p.Const(None, operation.result, written.span) for a in laid)
    fields: tuple[tuple[str, p.Expr], ...] = ()
    value: p.Expr | None = None
    if written.error is not None:
        allowed = [rejection.error for rejection in operation.rejects]
        if written.error.text not in allowed:
            declared = context.find(written.error.text, written.error.span.file, ("error",))
            if declared is None and written.error.text not in e.BUILT_IN_ERRORS:
                context.unknown(written.error, ("error",), "an error")
                return None
            context.report(
                "impossible-fault",
                written.error.span,
                f"`{operation.label}` never rejects with `{written.error.text}`",
                other=(operation.span, "declared here"),
                help=hint(written.error.text, allowed)
                or (
                    f"it rejects {', '.join(f'`{name}`' for name in allowed)}"
                    if allowed
                    else "declare it: `rejects …`"
                ),
            )
            return None
        fields = _some_fields(context, typing, written.error_args, written.error.text)
    if written.kind == "returns" and written.value is not None:
        if isinstance(operation.result, Null):
            typing.infer(written.value)
            context.report(
                "impossible-fault",
                written.value.span,
                f"`{operation.label}` answers nothing",
                other=(operation.span, "declared without `-> …`"),
                help="remove the `returns`",
            )
            return None
        value = typing.check(written.value, operation.result, f"the answer of `{operation.label}`")
    lands = operation.promises.lands_within
    if written.after is not None and lands is not None and written.after.value > lands:
        context.report(
            "impossible-fault",
            written.after.span,
            f"`{operation.label}` promises to take effect sooner than that, or never",
            other=(operation.span, "declared with a shorter `lands within …`"),
            help="let it arrive within that time, or promise a longer `lands within …`",
        )
        return None
    return p.Fault(
        written.kind,
        operation.label,
        args,
        written.error.text if written.error else None,
        fields,
        value,
        written.after.value if written.after else None,
        written.count,
        written.span,
    )


def _some_fields(
    context: Context, typing: Typing, args: tuple[ast.Arg, ...], error: str
) -> tuple[tuple[str, p.Expr], ...]:
    """Fields of a rejection; what is left out is filled by type."""
    record = context.errors[error]
    wanted = {field.name: field.type for field in record.fields}
    made: dict[str, p.Expr] = {}
    for arg in args:
        if arg.name is None or arg.name.text not in wanted:
            name = arg.name.text if arg.name else ""
            typing.infer(arg.value)
            context.report(
                "unknown-argument",
                arg.span,
                f"`{error}` has no field `{name}`" if name else "fields are given by name",
                help=hint(name, wanted)
                or (f"its fields are {', '.join(f'`{f}`' for f in wanted)}" if wanted else None),
            )
            continue
        made[arg.name.text] = typing.check(
            arg.value, wanted[arg.name.text], f"the field `{arg.name.text}`"
        )
    return tuple(made.items())


def send(context: Context, written: ast.Send) -> p.Send | None:
    found = context.find(written.event.text, written.event.span.file, ("event",))
    typing = Typing(context, _CONSTANT)
    if found is None:
        if written.event.text not in context.poisoned:
            context.unknown(written.event, ("event",), "an event")
        return None
    fields = typing.record_arguments(
        written.args, RecordRef(written.event.text), f"`{written.event.text}`", written.event.span
    )
    after = written.after.value if written.after else 0
    return p.Send(written.event.text, fields, after, written.span)


def _expect(context: Context, written: ast.Expect, saga: p.Saga) -> p.Expect | None:
    typing = Typing(context, _CONSTANT)
    labels: list[str | None] = []
    for name in (written.operation, written.other):
        operation = _operation(context, name) if name is not None else None
        if name is not None and operation is None:
            return None
        labels.append(operation.label if operation else None)
    value = None
    if written.value is not None:
        if isinstance(saga.result, Null):
            context.report(
                "impossible-expectation",
                written.value.span,
                f"the saga `{saga.name}` completes without a value",
                other=(saga.span, "declared without `-> …`"),
                help="expect `completed` alone",
            )
            return None
        value = typing.check(written.value, saga.result, f"the result of `{saga.name}`")
    if written.error is not None:
        known = [*saga.errors, e.CANCELLED]
        if written.error.text not in known:
            declared = context.find(written.error.text, written.error.span.file, ("error",))
            if declared is None and written.error.text not in e.BUILT_IN_ERRORS:
                context.unknown(written.error, ("error",), "an error")
                return None
            if context.doubtful:
                return None
            context.report(
                "impossible-expectation",
                written.error.span,
                f"the saga `{saga.name}` never ends with `{written.error.text}`",
                other=(saga.span, "declared here"),
                help=hint(written.error.text, known)
                or f"it can end with {', '.join(f'`{name}`' for name in known)}",
            )
            return None
        context.used.add(written.error.text)
    return p.Expect(
        written.kind,
        labels[0],
        labels[1],
        value,
        written.error.text if written.error else None,
        written.count,
        written.after.value if written.after else None,
        written.span,
    )
