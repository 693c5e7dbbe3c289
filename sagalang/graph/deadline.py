"""The check `retry-exceeds-deadline`: do the retries before the pivot fit the saga's deadline?

The longest one call may take, with A attempts of at most T each, is

    W = A * T + sum(min(cap, backoff * factor ** i) for i in range(A - 1)) + A * Q

where Q is the declared wait in the bulkhead's queue, and never more than the policy's `total`.
The bulkhead sits inside the retry, so that every attempt may queue. The back-offs are taken
before the jitter, except where jitter makes them longer: P% adds P%, and `decorrelated` may
triple the wait each time.

Along a path the calls add up; of parallel branches and of the arms of an `if` the longest
counts; a loop counts once. The path ends at the pivot, from whose intent on the deadline is held.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.graph.durations import duration, seconds
from sagalang.graph.saga_graph import SagaGraph
from sagalang.graph.structure import blocks_of
from sagalang.model import program as p
from sagalang.model.program import Jitter, Ms, Policy, Retry

_MANY = 8
"""So many calls are listed; more would hide the sum."""
_SUMMED = 10_000
"""So many back-offs are added up one by one; what follows is taken to be as long as the last."""
_A_CENTURY: Ms = 3_155_760_000_000


class WorstCase(Struct, frozen=True):
    """The longest one call may take. `backoff` and `queue` are sums over all its attempts."""

    attempts: int
    timeout: Ms
    backoff: Ms
    queue: Ms
    total: Ms | None = None
    """What the policy caps it at."""

    @property
    def time(self) -> Ms:
        whole = self.attempts * self.timeout + self.backoff + self.queue
        return whole if self.total is None else min(whole, self.total)


class Cost(Struct, frozen=True):
    """A call on the longest path."""

    label: str
    worst: WorstCase
    at: p.Step | p.ChildStep

    @property
    def time(self) -> Ms:
        return self.worst.time


class _Path(Struct, frozen=True):
    """The costly way through a piece of a saga."""

    costs: tuple[Cost, ...] = ()
    time: Ms = 0

    def then(self, other: _Path) -> _Path:
        return _Path(self.costs + other.costs, self.time + other.time)


class _Ways(Struct, frozen=True):
    """The longest path that goes on behind a piece, and the longest that ends within it (at the
    pivot, a `return` or an `abort`). None: there is no such path."""

    on: _Path | None
    ended: _Path | None = None

    @property
    def longest(self) -> _Path:
        return _longer(self.on, self.ended) or _Path()


def deadline_findings(graph: SagaGraph) -> tuple[Diagnostic, ...]:
    """A warning if the calls up to the pivot may take longer than the saga's deadline."""
    saga = graph.saga
    if saga.deadline is None:
        return ()
    left_out: dict[str, None] = {}
    path = _block(graph.program, saga.body, left_out).longest
    if path.time <= saga.deadline:
        return ()
    worst = max(path.costs, key=lambda cost: cost.time)
    calls = "1 call" if len(path.costs) == 1 else f"{len(path.costs)} calls"
    return (
        diagnose(
            "retry-exceeds-deadline",
            saga.span,
            f"up to the pivot, {calls} with all retries may take {seconds(path.time)}, and the"
            f" deadline is {seconds(saga.deadline)}"
            if any(node.pivot for node in graph.nodes)
            else f"{calls} with all retries may take {seconds(path.time)}, and the deadline is"
            f" {seconds(saga.deadline)}",
            f"the deadline here is {duration(saga.deadline)}",
            other=(worst.at.span, f"takes the most: {seconds(worst.time)}"),
            notes=_notes(path, left_out),
            help="lengthen the deadline, or give the calls fewer retries, a shorter timeout or a"
            " `total`",
        ),
    )


def worst_case(policy: Policy) -> WorstCase | None:
    """The longest a call under a complete policy may take; None if it is retried for ever."""
    timeout = policy.timeout if policy.timeout is not None else p.DEFAULT_TIMEOUT
    retry = policy.retry
    if retry is not None and retry.retries is None:
        return None if policy.total is None else WorstCase(1, policy.total, 0, 0, policy.total)
    attempts = 1 if retry is None or retry.retries is None else retry.retries + 1
    queue = policy.bulkhead.wait if policy.bulkhead and policy.bulkhead.wait else 0
    backoff = backoffs(retry, attempts - 1) if retry is not None else 0
    return WorstCase(attempts, timeout, backoff, attempts * queue, policy.total)


def backoffs(retry: Retry, repeats: int) -> Ms:
    """All waits together, each at its longest; rounded one by one, as the machine does."""
    tripled = retry.jitter is Jitter.DECORRELATED
    factor = 3.0 if tripled else float(retry.factor)
    cap = min(retry.cap if retry.cap is not None else _A_CENTURY, _A_CENTURY)
    delay = float(retry.backoff) * (factor if tripled else 1)
    spread = 1 + retry.percent / 100 if retry.jitter is Jitter.PROPORTIONAL else 1
    total = 0
    for done in range(repeats):
        wait = round(min(delay, cap) * spread)
        if delay >= cap or factor == 1 or done == _SUMMED:
            return total + wait * (repeats - done)
        total += wait
        delay *= factor
    return total


# --- The longest path --------------------------------------------------------------------------


