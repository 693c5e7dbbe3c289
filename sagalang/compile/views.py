"""A module's view model: names first, then every part in the order in which it is printed."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Any, Final

from sagalang.compile import naming, reads, records, services
from sagalang.compile.context import Module, exact
from sagalang.compile.expressions import Env, render
from sagalang.compile.imports import group, used_imports
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
from sagalang.compile.meaning import Meanings
from sagalang.compile.policies import literal, name_all, name_of
from sagalang.compile.statements import write_block
from sagalang.compile.steps import escalation
from sagalang.compile.view_models import ModuleView, SagaView
from sagalang.compile.writer import Body, Function, spaced
from sagalang.graph.structure import bodies, statements
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.model.policies import forwards, over
from sagalang.model.program import RELENTLESS


def module_view(module: Module) -> ModuleView:
    """Everything that is printed. Raises `CannotCompile`."""
    program = module.own
    name_everything(module)
    enum_views = tuple(records.enum(module, found) for found in program.enums.values())
    record_views = tuple(records.declared(module, found) for found in program.records.values())
    errors = tuple(records.declared(module, found, "error") for found in program.errors.values())
    events = tuple(records.declared(module, found, "event") for found in program.events.values())
    policies = tuple(
        joined(statement(f"{name} = ", literal(module, policy), 0))
        for policy, name in module.policies.items()
        if module.declares(name)
    )
    constants = tuple(records.constant(module, found) for found in program.constants.values())
    service_views = tuple(services.service(module, found) for found in program.services.values())
    meanings = Meanings(module.program)
    sagas = tuple(_saga(module, found, meanings.of(found)) for found in program.sagas.values())
    answers = records.answers(module)
    names = [module.name("definition", name) for name in program.sagas]
    return ModuleView(
        doc=_module_doc(module),
        imports=used_imports(module, bool(names)),
        exports=_exports(module, bool(names)),
        enums=enum_views,
        records=record_views,
        answers=answers,
        errors=errors,
        events=events,
        policies=policies,
        services=service_views,
        services_constant=_services(module) if has_services(module) else "",
        constants=constants,
        helpers=tuple(module.helper_texts),
        sagas=sagas,
        main=_main(module) if names else "",
    )


def _main(module: Module) -> str:
    sagas = module.own.sagas.values()
    parts: list[Doc] = [
        sequence([Text(module.name("definition", saga.name)) for saga in sagas]),
        Text("SERVICES"),
    ]
    waits = [s for saga in sagas for b in bodies(saga) for s in statements(b)]
    events = dict.fromkeys(wait.event for wait in waits if isinstance(wait, p.Wait))
    if events:
        received = sequence([Text(module.name("type", event)) for event in events])
        parts.append(Prefix("events=", received))
    return joined(statement("return ", call("run_main", *parts), 4))


def has_services(module: Module) -> bool:
    """Whether it has `SERVICES`: where there is something to run, or to test."""
    return module.own.main == module.program.main or bool(module.own.sagas)


def _services(module: Module) -> str:
    """All that its sagas could call."""
    seen = [name for name in module.program.services if ("entry", name) in module.names]
    entries: list[Doc] = [Text(module.name("entry", name)) for name in seen]
    return joined(statement("SERVICES = ", sequence(entries), 0))


# --- Names -------------------------------------------------------------------------------------

IMPORTED: Final = ("type", "protocol", "service", "entry", "definition", "constant")
"""The kinds of names that other modules import, beside policies and the classes of shapes."""


def name_everything(module: Module) -> None:
    """Claim the names of the module's own things, in an order that favours the obvious."""
    program, names, taken = module.own, module.names, module.taken
    taken.claim("SERVICES")
    for kinds in (program.records, program.enums, program.events, program.errors):
        for name in kinds:
            names["type", name] = taken.claim(name)
    for name in program.services:
        names["service", name] = taken.claim(name)
    for name in program.sagas:
        names["definition", name] = taken.claim(naming.constant(name))
        names["function", name] = taken.claim(naming.snake(name))
    for name, saga in program.sagas.items():
        if saga.when_compensated is not None:
            wanted = module.name("function", name) + "_compensated"
            names["epilogue", name] = taken.claim(wanted)
    _name_answers(module)
    used: dict[p.Policy, str] = {}
    for service in program.services.values():
        for operation in service.operations.values():
            used.setdefault(forwards(operation.policy), f"{service.name}_policy")
    for saga in program.sagas.values():
        used.setdefault(over(saga.compensate_with, RELENTLESS), f"{saga.name}_compensation")
        for step in _steps(saga):
            used.setdefault(step.policy, f"{step.call.service}_{step.call.operation}_policy")
    used.pop(RELENTLESS, None)
    if program.main != module.program.main:  # others may use them all
        used |= {policy: name for name, policy in program.policies.items() if policy not in used}
    name_all(module, used)
    for name in program.constants:
        names["constant", name] = taken.claim(naming.constant(name))
    services.name_services(module)
    for other in module.sees:
        borrow_all(module, other)


