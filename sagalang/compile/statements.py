"""The statements of a saga as the body of an `async def`, one after the other as in its text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from sagalang.compile import naming, reads, steps
from sagalang.compile.context import annotation
from sagalang.compile.expressions import Env, render, render_for
from sagalang.compile.layout import Bracket, Doc, Parts, Prefix, Text, call
from sagalang.compile.literals import string
from sagalang.compile.writer import Body, Function
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.model.expressions import may_fail

Exports = Sequence[tuple[str, t.Type]]
Live = frozenset[str]


def write_block(body: Body, block: p.Block, env: Env, live: Live) -> Env:
    """Write a block; gives what is bound at its end. `live`: the names that are read after it."""
    before = len(body.function.lines)
    env = _fill(body, block, env, live)
    _never_empty(body, before)
    return env


def _fill(body: Body, block: p.Block, env: Env, live: Live) -> Env:
    after = live
    lives = []
    for found in reversed(block.statements):
        lives.append(after)
        after |= reads.of(found)
    for found, alive in zip(block.statements, reversed(lives), strict=True):
        env = _write(body, found, env, alive)
    return env


def _never_empty(body: Body, before: int) -> None:
    """A block of Python has a statement. `before`: the number of lines before it."""
    if not any(_is_code(line) for line in body.function.lines[before:]):
        body.line("pass")


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _write(body: Body, found: p.Statement, env: Env, live: Live) -> Env:
    module = body.module
    body.comment(found)
    match found:
        case p.Step():
            return _bind(body, found, steps.step(body, found, env), env, live)
        case p.ChildStep():
            return _bind(body, found, steps.child(body, found, env), env, live)
        case p.Wait():
            return _bind_or_else(body, found, steps.wait(body, found, env), env, live)
        case p.Poll():
            return _bind_or_else(body, found, steps.poll(body, found, env), env, live)
        case p.Let():
            return _let(body, found, env, live)
        case p.Abort():
            _raise(body, found, env)
        case p.Return(value=value):
            if isinstance(body.function.saga.result, t.Null) and isinstance(value, p.Const):
                body.line("return")
            else:
                result = body.function.saga.result
                body.write("return ", render_for(module, module, value, result, env))
        case p.Sleep(value=value, path=path):
            args = Text(string(path)), render(module, value, env)
            body.write("await ", call(f"{env.saga}.sleep", *args))
        case p.If():
            return _if(body, found, env, live)
        case p.For(at_once=1):
            return _loop(body, found, env, live)
        case p.For():
            return _for_each(body, found, env, live)
        case p.Parallel():
            return _parallel(body, found, env, live)
        case p.Attempt():
            return _attempt(body, found, env, live)
    return env


# --- What binds a name -------------------------------------------------------------------------


def _bind(
    body: Body,
    found: p.Step | p.ChildStep | p.Wait | p.Poll,
    doc: Doc,
    env: Env,
    live: Live,
) -> Env:
    """`name = await doc`, or without a variable where nobody reads it."""
    name = found.name
    if found is body.function.answers:
        body.write("return await ", doc)
        return env
    if name is None or name not in live:
        body.write("await ", doc)
        return env
    variable = body.variable(name, found.type, env)
    body.write(f"{variable} = await ", doc)
    return env.bind(name, variable)


def _bind_or_else(body: Body, found: p.Wait | p.Poll, doc: Doc, env: Env, live: Live) -> Env:
    """The same, with what is raised if nothing comes in time."""
    otherwise, name = found.otherwise, found.name
    # An answer that may be null does not tell that nothing came: the poll itself raises then.
    if not isinstance(otherwise, p.Abort) or t.is_optional(found.type):
        return _bind(body, found, doc, env, live)
    if name not in live:
        asked = Parts((("", Prefix("await ", doc)), ("is ", Text("None"))))
        body.write("if ", asked, ":")
        _raise(body.deeper(), otherwise, env)
        return env
    shared = env.targets.get(name)
    shown = annotation(body.module, t.optional(found.type))
    variable = body.function.variable(name, shown)
    body.write(f"{variable} = await ", doc)
    body.line(f"if {variable} is None:")
    _raise(body.deeper(), otherwise, env)
    if shared is not None:
        body.line(f"{shared} = {variable}")
    return env.bind(name, shared or variable)


def _let(body: Body, found: p.Let, env: Env, live: Live) -> Env:
    doc = render(body.module, found.value, env)
    if found is body.function.answers:
        body.write("return ", doc)
        return env
    if found.name not in live:
        # It may still have no value, and then the saga must fail here.
        if may_fail(found.value):
            body.write("", doc)
        return env
    variable = body.variable(found.name, found.value.type, env)
    body.write(f"{variable} = ", doc)
    return env.bind(found.name, variable)


def _raise(body: Body, found: p.Abort, env: Env) -> None:
    caught = body.function.caught
    doc: Doc = steps.error(body.module, found, env)
    body.write("raise ", doc, f" from {caught[-1]}" if caught else "")


# --- Ways --------------------------------------------------------------------------------------


def _shared(body: Body, exports: Exports, arms: Sequence[p.Block], env: Env, live: Live) -> Env:
    """Variables for what several ways bind; `Env.targets` has them.

    Annotated where the ways give different types, and null first where some bind nothing.
    """
    targets: dict[str, str] = {}
    bound = [reads.bound(arm) for arm in arms]
    for name, type_ in exports:
        if name not in live:
            continue
        kinds = [names.get(name) for names in bound]
        targets[name] = variable = body.variable(name, type_, env)
        if any(kind is None for kind in kinds) and t.is_optional(type_):
            body.line(f"{variable}: {annotation(body.module, type_)} = None")
        elif any(kind is not None and kind != type_ for kind in kinds):
            body.line(f"{variable}: {annotation(body.module, type_)}")
    return replace(env, targets=targets)


def _if(body: Body, found: p.If, env: Env, live: Live) -> Env:
    arms = (found.then, found.otherwise)
    shared = _shared(body, found.then.exports, arms, env, live)
    body.write("if ", render(body.module, found.condition, env), ":")
    with body.scope():
        write_block(body.deeper(), found.then, shared, live)
    if found.otherwise.statements:
        leaves = any(isinstance(end, p.Abort | p.Return) for end in found.then.statements[-1:])
        if not leaves:
            body.line("else:")
        with body.scope():
            write_block(body if leaves else body.deeper(), found.otherwise, shared, live)
    return replace(env, names={**env.names, **shared.targets})


def _attempt(body: Body, found: p.Attempt, env: Env, live: Live) -> Env:
    module = body.module
    arms = (found.body, *(handler.body for handler in found.handlers))
    shared = _shared(body, found.body.exports, arms, env, live)
    names = [name for handler in found.handlers for name in handler.errors]
    classes = [Text(steps.error_class(module, name)) for name in names]
    body.line("try:")
    inner = body.deeper()
    inner.write("async with ", call(f"{env.saga}.attempt", Text(string(found.path)), *classes), ":")
    with body.scope():
        write_block(inner.deeper(), found.body, shared, live)
    for handler in found.handlers:
        with body.scope():
            forgotten = reads.forgotten(found.body, handler.body)
            _handler(body, handler, forgotten, shared, live)
    return replace(env, names={**env.names, **shared.targets})


def _handler(body: Body, handler: p.Handler, forgotten: Live, env: Env, live: Live) -> None:
    module, function = body.module, body.function
    classes = [steps.error_class(module, name) for name in handler.errors]
    shown = classes[0] if len(classes) == 1 else f"({', '.join(classes)})"
    binder = handler.binder if handler.binder in reads.of_block(handler.body) else None
    raises = reads.raises(handler.body)
    if binder is None and not raises:
        body.line(f"except {shown}:")
        with_caught = []
    else:
        caught = function.variable("caught", "caught")
        body.line(f"except {shown} as {caught}:")
        with_caught = [caught]
    inside = body.deeper()
    if binder is not None:
        # Python forgets the variable of an `except` after it; what is undone later may ask for it.
        (caught,) = with_caught
        declared = len(handler.errors) == 1 and handler.errors[0] in module.program.errors
        kind = shown if declared else module.use("ErrorName")
        made = caught if declared else f"ErrorName({module.use('error_name')}({caught}))"
        variable = function.variable(binder, kind)
        inside.line(f"{variable} = {made}")
        env = env.bind(binder, variable)
    function.caught += with_caught
    before = len(function.lines)
    for name, variable in env.targets.items():
        if name in forgotten:
            inside.line(f"{variable} = None")
    _fill(inside, handler.body, env, live)
    _never_empty(inside, before)
    del function.caught[len(function.caught) - len(with_caught) :]


# --- Loops -------------------------------------------------------------------------------------


def _loop(body: Body, found: p.For, env: Env, live: Live) -> Env:
    """One after the other: a plain loop, so that `return` in it works."""
    module, function = body.module, body.function
    collected = [(name, kind) for name, kind in found.binds if name in live]
    lists = {}
    for name, kind in collected:
        shown = f"list[{annotation(module, kind)}]"
        lists[name] = function.variable(f"{name}_list", shown)
        body.line(f"{lists[name]}: {shown} = []")
    source = render(module, found.source, env)
    by = steps.identity(body, found, env)
    made = call(f"{env.saga}.loop", Text(string(found.path)), source, *by)
    with body.scope():
        function.loops += 1
        each = function.variable("each", module.use("Saga"))
        item = function.variable(found.variable, annotation(module, steps.item_type(found)))
        header = len(function.lines)
        scope = replace(env.bind(found.variable, item), saga=each, depth=env.depth + 1, targets={})
        ended = write_block(body.deeper(), found.body, scope, frozenset(lists))
        for name, variable in lists.items():
            body.deeper().line(f"{variable}.append({ended.names[name]})")
        function.loops -= 1
    written = "\n".join(function.lines[header:])
    del function.lines[header:]
    heads = [v if re.search(rf"\b{v}\b", written) else "_" for v in (each, item)]
    body.write(f"for {', '.join(heads)} in ", made, ":")
    function.lines += written.split("\n")
    for name, kind in collected:
        if found is function.answers:
            body.line(f"return tuple({lists[name]})")
            return env
        variable = body.variable(name, t.ListOf(kind), env)
        body.line(f"{variable} = tuple({lists[name]})")
        env = env.bind(name, variable)
    return env


def _for_each(body: Body, found: p.For, env: Env, live: Live) -> Env:
    module = body.module
    exports = tuple((name, kind) for name, kind in found.binds if name in live)
    wanted = f"each_{naming.snake(found.variable)}"
    item = found.variable, annotation(module, steps.item_type(found))
    name = _nested(body, wanted, found.body, exports, replace(env, depth=env.depth + 1), item)
    made = call(
        f"{env.saga}.for_each",
        Text(string(found.path)),
        render(module, found.source, env),
        Text(name),
        *steps.identity(body, found, env),
        Text(f"at_once={found.at_once}"),
    )
    lists = [(bound, t.ListOf(kind)) for bound, kind in exports]
    if not lists:
        body.write("await ", made)
    elif found is body.function.answers:
        body.write("return await ", made)
    elif len(lists) == 1:
        ((bound, kind),) = lists
        variable = body.variable(bound, kind, env)
        body.write(f"{variable} = await ", made)
        env = env.bind(bound, variable)
    else:
        rows = body.function.variable("rows", f"rows {found.path}")
        body.write(f"{rows} = await ", made)
        for index, (bound, kind) in enumerate(lists):
            variable = body.variable(bound, kind, env)
            body.line(f"{variable} = tuple(row[{index}] for row in {rows})")
            env = env.bind(bound, variable)
    return env


# --- Parallel parts ----------------------------------------------------------------------------


def _parallel(body: Body, found: p.Parallel, env: Env, live: Live) -> Env:
    functions, targets, after = [], [], env
    for branch in found.branches:
        exports = tuple((name, kind) for name, kind in branch.exports if name in live)
        functions.append(Text(_nested(body, _branch_name(branch), branch, exports, env, None)))
        variables = []
        for bound, kind in exports:
            variable = body.variable(bound, kind, env)
            variables.append(variable)
            after = after.bind(bound, variable)
        targets.append(_target(variables))
    made = call(f"{env.saga}.parallel", *functions)
    if all(target == "_" for target in targets):
        body.write("await ", made)
    elif len(targets) == 1:
        body.write(f"({targets[0]},) = await ", made)
    else:
        body.write(f"{', '.join(targets)} = await ", made)
    return after


def _target(variables: list[str]) -> str:
    match variables:
        case []:
            return "_"
        case [variable]:
            return variable
        case _:
            return f"({', '.join(variables)})"


def _nested(
    body: Body,
    wanted: str,
    block: p.Block,
    exports: Exports,
    env: Env,
    item: tuple[str, str] | None,
) -> str:
    """A function inside this one, for a branch or an iteration; it returns its exports."""
    module, outer = body.module, body.function
    kinds = [annotation(module, kind) for _, kind in exports]
    match kinds:
        case []:
            returns = "None"
        case [kind]:
            returns = kind
        case _:
            returns = f"tuple[{', '.join(kinds)}]"
    name = outer.variable(wanted, f"function {wanted}")
    names = outer.names.inner()
    function = Function(module, outer.saga, names, outer.lines, {})
    params = [Text(f"saga: {module.use('Saga')}")]
    scope = replace(env, saga="saga", targets={})
    if item is not None:
        variable = function.variable(*item)
        params.append(Text(f"{variable}: {item[1]}"))
        scope = scope.bind(item[0], variable)
    # What a loop around changes is bound now: each iteration has its own.
    read = {env.names[name] for name in reads.of_block(block) if name in env.names}
    params += [Text(f"{v}: {outer.types[v]} = {v}") for v in sorted(read & outer.looping)]
    body.write(f"async def {name}", Bracket(Text(""), tuple(params)), f" -> {returns}:")
    last = block.statements[-1] if block.statements else None
    if len(exports) == 1 and reads.gives(last, exports[0][0]):
        function.answers = last
    inner = Body(function, body.indent + 4)
    ended = write_block(inner, block, scope, frozenset(name for name, _ in exports))
    if exports and function.answers is None and all(n in ended.names for n, _ in exports):
        inner.line(f"return {', '.join(ended.names[name] for name, _ in exports)}")
    body.line()
    return name


def _branch_name(block: p.Block) -> str:
    """What a branch does, as the name of a function."""
    alone = len(block.statements) == 1
    match block.statements[0] if block.statements else None:
        case p.Step(call=found) if alone:
            return naming.snake(f"{found.operation}_{found.service}")
        case p.ChildStep(saga=saga) if alone:
            return naming.snake(f"run_{saga}")
        case p.For(variable=variable) if alone:
            return f"every_{naming.snake(variable)}"
        case p.Step(call=found):
            return naming.snake(f"{found.operation}_and_more")
        case _:
            return "branch"
