"""Values for what a path left open: a saga's arguments, answers, events.

The exploration only decides whether conditions hold. Values that fall on either side of them are
found by trying: constants of the program first, then made-up ones, varied where a question looked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import islice, product
from typing import Any, Final

from sagalang.machine.evaluate import BadValueError, Build, Scope, evaluate
from sagalang.model import program as p
from sagalang.model.types import (
    EnumRef,
    ListOf,
    Optional,
    Primitive,
    Secret,
    Type,
    required,
    reveal,
)
from sagalang.runtime.fake_values import Inventor
from sagalang.runtime.values import Values
from sagalang.verify.explore import Path
from sagalang.verify.values import LENGTHS

MANY: Final = 48
"""So many variants of one value are tried."""


class Candidates:
    """Values of one program, for the questions of one path."""

    def __init__(self, program: p.Program, values: Values, path: Path) -> None:
        self._program, self._values = program, values
        self._inventor = Inventor(program, values, 0)
        self._texts = [question.text for edge in path.edges for question, _ in edge.decided]
        build = Build(values.make, values.get, values.convert, values.update)
        self._constants = Scope(names={}, build=build, constants=program.constants)

    def arguments(self, saga: p.Saga) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
        """Arguments for the saga, and how those that are constants are called."""
        each = [list(self._argument(param.name, param.type)) for param in saga.params]
        names = [param.name for param in saga.params]
        for chosen in islice(product(*each), MANY):
            args = {name: value for name, (value, _) in zip(names, chosen, strict=True)}
            called = {name: text for name, (_, text) in zip(names, chosen, strict=True) if text}
            yield args, called

    def _argument(self, name: str, type_: Type) -> Iterator[tuple[Any, str]]:
        based = []
        for constant in self._program.constants.values():
            if constant.type == type_:
                try:
                    based.append((evaluate(constant.value, self._constants), constant.name))
                except BadValueError:
                    continue
        yield from based
        start = based[0][0] if based else self._inventor.value(type_, name, 1)
        for value in self.variants(name, type_, start):
            if all(value != known for known, _ in based):
                yield value, ""

    def asked(self, symbol: str) -> bool:
        """Whether a question looked at this value."""
        return any(self._paths(symbol))

    def made(self, symbol: str, type_: Type, name: str) -> Iterator[Any]:
        """Made-up values of the type, for an answer or an event that is called so in questions."""
        yield from self.variants(symbol, type_, self._inventor.value(type_, name, 1))

    def variants(self, symbol: str, type_: Type, value: Any) -> Iterator[Any]:
        """The value, and it with other parts where a question looked."""
        paths = [path for path in self._paths(symbol) if self._type_at(type_, path) is not None]
        options = []
        for path in paths:
            at = self._type_at(type_, path)
            assert at is not None
            now = self._get(value, path)
            options.append(_unlike([now, *self._other(at, now, path)]))
        for chosen in islice(product(*options), MANY):
            made = value
            for path, part in zip(paths, chosen, strict=True):
                made = self._set(made, path, part)
            yield made

    def _paths(self, symbol: str) -> list[tuple[str, ...]]:
        """`order.total.amount` in a question, for `order`: (total, amount). Longest first, so that
        what lies inside is set after what it lies in."""
        looked = re.compile(rf'(?<![\w."]){re.escape(symbol)}(?!\w)((?:\.[^\W\d]\w*)*)')
        found = {
            tuple(match[1].split(".")[1:])
            for text in self._texts
            for match in looked.finditer(text)
        }
        return sorted(found, key=len)

    def _type_at(self, type_: Type, path: Sequence[str]) -> Type | None:
        for name in path:
            fields = {field: t for field, t, _ in self._values.fields_of(required(reveal(type_)))}
            if name not in fields:
                return None
            type_ = fields[name]
        return type_

    def _get(self, value: Any, path: Sequence[str]) -> Any:
        for name in path:
            if value is None:
                return None
            value = self._values.get(value, name)
        return value

    def _set(self, value: Any, path: Sequence[str], part: Any) -> Any:
        if not path:
            return part
        if value is None:
            return None
        inner = self._set(self._values.get(value, path[0]), path[1:], part)
        return self._values.update(value, {path[0]: inner})

    def _other(self, type_: Type, now: Any, path: Sequence[str]) -> Iterator[Any]:
        match type_:
            case Secret(item):
                yield from self._other(item, now, path)
            case Optional(item):
                yield None
                yield from self._other(item, now, path)
            case ListOf(item):
                name = path[-1] if path else "item"
                elements = [self._inventor.value(item, name, n + 1) for n in range(max(LENGTHS))]
                yield from (tuple(elements[:length]) for length in LENGTHS)
            case EnumRef(name):
                yield from (member for member, _ in self._program.enums[name].members)
            case Primitive("bool"):
                yield from (True, False)
            case Primitive("int"):
                for number in self._numbers():
                    yield from (int(number) + more for more in (0, 1, -1))
            case Primitive("decimal"):
                for number in self._numbers():
                    yield from (number + more for more in (0, 1, -1))
            case Primitive("string"):
                yield from self._strings()
            case Primitive("duration"):
                yield from (timedelta(0), timedelta(days=1))
            case _:
                pass

    def _numbers(self) -> list[Decimal]:
        found = [Decimal(0)]
        for text in self._texts:
            found += [Decimal(n) for n in re.findall(r"(?<![\w.\[])-?\d+(?:\.\d+)?(?![\w.])", text)]
        return list(dict.fromkeys(found))

    def _strings(self) -> list[str]:
        return [text for told in self._texts for text in re.findall(r'"([^"$]*)"', told)]


def _unlike(items: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not any(item == known and type(item) is type(known) for known in found):
            found.append(item)
    return found
