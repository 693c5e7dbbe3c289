"""What operations say of each other: compensations, probes, and the calls they make."""

from __future__ import annotations

from msgspec.structs import replace

from sagalang.diagnostics.suggest import hint
from sagalang.model import program as p
from sagalang.model.calls import arguments, uses_result
from sagalang.model.context import Context
from sagalang.model.expressions import Typing
from sagalang.model.fit import fits
from sagalang.model.scope import Binding, Scope
from sagalang.model.types import Null, Unknown, optional, required, show
from sagalang.syntax import ast
from sagalang.text import Span


def link(context: Context, name: str, found: ast.ServiceDecl) -> None:
    service = context.services[name]
    operations = dict(service.operations)
    for item in found.items:
        if not isinstance(item, ast.OperationDecl) or item.is_query:
            continue
        operation = operations[item.name.text]
        if operation.span != item.name.span:
            continue  # the second of two with the same name
        # What a compensation may use depends on the probe, which may stand after it.
        for clause in sorted(item.clauses, key=lambda found: isinstance(found, ast.CompensateBy)):
            if isinstance(clause, ast.CompensateBy) and operation.compensation is None:
                call = _default_call(context, operation, clause.call, is_probe=False)
                if call is None:
                    context.poisoned.add(operation.label)
                else:
                    operation = replace(operation, compensation=call)
                    check_compensation(context, operation, call, clause.span)
            elif isinstance(clause, ast.ProbeBy) and operation.probe is None:
                call = _default_call(context, operation, clause.call, is_probe=True)
                if call is None:
                    context.poisoned.add(operation.label)
                else:
                    operation = replace(operation, probe=call)
                    _check_probe(context, operation, call, clause.span)
        operations[item.name.text] = operation
    context.services[name] = replace(service, operations=operations)


def _default_call(
    context: Context, operation: p.Operation, written: ast.Call, *, is_probe: bool
) -> p.Call | None:
    names = {param.name: Binding(param.type, param.span, "param") for param in operation.params}
    result = None if is_probe else operation.result
    scope = Scope(names=names, key=operation.promises.keyed, result=result)
    return typed_call(Typing(context, scope), written, operation.service)


def typed_call(typing: Typing, written: ast.Call, home: str | None = None) -> p.Call | None:
    """The call with its arguments laid out; None (reported) where there is no such operation."""
    context = typing.context
    service_name = written.service.text if written.service else home
    if service_name is None:
        context.report(
            "unknown-name",
            written.operation.span,
            "which service? an operation is called by its full name",
            help=f"write `Service.{written.operation.text}(…)`",
        )
        return None
    if written.service is not None:
        found = context.find(service_name, written.span.file, ("service",))
        if found is None:
            if service_name not in context.poisoned:
                context.unknown(written.service, ("service",), "a service")
            for arg in written.args:
                typing.infer(arg.value)
            return None
    service = context.services[service_name]
    operation = service.operations.get(written.operation.text)
    if operation is None:
        context.report(
            "unknown-name",
            written.operation.span,
            f"the service `{service_name}` has no operation `{written.operation.text}`",
            other=(service.span, "declared here"),
            help=hint(written.operation.text, service.operations)
            or (
                f"it has {', '.join(f'`{name}`' for name in service.operations)}"
                if service.operations
                else "it has none yet"
            ),
        )
        for arg in written.args:
            typing.infer(arg.value)
        return None
    args = arguments(
        typing,
        operation.params,
        written.args,
        f"`{operation.label}`",
        written.operation.span,
        operation.span,
    )
    return p.Call(service_name, operation.name, args, written.span)


def check_compensation(context: Context, operation: p.Operation, call: p.Call, where: Span) -> None:
    """What the compensating operation has to promise (language.md, section 7, rule 4)."""
    undo = context.operation(call.service, call.operation)
    if undo is None:
        return
    place = (undo.span, "the compensating operation")
    by_result = uses_result(call)
    if undo.is_query:
        context.report(
            "compensation-not-repeatable",
            where,
            f"`{undo.label}` is a query: it undoes nothing",
            other=place,
            help="compensate by a `command`",
        )
        return
    if not (undo.promises.keyed or undo.promises.idempotent):
        context.report(
            "compensation-not-repeatable",
            where,
            f"the compensation `{undo.label}` may have to be repeated, and does not allow it",
            other=place,
            notes=("an answer can get lost on the way back too; then it is sent again",),
            help=f"make `{undo.name}` safe to repeat and promise `idempotent`",
        )
    if by_result:
        _check_result(context, operation, where)
        return
    if not undo.promises.absent_ok:
        context.report(
            "compensation-not-absent-ok",
            where,
            f"`{undo.label}` may be asked to undo what never happened, and does not allow it",
            other=place,
            notes=("after a lost answer nobody knows whether there is something to undo",),
            help=f"let `{undo.name}` succeed when there is nothing, and promise `absent ok`",
        )
    if not undo.promises.fences_late and operation.promises.lands_within is None:
        context.report(
            "compensation-not-fenced",
            where,
            f"a late `{operation.label}` could land after its compensation `{undo.label}`",
            other=place,
            notes=("a request that was given up can still be under way, and take effect later",),
            help=f"let `{undo.name}` refuse the late original and promise `fences late`;"
            f" or promise `lands within …` on `{operation.name}`",
        )


def _check_result(context: Context, operation: p.Operation, where: Span) -> None:
    promises = operation.promises
    by_probe = operation.probe is not None and promises.lands_within is not None
    by_key = promises.keyed and (not operation.rejects or promises.records_rejections)
    if by_probe or by_key:
        return
    if promises.keyed:
        advice = "promise `keyed, records rejections`, or compensate by `key`"
    else:
        advice = "compensate by inputs; or promise `keyed`, or a `probe` with `lands within …`"
    context.report(
        "compensation-needs-result",
        where,
        "this compensation needs the `result`, and after a lost answer there is none",
        other=(operation.span, "nothing here brings a lost answer back"),
        help=advice,
    )


def _check_probe(context: Context, operation: p.Operation, call: p.Call, where: Span) -> None:
    query = context.operation(call.service, call.operation)
    if query is None:
        return
    if not query.is_query:
        context.report(
            "type-mismatch",
            where,
            f"`{query.label}` is a command, and a probe must not change anything",
            other=(query.span, "declared here"),
            help="probe by a `query`",
        )
        return
    wanted = optional(operation.result)
    if isinstance(operation.result, Unknown) or isinstance(query.result, Unknown):
        return
    optional_answer = query.result == optional(query.result)
    if isinstance(operation.result, Null):
        if not optional_answer:
            context.report(
                "type-mismatch",
                where,
                f"the probe `{query.label}` can never say no: its answer is never null",
                other=(query.span, f"it answers `{show(query.result)}`"),
                help="declare its result optional, as in `-> { … }?`; null then means no",
            )
        return
    if not optional_answer or not fits(context, required(query.result), operation.result):
        context.report(
            "type-mismatch",
            where,
            f"the probe `{query.label}` has to answer `{show(wanted)}`:"
            " the command's result, or null for no",
            other=(query.span, f"it answers `{show(query.result)}`"),
            help=f"declare it `-> {show(wanted)}`",
        )
