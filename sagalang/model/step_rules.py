"""What a step needs so that its outcome can always be dealt with (language.md, section 9)."""

from __future__ import annotations

from sagalang.model import errors as e
from sagalang.model import program as p
from sagalang.model.calls import uses_result
from sagalang.model.flow import Flow, Frame, Region
from sagalang.syntax import ast


def check_step(
    frame: Frame,
    written: ast.Step,
    made: p.Step,
    operation: p.Operation,
    undone: bool,
    flow: Flow,
    region: Region,
) -> None:
    # Where a compensation or a probe could not be read, it may be the one that is missed here.
    known = operation.label not in frame.context.poisoned
    if made.pivot:
        if known:
            _check_pivot(frame, written, made, operation)
        return
    if undone and made.compensation is None:
        if known:
            _missing_compensation(frame, written, operation, flow)
    elif made.best_effort:
        _check_best_effort(frame, written, operation, flow, region)
    elif known and not operation.is_query:
        _check_resolvable(frame, written, made, operation, flow)
    if flow.past and not made.best_effort:
        _check_rejections(frame, written, made, operation, region)
    retry = made.policy.retry
    endless = retry is not None and retry.retries is None and made.policy.total is None
    if endless and flow.clean and not flow.past and frame.deadline is None:
        frame.context.report(
            "endless-retry",
            written.span,
            "this step may be retried for ever, and until it ends nothing is undone",
            help="give the saga a `deadline`, or the policy a `timeout … total …`",
        )


def _check_best_effort(
    frame: Frame, written: ast.Step, operation: p.Operation, flow: Flow, region: Region
) -> None:
    """`best effort` drops the compensation too, and who writes it may not mean that."""
    declared = operation.compensation
    if declared is None or region.farewell or not (flow.clean or region.guarded):
        return
    clause = next(c for c in written.clauses if isinstance(c, ast.BestEffort))
    frame.context.report(
        "best-effort-kept",
        clause.span,
        f"`{operation.label}` declares a compensation, but a `best effort` step is never undone",
        other=(declared.span, "its compensation"),
        help="leave `best effort` out, and catch its failure by `attempt { … } on Error { … }`;"
        ' if it may stay, put `// saga: allow(best-effort-kept) "why"` above',
    )


def _missing_compensation(
    frame: Frame, written: ast.Step, operation: p.Operation, flow: Flow
) -> None:
    if flow.clean:
        way = ", on the way that leads here without a pivot" if flow.past else ""
        message = f"nothing undoes `{operation.label}` if the saga fails later{way}"
    else:
        message = f"nothing undoes `{operation.label}` if the `attempt` around it fails later"
    frame.context.report(
        "missing-compensation",
        written.span,
        message,
        other=(operation.span, "declared here without `compensate`"),
        help=f"add `compensate …` to `{operation.name}` or to this step;"
        ' if there is nothing to undo, say why: `compensate none "…"`',
    )


def _check_resolvable(
    frame: Frame, written: ast.Step, made: p.Step, operation: p.Operation, flow: Flow
) -> None:
    """An unknown outcome has to be repeated, probed, or undone without knowing it."""
    if isinstance(made.compensation, p.NoCompensation) and not flow.past:
        return
    repeatable = operation.repeatable or operation.probe is not None
    by_inputs = isinstance(made.compensation, p.Compensation) and not uses_result(
        made.compensation.call
    )
    if repeatable or (by_inputs and not flow.past) or (made.escalate and flow.past):
        return
    frame.context.report(
        "unresolvable-outcome",
        written.span,
        f"if the answer of `{operation.label}` gets lost, nobody can find out what happened",
        other=(operation.span, "promises nothing that would help"),
        help="promise `keyed` or `idempotent`, give it a `probe`"
        + ("" if flow.past else ", or compensate by its inputs"),
    )


def _check_pivot(frame: Frame, written: ast.Step, made: p.Step, operation: p.Operation) -> None:
    promises = operation.promises
    sure_probe = operation.probe is not None and promises.lands_within is not None
    if operation.is_query:
        frame.context.report(
            "pivot-not-repeatable",
            written.span,
            "a query changes nothing, so it cannot be the point of no return",
            help="mark the first command without a way back as `pivot`",
        )
        return
    if not (promises.keyed or promises.idempotent or sure_probe):
        frame.context.report(
            "pivot-not-repeatable",
            written.span,
            f"if the answer of the pivot `{operation.label}` gets lost, it can neither be repeated"
            " nor asked for",
            other=(operation.span, "promises nothing that would help"),
            help="promise `keyed` or `idempotent`, or a `probe` with `lands within …`",
        )
    elif operation.rejects and not (promises.records_rejections or sure_probe or made.escalate):
        names = ", ".join(f"`{r.error}`" for r in operation.rejects)
        frame.context.report(
            "pivot-not-repeatable",
            written.span,
            f"after a lost answer a rejection ({names}) does not tell whether the pivot"
            f" `{operation.label}` happened",
            other=(operation.rejects[0].span, "may be rejected"),
            help="promise `records rejections`, add a `probe` with `lands within …`,"
            ' or `else escalate "team"`',
        )


def _check_rejections(
    frame: Frame, written: ast.Step, made: p.Step, operation: p.Operation, region: Region
) -> None:
    if made.escalate is not None:
        return
    loose = [r for r in operation.rejects if r.error not in region.caught]
    if loose:
        names = ", ".join(f"`{r.error}`" for r in loose)
        frame.context.report(
            "rejectable-after-pivot",
            written.span,
            f"`{operation.label}` may be rejected ({names}), and after the pivot there is no way"
            " back",
            other=(frame.pivots[0], "the point of no return") if frame.pivots else None,
            help='add `else escalate "team"` or `best effort`, handle it by an `attempt` around it,'
            " or move the step before the pivot",
        )


def step_errors(made: p.Step, operation: p.Operation) -> list[str]:
    """The errors with which this step can abort the saga, declared ones first."""
    if made.best_effort:
        return []
    if made.escalate is not None:
        return [e.NOT_DONE] if made.before_pivot else []
    found = [rejection.error for rejection in operation.rejects]
    policy = made.policy
    if made.pivot:
        found.append(e.NOT_SENT)
        if policy.retry is not None and policy.retry.retries is None and policy.total is None:
            return found  # whatever may be sent later is sent again, for ever
        found.append(e.THROTTLED)
    elif not made.before_pivot:
        return found
    else:
        found += [e.TIMEOUT, e.UNAVAILABLE, e.CONTRACT_MISMATCH, e.NOT_SENT, e.THROTTLED]
    if policy.breaker:
        found.append(e.CIRCUIT_OPEN)
    if policy.bulkhead:
        found.append(e.BULKHEAD_FULL)
    if policy.rate:
        found.append(e.RATE_LIMITED)
    return found
