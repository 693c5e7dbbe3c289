"""The fakes that the tests run on: what undoes what, which query answers for which command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sagalang.compile import reads
from sagalang.compile.context import Module
from sagalang.compile.expressions import Env, render
from sagalang.compile.layout import (
    Bracket,
    Doc,
    Prefix,
    Text,
    call,
    joined,
    sequence,
    statement,
)
from sagalang.compile.literals import string
from sagalang.graph.structure import bodies, statements
from sagalang.model import program as p
from sagalang.runtime.fake_relations import Relation, Relations, Unseen
from sagalang.runtime.values import Values

Use = Callable[[str], str]


def fakes(module: Module, use: Use, name: str) -> str:
    """`FAKES = Fakes(SERVICES, undoes(...), ...)`"""
    program = module.program
    relations = Relations(program, Values(program))
    parts: list[Doc] = [Text("SERVICES")]
    parts += [_about(module, use, "undoes", found) for found in relations.undo]
    parts += [_about(module, use, "answers_for", found) for found in relations.probes]
    texts = [
        Prefix(f"{string(saga.name)}: ", text)
        for saga in program.sagas.values()
        if (text := _text(use, saga)) is not None
    ]
    if texts:
        parts.append(Prefix("texts=", Bracket(Text(""), tuple(texts), "{", "}")))
    undoing = {found.other for found in relations.undo}
    both = [label for label in sorted(relations.forward) if label in undoing]
    if both:
        parts.append(Prefix("also_steps=", _strings(both)))
    return joined(statement(f"{name} = ", call(use("Fakes"), *parts), 0))


def _about(module: Module, use: Use, kind: str, found: Relation) -> Doc:
    service, _, operation = found.original.partition(".")
    params = module.program.services[service].operations[operation].params
    made = module.taken.inner().claim("made")
    env = Env({param.name: f"{made}[{string(param.name)}]" for param in params}, key=f"{made}.key")
    # A clock has no place in it: what depends on the time, no fake can foresee.
    seen = [arg if not _is_now(arg) else Unseen() for arg in found.args]
    args = [_argument(module, use, made, arg, env) for arg in seen]
    parts: list[Doc] = [
        Text(string(found.other)),
        Text(string(found.original)),
        Prefix(f"lambda {made}: ", sequence(args)) if args else Text("lambda _: ()"),
    ]
    if kind == "undoes" and Unseen() in seen:
        parts.append(Text("determined=False"))
    return call(use(kind), *parts)


def _argument(module: Module, use: Use, made: str, arg: p.Expr | Unseen | None, env: Env) -> Doc:
    if isinstance(arg, Unseen):
        return Text(use("ANYTHING"))
    if reads.mentions(arg, p.ResultOf):
        answer = module.taken.inner().claim("answer")
        read = render(module, arg, env.bind("result", answer))
        return call(f"{made}.answered", Prefix(f"lambda {answer}: ", read))
    return render(module, arg, env)


def _is_now(arg: p.Expr | Unseen | None) -> bool:
    if arg is None or isinstance(arg, Unseen):
        return False
    if isinstance(arg, p.Apply) and arg.function == "now":
        return True
    return any(_is_now(part) for part in reads.parts(arg))


# --- What the journal does not say ---------------------------------------------------------------


def _text(use: Use, saga: p.Saga) -> Doc | None:
    found = [item for body in bodies(saga) for item in statements(body)]
    never = [path for item in found if (path := _never_undone(item))]
    attempts = {
        item.path: [path for inner in statements(item.body) if (path := getattr(inner, "path", ""))]
        for item in found
        if isinstance(item, p.Attempt)
    }
    parts: list[Doc] = []
    if never:
        parts.append(Prefix("never_undone=", _strings(never)))
    if attempts:
        parts.append(Prefix("attempts=", _table(attempts)))
    return call(use("SagaText"), *parts) if parts else None


def _never_undone(item: p.Statement) -> str:
    """The path of a step that is outside of `nothing left`."""
    match item:
        case p.Step(path=path, best_effort=best_effort, compensation=compensation):
            return path if best_effort or isinstance(compensation, p.NoCompensation) else ""
        case p.ChildStep(path=path, best_effort=True):
            return path
        case _:
            return ""


def _strings(values: list[str]) -> Doc:
    return sequence([Text(string(value)) for value in values])


def _table(entries: Mapping[str, list[str]]) -> Doc:
    made = tuple(Prefix(f"{string(key)}: ", _strings(paths)) for key, paths in entries.items())
    return Bracket(Text(""), made, "{", "}")
