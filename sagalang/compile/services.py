"""Services: Protocols with the contracts of their operations, and classes that make calls."""

from __future__ import annotations

from textwrap import dedent

from sagalang.compile import naming, reads
from sagalang.compile.context import Module, exact
from sagalang.compile.expressions import Env
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
from sagalang.compile.literals import milliseconds, string
from sagalang.compile.package import names_read
from sagalang.compile.policies import name_of
from sagalang.compile.steps import error_class, of_operation
from sagalang.compile.view_models import OperationView, ServiceView
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.model.policies import forwards
from sagalang.runtime.saga_operations import parameter_name

_UNBOUND = "Bound to nothing: serve it by an object of your own."


def name_services(module: Module) -> None:
    """Claim the names of the Protocols and of the services beside them."""
    names, taken = module.names, module.taken
    for service in module.own.services.values():
        suffix = "Protocol" if service.name.endswith("Service") else "Service"
        names["protocol", service.name] = taken.claim(service.name + suffix)
        names["entry", service.name] = taken.claim(naming.constant(f"{service.name}_service"))


def service(module: Module, service: p.Service) -> ServiceView:
    module.use("Service")
    module.use("Protocol")
    protocol = module.name("protocol", service.name)
    parts: list[Doc] = [Text(string(service.name)), _binding(module, service), Text(protocol)]
    headers: list[Doc] = []
    for header in service.headers:
        what = f"env={string(header.env)}" if header.env else f"text={string(header.text or '')}"
        headers.append(call(module.use("Header"), Text(string(header.name)), Text(what)))
    if headers:
        parts.append(Prefix("headers=", sequence(headers)))
    made = Bracket(Text("Service"), tuple(parts), together=True)
    entry = statement(f"{module.name('entry', service.name)} = ", made, 0)
    doc = service.doc or (_UNBOUND if service.binding is None else "")
    return ServiceView(
        module.name("service", service.name),
        protocol,
        docstring(doc, 4) if doc else "",
        tuple(_operation(module, operation) for operation in service.operations.values()),
        joined(entry),
    )


def _binding(module: Module, service: p.Service) -> Doc:
    match service.binding:
        case p.HttpBinding(url, env):
            parts: list[Doc] = [Text(string(url))]
            if env is not None:
                parts.append(Text(f"env={string(env)}"))
            return call(module.use("http"), *parts)
        case p.PythonBinding(name):
            return call(module.use("python"), Text(string(name)))
        case _:
            return Text("None")


def _operation(module: Module, operation: p.Operation) -> OperationView:
    variables = _parameters(module, operation)
    return OperationView(
        _contract(module, operation, variables),
        _method(module, operation, variables),
        docstring(operation.doc, 8) if operation.doc else "",
        _builder(module, operation, variables),
        _body(module, operation, variables),
    )


def _parameters(module: Module, operation: p.Operation) -> dict[str, str]:
    """The Python parameters, by the names in the language.

    They may be called like anything else of the module, but for what the call is made with.
    """
    names = module.taken.inner()
    names.claim("key")
    apart = arguments(names, operation.params)
    read = names_read(dedent(_body(module, operation, apart))) - set(apart.values())
    return arguments(naming.Names({"self", *read}), operation.params)


def _method(module: Module, operation: p.Operation, variables: dict[str, str]) -> str:
    """The method of the Protocol. Its callers give every argument, so none has a default."""
    params = [Text("self"), *(Text(f"{v}: {k}") for v, k in _typed(module, operation, variables))]
    # A parameter of its own that is called so is not the idempotency key: no other finds room.
    if operation.promises.keyed and not any(param.name == "key" for param in operation.params):
        params += [Text("*"), Text("key: str")]
    name = module.method(operation.service, operation.name)
    suffix = f" -> {exact(module, operation.result)}:"
    doc = Bracket(Text(""), tuple(params))
    end = "" if operation.doc else " ..."
    return joined(statement(f"async def {name}", doc, 4, suffix + end))


