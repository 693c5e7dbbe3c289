"""Steps: what a call in a saga needs so that its outcome can always be dealt with."""

from __future__ import annotations

from msgspec.structs import replace

from sagalang.model import errors as e
from sagalang.model import program as p
from sagalang.model.calls import arguments, substitute
from sagalang.model.contracts import check_compensation, typed_call
from sagalang.model.expressions import Typing
from sagalang.model.flow import Flow, Frame, Region
from sagalang.model.policies import SHARED, forwards, lookup, over, resolute
from sagalang.model.scope import Binding, Scope
from sagalang.model.step_rules import check_step, step_errors
from sagalang.model.types import UNKNOWN, Type, optional
from sagalang.syntax import ast
from sagalang.text import Span

_HOUR: p.Ms = 3_600_000


class Clauses:
    """The clauses of a step by kind; the second of a kind is reported and dropped."""

    def __init__(self, frame: Frame, step: ast.Step) -> None:
        self.with_: ast.With | None = None
        self.undo: ast.CompensateBy | None = None
        self.none: ast.CompensateNone | None = None
        self.escalate: ast.ElseEscalate | None = None
        self.best_effort: ast.BestEffort | None = None
        seen: dict[str, Span] = {}
        for clause in step.clauses:
            match clause:
                case ast.With():
                    word = "with"
                case ast.CompensateBy() | ast.CompensateNone():
                    word = "compensate"
                case ast.ElseEscalate():
                    word = "else escalate"
                case ast.BestEffort():
                    word = "best effort"
            if word in seen:
                frame.context.report(
                    "repeated-clause",
                    clause.span,
                    f"`{word}` may stand once on a step",
                    "here again",
                    other=(seen[word], "first here"),
                    help="remove one",
                )
                continue
            seen[word] = clause.span
            match clause:
                case ast.With():
                    self.with_ = clause
                case ast.CompensateBy():
                    self.undo = clause
                case ast.CompensateNone():
                    self.none = clause
                case ast.ElseEscalate():
                    self.escalate = clause
                case ast.BestEffort():
                    self.best_effort = clause

    def escalation(self) -> p.Escalation | None:
        clause = self.escalate
        if clause is None:
            return None
        after = clause.after.value if clause.after else _HOUR
        return p.Escalation(clause.team.value, after, clause.span)


def step(
    frame: Frame, written: ast.Step, flow: Flow, region: Region
) -> tuple[p.Step | p.ChildStep | None, Flow]:
    """The typed step, and what is known behind it."""
    clauses = Clauses(frame, written)
    _check_clauses(frame, written, clauses, flow, region)
    misplaced = written.pivot and _misplaced_pivot(frame, written.span, flow, region)
    if isinstance(written.target, ast.ChildCall):
        made: p.Step | p.ChildStep | None = _child(
            frame, written, written.target, clauses, flow, region
        )
    else:
        made = _call(frame, written, written.target, clauses, flow, region)
    if misplaced:
        # Neither the rules before the pivot nor those after it: where it belongs is not known.
        flow = replace(flow, clean=False)
    elif written.pivot:
        frame.pivots.append(written.span)
        flow = replace(flow, clean=False, past=True)
    if written.name is not None:
        kind: Type = made.type if made is not None else UNKNOWN
        # The key of a child saga is the child's id.
        keyed = not isinstance(made, p.Step) or _operation(frame, made.call).promises.keyed
        binding = Binding(
            kind,
            written.name.span,
            "step",
            made.path if made is not None else None,
            flow.scope.loops,
            keyed,
        )
        flow = flow.with_scope(declare(frame, flow, written.name, binding))
    return made, flow


def declare(frame: Frame, flow: Flow, name: ast.Name, binding: Binding) -> Scope:
    """Bind a name; shadowing is refused, so that a name means one thing wherever it is read."""
    before = flow.scope.names.get(name.text)
    if before is not None:
        frame.context.report(
            "duplicate-name",
            name.span,
            f"`{name.text}` is already bound here",
            "here again",
            other=(before.span, "first here"),
            help="choose another name",
        )
    return flow.scope.bind(name.text, binding)


def _operation(frame: Frame, call: p.Call) -> p.Operation:
    return frame.context.services[call.service].operations[call.operation]


