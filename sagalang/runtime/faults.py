"""Faults that a fake service is told to commit, with their expressions evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sagalang.machine.evaluate import Build, Scope, evaluate
from sagalang.model.program import Expr, Fault, Ms, Program
from sagalang.runtime.values import Values

CRASHES = frozenset({"crash before", "crash after"})
"""Kinds that the runner of a scenario carries out, not the service."""


@dataclass(slots=True)
class PlannedFault:
    """One fault. `remaining` counts down with every call that it strikes; None is always. `key`:
    where given, only the call under this idempotency key is meant."""

    kind: str
    operation: str
    args: tuple[Any, ...] | None = None
    error: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    value: Any = None
    after: Ms = 0
    remaining: int | None = 1
    times: int = 0
    """How often it struck."""
    key: str | None = None

    def strikes(self, operation: str, args: tuple[Any, ...], key: str | None) -> bool:
        """Whether this call is meant, and the fault is not used up."""
        return (
            self.remaining != 0
            and self.operation == operation
            and (self.args is None or self.args == args)
            and (self.key is None or self.key == key)
        )

    @property
    def struck(self) -> bool:
        return self.times > 0

    def use(self) -> None:
        self.times += 1
        if self.remaining is not None:
            self.remaining -= 1


def plan(program: Program, values: Values, faults: Iterable[Fault]) -> list[PlannedFault]:
    """The faults of a scenario, in text order, without crashes."""
    build = Build(values.make, values.get, values.convert, values.update)
    scope = Scope(names={}, build=build, constants=program.constants)

    def known(expr: Expr | None) -> Any:
        return None if expr is None else evaluate(expr, scope)

    return [
        PlannedFault(
            kind=fault.kind,
            operation=fault.operation,
            args=None if fault.args is None else tuple(known(arg) for arg in fault.args),
            error=fault.error,
            fields={name: known(expr) for name, expr in fault.fields},
            value=known(fault.value),
            after=fault.after or 0,
            remaining=fault.times,
        )
        for fault in faults
        if fault.kind not in CRASHES
    ]
