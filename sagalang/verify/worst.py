"""The worst case of a saga in closed form: calls of each operation, and seconds to the end.

Nothing is explored. The longest one call may take is that of `graph.deadline`, with the probes of
an unanswered call added. Along a sequence amounts add up; of parallel branches the longest
counts, of their calls the sum; a loop counts once per element, or once per started group where it
runs several at once. A saga that is undone takes the longest way to where it fails, and then all
compensations of what came before, in reverse. Before its pivot a saga's deadline cuts it short;
what is in flight then is still awaited. Calls multiply over nested parts: a child saga's count
once for every element of the loop around its step, a query's attempts once for every poll.

Counted are the saga's own retries, waits and sleeps; what is left out is named in `left_out`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sagalang.graph.durations import duration, seconds
from sagalang.graph.structure import statements
from sagalang.model import program as p
from sagalang.model.program import Ms, Policy
from sagalang.verify.closed_form import (
    ZERO,
    Endless,
    Fixed,
    Form,
    Named,
    as_json,
    at_most,
    covers,
    each,
    longest,
    plus,
    text,
    times,
)
from sagalang.verify.worst_call import attempt_time, call_limits
from sagalang.verify.worst_walk import Walk

_LONG: Ms = 120_000
"""From here on minutes and hours read better than seconds."""


@dataclass(frozen=True)
class Calls:
    """How often an operation is called at most, in one run."""

    operation: str
    at_most: Form

    def __str__(self) -> str:
        if isinstance(self.at_most, Endless):
            return f"{self.operation}: no limit ({', '.join(self.at_most.causes)})"
        return f"{self.operation}: {text(self.at_most)}"


@dataclass(frozen=True)
class WorstCase:
    """Times are forms in milliseconds. `until_pivot`: until the point of no return is begun; None
    where there is none. `forward`: until the saga completes. `undone`: until it is compensated."""

    saga: str
    calls: tuple[Calls, ...]
    until_pivot: Form | None
    forward: Form
    undone: Form
    left_out: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain data; every form also as its text."""
        return {
            "saga": self.saga,
            "calls": [
                {"operation": one.operation, "text": str(one), "at_most": as_json(one.at_most)}
                for one in self.calls
            ],
            "until_pivot": None if self.until_pivot is None else _time_json(self.until_pivot),
            "forward": _time_json(self.forward),
            "undone": _time_json(self.undone),
            "left_out": list(self.left_out),
        }


def worst_case(program: p.Program, saga: str) -> WorstCase:
    """The worst case of a checked saga. Raises KeyError where there is no such saga."""
    time = Walk(program, _Time(program), saga).saga(saga)
    calls = []
    for operation in _operations(program):
        most = Walk(program, _Count(program, operation.label), saga).saga(saga).whole
        if most != ZERO:
            calls.append(Calls(operation.label, most))
    return WorstCase(
        saga,
        tuple(calls),
        time.until_pivot,
        time.forward,
        time.undone,
        tuple(_left_out(program, saga, {one.operation for one in calls})),
    )


def time_text(form: Form) -> str:
    """A time as people read it: `42s + 11s per element of order.lines`."""
    return text(form, lambda time: seconds(time) if time < _LONG else duration(time))


def _time_json(form: Form) -> dict[str, Any]:
    return {"text": time_text(form), "ms": as_json(form)}


# --- Measures ----------------------------------------------------------------------------------


class _Time:
    """In milliseconds."""

    def __init__(self, program: p.Program) -> None:
        self.program = program

    def call(self, operation: p.Operation, policy: Policy, resolving: bool = False) -> Form:
        time = call_limits(self.program, operation, policy, resolving=resolving).time
        return Endless((operation.label,)) if time is None else Fixed(time)

    def poll(self, operation: p.Operation, poll: p.Poll) -> Form:
        # A call that was begun in time is awaited with its retries.
        return plus(Fixed(poll.within), self.call(operation, poll.policy))

    def delay(self, time: Ms) -> Form:
        return Fixed(time)

    def sleep(self, name: str) -> Form:
        return Named(name)

    def in_flight(self, policy: Policy) -> Form:
        return Fixed(attempt_time(policy))

    def together(self, forms: Iterable[Form]) -> Form:
        return longest(*forms)

    def each(self, source: str, body: Form, at_once: int) -> Form:
        return each(source, body, at_once)

    def many(self, count: int, body: Form, at_once: int) -> Form:
        return times(-(-count // at_once), body)

    def cut(self, form: Form, deadline: Ms | None, settling: Form) -> Form:
        if deadline is None or covers(Fixed(deadline), form):
            return form
        if isinstance(settling, Fixed):
            return at_most(form, deadline + settling.amount)
        return plus(at_most(form, deadline), settling)


class _Count:
    """The calls of one operation."""

    def __init__(self, program: p.Program, label: str) -> None:
        self.program, self.label = program, label

    def call(self, operation: p.Operation, policy: Policy, resolving: bool = False) -> Form:
        limits = call_limits(self.program, operation, policy, resolving=resolving)
        found = []
        if operation.label == self.label:
            found.append(limits.attempts)
        if operation.probe is not None and operation.probe.label == self.label:
            found.append(limits.probes)
        why = "retried for ever"
        if policy.total is not None:
            why = f"retried until its total of {duration(policy.total)} is over"
        return plus(*(Endless((why,)) if count is None else Fixed(count) for count in found))

    def poll(self, operation: p.Operation, poll: p.Poll) -> Form:
        return times(poll.within // max(poll.every, 1) + 1, self.call(operation, poll.policy))

    def delay(self, time: Ms) -> Form:
        return ZERO

    def sleep(self, name: str) -> Form:
        return ZERO

    def in_flight(self, policy: Policy) -> Form:
        return ZERO

    def together(self, forms: Iterable[Form]) -> Form:
        return plus(*forms)

    def each(self, source: str, body: Form, at_once: int) -> Form:
        return each(source, body)

    def many(self, count: int, body: Form, at_once: int) -> Form:
        return times(count, body)

    def cut(self, form: Form, deadline: Ms | None, settling: Form) -> Form:
        return form


# --- What is left out --------------------------------------------------------------------------


def _operations(program: p.Program) -> Iterator[p.Operation]:
    for service in program.services.values():
        yield from service.operations.values()


def _left_out(program: p.Program, saga: str, called: set[str]) -> Iterator[str]:
    used = [operation for operation in _operations(program) if operation.label in called]
    kinds: dict[str, Callable[[Policy], object]] = {
        "waiting for the breaker of": lambda policy: policy.breaker,
        "waiting for the rate limit of": lambda policy: policy.rate,
        "waiting for the retry budget of": lambda policy: policy.budget,
        "the queue, which has no `wait`, of": lambda policy: (
            policy.bulkhead and policy.bulkhead.wait is None
        ),
    }
    yield "`Retry-After`"
    for what, asked in kinds.items():
        services = dict.fromkeys(f"`{one.service}`" for one in used if asked(one.policy))
        if services:
            yield f"{what} {', '.join(services)}"
    if _escalates(program, saga):
        yield "the time until a person settles what is escalated"
    yield "crashes of the orchestrator: each may begin the calls in flight anew"


def _escalates(program: p.Program, saga: str) -> bool:
    """Whether the saga, or one that it runs, says where something is escalated."""
    found = program.sagas[saga]
    return found.compensate_escalate is not None or any(
        getattr(statement, "escalate", None) is not None
        or isinstance(getattr(statement, "otherwise", None), p.Escalation)
        or (isinstance(statement, p.ChildStep) and _escalates(program, statement.saga))
        for statement in statements(found.body)
    )