def _check_clauses(
    frame: Frame, written: ast.Step, clauses: Clauses, flow: Flow, region: Region
) -> None:
    report = frame.context.report
    if region.farewell and clauses.best_effort is None:
        report(
            "misplaced-clause",
            written.span,
            "when everything is compensated, only `best effort` steps may follow",
            help="add `best effort`",
        )
    if clauses.best_effort and written.pivot:
        report(
            "misplaced-clause",
            clauses.best_effort.span,
            "a pivot decides the saga, so it cannot be `best effort`",
            help="remove one of the two",
        )
    if clauses.best_effort and clauses.escalate:
        report(
            "misplaced-clause",
            clauses.escalate.span,
            "a `best effort` step never fails, so there is nothing to escalate",
            other=(clauses.best_effort.span, "because of this"),
            help="remove one of the two",
        )
    undo = clauses.undo or clauses.none
    if undo is None:
        return
    if written.pivot:
        report(
            "misplaced-clause",
            undo.span,
            "a pivot is never compensated: from its start on there is no way back",
            other=(written.span, "the point of no return"),
            help="remove the `compensate`",
        )
    elif clauses.best_effort:
        report(
            "misplaced-clause",
            undo.span,
            "a `best effort` step is never compensated",
            other=(clauses.best_effort.span, "because of this"),
            help="remove one of the two",
        )
    elif flow.past and not flow.clean and not region.guarded:
        report(
            "misplaced-clause",
            undo.span,
            "this compensation can never run: after the pivot a saga only goes forward",
            other=(frame.pivots[0], "the point of no return") if frame.pivots else None,
            help="remove the `compensate`",
        )


def _misplaced_pivot(frame: Frame, span: Span, flow: Flow, region: Region) -> bool:
    report = frame.context.report
    if region.loop or region.parallel:
        where = "a loop" if region.loop else "a parallel part"
        report(
            "misplaced-pivot",
            span,
            f"a pivot cannot stand in {where}: the point of no return is passed once, by all",
            other=((region.loop or region.parallel or span), f"{where} begins here"),
            help="put it behind, as a step of its own",
        )
        return True
    if flow.past and frame.pivots:
        report(
            "second-pivot",
            span,
            "the saga has passed a pivot before",
            other=(frame.pivots[0], "the first one"),
            help="only the first step without a way back is the pivot; make this a plain `step`",
        )
    return False


# --- calls -------------------------------------------------------------------------------------


def _call(
    frame: Frame,
    written: ast.Step,
    target: ast.Call,
    clauses: Clauses,
    flow: Flow,
    region: Region,
) -> p.Step | None:
    typing = frame.typing(flow)
    call = typed_call(typing, target)
    frame.done(typing)
    own = lookup(frame.context, clauses.with_.policy) if clauses.with_ else p.Policy()
    if call is None:
        return None
    operation = _operation(frame, call)
    best_effort = clauses.best_effort is not None
    if clauses.with_:
        _check_restated(frame, clauses.with_, own, operation)
    if operation.is_query and (undo := clauses.undo or clauses.none) and not written.pivot:
        frame.context.report(
            "misplaced-clause",
            undo.span,
            f"`{operation.label}` is a query: it changes nothing, so there is nothing to undo",
            other=(operation.span, "declared here"),
            help="remove the `compensate`",
        )
    label = written.name.text if written.name else operation.label
    undone = (flow.clean or region.guarded) and not (
        written.pivot or best_effort or operation.is_query or region.farewell
    )
    compensation = _compensation(frame, written, clauses, operation, call, flow) if undone else None
    resolute_part = (written.pivot or flow.past) and not best_effort
    plain = replace(own, budget=None, breaker=None, bulkhead=None, rate=None)
    made = p.Step(
        path=frame.label(label),
        name=written.name.text if written.name else None,
        call=call,
        type=optional(operation.result) if best_effort else operation.result,
        policy=resolute(own, frame.compensate_with, operation.policy)
        if resolute_part
        else forwards(over(plain, operation.policy)),
        compensation=compensation,
        escalate=clauses.escalation(),
        best_effort=best_effort,
        pivot=written.pivot,
        after_pivot=flow.past,
        doc=written.doc,
        span=written.span,
        before_pivot=flow.clean,
    )
    frame.bad_value(flow, region, *call.args)
    if isinstance(compensation, p.Compensation):
        frame.bad_value(flow, region, *compensation.call.args)
    check_step(frame, written, made, operation, undone, flow, region)
    for error in step_errors(made, operation):
        frame.raises(error, written.span)
    return made


def _check_restated(frame: Frame, clause: ast.With, own: p.Policy, operation: p.Operation) -> None:
    for name in () if frame.context.doubtful else SHARED:
        mine, theirs = getattr(own, name), getattr(operation.policy, name)
        if mine is not None and mine != theirs:
            word = "retry budget" if name == "budget" else name
            frame.context.report(
                "policy-conflict",
                clause.span,
                f"the policy `{clause.policy.text}` brings a `{word}`, and that is the service's",
                other=(operation.span, f"`{operation.label}`"),
                notes=("its state is shared by all sagas that call the service",),
                help=f"put the `{word}` into the policy of the service `{operation.service}`",
            )
            return


