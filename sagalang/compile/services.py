"""Services: typed classes that make calls, and their contracts beside them."""

from __future__ import annotations

from sagalang.compile import naming, reads
from sagalang.compile.context import Module, annotation
from sagalang.compile.expressions import Env, render, string
from sagalang.compile.layout import (
    Bracket,
    Doc,
    Prefix,
    Text,
    call,
    docstring,
    joined,
    sequence,
    statement,
)
from sagalang.compile.policies import name_of, promises
from sagalang.compile.steps import error_class
from sagalang.compile.view_models import OperationView, ServiceView
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.model.policies import forwards


def service(module: Module, service: p.Service) -> ServiceView:
    module.use("Service")
    reached, binding = _binding(module, service)
    contracts = [Text(module.name("contract", o.label)) for o in service.operations.values()]
    parts: list[Doc] = [
        Text(string(service.name)),
        binding,
        sequence(list(contracts)),
    ]
    headers: list[Doc] = []
    for header in service.headers:
        what = f"env={string(header.env)}" if header.env else f"text={string(header.text or '')}"
        headers.append(call(module.use("Header"), Text(string(header.name)), Text(what)))
    if headers:
        parts.append(Prefix("headers=", sequence(headers)))
    entry = statement(f"{module.name('entry', service.name)} = ", call("Service", *parts), 0)
    return ServiceView(
        module.name("service", service.name),
        docstring(service.doc, 4, reached),
        tuple(_operation(module, operation) for operation in service.operations.values()),
        joined(entry),
    )


def _binding(module: Module, service: p.Service) -> tuple[str, Doc]:
    match service.binding:
        case p.HttpBinding(url, env):
            parts: list[Doc] = [Text(string(url))]
            if env is not None:
                parts.append(Text(f"env={string(env)}"))
            over = f", or ${env}" if env else ""
            return f"HTTP: {url}{over}.", call(module.use("http"), *parts)
        case p.PythonBinding(name):
            return f"Python: the module {name}.", call(module.use("python"), Text(string(name)))
        case _:
            return "Bound to nothing: give a transport of your own.", Text("None")


def _operation(module: Module, operation: p.Operation) -> OperationView:
    module.use("Call")
    names = module.taken.inner()
    if operation.probe is not None:
        names.claim("key")
    variables = arguments(names, operation.params)
    params: list[Doc] = []
    optional_tail = _optional_tail(operation.params)
    for index, param in enumerate(operation.params):
        default = " = None" if index >= optional_tail else ""
        params.append(Text(f"{variables[param.name]}: {annotation(module, param.type)}{default}"))
    answer = annotation(module, operation.result)
    name = naming.field(operation.name)
    signature = statement(
        f"def {name}", Bracket(Text(""), tuple(params)), 4, f" -> Call[{answer}]:"
    )
    contract = module.name("contract", operation.label)
    args: list[Doc] = [Text(contract), sequence([Text(v) for v in variables.values()])]
    policy = forwards(operation.policy)
    if policy != p.Policy(timeout=p.DEFAULT_TIMEOUT):
        args.append(Text(name_of(module, policy)))
    if operation.probe is not None:
        env = Env(variables, key="key")
        asked = _probe(module, operation.probe, env)
        if any(reads.mentions(arg, p.KeyOf) for arg in operation.probe.args):
            asked = Prefix("lambda key: ", asked)
        args.append(Prefix("probe=", asked))
    return OperationView(
        joined(signature),
        docstring(operation.doc, 8) if operation.doc else "",
        joined(statement("return ", call("Call", *args), 8)),
        _contract(module, operation),
    )


def arguments(names: naming.Names, params: tuple[p.Param, ...]) -> dict[str, str]:
    """The Python parameters of a function, by the names in the language."""
    return {param.name: names.claim(naming.argument(param.name)) for param in params}


def _optional_tail(params: tuple[p.Param, ...]) -> int:
    """Where the parameters that may be left out begin: only the last can have a default."""
    index = len(params)
    while index and t.is_optional(params[index - 1].type):
        index -= 1
    return index


def _probe(module: Module, found: p.Call, env: Env) -> Doc:
    args = [render(module, arg, env) for arg in found.args]
    service = module.name("service", found.service)
    return call(f"{service}.{naming.field(found.operation)}", *args)


def _contract(module: Module, operation: p.Operation) -> str:
    parts: list[Doc] = [Text(string(operation.label))]
    for param in operation.params:
        wire = [Text(string(param.wire))] if param.wire != param.name else []
        about = (Text(string(param.name)), Text(annotation(module, param.type)), *wire)
        parts.append(call(module.use("param"), *about))
    if not isinstance(operation.result, t.Null):
        parts.append(Text(f"answer={annotation(module, operation.result)}"))
    if operation.route is not None:
        route = Text(string(operation.route.method)), Text(string(operation.route.path))
        parts.append(Prefix("route=", call(module.use("route"), *route)))
    if operation.promises != p.Promises():
        parts.append(Prefix("promises=", promises(module, operation.promises)))
    if operation.rejects:
        rejections: list[Doc] = []
        for found in operation.rejects:
            status = [Text(str(found.status))] if found.status is not None else []
            error = Text(error_class(module, found.error))
            rejections.append(call(module.use("rejects"), error, *status))
        parts.append(Prefix("rejects=", sequence(rejections)))
    name = module.name("contract", operation.label)
    made = call(module.use("query" if operation.is_query else "command"), *parts)
    return joined(statement(f"{name} = ", made, 0))