def _block(program: p.Program, block: p.Block, left_out: dict[str, None]) -> _Ways:
    so_far = _Path()
    ended: _Path | None = None
    for statement in block.statements:
        ways = _statement(program, statement, left_out)
        if ways.ended is not None:
            ended = _longer(ended, so_far.then(ways.ended))
        if ways.on is None:
            return _Ways(None, ended)
        so_far = so_far.then(ways.on)
    return _Ways(so_far, ended)


def _statement(program: p.Program, statement: p.Statement, left_out: dict[str, None]) -> _Ways:
    match statement:
        case p.Step(pivot=True) | p.ChildStep(pivot=True) | p.Abort() | p.Return():
            return _Ways(None, _Path())
        case p.Step():
            return _Ways(_step(program, statement, left_out))
        case p.ChildStep():
            return _Ways(_child(program, statement, left_out))
        case p.Parallel(branches=branches):
            parts = [_block(program, branch, left_out) for branch in branches]
            stuck = any(part.on is None for part in parts)
            on = None if stuck else _longest((_Path(), *(part.on for part in parts)))
            return _Ways(on, _longest(part.ended for part in parts))
        case p.For(variable=variable, body=body):
            found = _block(program, body, left_out)
            if found.longest.time:
                left_out[f"`for {variable}` beyond its first iteration"] = None
            return _Ways(_longer(found.on, _Path()), found.ended)
        case p.If():
            arms = [_block(program, arm, left_out) for arm in blocks_of(statement)]
            return _Ways(_longest(arm.on for arm in arms), _longest(arm.ended for arm in arms))
        case p.Attempt():
            return _attempt(program, statement, left_out)
        case p.Wait(name=name, within=within):
            left_out[f"`wait {name}` (up to {duration(within)})"] = None
        case p.Poll(name=name, within=within):
            left_out[f"`poll {name}` (up to {duration(within)})"] = None
        case p.Sleep():
            left_out["`sleep`"] = None
    return _Ways(_Path())


def _attempt(program: p.Program, attempt: p.Attempt, left_out: dict[str, None]) -> _Ways:
    """A handler follows the body, which may have failed as late as at its end."""
    body = _block(program, attempt.body, left_out)
    ways = [body]
    for handler in attempt.handlers:
        after = _block(program, handler.body, left_out)
        on = body.longest.then(after.on) if after.on is not None else None
        ended = body.longest.then(after.ended) if after.ended is not None else None
        ways.append(_Ways(on, ended))
    left_out["the compensations of `attempt`"] = None
    return _Ways(_longest(way.on for way in ways), _longest(way.ended for way in ways))


def _step(program: p.Program, step: p.Step, left_out: dict[str, None]) -> _Path:
    if not step.before_pivot:
        return _Path()
    worst = worst_case(step.policy)
    label = step.call.label
    if worst is None:
        left_out[f"`{label}`, which is retried for ever"] = None
        return _Path()
    if program.operation(step.call).probe is not None and worst.attempts > 1:
        left_out[f"the probes of `{label}`"] = None
    bulkhead = step.policy.bulkhead
    if bulkhead is not None and bulkhead.queue and bulkhead.wait is None:
        left_out[f"the queue of `{step.call.service}`, which declares no `wait`"] = None
    return _Path((Cost(label, worst, step),), worst.time)


def _child(program: p.Program, step: p.ChildStep, left_out: dict[str, None]) -> _Path:
    child = program.sagas[step.saga]
    time = _block(program, child.body, left_out).longest.time
    if child.deadline is not None and child.deadline < time:
        time = child.deadline
        left_out[f"the compensations of `saga {child.name}`"] = None
    if not time:
        return _Path()
    return _Path((Cost(f"saga {child.name}", WorstCase(1, time, 0, 0), step),), time)


def _longer(one: _Path | None, other: _Path | None) -> _Path | None:
    if one is None or other is None:
        return one if other is None else other
    return other if other.time > one.time else one


def _longest(paths: Iterable[_Path | None]) -> _Path | None:
    found: _Path | None = None
    for path in paths:
        found = _longer(found, path)
    return found


# --- Words -------------------------------------------------------------------------------------


def _notes(path: _Path, left_out: dict[str, None]) -> tuple[str, ...]:
    listed = path.costs
    if len(listed) > _MANY:
        most = sorted(listed, key=lambda cost: -cost.time)[:_MANY]
        listed = tuple(cost for cost in listed if cost in most)[:_MANY]
    notes = [f"`{cost.label}`: {_sum(cost.worst)}" for cost in listed]
    rest = len(path.costs) - len(listed)
    if rest:
        time = path.time - sum(cost.time for cost in listed)
        notes.append(f"{rest} more: {seconds(time)}")
    missing = [*left_out, "`Retry-After`", "the compensations"]
    notes.append("left out: " + ", ".join(dict.fromkeys(missing)))
    return tuple(notes)


def _sum(worst: WorstCase) -> str:
    """The formula with its numbers: `5 x 2s + 3s back-off = 13s`."""
    parts = [f"{worst.attempts} × {duration(worst.timeout)}" if worst.attempts > 1 else ""]
    if worst.backoff:
        parts.append(f"{duration(worst.backoff)} back-off")
    if worst.queue:
        parts.append(f"{duration(worst.queue)} in the queue")
    if worst.attempts == 1:
        parts[0] = duration(worst.timeout)
    whole = replace(worst, total=None).time
    capped = f", at most {duration(worst.time)} in total" if worst.time < whole else ""
    if len(parts) == 1 and worst.attempts == 1:
        return seconds(whole) + capped
    return f"{' + '.join(parts)} = {seconds(whole)}{capped}"
