"""Are the scenarios any good? Break the saga on purpose, one place at a time, and see who notices.

A mutant is a checked program with one thing changed: a compensation dropped, two steps that stand
next to each other swapped, a key taken away, a retry taken away. The program is changed, not the
text, so the checker does not stand in the way of the mutants that it would refuse: a scenario ought
to notice them too. After DeMillo, Lipton and Sayward, Hints on Test Data Selection, 1978.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
from msgspec.structs import replace

from sagalang.model import program as p
from sagalang.scenario.run import run
from sagalang.scenario.shape import everything
from sagalang.scenario.stage import Stage
from sagalang.text import Span


@dataclass(frozen=True, slots=True)
class Mutant:
    """`what`: the change, as a sentence about the saga. `span`: the statement it is about."""

    saga: str
    kind: str
    what: str
    span: Span
    program: p.Program


@dataclass(frozen=True, slots=True)
class Verdict:
    """`noticed`: the title of the first scenario that failed on the mutant; None: none did."""

    mutant: Mutant
    noticed: str | None


def try_all(
    program: p.Program, scenarios: Sequence[p.Scenario], seed: int = 0
) -> Iterator[Verdict]:
    """Run the scenarios, which pass, on every mutant of the sagas that they run."""
    for saga in program.sagas.values():
        judges = [s for s in scenarios if saga.name in _runs(program, s.saga)]
        if not judges:
            continue
        for mutant in mutants(program, saga):
            yield Verdict(mutant, _noticed(mutant.program, judges, seed))


def _noticed(program: p.Program, judges: Sequence[p.Scenario], seed: int) -> str | None:
    stage = Stage(program)
    for scenario in judges:
        try:
            passed = run(program, scenario, seed, stage=stage).passed
        except Exception:
            # What the checker refuses may break the machine's own assumptions: also noticed.
            return scenario.title
        if not passed:
            return scenario.title
    return None


def _runs(program: p.Program, saga: str) -> set[str]:
    """The saga and those that it runs."""
    found = {saga}
    for statement in everything(program.sagas[saga]):
        if isinstance(statement, p.ChildStep):
            found |= _runs(program, statement.saga)
    return found


def mutants(program: p.Program, saga: p.Saga) -> Iterator[Mutant]:
    """All mutants of a saga, by kind and then in text order."""
    for kind, what, span, body in _changes(saga.body):
        changed = replace(saga, body=body)
        yield Mutant(
            saga.name,
            kind,
            what,
            span,
            replace(program, sagas={**program.sagas, saga.name: changed}),
        )
    for step in _first_calls(saga):
        operation = program.operation(step.call)
        if operation.promises.keyed:
            what = f"{operation.label} has no key"
            yield Mutant(saga.name, "key", what, step.span, _without_key(program, operation))


def _first_calls(saga: p.Saga) -> list[p.Step]:
    """One step for each operation that the saga calls."""
    found: dict[str, p.Step] = {}
    for statement in everything(saga):
        if isinstance(statement, p.Step):
            found.setdefault(statement.call.label, statement)
    return list(found.values())


def _without_key(program: p.Program, operation: p.Operation) -> p.Program:
    service = program.services[operation.service]
    keyless = replace(operation, promises=replace(operation.promises, keyed=False))
    operations = {**service.operations, operation.name: keyless}
    services = {**program.services, service.name: replace(service, operations=operations)}
    return replace(program, services=services)


# --- Changes in the body ------------------------------------------------------------------------

Change = tuple[str, str, Span, p.Block]
"""(kind, sentence, place, the whole body with the change)"""


def _changes(body: p.Block) -> Iterator[Change]:
    for make in (_dropped, _swapped, _weakened):
        for block, put in _blocks(body, lambda changed: changed):
            for kind, what, span, statements in make(block.statements):
                yield kind, what, span, put(replace(block, statements=statements))


Statements = tuple[p.Statement, ...]
Local = Iterator[tuple[str, str, Span, Statements]]


def _dropped(statements: Statements) -> Local:
    for index, step in enumerate(statements):
        if isinstance(step, p.Step) and isinstance(step.compensation, p.Compensation):
            if step.best_effort or step.pivot or not step.before_pivot:
                continue  # never undone anyway
            what = f"{step.call.label} is not undone by {step.compensation.call.label}"
            changed = _with(statements, index, replace(step, compensation=None))
            yield "compensation", what, step.span, changed


def _swapped(statements: Statements) -> Local:
    for index, (first, second) in enumerate(pairwise(statements)):
        if not (isinstance(first, _STEPS) and isinstance(second, _STEPS)):
            continue
        if first.name is not None and _uses(second, first.name):
            continue  # it needs the result
        what = f"{_label(second)} comes before {_label(first)}"
        changed = (*statements[:index], second, first, *statements[index + 2 :])
        yield "order", what, second.span, changed


def _weakened(statements: Statements) -> Local:
    for index, step in enumerate(statements):
        if not isinstance(step, p.Step):
            continue
        label, undo = step.call.label, step.compensation
        if step.policy.retry is not None:
            weak = replace(step, policy=replace(step.policy, retry=None))
            yield "policy", f"{label} is not retried", step.span, _with(statements, index, weak)
        if isinstance(undo, p.Compensation) and undo.policy.retry is not None and not step.pivot:
            tired = replace(undo, policy=replace(undo.policy, retry=None))
            what = f"{undo.call.label}, which undoes {label}, is not retried"
            changed = _with(statements, index, replace(step, compensation=tired))
            yield "policy", what, step.span, changed


_STEPS = (p.Step, p.ChildStep)


def _label(step: p.Step | p.ChildStep) -> str:
    return step.call.label if isinstance(step, p.Step) else f"saga {step.saga}"


def _uses(node: Any, name: str) -> bool:
    """Whether an expression anywhere in the node names it."""
    if isinstance(node, p.Ref):
        return node.name == name
    if isinstance(node, tuple):
        return any(_uses(item, name) for item in node)
    if isinstance(node, msgspec.Struct):
        return any(_uses(getattr(node, part), name) for part in node.__struct_fields__)
    return False


def _with(statements: Statements, index: int, changed: p.Statement) -> Statements:
    return (*statements[:index], changed, *statements[index + 1 :])


# --- Blocks, and how to put a changed one back ---------------------------------------------------

Put = Callable[[p.Block], p.Block]


def _blocks(block: p.Block, put: Put) -> Iterator[tuple[p.Block, Put]]:
    """The block and all inside, each with what makes the whole body of a changed one."""
    yield block, put
    for index, statement in enumerate(block.statements):
        for inner, rebuilt in _inside(statement):

            def into(
                changed: p.Block,
                index: int = index,
                rebuilt: Callable[[p.Block], p.Statement] = rebuilt,
            ) -> p.Block:
                statements = _with(block.statements, index, rebuilt(changed))
                return put(replace(block, statements=statements))

            yield from _blocks(inner, into)


def _inside(statement: p.Statement) -> Iterator[tuple[p.Block, Callable[[p.Block], p.Statement]]]:
    match statement:
        case p.Parallel(branches=branches):
            for index, branch in enumerate(branches):
                yield branch, partial(_with_branch, statement, index)
        case p.For(body=body):
            yield body, lambda changed: replace(statement, body=changed)
        case p.If(then=then, otherwise=otherwise):
            yield then, lambda changed: replace(statement, then=changed)
            yield otherwise, lambda changed: replace(statement, otherwise=changed)
        case p.Attempt(body=body, handlers=handlers):
            yield body, lambda changed: replace(statement, body=changed)
            for index, handler in enumerate(handlers):
                yield handler.body, partial(_with_handler, statement, index)
        case _:
            pass


def _with_branch(parallel: p.Parallel, index: int, changed: p.Block) -> p.Statement:
    branches = parallel.branches
    return replace(parallel, branches=(*branches[:index], changed, *branches[index + 1 :]))


def _with_handler(attempt: p.Attempt, index: int, changed: p.Block) -> p.Statement:
    handlers = attempt.handlers
    handler = replace(handlers[index], body=changed)
    return replace(attempt, handlers=(*handlers[:index], handler, *handlers[index + 1 :]))
