"""Values that are not known: the verifier's domain, in which conditions go both ways.

A `Symbol` stands for a value of which only the expression it came from is known. What the machine
itself must know (whether a condition holds, how long a list is, whether an index exists) is a
`Question`; where a path has not answered it yet, `Undecided` is raised and the explorer follows
every answer. On one path the same question over the same values keeps its answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from msgspec import Struct

from sagalang.machine.evaluate import BadValueError, Build, Scope, instant, plain
from sagalang.machine.evaluate import text as written
from sagalang.machine.frozen import FrozenMap
from sagalang.model import program as p
from sagalang.model.types import (
    BOOL,
    EnumRef,
    ListOf,
    Primitive,
    Type,
    is_optional,
    required,
    reveal,
)

LENGTHS: Final = (0, 1, 2)
"""A list that is not known is taken to have so many elements."""

AT_MOST_ONE: Final = "at most one of"
"""Not a function of the language: the first element of a list, alone, if there is one."""

_HAS_NO_VALUE: Final = {"/", "[]", "min", "max", "round"}


class Symbol(Struct, frozen=True, gc=False):
    """`text` is unique: two symbols with one text are the same value. `operator` and `operands`
    are kept for conditions, so that `and`, `or` and `not` can be taken apart."""

    text: str
    type: Type
    operator: str = ""
    operands: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return self.text


class Question(Struct, frozen=True, gc=False):
    """`kind`: `holds`, `length` or `exists`."""

    kind: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.kind} {self.text}"


Answers = Mapping[str, Any]
"""By the question's id."""


class Undecided(Exception):  # noqa: N818 - not an error: the explorer answers it
    """`answers`: what the answer may be, and how many faults each one is."""

    def __init__(self, question: Question, answers: tuple[tuple[Any, int], ...]) -> None:
        super().__init__(question.text)
        self.question, self.answers = question, answers


