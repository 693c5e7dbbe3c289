"""Services and their operations: bindings, promises, rejections, compensations, probes.

Two passes: first every operation by itself, then what refers to other operations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from sagalang.diagnostics.suggest import hint
from sagalang.model import program as p
from sagalang.model.calls import arguments, uses_key, uses_result
from sagalang.model.context import Context
from sagalang.model.declare import contains_secret, fields_of, resolve_type
from sagalang.model.expressions import Typing
from sagalang.model.fit import fits
from sagalang.model.policies import lookup, over
from sagalang.model.scope import Binding, Scope
from sagalang.model.types import NULL, Null, Unknown, optional, required, show
from sagalang.syntax import ast
from sagalang.text import Span

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_COLON_SEGMENT: Final = re.compile(r"(?:/|[?&=])(:[^\W\d]\w*)")
_WITHOUT_BODY: Final = ("GET", "DELETE")


def declare_services(context: Context) -> None:
    declared = [
        (name, found)
        for name, found in context.declared.items()
        if isinstance(found, ast.ServiceDecl)
    ]
    for name, found in declared:
        context.services[name] = _service(context, found)
    for name, found in declared:
        _link(context, name, found)


def _service(context: Context, found: ast.ServiceDecl) -> p.Service:
    binding: p.HttpBinding | p.PythonBinding | None = None
    bound_at: Span | None = None
    headers: list[p.Header] = []
    policy = p.Policy()
    policy_at: Span | None = None
    for item in found.items:
        match item:
            case ast.HttpBinding() | ast.PythonBinding():
                if bound_at is not None:
                    _repeated(context, item.span, bound_at, "a service has one binding")
                bound_at = item.span
                binding = _binding(context, item)
            case ast.Header():
                headers.append(
                    p.Header(
                        item.name.value,
                        item.env.text if item.env else None,
                        item.text.value if item.text else None,
                    )
                )
            case ast.With():
                if policy_at is not None:
                    _repeated(context, item.span, policy_at, "a service has one `with`")
                policy_at = item.span
                policy = lookup(context, item.policy)
    operations: dict[str, p.Operation] = {}
    for item in found.items:
        if isinstance(item, ast.OperationDecl):
            made = _operation(context, found.name.text, item, policy, binding)
            if made.name in operations:
                context.report(
                    "duplicate-name",
                    item.name.span,
                    f"`{made.name}` stands twice in this service",
                    "here again",
                    other=(operations[made.name].span, "first here"),
                    help="rename one of them",
                )
                continue
            operations[made.name] = made
    folder = found.span.file.rsplit("/", 1)[0] if "/" in found.span.file else "."
    return p.Service(
        found.name.text,
        binding,
        tuple(headers),
        operations,
        policy,
        folder,
        found.doc,
        found.name.span,
    )


def _repeated(context: Context, span: Span, first: Span, message: str) -> None:
    context.report(
        "repeated-clause",
        span,
        message,
        "here again",
        other=(first, "first here"),
        help="remove one",
    )


def _binding(
    context: Context, item: ast.HttpBinding | ast.PythonBinding
) -> p.HttpBinding | p.PythonBinding:
    if isinstance(item, ast.PythonBinding):
        if not all(part.isidentifier() for part in item.module.value.split(".")):
            context.report(
                "bad-literal",
                item.module.span,
                "this is not the name of a Python module",
                help='write it as an import would: `python "shop.orders"`',
            )
        return p.PythonBinding(item.module.value)
    url = item.url.value
    if not re.match(r"https?://[^/\s?#]+(/[^\s?#]*)?\Z", url):
        context.report(
            "bad-literal",
            item.url.span,
            "this is not the base URL of a service",
            help='it looks like `"https://pay.internal/v2"`, without `?` and `#`',
        )
    if re.match(r"https?://[^/]*@", url):
        context.report(
            "secret-leak",
            item.url.span,
            "a password in a URL can be seen by everyone who reads this file",
            help='send it as `header "Authorization" env VAR`',
        )
    return p.HttpBinding(url.rstrip("/"), item.env.text if item.env else None)


def _operation(
    context: Context,
    service: str,
    found: ast.OperationDecl,
    base: p.Policy,
    binding: p.HttpBinding | p.PythonBinding | None,
) -> p.Operation:
    label = f"{service}.{found.name.text}"
    params = tuple(
        p.Param(f.name, f.type, f.wire, f.span)
        for f in fields_of(context, found.params, f"`{label}`")
    )
    result = resolve_type(context, found.result) if found.result else NULL
    route: p.HttpRoute | None = None
    rejects: list[p.Rejection] = []
    promises: list[ast.Promise] = []
    policy = base
    seen: dict[str, Span] = {}
    for clause in found.clauses:
        word = clause.kind if isinstance(clause, ast.Promise) else type(clause).__name__
        if word in seen:
            shown = _CLAUSE_WORDS.get(word, word)
            _repeated(context, clause.span, seen[word], f"`{shown}` may stand once")
            continue
        seen[word] = clause.span
        match clause:
            case ast.Promise():
                promises.append(clause)
            case ast.Route():
                route = p.HttpRoute(clause.method, clause.path.value, clause.path.span)
            case ast.Rejects():
                rejects = _rejections(context, clause)
            case ast.With():
                policy = over(lookup(context, clause.policy), base)
    made = p.Operation(
        service,
        found.name.text,
        found.is_query,
        params,
        result,
        route,
        _promises(context, found, promises),
        tuple(rejects),
        None,
        None,
        policy,
        found.doc,
        found.name.span,
    )
    _check_query(context, found, made)
    _check_route(context, found, made, binding)
    return made


_CLAUSE_WORDS: Final = {
    "Route": "the route",
    "Rejects": "rejects",
    "CompensateBy": "compensate",
    "ProbeBy": "probe",
    "With": "with",
}


def _promises(context: Context, found: ast.OperationDecl, given: list[ast.Promise]) -> p.Promises:
    made = p.Promises()
    for promise in given:
        period = promise.period.value if promise.period else None
        match promise.kind:
            case "keyed":
                made = replace(made, keyed=True)
                if promise.where:
                    place, text = promise.where
                    if place == "header":
                        made = replace(made, key_header=text.value)
                    else:
                        made = replace(made, key_field=text.value)
                if period is not None:
                    made = replace(made, key_for=period)
            case "records rejections":
                made = replace(made, records_rejections=True)
            case "idempotent":
                made = replace(made, idempotent=True)
            case "absent ok":
                made = replace(made, absent_ok=True)
            case "fences late":
                made = replace(made, fences_late=True)
            case "lands within":
                made = replace(made, lands_within=period)
    if made.records_rejections and not made.keyed:
        context.report(
            "policy-conflict",
            next(g.span for g in given if g.kind == "records rejections"),
            "rejections are recorded under a key, and this command has none",
            help="write `keyed, records rejections`",
        )
    return made


def _rejections(context: Context, clause: ast.Rejects) -> list[p.Rejection]:
    made: list[p.Rejection] = []
    seen: dict[str, Span] = {}
    for name, status in clause.errors:
        found = context.find(name.text, name.span.file, ("error",))
        if found is None:
            if name.text not in context.poisoned:
                context.unknown(name, ("error",), "an error")
            continue
        if name.text in seen:
            _repeated(context, name.span, seen[name.text], f"`{name.text}` is rejected once")
            continue
        seen[name.text] = name.span
        if status is not None and not 400 <= status.value <= 599:
            context.report(
                "policy-conflict",
                status.span,
                f"{status.value} is not an error's status",
                help="a rejection has a status from 400 to 599, most often 402, 404, 409 or 422",
            )
        made.append(p.Rejection(name.text, status.value if status else None, name.span))
    return made


def _check_query(context: Context, found: ast.OperationDecl, made: p.Operation) -> None:
    if not made.is_query:
        return
    for clause in found.clauses:
        word = None
        if isinstance(clause, ast.CompensateBy):
            word = "compensate"
        elif isinstance(clause, ast.ProbeBy):
            word = "probe"
        elif isinstance(clause, ast.Promise):
            word = clause.kind
        if word is not None:
            context.report(
                "misplaced-clause",
                clause.span,
                f"a query changes nothing, so `{word}` means nothing on it",
                help="remove it, or make the operation a `command`",
            )
    if isinstance(made.result, Null):
        context.report(
            "type-mismatch",
            made.span,
            "a query that answers nothing is good for nothing",
            help="give it a result: `-> { … }`, with `?` if there may be none",
        )


def _check_route(
    context: Context,
    found: ast.OperationDecl,
    made: p.Operation,
    binding: p.HttpBinding | p.PythonBinding | None,
) -> None:
    route = made.route
    if route is None:
        if isinstance(binding, p.HttpBinding):
            context.report(
                "unserved-operation",
                made.span,
                f"`{made.label}` is called over HTTP, but has no route",
                help=f'add one: `POST "/{made.name}"`',
            )
        return
    if isinstance(binding, p.PythonBinding):
        context.report(
            "unserved-operation",
            route.span,
            "a route means nothing on a Python function",
            help='remove it, or bind the service by `http "…"`',
        )
        return
    names = {param.name: param for param in made.params}
    path = route.path.partition("?")[0]
    if not path.startswith("/") or re.search(r"[\s#{}]", _PLACEHOLDER.sub("x", route.path)):
        context.report(
            "bad-literal",
            route.span,
            "this is not a path",
            help='it begins with `/`, and takes parameters in braces: `"/orders/{id}"`',
        )
    colon = _COLON_SEGMENT.search(route.path)
    if colon is not None:
        start = route.span.start + 1 + colon.start(1)
        context.report(
            "bad-literal",
            Span(route.span.file, start, start + len(colon.group(1))),
            f"parameters stand in braces, and `{colon.group(1)}` would be sent as it is",
            help=f"write `{{{colon.group(1)[1:]}}}`",
        )
    in_url: set[str] = set()
    for match in _PLACEHOLDER.finditer(route.path):
        name = match.group(1)
        if name not in names:
            start = route.span.start + 1 + match.start()
            context.report(
                "unknown-name",
                Span(route.span.file, start, start + len(match.group())),
                f"`{made.label}` has no parameter `{name}`",
                help=hint(name, names) or _parameters(names),
            )
            continue
        in_url.add(name)
    if route.method in _WITHOUT_BODY:
        in_url |= set(names)
    for name in sorted(in_url):
        param = names[name]
        if contains_secret(context, param.type):
            context.report(
                "secret-leak",
                route.span,
                f"the secret `{name}` would stand in the URL, where logs and proxies see it",
                other=(param.span, "declared secret here"),
                help="send it in the body of a POST",
            )
    if found.is_query and route.method != "GET" and route.method != "POST":
        context.report(
            "policy-conflict",
            route.span,
            f"a query must not change anything, and `{route.method}` does",
            help="use GET, or make it a `command`",
        )
    _check_statuses(context, made)


def _parameters(names: Mapping[str, p.Param]) -> str:
    if not names:
        return "it has none yet; the parameters stand in `( )` behind the name"
    shown = ", ".join(f"`{name}`" for name in names)
    return f"its parameter is {shown}" if len(names) == 1 else f"its parameters are {shown}"


def _check_statuses(context: Context, made: p.Operation) -> None:
    seen: dict[int, p.Rejection] = {}
    for rejection in made.rejects:
        if rejection.status is None:
            continue
        first = seen.setdefault(rejection.status, rejection)
        if first is not rejection:
            context.report(
                "policy-conflict",
                rejection.span,
                f"status {rejection.status} selects two errors",
                other=(first.span, "first here"),
                help="give each a status of its own, or none: then the problem body selects it",
            )


# --- second pass: what refers to other operations ----------------------------------------------


def _link(context: Context, name: str, found: ast.ServiceDecl) -> None:
    service = context.services[name]
    operations = dict(service.operations)
    for item in found.items:
        if not isinstance(item, ast.OperationDecl) or item.is_query:
            continue
        operation = operations[item.name.text]
        if operation.span != item.name.span:
            continue  # the second of two with the same name
        for clause in item.clauses:
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


__all__ = ["check_compensation", "declare_services", "typed_call", "uses_key"]
