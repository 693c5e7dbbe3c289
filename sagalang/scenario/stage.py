"""What all scenarios of a program share; made once, because it costs more than a short run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sagalang.machine.evaluate import Build, Scope, evaluate
from sagalang.model import program as p
from sagalang.runtime.fake_relations import Relations
from sagalang.runtime.shown import shown
from sagalang.runtime.values import Values
from sagalang.scenario.shape import Shape, shape
from sagalang.text import Span


@dataclass(frozen=True)
class Stage:
    """A program and what is worked out of it. `values` makes all values of its runs."""

    program: p.Program

    @cached_property
    def values(self) -> Values:
        return Values(self.program)

    @cached_property
    def relations(self) -> Relations:
        return Relations(self.program, self.values)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        return {name: shape(saga) for name, saga in self.program.sagas.items()}

    @cached_property
    def constants(self) -> Scope:
        """What an expression outside of a saga sees."""
        values = self.values
        build = Build(values.make, values.get, values.convert, values.update)
        return Scope(names={}, build=build, constants=self.program.constants)

    def known(self, expr: p.Expr) -> Any:
        """The value of an expression of constants. Raises `BadValueError`."""
        return evaluate(expr, self.constants)

    def operation(self, label: str) -> p.Operation:
        service, _, name = label.partition(".")
        return self.program.services[service].operations[name]

    def line(self, span: Span) -> int:
        return self.program.sources[span.file].position(span.start).line

    def called(self, label: str, args: tuple[Any, ...]) -> str:
        """`Payment.charge("o-1", 18.50)`, secrets covered."""
        params = self.operation(label).params
        given = [
            one_line(shown(arg, param.type, self.values))
            for param, arg in zip(params, args, strict=True)
            if arg is not None
        ]
        return f"{label}({', '.join(given)})"


def one_line(plain: Any) -> str:
    """Plain data on one line, as it would be written in a `.saga` file."""
    import json
    from decimal import Decimal

    match plain:
        case dict():
            return "{ " + ", ".join(f"{k}: {one_line(v)}" for k, v in plain.items()) + " }"
        case list():
            return "[" + ", ".join(map(one_line, plain)) + "]"
        case Decimal():
            return str(plain)
        case _:
            return json.dumps(plain, ensure_ascii=False, default=str)
