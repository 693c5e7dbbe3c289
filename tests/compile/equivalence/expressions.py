"""Random expressions of a wanted type, over the names that are in scope."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from sagalang.model import types as t

from .choices import Choices

COLOUR: Final = t.EnumRef("Colour")
PART: Final = t.RecordRef("Part")
INTS: Final = t.ListOf(t.INT)
STRINGS: Final = t.ListOf(t.STRING)
PARTS: Final = t.ListOf(PART)
RATES: Final = t.MapOf(t.DECIMAL)
CARD: Final = t.Secret(t.STRING)
TEXT_OR_NOT: Final = t.Optional(t.STRING)
INT_OR_NOT: Final = t.Optional(t.INT)
PART_OR_NOT: Final = t.Optional(PART)

VALUES: Final[tuple[t.Type, ...]] = (
    t.STRING,
    t.INT,
    t.DECIMAL,
    t.BOOL,
    COLOUR,
    PART,
    TEXT_OR_NOT,
    INT_OR_NOT,
    PART_OR_NOT,
    INTS,
    STRINGS,
    PARTS,
    t.DURATION,
    t.DATETIME,
    t.UUID,
    t.JSON,
    RATES,
    CARD,
)
"""What parameters and results are made of."""

RECORDS: Final[dict[str, tuple[tuple[str, t.Type], ...]]] = {
    "Part": (("name", t.STRING), ("qty", t.INT), ("price", t.DECIMAL)),
    "Missing": (("what", t.STRING), ("count", INT_OR_NOT)),
    "Go": (("n", t.INT), ("ok", t.BOOL), ("word", t.STRING)),
    "News": (("part", PART_OR_NOT), ("colour", COLOUR), ("items", INTS)),
}
DECLARED: Final = {
    "Colour": 'enum Colour { Red, Green as "g", Blue as "dark blue" }',
    "Part": 'record Part { name: string, qty: int as "q-ty", price: decimal }',
    "Go": "event Go { n: int, ok: bool, word: string }",
    "News": "event News { part: Part?, colour: Colour, items: list<int> }",
    "No": "error No",
    "Gone": "error Gone",
    "Missing": "error Missing { what: string, count: int? }",
}
"""Declared where it is mentioned; what the values mention comes first."""

CONSTANTS: Final[dict[str, tuple[str, t.Type]]] = {
    "rate": ("1.19", t.DECIMAL),
    "limit": ("7 * 2 - 1", t.INT),
    "greeting": ('"hello ${limit}"', t.STRING),
    "pause": ("150ms", t.DURATION),
    "spare": ('Part(name: "spare", qty: limit, price: rate)', PART),
    "spares": ("[spare, spare with { qty: 2 }]", PARTS),
}


@dataclass(frozen=True)
class Scope:
    """What an expression may read. `total`: it must have a value, whatever it reads."""

    names: dict[str, t.Type] = field(default_factory=dict)
    keyed: tuple[str, ...] = ()
    """Steps whose key may be asked for."""
    total: bool = False

    def bind(self, name: str, type_: t.Type) -> Scope:
        return replace(self, names={**self.names, name: type_})


def fields(type_: t.Type) -> tuple[tuple[str, t.Type], ...]:
    match type_:
        case t.RecordRef(name):
            return RECORDS.get(name, (("name", t.STRING),) if name == "ErrorName" else ())
        case t.InlineRecord(found):
            return tuple((name, kind) for name, kind, _ in found)
        case _:
            return ()


def paths(scope: Scope) -> Iterator[tuple[str, t.Type]]:
    """`name`, `name.field`, and so on, with their types; what was bound last comes first."""

    def below(text: str, type_: t.Type) -> Iterator[tuple[str, t.Type]]:
        yield text, type_
        for name, inner in fields(type_):
            yield from below(f"{text}.{name}", inner)

    for name, type_ in reversed(scope.names.items()):
        yield from below(name, type_)


class Expressions:
    """Writes expressions. `param` gives the name of a parameter of the saga at hand."""

    def __init__(self, choices: Choices, param: Callable[[t.Type], str]) -> None:
        self.choices = choices
        self.param = param

    def of(self, want: t.Type, scope: Scope, depth: int = 2) -> str:
        """An expression whose value fits `want`."""
        found = [text for text, type_ in paths(scope) if self._fits(type_, want)]
        secret = isinstance(want, t.Secret)
        how = self.choices.weighted(
            (0 if secret else 12, "literal"),
            (55 if found else 0, "path"),
            (12, "param"),
            (0 if secret or depth == 0 else 25, "composite"),
            (6 if any(kind == want for _, kind in CONSTANTS.values()) else 0, "constant"),
        )
        match how:
            case "path":
                return self.choices.of(found)
            case "param":
                return self.param(want)
            case "constant":
                return self.choices.of([n for n, (_, kind) in CONSTANTS.items() if kind == want])
            case "composite":
                made = self._composite(want, scope, depth - 1)
                return made if made is not None else self.literal(want)
            case _:
                return self.literal(want)

    def _fits(self, have: t.Type, want: t.Type) -> bool:
        return have == want or (isinstance(want, t.Optional) and have == want.item)

    def literal(self, want: t.Type) -> str:
        pick = self.choices.pick
        match want:
            case t.Secret():
                return self.param(want)
            case t.Optional(item):
                return pick("null", self.literal(item))
            case t.ListOf(item):
                return f"[{', '.join(self.literal(item) for _ in range(pick(1, 2, 3)))}]"
            case t.MapOf():
                return pick("{ a: 1.5 }", '{ a: 2, "b c": 0.25 }')
            case t.EnumRef():
                return pick("Colour.Red", "Colour.Green", "Colour.Blue")
            case t.RecordRef("Part"):
                return pick(
                    'Part(name: "p", qty: 1, price: 2)', 'Part(price: 0.10, qty: -3, name: "q\\"")'
                )
            case t.InlineRecord(found):
                return "{ " + ", ".join(f"{n}: {self.literal(k)}" for n, k, _ in found) + " }"
        match want:
            case t.STRING:
                return pick('"a"', '"b"', '"é {x} \\"q\\" $"', '""')
            case t.INT:
                return pick("0", "1", "2", "7", "13", "(-3)")
            case t.DECIMAL:
                return pick("0.0", "1.50", "2", "0.1", "1000.01")
            case t.BOOL:
                return pick("true", "false")
            case t.DURATION:
                return pick("10ms", "50ms", "2s", "1m")
            case t.DATETIME:
                return "now()"
            case t.JSON:
                return pick("1", '"j"', "{ a: 1, b: [true, null] }", "[1, 2.5]")
            case _:
                return self.param(want)

    def _composite(self, want: t.Type, scope: Scope, depth: int) -> str | None:
        def of(kind: t.Type) -> str:
            return self.of(kind, scope, depth)

        def chosen(*made: Callable[[], str]) -> str:
            return self.choices.pick(*made, lambda: self._anywhere(want, scope, depth))()

        match want:
            case t.Optional(item):
                return self.of(item, scope, depth)
            case t.ListOf(item):
                return chosen(
                    lambda: f"[{of(item)}, {of(item)}]",
                    lambda: self._comprehension(item, scope, depth),
                )
            case t.EnumRef():
                return self._anywhere(want, scope, depth)
            case t.RecordRef("Part"):
                return chosen(
                    lambda: f"Part(name: {of(t.STRING)}, qty: {of(t.INT)}, price: {of(t.DECIMAL)})",
                    lambda: f"(({of(PART)}) with {{ qty: {of(t.INT)} }})",
                    lambda: f"({of(PART)} with {{ name: {of(t.STRING)}, price: {of(t.INT)} }})",
                )
            case t.MapOf():
                return f'{{ a: {of(t.DECIMAL)}, "b c": {of(t.INT)} }}'
            case t.InlineRecord(found):
                return "{ " + ", ".join(f"{n}: {of(k)}" for n, k, _ in found) + " }"
        match want:
            case t.STRING:
                return chosen(
                    lambda: self.text(scope, depth),
                    lambda: f"({of(t.STRING)} + {of(t.STRING)})",
                    lambda: f"{self.choices.pick('upper', 'lower')}({of(t.STRING)})",
                )
            case t.INT:
                return chosen(
                    lambda: f"({of(t.INT)} {self.choices.pick('+', '-', '*')} {of(t.INT)})",
                    lambda: f"len({of(self.choices.pick(PARTS, INTS, t.STRING))})",
                    lambda: f"len({self.param(RATES)})",
                    lambda: f"{self.choices.pick('min', 'max')}({of(t.INT)}, {of(t.INT)})",
                    lambda: f"sum({of(INTS)})",
                    lambda: f"(-{of(t.INT)})",
                    lambda: self._guarded(f"min({of(INTS)})", "3", scope),
                )
            case t.DECIMAL:
                return chosen(
                    lambda: f"({of(t.DECIMAL)} {self.choices.pick('+', '-')} {of(t.DECIMAL)})",
                    lambda: f"({of(t.INT)} * {of(t.DECIMAL)})",
                    lambda: self._guarded(f"{of(t.DECIMAL)} / {of(t.INT)}", "0.5", scope),
                    lambda: f"round({of(t.DECIMAL)}, {self.choices.pick(0, 1, 2)})",
                    lambda: of(t.INT),
                    lambda: self._guarded(f'{self.param(RATES)}["a"]', "1.25", scope),
                )
            case t.BOOL:
                return chosen(lambda: f"({self.condition(scope, depth)})")
            case t.DURATION:
                return chosen(
                    lambda: f"({of(t.DURATION)} + {of(t.DURATION)})",
                    lambda: f"({of(t.DURATION)} * {self.choices.pick(2, 3)})",
                )
            case t.DATETIME:
                return chosen(
                    lambda: f"(now() + {of(t.DURATION)})",
                    lambda: f"({of(t.DATETIME)} - {of(t.DURATION)})",
                )
            case t.JSON:
                return f"{{ a: {of(t.INT)}, b: [{of(t.STRING)}] }}"
            case _:
                return None

    def _anywhere(self, want: t.Type, scope: Scope, depth: int) -> str:
        """What works for a value of any type: a choice, a default, an element."""
        options = [f"(if {self.condition(scope, 0)} then {self.of(want, scope, 0)}"]
        options[0] += f" else {self.of(want, scope, 0)})"
        for text, type_ in paths(scope):
            if type_ == t.Optional(want):
                options.append(f"({text} ?? {self.literal(want)})")
                if text.isidentifier():
                    other = self.literal(want)
                    options.append(f"(if {text} != null then {text} else {other})")
            elif type_ == t.ListOf(want):
                at = self.choices.pick(0, 1)
                options.append(self._guarded(f"{text}[{at}]", self.literal(want), scope))
        return self.choices.of(options)

    def _guarded(self, text: str, default: str, scope: Scope) -> str:
        """An expression that may have no value, with a default where it must have one."""
        if scope.total or not self.choices.chance(30):
            return f"({text} ?? {default})"
        return f"({text})"

    def _comprehension(self, item: t.Type, scope: Scope, depth: int) -> str:
        source = self.choices.pick(PARTS, INTS)
        name = next(n for n in ("e", "f", "g", "h", "k", "l", "m") if n not in scope.names)
        items = self.of(source, scope, 0)
        inner = scope.bind(name, source.item)
        element = self.of(item, inner, min(depth, 1))
        where = f" if {self.condition(inner, 0)}" if self.choices.chance(40) else ""
        return f"[{element} for {name} in {items}{where}]"

    def condition(self, scope: Scope, depth: int) -> str:
        """A bool that depends on something."""

        def of(kind: t.Type) -> str:
            return self.of(kind, scope, depth)

        def compared(kind: t.Type, *signs: str) -> str:
            found = [text for text, type_ in paths(scope) if type_ == kind]
            left = self.choices.of(found) if found else self.param(kind)
            return f"{left} {self.choices.pick(*signs)} {of(kind)}"

        def null() -> str:
            found = [text for text, type_ in paths(scope) if isinstance(type_, t.Optional)]
            left = self.choices.of(found) if found else self.param(TEXT_OR_NOT)
            return f"{left} {self.choices.pick('!=', '==')} null"

        def both() -> str:
            one, other = self.condition(scope, depth - 1), self.condition(scope, depth - 1)
            return f"({one} {self.choices.pick('and', 'or')} {other})"

        options: list[Callable[[], str]] = [
            lambda: compared(t.INT, ">", "<", "==", "<="),
            lambda: compared(t.STRING, "==", "!="),
            lambda: compared(t.DECIMAL, ">=", "<"),
            lambda: compared(COLOUR, "==", "!="),
            lambda: compared(t.BOOL, "==", "!="),
            null,
            lambda: f"len({of(PARTS)}) > {self.choices.pick(0, 1)}",
            lambda: f"contains({of(STRINGS)}, {of(t.STRING)})",
            lambda: f"({self.param(t.JSON)}.a ?? 0) == 1",
        ]
        if depth > 0:
            options += [both, lambda: f"(not {self.condition(scope, depth - 1)})"]
        return self.choices.of(options)()

    def text(self, scope: Scope, depth: int = 1) -> str:
        """A string with holes."""
        shown = (t.STRING, t.INT, t.DECIMAL, t.BOOL, t.DURATION, t.DATETIME, t.UUID)
        parts = []
        for _ in range(self.choices.pick(1, 2)):
            found = [text for text, type_ in paths(scope) if type_ in shown]
            if scope.keyed and self.choices.chance(20):
                hole = f"key({self.choices.of(scope.keyed)})"
            elif found and not self.choices.chance(25):
                hole = self.choices.of(found)
            else:
                hole = self.of(self.choices.pick(*shown[:4]), scope, min(depth, 1))
            if any(sign in hole for sign in '"}{'):
                hole = self.param(t.STRING)
            parts.append(f"${{{hole}}}")
        return f'"{self.choices.pick("", "to ", "é")}{self.choices.pick("/", ", ").join(parts)}"'