def _compensation(
    frame: Frame,
    written: ast.Step,
    clauses: Clauses,
    operation: p.Operation,
    call: p.Call,
    flow: Flow,
) -> p.Compensation | p.NoCompensation | None:
    if clauses.none is not None:
        return p.NoCompensation(clauses.none.why.value)
    if clauses.undo is not None:
        scope = replace(
            flow.scope,
            key=operation.promises.keyed,
            result=operation.result,
            own_name=written.name.text if written.name else None,
        )
        typing = Typing(frame.context, scope)
        undo = typed_call(typing, clauses.undo.call, operation.service)
        frame.done(typing)
        if undo is None:
            return p.NoCompensation("")
        check_compensation(frame.context, operation, undo, clauses.undo.span)
        return _owed(frame, undo, from_operation=False)
    if operation.compensation is None:
        return None
    given = {param.name: arg for param, arg in zip(operation.params, call.args, strict=True)}
    default = operation.compensation
    args = tuple(substitute(arg, given) if arg else None for arg in default.args)
    return _owed(frame, replace(default, args=args), from_operation=True)


def _owed(frame: Frame, call: p.Call, *, from_operation: bool) -> p.Compensation:
    undo = _operation(frame, call)
    policy = resolute(p.Policy(), frame.compensate_with, undo.policy)
    return p.Compensation(call, from_operation, policy, frame.escalate)


# --- child sagas -------------------------------------------------------------------------------


def _child(
    frame: Frame,
    written: ast.Step,
    target: ast.ChildCall,
    clauses: Clauses,
    flow: Flow,
    region: Region,
) -> p.ChildStep | None:
    context = frame.context
    typing = frame.typing(flow)
    found = context.find(target.saga.text, target.saga.span.file, ("saga",))
    child = context.sagas.get(target.saga.text)
    if found is None or child is None:
        if found is None and target.saga.text not in context.poisoned:
            context.unknown(target.saga, ("saga",), "a saga")
        for arg in target.args:
            typing.infer(arg.value)
        frame.done(typing)
        return None
    args = arguments(
        typing, child.params, target.args, f"the saga `{child.name}`", target.saga.span, child.span
    )
    frame.done(typing)
    frame.bad_value(flow, region, *args)
    for clause in (clauses.with_, clauses.undo, clauses.none):
        if clause is not None:
            context.report(
                "misplaced-clause",
                clause.span,
                "a child saga brings its own policies and compensations",
                help="remove the clause",
            )
    has_pivot = contains_pivot(child.body)
    if has_pivot and not written.pivot:
        context.report(
            "misplaced-pivot",
            written.span,
            f"the saga `{child.name}` contains a pivot, so this step is one too",
            other=(has_pivot, "the pivot"),
            help="write `pivot step`",
        )
    elif written.pivot and not has_pivot:
        context.report(
            "misplaced-pivot",
            written.span,
            f"the saga `{child.name}` contains no pivot",
            other=(child.span, "declared here"),
            help="write `step`",
        )
    best_effort = clauses.best_effort is not None
    escalate = clauses.escalation()
    if escalate is not None and flow.clean:
        frame.raises(e.NOT_DONE, written.span)
    if not best_effort and escalate is None:
        for error in child.errors:
            frame.raises(error, written.span)
        loose = [error for error in child.errors if error not in region.caught]
        if flow.past and loose:
            frame.aborts(flow, region, loose[0], written.span)
    label = written.name.text if written.name else child.name
    return p.ChildStep(
        path=frame.label(label),
        name=written.name.text if written.name else None,
        saga=child.name,
        args=args,
        type=optional(child.result) if best_effort else child.result,
        escalate=escalate,
        best_effort=best_effort,
        pivot=written.pivot,
        doc=written.doc,
        span=written.span,
    )


def contains_pivot(block: p.Block) -> Span | None:
    """The place of a pivot in a block, if it has one."""
    for statement in block.statements:
        found: Span | None = None
        match statement:
            case p.Step() | p.ChildStep():
                found = statement.span if statement.pivot else None
            case p.If():
                found = contains_pivot(statement.then) or contains_pivot(statement.otherwise)
            case p.Attempt():
                found = contains_pivot(statement.body)
                for handler in statement.handlers:
                    found = found or contains_pivot(handler.body)
        if found is not None:
            return found
    return None
