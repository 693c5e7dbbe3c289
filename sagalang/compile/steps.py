"""Steps, waits and polls: the expressions that a saga awaits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sagalang.compile import naming, reads
from sagalang.compile.context import Module, annotation
from sagalang.compile.expressions import Env, keywords, render, render_for
from sagalang.compile.layout import Bracket, Doc, Prefix, Text, call
from sagalang.compile.literals import milliseconds, string
from sagalang.compile.policies import name_of
from sagalang.compile.writer import Body
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.model.expressions import may_fail
from sagalang.model.policies import forwards
from sagalang.model.program import RELENTLESS


def of_operation(module: Module, found: p.Call, env: Env) -> Doc:
    """`Service.operation(args)`; optional arguments left out at the end are left out here too."""
    given = list(found.args)
    while given and given[-1] is None:
        given.pop()
    home = module.declaring("service", found.service)
    args = _arguments(home, module, given, module.program.operation(found).params, env)
    service = module.name("service", found.service)
    return call(f"{service}.{module.method(found.service, found.operation)}", *args)


def _arguments(
    home: Module,
    module: Module,
    args: Sequence[p.Expr | None],
    params: Sequence[p.Param],
    env: Env,
) -> list[Doc]:
    typed = zip(args, params, strict=False)  # those left out are the last
    return [render_for(home, module, arg, param.type, env) for arg, param in typed]


def step(body: Body, found: p.Step, env: Env) -> Doc:
    module = body.module
    operation = module.program.operation(found.call)
    env = replace(env, key=f"{env.saga}.key({string(found.path)})")
    made = of_operation(module, found.call, env)
    options: list[Doc] = []
    if found.best_effort:
        if any(may_fail(arg) for arg in found.call.args):
            returns = f"Call[{annotation(module, operation.result)}]"
            captured = _variables(found.call, env)
            made = body.callback(f"{found.call.operation}_call", (), returns, made, captured)
        method = "best_effort"
    elif found.pivot:
        method = "pivot"
    else:
        method = "step"
        options += _undo(body, found, env)
    usual = RELENTLESS if found.pivot else forwards(operation.policy)
    if found.policy != usual:
        options.append(Text(f"policy={name_of(module, found.policy)}"))
    if found.escalate is not None and not found.best_effort:
        options.append(Prefix("escalate=", escalation(module, found.escalate)))
    return call(f"{env.saga}.{method}", Text(string(found.path)), made, *options)


def _undo(body: Body, found: p.Step, env: Env) -> list[Doc]:
    match found.compensation:
        case p.Compensation(call=undoing):
            return [Prefix("undo=", _compensation(body, found, undoing, env))]
        case p.NoCompensation(why=why) if why:
            return [Text(f"no_undo={string(why)}")]
        case _:
            return []


def _compensation(body: Body, found: p.Step, undoing: p.Call, env: Env) -> Doc:
    """The call; where it needs the result, a function of it."""
    module = body.module
    if not any(reads.mentions(arg, p.ResultOf) for arg in undoing.args):
        return of_operation(module, undoing, env)
    result = body.function.names.inner().claim("result")
    operation = module.program.operation(found.call)
    kind = annotation(module, operation.result)
    undone = module.program.operation(undoing)
    returns = f"Call[{annotation(module, undone.result)}]"
    doc = of_operation(module, undoing, env.bind("result", result))
    captured = _variables(undoing, env)
    return body.callback(f"undo_{found.call.operation}", [(result, kind)], returns, doc, captured)


def _variables(found: p.Call, env: Env) -> set[str]:
    """The variables that a call reads, the saga's own among them where it asks for a key."""
    return _variables_of(*found.args, env=env)


def _variables_of(*exprs: p.Expr | None, env: Env) -> set[str]:
    read = {env.names[name] for name in reads.names_in(*exprs) if name in env.names}
    asks = any(reads.mentions(expr, p.KeyOf) or reads.uses_now(expr) for expr in exprs)
    return read | {env.saga} if asks else read


def child(body: Body, found: p.ChildStep, env: Env) -> Doc:
    module = body.module
    options: list[Doc] = []
    if found.pivot:
        options.append(Text("pivot=True"))
    if found.best_effort:
        options.append(Text("best_effort=True"))
    elif found.escalate is not None:
        options.append(Prefix("escalate=", escalation(module, found.escalate)))
    home = module.declaring("definition", found.saga)
    args = _arguments(home, module, found.args, module.program.sagas[found.saga].params, env)
    made: Doc = call(module.name("definition", found.saga), *args)
    if found.best_effort and any(arg is not None and may_fail(arg) for arg in found.args):
        result = module.program.sagas[found.saga].result
        captured = _variables_of(*found.args, env=env)
        returns = f"SagaCall[{annotation(module, result)}]"
        if captured & body.function.looping:  # a lambda says nothing of its type
            module.use("SagaCall")
        made = body.callback(f"{naming.snake(found.saga)}_call", (), returns, made, captured)
    return call(f"{env.saga}.child", Text(string(found.path)), made, *options)


