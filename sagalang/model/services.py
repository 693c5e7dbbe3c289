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
from sagalang.model.context import Context
from sagalang.model.contracts import link
from sagalang.model.declare import contains_secret, fields_of, resolve_type
from sagalang.model.policies import lookup, over
from sagalang.model.types import NULL, Null
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
        link(context, name, found)


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
                        item.text.span if item.text else None,
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
