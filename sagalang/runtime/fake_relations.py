"""Which call undoes which, and which asks for which: read off the program's own declarations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from sagalang.machine.evaluate import BadValueError, Build, Scope, evaluate
from sagalang.model.program import (
    Compensation,
    Expr,
    KeyOf,
    Operation,
    Program,
    Ref,
    ResultOf,
    Step,
)
from sagalang.runtime.values import Values
from sagalang.text import Span

ANYTHING: Final = object()
"""An argument that the original's inputs do not determine: equal to whatever comes."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """An argument that depends on more than the original's inputs, key and result."""


@dataclass(frozen=True, slots=True)
class Relation:
    """`other` is called with `args` about a call of `original`.

    The arguments see the original's parameters, its key and its result; None is one left out.
    """

    original: str
    other: str
    args: tuple[Expr | Unseen | None, ...]

    @property
    def exact(self) -> bool:
        return Unseen() not in self.args


class Relations:
    """The compensations and probes of a program."""

    def __init__(self, program: Program, values: Values) -> None:
        self._constants = program.constants
        self._build = Build(values.make, values.get, values.convert, values.update)
        operations = [o for s in program.services.values() for o in s.operations.values()]
        self._params = {o.label: tuple(p.name for p in o.params) for o in operations}
        steps = [step for saga in program.sagas.values() for step in _steps(saga)]
        undo = [
            Relation(o.label, o.compensation.label, o.compensation.args)
            for o in operations
            if o.compensation
        ]
        for step in steps:
            own = step.compensation
            if isinstance(own, Compensation) and not own.from_operation:
                undo.append(_from_step(step, own, program.operation(step.call)))
        self.undo: tuple[Relation, ...] = tuple(dict.fromkeys(undo))
        self.probes = tuple(
            Relation(o.label, o.probe.label, o.probe.args) for o in operations if o.probe
        )
        self.forward = frozenset(step.call.label for step in steps)
        """Operations that some step runs for their own sake."""

    def arguments(
        self, relation: Relation, args: tuple[Any, ...], key: str | None, result: Any
    ) -> tuple[Any, ...] | None:
        """What the other call's arguments are for this call of the original.

        `result` may be ANYTHING. None if they have no value.
        """
        scope = Scope(
            names=dict(zip(self._params[relation.original], args, strict=True)),
            build=self._build,
            constants=self._constants,
            key=lambda _: key or "",
            result=result,
        )
        try:
            return tuple(self._argument(expr, scope) for expr in relation.args)
        except (BadValueError, TypeError, AttributeError):
            # Also of a step that knows that a value is there, about a call of one that had none.
            return None

    def _argument(self, expr: Expr | Unseen | None, scope: Scope) -> Any:
        if isinstance(expr, Unseen) or (scope.result is ANYTHING and _uses_result(expr)):
            return ANYTHING
        return None if expr is None else evaluate(expr, scope)

    def matches(
        self,
        relation: Relation,
        given: tuple[Any, ...],
        args: tuple[Any, ...],
        key: str | None,
        result: Any,
    ) -> bool:
        """Whether the other call, with the arguments given, is about this call of the original."""
        expected = self.arguments(relation, args, key, result)
        return expected is not None and all(
            want is ANYTHING or want == got for want, got in zip(expected, given, strict=True)
        )


def _from_step(step: Step, own: Compensation, operation: Operation) -> Relation:
    """The step's own compensation, in terms of the operation's parameters where that is possible.

    It sees the saga's names; an argument that also went into the step is recognized by that.
    """
    names = {
        _bare(arg): Ref(param.name, param.type, _NOWHERE)
        for arg, param in zip(step.call.args, operation.params, strict=True)
        if arg is not None
    }

    def rewrite(node: Any) -> Any:
        if isinstance(node, tuple):
            return tuple(rewrite(item) for item in node)
        if not isinstance(node, msgspec.Struct):
            return node
        bare = _bare(node)
        if bare in names:
            return names[bare]
        if isinstance(node, KeyOf) and node.step in (None, step.path):
            return KeyOf(None, node.type, _NOWHERE)
        if isinstance(node, Ref | KeyOf):
            raise LookupError
        parts = {n: v for n, v in _parts(node) if n not in ("type", "span")}
        return msgspec.structs.replace(node, **{n: rewrite(v) for n, v in parts.items()})

    args: list[Expr | Unseen | None] = []
    for arg in own.call.args:
        try:
            args.append(rewrite(arg))
        except LookupError:
            args.append(Unseen())
    return Relation(step.call.label, own.call.label, tuple(args))


_NOWHERE: Final = Span("", 0, 0)


def _parts(node: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for name in node.__struct_fields__:
        yield name, getattr(node, name)


def _bare(node: Any) -> Any:
    """The expression without its places in the text, so that equal ones are equal."""
    if isinstance(node, tuple):
        return tuple(_bare(item) for item in node)
    if isinstance(node, msgspec.Struct):
        return (type(node), *(_bare(part) for name, part in _parts(node) if name != "span"))
    return node


def _uses_result(node: Any) -> bool:
    if isinstance(node, tuple):
        return any(_uses_result(item) for item in node)
    if isinstance(node, msgspec.Struct):
        return isinstance(node, ResultOf) or any(_uses_result(part) for _, part in _parts(node))
    return False


def _steps(node: Any) -> Iterator[Step]:
    if isinstance(node, Step):
        yield node
    elif isinstance(node, tuple):
        for item in node:
            yield from _steps(item)
    elif isinstance(node, msgspec.Struct):
        for _, part in _parts(node):
            yield from _steps(part)
