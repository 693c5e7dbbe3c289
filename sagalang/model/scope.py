"""What is visible at a place inside a saga, a contract or a constant."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from sagalang.model.types import Type, is_optional, required
from sagalang.syntax import ast
from sagalang.text import Span


class Binding(Struct, frozen=True, gc=False):
    """A local name. `path` and `loop`: of the step that bound it, for `key(name)`."""

    type: Type
    span: Span
    kind: str
    path: str | None = None
    loop: tuple[str, ...] = ()
    keyed: bool = False


class Scope(Struct, frozen=True, gc=False):
    """Immutable: a block works on its own copy.

    `maybe`: names bound on some paths only, with the place that binds them. `facts`: narrowed
    types by dotted path. `key`: what `key` means here, if anything (whether the command is
    keyed). `result`: the type of `result`, where it means something.
    """

    names: Mapping[str, Binding] = field(default_factory=dict)
    maybe: Mapping[str, Span] = field(default_factory=dict)
    facts: Mapping[str, Type] = field(default_factory=dict)
    loops: tuple[str, ...] = ()
    key: bool | None = None
    result: Type | None = None
    own_name: str | None = None
    """The name a step binds; in its own compensation it means `result`."""
    constant: bool = False
    """True where only constants are known: top-level `let`, scenarios."""

    def bind(self, name: str, binding: Binding) -> Scope:
        names = dict(self.names)
        names[name] = binding
        facts = {k: t for k, t in self.facts.items() if k != name and not k.startswith(name + ".")}
        maybe = {k: s for k, s in self.maybe.items() if k != name}
        return replace(self, names=names, facts=facts, maybe=maybe)

    def assuming(self, facts: Mapping[str, Type]) -> Scope:
        return replace(self, facts={**self.facts, **facts}) if facts else self


def path_of(value: ast.Expr) -> str | None:
    """`a.b.c` for a chain of members, the only thing that can be narrowed."""
    parts: list[str] = []
    while isinstance(value, ast.Member):
        parts.append(value.name.text)
        value = value.value
    if not isinstance(value, ast.Reference):
        return None
    return ".".join([value.name, *reversed(parts)])


def facts_if(condition: ast.Expr, holds: bool, type_of: Mapping[str, Type]) -> dict[str, Type]:
    """What is known of paths when a condition holds, or does not.

    `type_of`: the types of the paths in the condition, as the checker found them.
    """
    match condition:
        case ast.Unary("not", operand, _):
            return facts_if(operand, not holds, type_of)
        case ast.Binary("and" | "or" as operator, left, right, _):
            if (operator == "and") == holds:
                return {**facts_if(left, holds, type_of), **facts_if(right, holds, type_of)}
            return {}
        case ast.Binary("!=" | "==" as operator, left, right, _):
            if (operator == "!=") != holds:
                return {}
            for one, other in ((left, right), (right, left)):
                if isinstance(other, ast.Literal) and other.value is None:
                    path = path_of(one)
                    found = type_of.get(path) if path else None
                    if path and found is not None and is_optional(found):
                        return {path: required(found)}
            return {}
        case _:
            return {}
