"""Adds up what a saga may take along its ways: forward, and backward from wherever it fails.

What is added up says a `Measure`: time, or the calls of one operation.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final, Protocol

from sagalang.graph.structure import blocks_of, goes_on, has_pivot
from sagalang.machine.turn import needs_result
from sagalang.model import program as p
from sagalang.model.program import Ms, Policy
from sagalang.verify.closed_form import ZERO, Form, covers, longest, plus
from sagalang.verify.worst_piece import (
    BUILT_IN,
    Fall,
    Piece,
    Route,
    Totals,
    fewest_routes,
    length,
    worst_falls,
)

_MS: Final = timedelta(milliseconds=1)


class Measure(Protocol):
    """What one thing counts for, and how what happens side by side adds up."""

    def call(self, operation: p.Operation, policy: Policy, resolving: bool = False) -> Form: ...

    def poll(self, operation: p.Operation, poll: p.Poll) -> Form: ...

    def delay(self, time: Ms) -> Form: ...

    def sleep(self, name: str) -> Form:
        """A sleep of which only a run knows how long it is."""
        ...

    def in_flight(self, policy: Policy) -> Form:
        """What a call that is interrupted still counts for."""
        ...

    def together(self, forms: Iterable[Form]) -> Form: ...

    def each(self, source: str, body: Form, at_once: int) -> Form: ...

    def many(self, count: int, body: Form, at_once: int) -> Form: ...

    def cut(self, form: Form, deadline: Ms | None, settling: Form) -> Form:
        """What is left of the form if a deadline ends it; `settling` follows the deadline."""
        ...


# --- The walk ----------------------------------------------------------------------------------


class Walk:
    """Through one program, with one measure. `root` is the saga whose names need no explanation."""

    def __init__(self, program: p.Program, measure: Measure, root: str) -> None:
        self.program, self.measure, self.root = program, measure, root
        self._saga = root
        self._totals: dict[str, Totals] = {}

    def saga(self, name: str) -> Totals:
        found = self._totals.get(name)
        if found is None:
            outer, self._saga = self._saga, name
            found = self._totals[name] = self._whole(self.program.sagas[name])
            self._saga = outer
        return found

    def _whole(self, saga: p.Saga) -> Totals:
        body = self._block(saga.body)
        told: Form = ZERO
        if saga.when_compensated is not None:
            epilogue = self._block(saga.when_compensated.body)
            told = length((*epilogue.on, *epilogue.ended))
        ways = (*body.on, *body.ended)

        def cut(form: Form, settling: Form = ZERO) -> Form:
            return self.measure.cut(form, saga.deadline, settling)

        pivots = [cut(route.before) for route in ways if route.after is not None]
        undone = [
            plus(cut(fall.before, body.settle), fall.undo, told)
            if fall.pivot is None
            else plus(cut(fall.before), fall.pivot, fall.undo, told)
            for fall in body.falls
        ]
        back = longest(body.undo, *(fall.undo for fall in body.falls))
        return Totals(
            until_pivot=longest(*pivots) if pivots else None,
            forward=longest(*(plus(cut(way.before), way.after or ZERO) for way in ways)),
            undone=longest(told, *undone),
            undo=plus(body.undo, told),
            settle=plus(body.settle, back, told),
        )

    def _block(self, block: p.Block) -> Piece:
        on: tuple[Route, ...] = (Route(ZERO),)
        ended: list[Route] = []
        falls: tuple[Fall, ...] = ()
        undo: Form = ZERO
        settle: Form = ZERO
        for statement in block.statements:
            piece = self._statement(statement)
            # Past a pivot nothing fails any more: it stays open until a person settles it.
            fresh = [
                Fall(plus(way.before, fall.before), plus(fall.undo, undo), fall.pivot, fall.errors)
                for way in on
                if way.after is None
                for fall in piece.falls
            ]
            falls = worst_falls((*falls, *fresh))
            ended += [way.then(end) for way in on for end in piece.ended]
            on = fewest_routes(way.then(further) for way in on for further in piece.on)
            undo = plus(piece.undo, undo)
            settle = longest(settle, piece.settle)
            if not on:
                break
        return Piece(on, fewest_routes(ended), falls, undo, settle)

    def _statement(self, statement: p.Statement) -> Piece:
        match statement:
            case p.Step():
                return self._step(statement)
            case p.ChildStep():
                return self._child(statement)
            case p.Parallel(branches=branches):
                return self._parallel([self._block(branch) for branch in branches])
            case p.For():
                return self._for(statement)
            case p.If():
                return self._if(statement)
            case p.Attempt():
                return self._attempt(statement)
            case p.Abort(error=error):
                return Piece(on=(), falls=(Fall(ZERO, errors=frozenset({error})),))
            case p.Return():
                return Piece(on=(), ended=(Route(ZERO),))
            case p.Let():
                return Piece()
            case p.Sleep():
                return self._pause(self._asleep(statement))
            case p.Wait(within=within, otherwise=otherwise):
                return self._pause(self.measure.delay(within), otherwise)
            case p.Poll(call=call, otherwise=otherwise, policy=policy):
                whole = self.measure.poll(self.program.operation(call), statement)
                return self._pause(whole, otherwise, self.measure.in_flight(policy))

    # --- What waits ----------------------------------------------------------------------------

    def _step(self, step: p.Step) -> Piece:
        operation = self.program.operation(step.call)
        call = self.measure.call(operation, step.policy)
        refusals = frozenset(rejection.error for rejection in operation.rejects)
        if step.pivot:
            never = step.policy.retry is not None and step.policy.retry.retries is None
            begun = () if never and not refusals else (Fall(ZERO, ZERO, call, BUILT_IN | refusals),)
            return Piece((Route(ZERO, call),), (), (Fall(ZERO), *begun))
        undo = self._undo(step)
        failed = [Fall(call, undo)]
        if refusals:
            # Where refusals are not recorded, an earlier attempt may land all the same.
            certain = operation.promises.records_rejections
            failed.append(Fall(call, ZERO if certain else undo, errors=refusals))
        return Piece((Route(call),), (), tuple(failed), undo, self.measure.in_flight(step.policy))

    def _undo(self, step: p.Step) -> Form:
        """The compensation of a step that happened, or may have."""
        compensation = step.compensation
        if not isinstance(compensation, p.Compensation) or step.best_effort:
            return ZERO
        operation = self.program.operation(step.call)
        undoing = self.program.operation(compensation.call)
        parts = [self.measure.call(undoing, compensation.policy)]
        if needs_result(compensation.call.args):
            parts.append(self.measure.call(operation, compensation.policy, resolving=True))
        lands = operation.promises.lands_within
        if lands is not None and not undoing.promises.fences_late:
            parts.append(self.measure.delay(lands))
        return plus(*parts)

    def _child(self, step: p.ChildStep) -> Piece:
        child = self.saga(step.saga)
        errors = frozenset(self.program.sagas[step.saga].errors)
        if step.pivot:
            falls = (Fall(ZERO), Fall(ZERO, ZERO, child.undone, BUILT_IN | errors))
            return Piece((Route(ZERO, child.forward),), (), falls)
        undo = ZERO if step.best_effort else child.undo
        falls = (Fall(child.undone, errors=BUILT_IN | errors), Fall(child.forward, undo))
        passed = child.whole if step.best_effort else child.forward
        return Piece((Route(passed),), (), worst_falls(falls), undo, child.settle)

    def _pause(self, whole: Form, otherwise: p.Otherwise = None, settle: Form = ZERO) -> Piece:
        falls = [Fall(whole)]
        if isinstance(otherwise, p.Abort):
            falls.append(Fall(whole, errors=frozenset({otherwise.error})))
        return Piece((Route(whole),), (), tuple(falls), ZERO, settle)

    def _asleep(self, statement: p.Sleep) -> Form:
        length = self._constant(statement.value)
        if isinstance(length, p.Const) and isinstance(length.value, timedelta):
            return self.measure.delay(length.value // _MS)
        what = self._words(statement.value)
        return self.measure.sleep(f"the sleep {'until' if statement.until else 'of'} {what}")

    # --- What holds others ---------------------------------------------------------------------

    def _parallel(self, branches: list[Piece]) -> Piece:
        together = self.measure.together
        on = [length(branch.on) for branch in branches if branch.on]
        before = [
            longest(length(branch.on), *(fall.before for fall in branch.falls))
            for branch in branches
        ]
        undo = [longest(branch.undo, *(fall.undo for fall in branch.falls)) for branch in branches]
        errors = frozenset(e for branch in branches for fall in branch.falls for e in fall.errors)
        return Piece(
            (Route(together(on)),) if len(on) == len(branches) else (),
            (),
            (Fall(together(before), together(undo), errors=errors or BUILT_IN),),
            together(branch.undo for branch in branches),
            together(branch.settle for branch in branches),
        )

    def _for(self, loop: p.For) -> Piece:
        body = self._block(loop.body)
        on, undo = length(body.on), body.undo
        falls: tuple[Fall, ...]
        if loop.at_once > 1:
            before = longest(on, *(fall.before for fall in body.falls))
            back = longest(undo, *(fall.undo for fall in body.falls))
            errors = frozenset(error for fall in body.falls for error in fall.errors)
            falls = (Fall(self._each(loop, before), self._each(loop, back), errors=errors),)
        else:
            falls = tuple(
                Fall(
                    self._last(loop, on, f.before), self._last(loop, undo, f.undo), errors=f.errors
                )
                for f in body.falls
            )
        ended = tuple(Route(self._last(loop, on, end.before), end.after) for end in body.ended)
        return Piece(
            (Route(self._each(loop, on)),), ended, falls, self._each(loop, undo), body.settle
        )

    def _each(self, loop: p.For, body: Form) -> Form:
        source = self._constant(loop.source)
        if isinstance(source, p.MakeList):
            return self.measure.many(len(source.items), body, loop.at_once)
        return self.measure.each(self._words(loop.source), body, loop.at_once)

    def _last(self, loop: p.For, each: Form, last: Form) -> Form:
        """Once per element, the last time another way."""
        whole = self._each(loop, each)
        return whole if covers(each, last) else plus(whole, last)

    def _if(self, statement: p.If) -> Piece:
        arms = [self._block(arm) for arm in blocks_of(statement)]
        back = [
            piece.undo
            for arm, piece in zip(blocks_of(statement), arms, strict=True)
            if goes_on(arm) and not has_pivot(arm)
        ]
        return _either(arms, longest(*back))

    def _attempt(self, statement: p.Attempt) -> Piece:
        """A body that fails is undone before its handler begins."""
        body = self._block(statement.body)
        arms = [body]
        for handler in statement.handlers:
            handling = self._block(handler.body)
            caught = frozenset(handler.errors)
            starts = [Route(fall.whole) for fall in body.falls if fall.errors & caught]
            arms.append(
                Piece(
                    fewest_routes(start.then(way) for start in starts for way in handling.on),
                    fewest_routes(start.then(way) for start in starts for way in handling.ended),
                    tuple(
                        Fall(plus(start.before, fall.before), fall.undo, fall.pivot, fall.errors)
                        for start in starts
                        for fall in handling.falls
                    ),
                    handling.undo,
                    handling.settle,
                )
            )
        back = [
            piece.undo
            for arm, piece in zip(blocks_of(statement), arms, strict=True)
            if goes_on(arm) and not has_pivot(arm)
        ]
        return _either(arms, longest(*back))

    # --- Words ---------------------------------------------------------------------------------

    def _constant(self, expr: p.Expr) -> p.Expr:
        return self.program.constants[expr.name].value if isinstance(expr, p.ConstantRef) else expr

    def _words(self, expr: p.Expr) -> str:
        """The expression as it is written; of a child saga with the saga's name."""
        source = self.program.sources[expr.span.file]
        words = " ".join(source.text[expr.span.start : expr.span.end].split())
        return words if self._saga == self.root else f"{words} in {self._saga}"


def _either(arms: list[Piece], undo: Form) -> Piece:
    return Piece(
        fewest_routes(way for arm in arms for way in arm.on),
        fewest_routes(way for arm in arms for way in arm.ended),
        worst_falls(fall for arm in arms for fall in arm.falls),
        undo,
        longest(*(arm.settle for arm in arms)),
    )