def _builder(module: Module, operation: p.Operation, variables: dict[str, str]) -> str:
    optional_tail = _optional_tail(operation.params)
    params: list[Doc] = [
        Text(f"{variable}: {kind}{' = None' if index >= optional_tail else ''}")
        for index, (variable, kind) in enumerate(_typed(module, operation, variables))
    ]
    suffix = f" -> {module.use('Call')}[{exact(module, operation.result)}]:"
    name = module.method(operation.service, operation.name)
    return joined(statement(f"def {name}", Bracket(Text(""), tuple(params)), 4, suffix))


def _typed(
    module: Module, operation: p.Operation, variables: dict[str, str]
) -> list[tuple[str, str]]:
    return [(variables[q.name], exact(module, q.type)) for q in operation.params]


def _body(module: Module, operation: p.Operation, variables: dict[str, str]) -> str:
    protocol = module.name("protocol", operation.service)
    method = f"{protocol}.{module.method(operation.service, operation.name)}"
    args: list[Doc] = [Text(method), sequence([Text(v) for v in variables.values()])]
    policy = forwards(operation.policy)
    if policy != p.Policy(timeout=p.DEFAULT_TIMEOUT):
        args.append(Text(name_of(module, policy)))
    if operation.probe is not None:
        env = Env(variables, key="key")
        asked = of_operation(module, operation.probe, env)
        if any(reads.mentions(arg, p.KeyOf) for arg in operation.probe.args):
            asked = Prefix("lambda key: ", asked)
        args.append(Prefix("probe=", asked))
    return joined(statement("return ", call("Call.to", *args), 8))


def arguments(names: naming.Names, params: tuple[p.Param, ...]) -> dict[str, str]:
    """The Python parameters of a function, by the names in the language."""
    return {param.name: names.claim(naming.argument(param.name)) for param in params}


def _optional_tail(params: tuple[p.Param, ...]) -> int:
    """Where the parameters that may be left out begin: only the last can have a default."""
    index = len(params)
    while index and t.is_optional(params[index - 1].type):
        index -= 1
    return index


def _contract(module: Module, operation: p.Operation, variables: dict[str, str]) -> str:
    """The decorator: what the signature does not say."""
    parts: list[Doc] = [Text(string(operation.label))]
    if operation.route is not None:
        parts.append(Text(string(f"{operation.route.method} {operation.route.path}")))
    parts += [Text(f"{name}={value}") for name, value in _promises(module, operation.promises)]
    if operation.rejects:
        rejections = tuple(
            Text(f"{error_class(module, found.error)}: {found.status}")
            for found in operation.rejects
        )
        parts.append(Prefix("rejects=", Bracket(Text(""), rejections, "{", "}")))
    python = [(variables[param.name], param) for param in operation.params]
    names = {v: q.name for v, q in python if parameter_name(v) != q.name}
    wire = {v: q.wire for v, q in python if q.wire != q.name}
    for keyword, table in (("names", names), ("wire", wire)):
        if table:
            entries = tuple(Text(f"{string(v)}: {string(name)}") for v, name in table.items())
            parts.append(Prefix(f"{keyword}=", Bracket(Text(""), entries, "{", "}")))
    made = Bracket(
        Text(module.use("query" if operation.is_query else "command")), tuple(parts), together=True
    )
    return joined(statement("@", made, 4))


def _promises(module: Module, made: p.Promises) -> list[tuple[str, str]]:
    """The keywords of `command` for what differs from its defaults."""
    usual = p.Promises()
    found: list[tuple[str, str]] = []
    for name in made.__struct_fields__:
        value = getattr(made, name)
        if value == getattr(usual, name):
            continue
        if name in ("key_for", "lands_within"):
            value = milliseconds(module, value)
        elif isinstance(value, str):
            value = string(value)
        found.append((name, str(value)))
    return found