def wait(body: Body, found: p.Wait, env: Env) -> Doc:
    module = body.module
    event = module.name("type", found.event)
    parts: list[Doc] = [Text(string(found.path)), Text(event)]
    parts.append(Text(f"within={milliseconds(module, found.within)}"))
    if found.where is not None:
        parts.append(Prefix("where=", _condition(body, found.name, event, found.where, env)))
    return call(f"{env.saga}.wait", *parts, *_escalated(module, found.otherwise))


def poll(body: Body, found: p.Poll, env: Env) -> Doc:
    module = body.module
    operation = module.program.operation(found.call)
    answer = annotation(module, operation.result)
    asked = of_operation(module, found.call, env)
    if any(reads.uses_now(arg) for arg in found.call.args):
        captured = _variables(found.call, env)
        asked = body.callback(
            f"{found.call.operation}_call", (), f"Call[{answer}]", asked, captured
        )
    parts: list[Doc] = [
        Text(string(found.path)),
        asked,
        Prefix("until=", _condition(body, found.name, answer, found.until, env)),
        Text(f"every={milliseconds(module, found.every)}"),
        Text(f"within={milliseconds(module, found.within)}"),
    ]
    if found.policy != forwards(operation.policy):
        parts.append(Text(f"policy={name_of(module, found.policy)}"))
    if isinstance(found.otherwise, p.Abort) and t.is_optional(found.type):
        raised = error(module, found.otherwise, env)
        captured = _variables_of(*(value for _, value in found.otherwise.fields), env=env)
        kind = error_class(module, found.otherwise.error)
        made = body.callback(f"no_{found.name}", (), kind, raised, captured)
        parts.append(Prefix("otherwise=", made))
    return call(f"{env.saga}.poll", *parts, *_escalated(module, found.otherwise))


def _condition(body: Body, name: str, kind: str, condition: p.Expr, env: Env) -> Doc:
    variable = body.function.names.inner().claim(name)
    doc = render(body.module, condition, env.bind(name, variable))
    read = {env.names[n] for n in reads.names_in(condition) - {name} if n in env.names}
    return body.callback(f"{name}_is_wanted", [(variable, kind)], "bool", doc, read)


def identity(body: Body, found: p.For, env: Env) -> list[Doc]:
    """`by=`, the identity of an iteration."""
    if found.by is None:
        return []
    module = body.module
    variable = naming.safe(found.variable)
    scope = env.bind(found.variable, variable)
    doc = render(module, found.by, scope)
    names = reads.names_in(found.by) - {found.variable}
    read = {env.names[name] for name in names if name in env.names}
    if variable in read or variable in module.taken:  # something else has this name
        variable = body.function.names.inner().claim(found.variable)
        doc = render(module, found.by, env.bind(found.variable, variable))
    kind = annotation(module, item_type(found))
    returns = annotation(module, found.by.type)
    made = body.callback(f"{variable}_identity", [(variable, kind)], returns, doc, read)
    return [Prefix("by=", made)]


def item_type(found: p.For) -> t.Type:
    source = t.reveal(found.source.type)
    return source.item if isinstance(source, t.ListOf) else t.UNKNOWN


def error_class(module: Module, name: str) -> str:
    """The exception class of an error, declared or built in."""
    return module.name("type", name) if name in module.program.errors else module.use(name)


def error(module: Module, found: p.Abort, env: Env) -> Bracket:
    """`Missing(what="reply")`"""
    fields = keywords(module, t.RecordRef(found.error), found.fields, env)
    return call(error_class(module, found.error), *fields)


def escalation(module: Module, found: p.Escalation) -> Doc:
    """`Escalate("team", after=...)`"""
    parts: list[Doc] = [Text(string(found.team))]
    if found.after != 3_600_000:
        parts.append(Text(f"after={milliseconds(module, found.after)}"))
    return call(module.use("Escalate"), *parts)


def _escalated(module: Module, otherwise: p.Otherwise) -> list[Doc]:
    if not isinstance(otherwise, p.Escalation):
        return []
    return [Prefix("otherwise=", escalation(module, otherwise))]