class Domain:
    """The values of one exploration. `answers` are those of the path being followed; the explorer
    sets them before every step of the machine."""

    def __init__(self, program: p.Program) -> None:
        self._program = program
        self.answers: Answers = {}
        self.build = Build(
            make=_make,
            get=_get,
            convert=lambda value, _: value,
            update=_update,
            evaluate=self._evaluate,
            known=self._known,
        )
        self._plain = Build(_make, _get, lambda value, _: value, _update)

    # --- Evaluating ----------------------------------------------------------------------------

    def _evaluate(self, expr: p.Expr, scope: Scope) -> Any:
        match expr:
            case p.Const(value=value):
                return value
            case p.Ref(name=name, type=type_):
                return scope.names[name] if name in scope.names else Symbol(name, type_)
            case p.ConstantRef(name=name):
                return self._evaluate(scope.constants[name].value, scope)
            case p.KeyOf():
                return scope.key(expr.step)
            case p.ResultOf():
                return scope.result
            case p.Convert(value=value):
                return self._evaluate(value, scope)
            case p.Member(value=value, name=name, type=type_):
                found = self._evaluate(value, scope)
                if isinstance(found, Symbol):
                    return Symbol(f"{found.text}.{name}", type_)
                if found is None:
                    raise BadValueError(f"null has no field {name}")
                return found[name]
            case p.Index(value=value, index=index, type=type_):
                parts = [self._evaluate(value, scope), self._evaluate(index, scope)]
                return self._computed(
                    expr, "[]", parts, type_, f"{_show(parts[0])}[{_show(parts[1])}]"
                )
            case p.Unary(operator=sign, operand=operand, type=type_):
                part = self._evaluate(operand, scope)
                if sign == "not" and isinstance(part, bool):
                    return not part
                return self._computed(expr, sign, [part], type_, f"{sign} {_show(part)}")
            case p.Binary():
                return self._binary(expr, scope)
            case p.Conditional(condition=condition, then=then, otherwise=otherwise):
                holds = self._known(self._evaluate(condition, scope), BOOL)
                return self._evaluate(then if holds else otherwise, scope)
            case p.MakeRecord(fields=fields):
                return FrozenMap({name: self._evaluate(value, scope) for name, value in fields})
            case p.Update(value=value, fields=fields, type=type_):
                base = self._evaluate(value, scope)
                changes = {name: self._evaluate(item, scope) for name, item in fields}
                if isinstance(base, Symbol):
                    told = ", ".join(f"{name}: {_show(item)}" for name, item in changes.items())
                    return Symbol(f"({base.text} with {{ {told} }})", type_)
                return _update(base, changes)
            case p.MakeList(items=items):
                return tuple(self._evaluate(item, scope) for item in items)
            case p.Comprehension():
                return self._comprehension(expr, scope)
            case p.Apply(function="now", type=type_):
                return Symbol(f"now()@{expr.span.start}", type_)
            case p.Apply(function=function, args=(source,)) if function == AT_MOST_ONE:
                return self._first(self._evaluate(source, scope))
            case p.Apply(function=function, args=args, type=type_):
                parts = [self._evaluate(arg, scope) for arg in args]
                if function == "len" and isinstance(parts[0], tuple):
                    return len(parts[0])
                told = ", ".join(map(_show, parts))
                return self._computed(expr, function, parts, type_, f"{function}({told})")
            case p.Interpolate(parts=pieces, type=type_):
                parts = [self._evaluate(piece, scope) for piece in pieces]
                if not any(map(_open, parts)):
                    return "".join(map(written, parts))
                return Symbol(
                    '"'
                    + "".join(
                        f"${{{_show(part)}}}" if _open(part) else written(part) for part in parts
                    )
                    + '"',
                    type_,
                )

    def _computed(
        self, expr: p.Expr, operator: str, parts: list[Any], type_: Type, text: str
    ) -> Any:
        """The value where all parts are known; else a symbol, or the question whether it exists."""
        if not any(map(_open, parts)):
            return _over(expr, parts, self._plain)
        if operator == "[]" and isinstance(parts[0], FrozenMap) and not _open(parts[1]):
            return _over(expr, parts, self._plain)
        if operator in _HAS_NO_VALUE and not self._exists(operator, parts, text):
            raise BadValueError(text)
        return Symbol(text, type_, operator, tuple(parts))

    def _exists(self, operator: str, parts: list[Any], text: str) -> bool:
        if operator == "round" or (operator == "/" and not _open(parts[1]) and parts[1]):
            return True
        if operator in ("min", "max") and len(parts) > 1:
            return True
        question = Question("exists", text)
        answer = self.answers.get(question.id)
        if answer is None:
            raise Undecided(question, ((True, 0), (False, 1)))
        return bool(answer)

    def _binary(self, expr: p.Binary, scope: Scope) -> Any:
        sign, type_ = expr.operator, expr.type
        if sign == "??":
            try:
                left = self._evaluate(expr.left, scope)
            except BadValueError:
                left = None
            if left is None:
                return self._evaluate(expr.right, scope)
            if not isinstance(left, Symbol):
                return left
            return Symbol(f"({left.text} ?? {_show(self._evaluate(expr.right, scope))})", type_)
        left = self._evaluate(expr.left, scope)
        if sign in ("and", "or"):
            if isinstance(left, bool):
                return left if left is (sign == "or") else self._evaluate(expr.right, scope)
            # The right side may have no value where the left one rules it out.
            left = self._known(left, BOOL)
            return left if left is (sign == "or") else self._evaluate(expr.right, scope)
        right = self._evaluate(expr.right, scope)
        if sign in ("==", "!=") and None in (left, right) and left is not right:
            other = right if left is None else left
            if not isinstance(other, Symbol):
                return sign == "!="
        text = f"{_show(left)} {sign} {_show(right)}"
        if sign in ("==", "!=") and _open(left) and left == right:
            return sign == "=="
        return self._computed(
            expr, sign, [left, right], type_, text if type_ == BOOL else f"({text})"
        )

    def _comprehension(self, expr: p.Comprehension, scope: Scope) -> Any:
        source = self._evaluate(expr.source, scope)
        if isinstance(source, Symbol):
            return Symbol(
                f"[... for {expr.variable} in {source.text}]@{expr.span.start}", expr.type
            )
        found = []
        for item in source:
            inner = scope.bind(expr.variable, item)
            if expr.condition is None or self._known(self._evaluate(expr.condition, inner), BOOL):
                found.append(self._evaluate(expr.element, inner))
        return tuple(found)

    # --- Knowing -------------------------------------------------------------------------------

    def _known(self, value: Any, type_: Type) -> Any:
        if not isinstance(value, Symbol):
            return value
        bare = required(reveal(type_))
        if bare == BOOL:
            return self._holds(value)
        if isinstance(bare, ListOf):
            question = Question("length", value.text)
            length = self.answers.get(question.id)
            if length is None:
                raise Undecided(question, tuple((n, 0) for n in LENGTHS))
            return tuple(Symbol(f"{value.text}[{i}]", bare.item) for i in range(length))
        if isinstance(bare, Primitive) and bare.name == "duration":
            return timedelta(seconds=1)
        if isinstance(bare, Primitive) and bare.name == "datetime":
            return instant(1_000)
        return value.text

    def _first(self, items: Any) -> Any:
        if not isinstance(items, Symbol):
            return items[:1]
        length = self.answers.get(Question("length", items.text).id)
        if length is None:
            question = Question("some", items.text)
            length = self.answers.get(question.id)
            if length is None:
                raise Undecided(question, ((0, 0), (1, 0)))
        bare = required(reveal(items.type))
        item = bare.item if isinstance(bare, ListOf) else items.type
        return (Symbol(f"{items.text}[0]", item),) if length else ()

    def _holds(self, value: Symbol) -> bool:
        match value.operator, value.operands:
            case "not", (inner,):
                return not self._known(inner, BOOL)
            case "!=", (left, right):
                return not self._equal(left, right)
            case "==", (left, right):
                return self._equal(left, right)
            case ">=", (left, right):
                return not self._ask(f"{_show(left)} < {_show(right)}")
            case "<=", (left, right):
                return not self._ask(f"{_show(left)} > {_show(right)}")
            case _:
                return self._ask(value.text)

    def _ask(self, text: str) -> bool:
        question = Question("holds", text)
        answer = self.answers.get(question.id)
        if answer is None:
            raise Undecided(question, ((True, 0), (False, 0)))
        return bool(answer)

    def _equal(self, left: Any, right: Any) -> bool:
        if _open(right) and not _open(left):
            left, right = right, left
        if not isinstance(left, Symbol) or _open(right):
            return self._ask(f"{_show(left)} == {_show(right)}")
        if right is None:
            if not is_optional(left.type):
                return False
            return self._ask(f"{left.text} == null")
        return self._is(left, right)

    def _is(self, left: Symbol, right: Any) -> bool:
        """Whether an unknown value is this known one: it is at most one, and one of its enum's."""
        prefix = f"{left.text} == "
        mine = Question("holds", prefix + _show(right))
        if mine.id in self.answers:
            return bool(self.answers[mine.id])
        before = f"holds {prefix}"
        asked = {q[6:]: a for q, a in self.answers.items() if q.startswith(before)}
        if any(asked.values()):
            return False
        bare = required(reveal(left.type))
        if isinstance(bare, EnumRef):
            members = [name for name, _ in self._program.enums[bare.name].members]
            others = [name for name in members if name != right]
            if all(asked.get(prefix + _show(name)) is False for name in others):
                return True
        raise Undecided(mine, ((True, 0), (False, 0)))