def borrow_all(module: Module, other: Module) -> None:
    """Names for all that one module may import from another, but for policies."""
    for (kind, name), there in other.own_names().items():
        if kind in IMPORTED:
            module.names[kind, name] = module.borrow(other, there)
    for shape, there in other.inline.items():
        if other.declares(there):
            here = module.borrow(other, there)
            mine = module.inline.setdefault(shape, here)
            module.alike[shape] = (*module.alike.get(shape, (mine,)), here)
            module.alike[shape] = tuple(dict.fromkeys(module.alike[shape]))


def _steps(saga: p.Saga) -> list[p.Step | p.Poll]:
    found: list[p.Step | p.Poll] = []

    def walk(block: p.Block) -> None:
        for item in block.statements:
            match item:
                case p.Step() | p.Poll():
                    found.append(item)
                case p.Parallel(branches=branches):
                    for branch in branches:
                        walk(branch)
                case p.For(body=body):
                    walk(body)
                case p.If(then=then, otherwise=otherwise):
                    walk(then)
                    walk(otherwise)
                case p.Attempt(body=body, handlers=handlers):
                    walk(body)
                    for handler in handlers:
                        walk(handler.body)
                case _:
                    pass

    walk(saga.body)
    if saga.when_compensated is not None:
        walk(saga.when_compensated.body)
    return found


def _name_answers(module: Module) -> None:
    """Inline records are one class for each shape, named after who answers with it first."""

    def claim(type_: t.Type, wanted: str) -> None:
        match type_:
            case t.InlineRecord(fields):
                if type_ not in module.inline:
                    module.inline[type_] = module.taken.claim(wanted)
                    for name, kind, _ in fields:
                        claim(kind, wanted + naming.camel(name))
            case t.Optional(item) | t.ListOf(item) | t.MapOf(item) | t.Secret(item):
                claim(item, wanted)
            case _:
                pass

    operations = [
        operation
        for service in module.own.services.values()
        for operation in service.operations.values()
    ]
    for operation in sorted(operations, key=lambda found: found.is_query):
        claim(operation.result, naming.camel(operation.name) + "Result")
    for name, record in _all_records(module.own):
        for field in record.fields:
            claim(field.type, name + naming.camel(field.name))


def _all_records(program: p.Program) -> list[tuple[str, p.Record]]:
    return [*program.records.items(), *program.errors.items(), *program.events.items()]


# --- The head of the module --------------------------------------------------------------------


