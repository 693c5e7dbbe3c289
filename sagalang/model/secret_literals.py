"""Where a text holds literals that are secrets, and the text without them.

A definition may be stored with a run or shown on a page; what it says is kept, its secrets are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, get_args

from msgspec import Struct

from sagalang.model import program as p
from sagalang.model.types import (
    UNKNOWN,
    InlineRecord,
    ListOf,
    MapOf,
    Optional,
    RecordRef,
    Secret,
    Type,
)
from sagalang.text import Span

COVER: Final = "•••"


class SecretLiteral(Struct, frozen=True):
    """A literal and what may stand in its place: of the same kind, so that the text stays right."""

    span: Span
    instead: str


def secret_literals(program: p.Program) -> tuple[SecretLiteral, ...]:
    """The texts and numbers that stand where a secret is expected, in all files, in text order.

    Those in a comparison with a secret are among them, and the texts of headers, which have no type
    and may well be a token.
    """
    found = {literal.span: literal for literal in _Walk(program).all()}
    return tuple(sorted(found.values(), key=lambda one: (one.span.file, one.span.start)))


def without_secrets(text: str, literals: Iterable[SecretLiteral]) -> str:
    """The text of a file with its `literals` replaced; lines stay where they are."""
    for literal in sorted(literals, key=lambda one: one.span.start, reverse=True):
        text = text[: literal.span.start] + literal.instead + text[literal.span.end :]
    return text


class _Walk:
    """Goes through all expressions with the type that is expected of each."""

    def __init__(self, program: p.Program) -> None:
        self._program = program
        self._operations = {
            o.label: o for s in program.services.values() for o in s.operations.values()
        }
        self._bound = _bound(program)
        self._covered: set[str] = set()

    def all(self) -> Iterator[SecretLiteral]:
        for constant in self._program.constants.values():
            yield from self._expected(constant.value, constant.type)
        for service in self._program.services.values():
            for header in service.headers:
                if header.span is not None:
                    yield SecretLiteral(header.span, f'"{COVER}"')
            for operation in service.operations.values():
                yield from self._any(operation, operation.result)
        for saga in self._program.sagas.values():
            yield from self._any(saga, saga.result)
        for scenario in self._program.scenarios:
            params = self._program.sagas[scenario.saga].params
            yield from self._arguments(scenario.args, params)
            for rest in (*scenario.faults, *scenario.sends, *scenario.expects):
                yield from self._any(rest, self._program.sagas[scenario.saga].result)

    def _any(self, node: Any, returned: Type) -> Iterator[SecretLiteral]:
        """What is inside of something that need not be an expression; `returned`: the type of
        the answers around it."""
        match node:
            case p.Call(args=args):
                yield from self._arguments(args, self._program.operation(node).params)
            case p.ChildStep(saga=name, args=args):
                yield from self._arguments(args, self._program.sagas[name].params)
            case p.Fault(operation=label, args=args, value=value):
                operation = self._operations[label]
                yield from self._arguments(args or (), operation.params)
                yield from self._expected(value, operation.result)
            case p.Return(value=value) | p.Expect(value=value):
                yield from self._expected(value, returned)
            case _ if isinstance(node, _EXPRESSIONS):
                yield from self._expected(node, None)
            case _:
                for part in _parts(node):
                    yield from self._any(part, returned)

    def _arguments(
        self, args: Iterable[p.Expr | None], params: Iterable[p.Param]
    ) -> Iterator[SecretLiteral]:
        for arg, param in zip(args, params, strict=False):
            yield from self._expected(arg, param.type)

    def _expected(self, node: p.Expr | None, wanted: Type | None) -> Iterator[SecretLiteral]:
        """The literals in an expression of which a value of this type is expected; None: that
        is not known better than by the expression."""
        if node is None:
            return
        if isinstance(wanted, Secret) or isinstance(node.type, Secret):
            yield from self._literals(node)
            return
        inner = wanted.item if isinstance(wanted, Optional) else wanted
        match node:
            case p.MakeRecord(fields=fields) | p.Update(fields=fields):
                for name, value in fields:
                    found = self._field(node.type, name) or self._field(inner, name)
                    yield from self._expected(value, found)
                if isinstance(node, p.Update):
                    yield from self._expected(node.value, wanted)
            case p.MakeList(items=items):
                for item in items:
                    yield from self._expected(item, _item(inner))
            case p.Comprehension():
                yield from self._expected(node.element, _item(inner))
                yield from self._expected(node.source, None)
                yield from self._expected(node.condition, None)
            case p.Convert(value=value, type=type_):
                yield from self._expected(value, type_)
            case p.Conditional():
                yield from self._expected(node.condition, None)
                yield from self._expected(node.then, wanted)
                yield from self._expected(node.otherwise, wanted)
            case _:
                for part in _parts(node):
                    yield from self._any(part, UNKNOWN)

    def _literals(self, node: Any) -> Iterator[SecretLiteral]:
        """All literals in an expression that is secret as a whole, also by way of a `let`."""
        match node:
            case p.Const(value=str(), span=span):
                yield SecretLiteral(span, f'"{COVER}"')
            case p.Interpolate(span=span):
                yield SecretLiteral(span, f'"{COVER}"')
                for part in _parts(node):
                    yield from self._named(part)
            case p.Const(value=bool() | None):
                pass
            case p.Const(value=int() | Decimal(), span=span):
                yield SecretLiteral(span, "0")
            case p.Const(value=timedelta(), span=span):
                yield SecretLiteral(span, "1s")
            case p.ConstantRef(name=name) | p.Ref(name=name):
                if name not in self._covered:
                    self._covered.add(name)
                    for value in self._bound.get(name, ()):
                        yield from self._literals(value)
            case p.Member(type=Secret()):
                pass  # covered where the record is made
            case _:
                for part in _parts(node):
                    yield from self._literals(part)

    def _named(self, node: Any) -> Iterator[SecretLiteral]:
        """The literals of the names in a text whose own words are covered already."""
        if isinstance(node, p.ConstantRef | p.Ref):
            yield from self._literals(node)
        else:
            for part in _parts(node):
                yield from self._named(part)

    def _field(self, type_: Type | None, name: str) -> Type | None:
        match type_:
            case InlineRecord(fields):
                return next((t for field, t, _ in fields if field == name), None)
            case RecordRef(record):
                program = self._program
                for table in (program.records, program.errors, program.events):
                    if record in table:
                        return next((f.type for f in table[record].fields if f.name == name), None)
                return None
            case MapOf(item):
                return item
            case _:
                return None


def _item(type_: Type | None) -> Type | None:
    return type_.item if isinstance(type_, ListOf) else None


_EXPRESSIONS: Final = get_args(p.Expr)


def _bound(program: p.Program) -> dict[str, list[p.Expr]]:
    """What each `let` stands for, at the top and inside sagas. Those of one name are taken
    together: rather one literal too many is covered than one too few."""
    found = {name: [constant.value] for name, constant in program.constants.items()}
    for saga in program.sagas.values():
        for let in _lets(saga):
            found.setdefault(let.name, []).append(let.value)
    return found


def _lets(node: Any) -> Iterator[p.Let]:
    if isinstance(node, p.Let):
        yield node
    elif not isinstance(node, _EXPRESSIONS):
        for part in _parts(node):
            yield from _lets(part)


def _parts(node: Any) -> Iterator[Any]:
    if isinstance(node, Struct):
        for name in node.__struct_fields__:
            yield getattr(node, name)
    elif isinstance(node, tuple) and not isinstance(node, Span):
        yield from node