# --- Records as mappings -------------------------------------------------------------------------


def _make(_: Type, fields: Mapping[str, Any]) -> Any:
    return FrozenMap(fields)


def _get(value: Any, name: str) -> Any:
    return value[name]


def _update(value: Any, changes: Mapping[str, Any]) -> Any:
    return value.plus(changes)


def _open(value: Any) -> bool:
    """Whether something in the value is not known."""
    match value:
        case Symbol():
            return True
        case tuple():
            return any(map(_open, value))
        case FrozenMap():
            return any(map(_open, value.values()))
        case _:
            return False


def _show(value: Any) -> str:
    match value:
        case Symbol(text=text):
            return text
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case tuple():
            return f"[{', '.join(map(_show, value))}]"
        case FrozenMap():
            return "{" + ", ".join(f"{name}: {_show(item)}" for name, item in value.items()) + "}"
        case _:
            return str(value)


def _over(expr: p.Expr, parts: list[Any], build: Build) -> Any:
    """The operator applied to known parts, by the machine's own evaluation."""
    names = {f"${i}": part for i, part in enumerate(parts)}
    refs = [
        p.Ref(name, inner.type, expr.span) for name, inner in zip(names, _inner(expr), strict=True)
    ]
    match expr:
        case p.Index():
            made: p.Expr = p.Index(refs[0], refs[1], expr.type, expr.span)
        case p.Unary():
            made = p.Unary(expr.operator, refs[0], expr.type, expr.span)
        case p.Binary():
            made = p.Binary(expr.operator, refs[0], refs[1], expr.type, expr.span)
        case p.Apply():
            made = p.Apply(expr.function, tuple(refs), expr.type, expr.span)
        case _:
            raise AssertionError(type(expr).__name__)
    return plain(made, Scope(names=names, build=build))


def _inner(expr: p.Expr) -> tuple[p.Expr, ...]:
    match expr:
        case p.Index(value=value, index=index):
            return value, index
        case p.Unary(operand=operand):
            return (operand,)
        case p.Binary(left=left, right=right):
            return left, right
        case p.Apply(args=args):
            return args
        case _:
            return ()