def _module_doc(module: Module) -> str:
    program = module.own
    folder = os.path.dirname(program.main)
    files = []
    for name, source in sorted(program.sources.items(), key=lambda pair: pair[0] != program.main):
        shown = os.path.relpath(name, folder or ".") if name not in ("-", "") else "standard input"
        digest = sha256(source.text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        files.append((shown.replace(os.sep, "/"), digest))
    sagas = f"{', '.join(program.sagas)}, compiled" if program.sagas else "Compiled"
    main = files[0][0] if files else program.main
    lines = [f"{sagas} from {main}.", ""]
    lines += [f"{name}: sha256 {digest}" for name, digest in files]
    again = "it" if program.main == module.program.main else "what imports it"
    return docstring("\n".join([*lines, "", f"Change {main} and compile {again} again."]), 0)


def _exports(module: Module, has_main: bool) -> str:
    names = [name for (kind, _), name in module.names.items() if kind in IMPORTED]
    names += [*module.inline.values(), *module.policies.values()]
    names = [name for name in names if module.declares(name)]
    names += ["SERVICES"] if has_services(module) else []
    names += ["main"] if has_main else []
    items = tuple(Text(f'"{name}"') for name in sorted(names, key=group))
    return joined(statement("__all__ = ", Bracket(Text(""), items, "[", "]"), 0))


# --- Sagas -------------------------------------------------------------------------------------


def _saga(module: Module, saga: p.Saga, version: str) -> SagaView:
    module.use("SagaDefinition")
    names = module.taken.inner()
    names.claim("saga")
    variables = services.arguments(names, saga.params)
    types = {variables[q.name]: exact(module, q.type) for q in saga.params}
    env = Env(variables, loops=_loops(saga))
    result = exact(module, saga.result)
    function = module.name("function", saga.name)
    lines: list[str] = []
    body = Body(Function(module, saga, names, lines, dict(types)), 4)
    write_block(body, saga.body, env, frozenset())
    epilogue = _epilogue(module, saga, env, types)
    definition = _definition(module, saga, variables, bool(epilogue), version)
    return SagaView(
        _signature(module, function, types, result),
        docstring(saga.doc, 4, f"The saga {saga.name}."),
        "\n".join(spaced(lines)),
        epilogue,
        definition,
        module.name("definition", saga.name),
    )


def _signature(
    module: Module, function: str, types: dict[str, str], result: str, *first: str
) -> str:
    params = [f"saga: {module.use('Saga')}", *first, *(f"{v}: {k}" for v, k in types.items())]
    doc = Bracket(Text(""), tuple(Text(param) for param in params))
    return joined(statement(f"async def {function}", doc, 0, f" -> {result}:"))


def _epilogue(module: Module, saga: p.Saga, env: Env, types: dict[str, str]) -> str:
    after = saga.when_compensated
    if after is None:
        return ""
    names = module.taken.inner()
    names.claim("saga")
    for variable in types:
        names.claim(variable)
    raised = names.claim("error")
    lines: list[str] = []
    function = Function(module, saga, names, lines, dict(types))
    body = Body(function, 4)
    error = module.use("SagaError")
    if after.binder is not None and after.binder in reads.of_block(after.body):
        variable = names.claim(after.binder)
        made = f"{module.use('ErrorName')}({module.use('error_name')}({raised}))"
        body.line(f"{variable} = {made}")
        env = env.bind(after.binder, variable)
    write_block(body, after.body, env, frozenset())
    name = module.name("epilogue", saga.name)
    head = _signature(module, name, types, "None", f"{raised}: {error}")
    doc = docstring("", 4, f"What is left to do once {saga.name} is compensated.")
    return "\n".join([head, f"    {doc}", *spaced(lines)])


def _definition(
    module: Module,
    saga: p.Saga,
    variables: dict[str, str],
    has_epilogue: bool,
    version: str,
) -> str:
    function = module.name("function", saga.name)
    parts: list[Doc] = [Text(string(saga.name)), Text(function)]
    if saga.id is not None:
        env = Env(variables)
        params = ", ".join(variables.values())
        parts.append(Prefix(f"id=lambda {params}: ", render(module, saga.id, env)))
    if saga.deadline is not None:
        parts.append(Text(f"deadline={milliseconds(module, saga.deadline)}"))
    undoing = over(saga.compensate_with, RELENTLESS)
    if undoing != RELENTLESS:
        parts.append(Text(f"compensate_with={name_of(module, undoing)}"))
    if saga.compensate_escalate is not None:
        parts.append(Prefix("escalate=", escalation(module, saga.compensate_escalate)))
    if has_epilogue:
        parts.append(Text(f"when_compensated={module.name('epilogue', saga.name)}"))
    declared = [name for name in saga.errors if name in module.program.errors]
    if declared:
        errors: list[Doc] = [Text(module.name("type", name)) for name in declared]
        parts.append(Prefix("errors=", sequence(errors)))
    renamed = {v: q.name for q in saga.params if (v := variables[q.name]) != q.name}
    if renamed:
        entries = tuple(Text(f'"{v}": {string(name)}') for v, name in renamed.items())
        parts.append(Prefix("names=", Bracket(Text(""), entries, "{", "}")))
    parts.append(Text(f'version="{version}"'))
    name = module.name("definition", saga.name)
    return joined(statement(f"{name} = ", call("SagaDefinition", *parts), 0))


def _loops(saga: p.Saga) -> dict[str, int]:
    """How many loops are around each step, by path."""
    found: dict[str, int] = {}

    def walk(block: p.Block, depth: int) -> None:
        for item in block.statements:
            path: Any = getattr(item, "path", None)
            if path is not None:
                found[path] = depth
            match item:
                case p.Parallel(branches=branches):
                    for branch in branches:
                        walk(branch, depth)
                case p.For(body=body):
                    walk(body, depth + 1)
                case p.If(then=then, otherwise=otherwise):
                    walk(then, depth)
                    walk(otherwise, depth)
                case p.Attempt(body=body, handlers=handlers):
                    walk(body, depth)
                    for handler in handlers:
                        walk(handler.body, depth)
                case _:
                    pass

    walk(saga.body, 0)
    return found
