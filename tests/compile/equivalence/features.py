"""Which parts of the language a program has, and what happened in a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.model.policies import over

from .pairs import Course
from .scripts import Case, nodes


def of_program(program: p.Program) -> frozenset[str]:
    """From the checked program, not from what its writer meant."""
    found = set(_of_declarations(program))
    for saga in program.sagas.values():
        found |= set(_of_saga(saga))
    for node in nodes((tuple(program.sagas.values()), tuple(program.constants.values()))):
        found |= set(_of_node(node))
    return frozenset(found)


def _of_declarations(program: p.Program) -> Iterator[str]:
    if program.constants:
        yield "let: constant"
    if len(program.services) > 1:
        yield "several services"
    for operation in (o for s in program.services.values() for o in s.operations.values()):
        promises = operation.promises
        for name in ("keyed", "records_rejections", "idempotent", "absent_ok", "fences_late"):
            if getattr(promises, name):
                yield f"promise: {name}"
        if promises.lands_within is not None:
            yield "promise: lands_within"
        if operation.probe is not None:
            yield "probe"
        for rejection in operation.rejects:
            fields = program.errors[rejection.error].fields
            yield "rejects: with fields" if fields else "rejects: plain"
        for param in operation.params:
            yield f"param: {_kind(param.type)}"
        yield f"result: {_kind(operation.result)}"
        yield from _of_policy(operation.policy)


def _kind(type_: t.Type) -> str:
    match type_:
        case t.Primitive(name):
            return name
        case _:
            return type(type_).__name__


def _of_policy(policy: p.Policy) -> Iterator[str]:
    for name in ("total", "retry", "budget", "breaker", "bulkhead", "rate"):
        clause = getattr(policy, name)
        if clause is not None:
            yield f"policy: {name}"
            if getattr(clause, "per_operation", False):
                yield "policy: per operation"
    if policy.retry is not None:
        yield f"jitter: {policy.retry.jitter.value}"
        if policy.retry.retries is None:
            yield "retry: forever"


def _of_saga(saga: p.Saga) -> Iterator[str]:
    if saga.deadline is not None:
        yield "deadline"
    if over(saga.compensate_with, p.RELENTLESS) != p.RELENTLESS:
        yield "compensate with"
    if saga.compensate_escalate is not None:
        yield "compensate with: escalate"
    if saga.when_compensated is not None:
        yield "when compensated"
    yield f"saga gives: {_kind(saga.result)}"


def _of_node(node: Any) -> Iterator[str]:
    match node:
        case p.Step():
            yield from _of_step(node)
        case p.ChildStep():
            yield "child"
            for name in ("pivot", "best_effort", "escalate"):
                if getattr(node, name):
                    yield f"child: {name}"
        case p.For():
            yield "for: at once" if node.at_once > 1 else "for"
            if node.by is not None:
                yield "for: by"
            if any(isinstance(inner, p.For) for inner in nodes(node.body)):
                yield "for: in for"
            if node.binds:
                yield "for: binds"
        case p.Parallel():
            yield "parallel"
            if any(len(branch.statements) > 1 for branch in node.branches):
                yield "parallel: several steps"
        case p.If():
            yield "if: else" if node.otherwise.statements else "if"
        case p.Attempt():
            yield from _of_attempt(node)
        case p.Wait() | p.Poll():
            kind = type(node).__name__.lower()
            yield f"{kind}: {type(node.otherwise).__name__}"
            if isinstance(node, p.Wait) and node.where is not None:
                yield "wait: where"
        case p.Sleep():
            yield "sleep: until" if node.until else "sleep"
        case p.Let() | p.Abort() | p.Return():
            yield type(node).__name__.lower()
        case p.Apply():
            yield f"function: {node.function}"
        case p.Binary():
            yield f"operator: {node.operator}"
        case p.Unary():
            yield f"operator: {node.operator} (one)"
        case p.KeyOf():
            yield "key" if node.step is None else "key(step)"
        case (
            p.ResultOf()
            | p.Interpolate()
            | p.Comprehension()
            | p.Conditional()
            | p.Update()
            | p.MakeRecord()
            | p.MakeList()
            | p.Index()
            | p.Convert()
            | p.ConstantRef()
        ):
            yield f"expression: {type(node).__name__}"


def _of_step(node: p.Step) -> Iterator[str]:
    for name in ("pivot", "best_effort", "escalate", "after_pivot"):
        if getattr(node, name):
            yield f"step: {name}"
    match node.compensation:
        case p.Compensation(call=call, from_operation=from_operation):
            inner = list(nodes(call.args))
            if any(isinstance(found, p.ResultOf) for found in inner):
                yield "undo: by result"
            elif any(
                found == p.KeyOf(None, found.type, found.span)
                for found in inner
                if isinstance(found, p.KeyOf)
            ):
                yield "undo: by key"
            else:
                yield "undo: by inputs"
            if not from_operation:
                yield "undo: of the step"
        case p.NoCompensation():
            yield "undo: none"


def _of_attempt(node: p.Attempt) -> Iterator[str]:
    yield "attempt"
    inner = list(nodes(node.body))
    if any(isinstance(found, p.Attempt) for found in inner):
        yield "attempt: in attempt"
    if any(isinstance(found, p.Step) and found.pivot for found in inner):
        yield "attempt: pivot"
    if len(node.handlers) > 1:
        yield "attempt: several handlers"
    for handler in node.handlers:
        if handler.binder is not None:
            yield "attempt: as"
        if len(handler.errors) > 1:
            yield "attempt: on several"
        if any(isinstance(found, p.Abort) for found in handler.body.statements):
            yield "attempt: re-raises"


def of_run(case: Case, course: Course) -> frozenset[str]:
    """What happened: how it ended, which faults struck, what came from outside."""
    ends = course.outcome[0] if course.outcome else "never ends"
    found = {f"ends: {ends}"}
    struck = [fault for fault in case.script.faults if fault not in course.unused]
    found |= {f"fault: {fault.kind.value}" for fault in struck}
    if case.script.cancel is not None:
        found.add("cancel")
    if case.script.events:
        found.add("event")
        seen = [(event.event, event.fields) for event in case.script.events]
        if any(event in seen[:at] for at, event in enumerate(seen)):
            found.add("event: twice")
    found |= {f"settled: {what}" for what in course.answered}
    for text in course.journal:
        kind = text.split(" ", 1)[0]
        if kind in JOURNAL:
            found.add(f"journal: {kind}")
    return frozenset(found)


JOURNAL = {
    "BreakerChanged",
    "DeadlinePassed",
    "EscalationRaised",
    "EscalationSettled",
    "EventAccepted",
    "EventConsumed",
    "Interrupted",
    "ProbeStarted",
    "Queued",
    "Restarted",
    "RetryRefused",
    "Waiting",
}
