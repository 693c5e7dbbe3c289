"""Policies: clauses read, numbers checked, layers merged (language.md, section 6)."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from msgspec.structs import asdict, replace

from sagalang.model.context import Context
from sagalang.model.program import (
    DEFAULT_TIMEOUT,
    RELENTLESS,
    Breaker,
    Bulkhead,
    Jitter,
    Policy,
    Rate,
    Retry,
    RetryBudget,
)
from sagalang.syntax import ast
from sagalang.text import Span

SHARED: Final = ("budget", "breaker", "bulkhead", "rate")
"""Clauses whose state belongs to the service, so that a step may not restate them."""
_HERD: Final = ("clients that fail together then retry together, and knock the service over again",)
_CLAUSE: Final[dict[type, str]] = {
    ast.TimeoutClause: "timeout",
    ast.RetryClause: "retry",
    ast.BudgetClause: "retry budget",
    ast.BreakerClause: "breaker",
    ast.BulkheadClause: "bulkhead",
    ast.RateClause: "rate",
}


def declare_policies(context: Context) -> None:
    for name, found in context.declared.items():
        if isinstance(found, ast.PolicyDecl):
            _policy(context, name, found, ())


def _policy(context: Context, name: str, found: ast.PolicyDecl, chain: tuple[str, ...]) -> Policy:
    if name in context.policies:
        return context.policies[name]
    base = Policy()
    if found.base is not None:
        base = _base(context, found.base, (*chain, name))
    seen: dict[str, Span] = {}
    own = Policy()
    for clause in found.clauses:
        word = _CLAUSE[type(clause)]
        if word in seen:
            context.report(
                "policy-conflict",
                clause.span,
                f"`{word}` stands twice in this policy",
                "here again",
                other=(seen[word], "first here"),
                help="remove one of them",
            )
            continue
        seen[word] = clause.span
        own = _with_clause(context, own, clause)
    made = over(own, base)
    _check_together(context, found, made)
    return context.policies.setdefault(name, made)


def _base(context: Context, name: ast.Name, chain: tuple[str, ...]) -> Policy:
    if name.text in chain:
        context.report(
            "policy-conflict",
            name.span,
            f"the policy `{name.text}` extends itself",
            help="extend another policy, or none",
        )
        return Policy()
    found = context.find(name.text, name.span.file, ("policy",))
    if isinstance(found, ast.PolicyDecl):
        return _policy(context, name.text, found, chain)
    if name.text == "relentless":
        return RELENTLESS
    if name.text not in context.poisoned:
        context.unknown(name, ("policy",), "a policy")
    return Policy()


def lookup(context: Context, name: ast.Name) -> Policy:
    """The policy of a `with` clause; an empty one if there is none (reported)."""
    return _base(context, name, ())


def over(own: Policy, base: Policy) -> Policy:
    """`own` laid over `base`: a clause of `own` replaces the whole clause of `base`.

    `timeout` and `total` are one clause.
    """
    changed = {name: clause for name, clause in asdict(own).items() if clause is not None}
    if own.timeout is not None:
        changed["total"] = own.total
    return replace(base, **changed)


def forwards(policy: Policy) -> Policy:
    """A complete policy of an ordinary step: without any, `timeout 10s` and no retry."""
    return policy if policy.timeout is not None else replace(policy, timeout=DEFAULT_TIMEOUT)


def resolute(own: Policy, compensate_with: Policy, shared: Policy) -> Policy:
    """The policy of a compensation, of the pivot and of what follows it.

    Timeout and retry: the step's own, else the saga's `compensate with`, else `relentless`; the
    shared protections stay those of the service.
    """
    base = over(compensate_with, RELENTLESS)
    chosen = over(replace(own, budget=None, breaker=None, bulkhead=None, rate=None), base)
    return replace(
        chosen,
        budget=shared.budget,
        breaker=shared.breaker,
        bulkhead=shared.bulkhead,
        rate=shared.rate,
    )


# --- clauses -----------------------------------------------------------------------------------


def _with_clause(context: Context, own: Policy, clause: ast.PolicyClause) -> Policy:
    match clause:
        case ast.TimeoutClause():
            total = clause.total.value if clause.total else None
            _positive(context, clause.timeout, "a timeout")
            if clause.total and total is not None and total < clause.timeout.value:
                _conflict(
                    context,
                    clause.total.span,
                    "the total is shorter than one attempt may take",
                    (clause.timeout.span, "one attempt"),
                    "make the total longer, or the timeout shorter",
                )
            return replace(own, timeout=clause.timeout.value, total=total)
        case ast.RetryClause():
            return replace(own, retry=_retry(context, clause))
        case ast.BudgetClause():
            _percent(context, clause.percent)
            window = clause.window.value if clause.window else 10_000
            if clause.window:
                _positive(context, clause.window, "a window")
            return replace(
                own, budget=RetryBudget(clause.percent.value, window, clause.per_operation)
            )
        case ast.BreakerClause():
            return replace(own, breaker=_breaker(context, clause))
        case ast.BulkheadClause():
            _positive(context, clause.limit, "a bulkhead")
            if clause.wait is not None and not (clause.queue and clause.queue.value):
                _conflict(
                    context,
                    clause.wait.span,
                    "there is no queue in which a call could wait",
                    None,
                    "add `queue N` before `wait`",
                )
            return replace(
                own,
                bulkhead=Bulkhead(
                    clause.limit.value,
                    clause.queue.value if clause.queue else 0,
                    clause.wait.value if clause.wait else None,
                    clause.per_operation,
                ),
            )
        case ast.RateClause():
            _positive(context, clause.calls, "a rate")
            _positive(context, clause.per, "a rate's period")
            return replace(
                own, rate=Rate(clause.calls.value, clause.per.value, clause.per_operation)
            )


def _retry(context: Context, clause: ast.RetryClause) -> Retry:
    if clause.times is not None:
        _positive(context, clause.times, "a number of retries", "leave `retry` out")
    _positive(context, clause.backoff, "a back-off")
    if clause.factor is not None and clause.factor < 1:
        _conflict(
            context,
            clause.span,
            f"a factor of {clause.factor} makes each wait shorter than the one before",
            None,
            "use 1 or more; 2 is usual",
        )
    if clause.cap is not None and clause.cap.value < clause.backoff.value:
        _conflict(
            context,
            clause.cap.span,
            "the cap is below the first back-off",
            (clause.backoff.span, "the first back-off"),
            "raise the cap",
        )
    if clause.percent is not None:
        _percent(context, clause.percent)
    if clause.jitter is None or (clause.jitter == "none" and clause.why is None):
        context.report(
            "fixed-interval-retry",
            clause.span,
            "these retries come at fixed intervals",
            notes=_HERD,
            help='add `jitter full`; if it must be so, say why: `jitter none "…"`',
        )
    return Retry(
        retries=clause.times.value if clause.times else None,
        backoff=clause.backoff.value,
        factor=clause.factor if clause.factor is not None else Decimal(1),
        cap=clause.cap.value if clause.cap else None,
        jitter=Jitter(clause.jitter or "full"),
        percent=clause.percent.value if clause.percent else 0,
        why=clause.why.value if clause.why else "",
    )


def _breaker(context: Context, clause: ast.BreakerClause) -> Breaker:
    _percent(context, clause.percent)
    _positive(context, clause.calls, "a number of calls")
    _positive(context, clause.window, "a window")
    _positive(context, clause.probe_after, "the open time")
    if clause.probe_up_to and clause.probe_up_to.value < clause.probe_after.value:
        _conflict(
            context,
            clause.probe_up_to.span,
            "the longest open time is below the first",
            (clause.probe_after.span, "the first"),
            "raise it",
        )
    return Breaker(
        clause.percent.value,
        clause.calls.value,
        clause.window.value,
        clause.probe_after.value,
        clause.probe_up_to.value if clause.probe_up_to else None,
        clause.slow_after.value if clause.slow_after else None,
        clause.per_operation,
    )


def _check_together(context: Context, found: ast.PolicyDecl, made: Policy) -> None:
    """Contradictions between clauses, inherited ones included."""
    where = found.name.span
    slow_after = made.breaker.slow_after if made.breaker else None
    if slow_after and made.timeout and slow_after >= made.timeout:
        _conflict(
            context,
            where,
            "no call can be slow: it times out before `slow after`",
            None,
            "make `slow after` shorter than the timeout",
        )
    if made.total and made.retry and made.retry.backoff >= made.total:
        _conflict(
            context,
            where,
            "no retry can happen: the first back-off is as long as the total",
            None,
            "make the total longer, or the back-off shorter",
        )


def _positive(
    context: Context, item: ast.Count | ast.Millis, what: str, advice: str = "use more than 0"
) -> None:
    if item.value <= 0:
        _conflict(context, item.span, f"{what} of 0 makes no sense", None, advice)


def _percent(context: Context, item: ast.Count) -> None:
    if not 0 < item.value <= 100:
        _conflict(
            context, item.span, f"{item.value}% is not a share", None, "use more than 0, up to 100%"
        )


def _conflict(
    context: Context,
    span: Span,
    message: str,
    other: tuple[Span, str] | None,
    advice: str,
) -> None:
    context.report("policy-conflict", span, message, other=other, help=advice)
