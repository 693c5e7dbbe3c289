"""Expressions of the language as idiomatic Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from sagalang.compile.context import CannotCompile, Module, exact
from sagalang.compile.conversions import convert, fitted
from sagalang.compile.layout import (
    ADD,
    AND,
    ATOM,
    COMPARE,
    CONDITIONAL,
    LAMBDA,
    MULTIPLY,
    NOT,
    OR,
    UNARY,
    Bracket,
    Doc,
    Enclosed,
    Parts,
    Prefix,
    Suffix,
    Text,
    call,
    flat,
    sequence,
    width,
)
from sagalang.compile.literals import decimal, duration, string
from sagalang.compile.naming import Names
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.model.expressions import may_fail
from sagalang.runtime.data import member

_BINDING = {"+": ADD, "-": ADD, "*": MULTIPLY, "or": OR, "and": AND}


@dataclass(frozen=True, slots=True)
class Env:
    """What an expression sees. `names`: variables by their name in the language.

    `saga`: the variable that holds the `Saga`; `key` the expression for the key of the step at
    hand; `depth` the number of loops around.
    """

    names: Mapping[str, str]
    saga: str = "saga"
    key: str = ""
    depth: int = 0
    loops: Mapping[str, int] = field(default_factory=dict)
    """How many loops are around each step, by path."""
    targets: Mapping[str, str] = field(default_factory=dict)
    """Variables that several ways to this block's end share, by the name they are bound to."""

    def bind(self, name: str, variable: str) -> Env:
        return replace(self, names={**self.names, name: variable})


def render(module: Module, expr: p.Expr | None, env: Env, needed: int = LAMBDA) -> Doc:
    """The expression, in brackets where its place needs them."""
    if expr is None:
        return Text("None")
    doc, binding = _render(module, expr, env)
    return doc if binding >= needed else Enclosed("", doc)


def render_for(home: Module, module: Module, expr: p.Expr | None, type_: t.Type, env: Env) -> Doc:
    """The expression as a value of what `home` declares: an argument, a field, a result."""
    doc = render(module, expr, env)
    null = expr is None or (isinstance(expr, p.Const) and expr.value is None)
    return doc if null else fitted(module, doc, type_, home)


def _render(module: Module, expr: p.Expr, env: Env) -> tuple[Doc, int]:
    match expr:
        case p.Const():
            return _constant(module, expr)
        case p.Ref(name=name):
            return Text(env.names[name]), ATOM
        case p.ConstantRef(name=name):
            return Text(module.name("constant", name)), ATOM
        case p.KeyOf(step=step):
            return Text(key_of(step, env)), ATOM
        case p.ResultOf():
            return Text(env.names["result"]), ATOM
        case p.Member():
            return _member(module, expr, env), ATOM
        case p.Index(value=value, index=index):
            parts = render(module, value, env), render(module, index, env)
            return call(module.use("item"), *parts), ATOM
        case p.Unary(operator="-", operand=p.Unary(operator="-", operand=operand)):
            return _render(module, operand, env)
        case p.Unary(operator="not", operand=operand):
            return _negated(module, operand, env)
        case p.Unary(operand=operand):
            return Prefix("-", render(module, operand, env, UNARY)), UNARY
        case p.Binary():
            return _binary(module, expr, env)
        case p.Conditional(condition, p.Const(value=True), p.Const(value=False)):
            return _render(module, condition, env)
        case p.Conditional(condition, p.Const(value=False), p.Const(value=True)):
            return _negated(module, condition, env)
        case p.Conditional(condition=condition, then=then, otherwise=otherwise):
            parts_ = (
                ("", render(module, then, env, OR)),
                ("if ", render(module, condition, env, OR)),
                ("else ", render(module, otherwise, env, CONDITIONAL)),
            )
            return Parts(parts_), CONDITIONAL
        case p.MakeRecord(fields=fields, type=type_):
            return make_record(module, type_, fields, env), ATOM
        case p.Update(value=value, fields=fields, type=type_):
            changes = keywords(module, type_, fields, env)
            return call(module.use("replace"), render(module, value, env), *changes), ATOM
        case p.MakeList(items=items):
            return sequence([render(module, item, env) for item in items]), ATOM
        case p.Comprehension():
            return _comprehension(module, expr, env), ATOM
        case p.Apply():
            return _apply(module, expr, env)
        case p.Interpolate():
            return _interpolate(module, expr, env), ATOM
        case p.Convert(value=value, type=type_):
            return _convert(module, value, type_, env)


def key_of(step: str | None, env: Env) -> str:
    if step is None:
        return env.key
    depth = env.loops.get(step, 0)
    around = "" if depth == env.depth else f", {depth}"
    return f"{env.saga}.key({string(step)}{around})"


# --- Constants ---------------------------------------------------------------------------------


def _constant(module: Module, expr: p.Const) -> tuple[Doc, int]:
    bare = t.required(t.reveal(expr.type))
    if isinstance(bare, t.EnumRef) and isinstance(expr.value, str):
        return Text(f"{module.name('type', bare.name)}.{member(expr.value)}"), ATOM
    match expr.value:
        case None | bool():
            return Text(repr(expr.value)), ATOM
        case int():
            return Text(str(expr.value)), UNARY if expr.value < 0 else ATOM
        case Decimal():
            return Text(decimal(module, expr.value)), ATOM
        case timedelta():
            return Text(duration(module, expr.value)), UNARY if expr.value < timedelta() else ATOM
        case str():
            return Text(string(expr.value)), ATOM


# --- Records -----------------------------------------------------------------------------------


def _member(module: Module, expr: p.Member, env: Env) -> Doc:
    bare = t.required(t.reveal(expr.value.type))
    value = render(module, expr.value, env, ATOM)
    if bare == t.JSON or isinstance(bare, t.MapOf | t.Unknown):
        return call(module.use("item"), value, Text(string(expr.name)))
    return Suffix(value, "." + module.attribute(bare, expr.name))


def keywords(
    module: Module, type_: t.Type, fields: tuple[tuple[str, p.Expr], ...], env: Env
) -> list[Doc]:
    """`name=value` for the fields of a record."""
    bare = t.required(t.reveal(type_))
    home, kinds = module.home(bare), {name: kind for name, kind, _ in module.fields_of(bare)}
    return [
        Prefix(
            module.attribute(type_, name) + "=",
            render_for(home, module, value, kinds.get(name, value.type), env),
        )
        for name, value in fields
    ]


def make_record(
    module: Module, type_: t.Type, fields: tuple[tuple[str, p.Expr], ...], env: Env
) -> Doc:
    """A record, a map or a json object of these fields."""
    bare = t.required(t.reveal(type_))
    if isinstance(bare, t.MapOf | t.Unknown) or bare == t.JSON:
        entries = tuple(
            Prefix(string(name) + ": ", render(module, value, env)) for name, value in fields
        )
        if not entries:
            return call(module.use("make_map"))
        return call(module.use("make_map"), Bracket(Text(""), entries, "{", "}"))
    return call(exact(module, bare), *keywords(module, bare, fields, env))


# --- Operators ---------------------------------------------------------------------------------


def _binary(module: Module, expr: p.Binary, env: Env) -> tuple[Doc, int]:
    sign, left, right = expr.operator, expr.left, expr.right
    match sign:
        case "??":
            return _default(module, expr, env)
        case "/":
            parts = render(module, left, env), render(module, right, env)
            return call(module.use("divide"), *parts), ATOM
        case "==" | "!=" | "<" | "<=" | ">" | ">=":
            return _comparison(module, expr, env)
        case "or" | "and" | "+" | "-" | "*":
            binding = _BINDING[sign]
            # Brackets on the right of an equal sign keep the text's own order of evaluation.
            tighter = binding if sign in ("and", "or") else binding + 1
            operands = (
                *_operands(module, left, sign, env),
                (f"{sign} ", render(module, right, env, _needed(right, sign, tighter))),
            )
            return Parts(operands), binding
        case _:
            raise CannotCompile(expr.span, f"the operator `{sign}`")


def _negated(module: Module, expr: p.Expr, env: Env) -> tuple[Doc, int]:
    """`not` as Python has it: part of the operator where there is one."""
    match expr:
        case p.Binary(operator="==" | "!=" as sign, left=left, right=right):
            other = "!=" if sign == "==" else "=="
            return _comparison(module, p.Binary(other, left, right, expr.type, expr.span), env)
        case p.Apply(function="contains"):
            return _membership(module, expr, "not in", env), COMPARE
        case p.Unary(operator="not", operand=operand):
            return _render(module, operand, env)
        case _:
            return Prefix("not ", render(module, expr, env, NOT)), NOT


def _membership(module: Module, expr: p.Apply, sign: str, env: Env) -> Doc:
    whole, part = (_comparable(module, arg, env) for arg in expr.args)
    return Parts((("", part), (f"{sign} ", whole)))


def _operands(module: Module, expr: p.Expr, sign: str, env: Env) -> tuple[tuple[str, Doc], ...]:
    """The operands on the left, flattened: `a + b` of `a + b + c`."""
    if isinstance(expr, p.Binary) and expr.operator in _BINDING:
        doc, binding = _render(module, expr, env)
        if isinstance(doc, Parts) and binding == _BINDING[sign]:
            return doc.parts
    return (("", render(module, expr, env, _needed(expr, sign, _BINDING[sign]))),)


def _needed(operand: p.Expr, sign: str, usual: int) -> int:
    """Brackets show which of `and` and `or` binds; Python needs none."""
    mixed = sign == "or" and isinstance(operand, p.Binary) and operand.operator == "and"
    return NOT if mixed else usual


def _comparison(module: Module, expr: p.Binary, env: Env) -> tuple[Doc, int]:
    sign, left, right = expr.operator, expr.left, expr.right
    if isinstance(left, p.Const) and left.value is None:
        left, right = right, left
    if isinstance(right, p.Const) and right.value is None:
        sign = {"==": "is", "!=": "is not"}.get(sign, sign)
    elif isinstance(right, p.Const) and isinstance(right.value, bool):
        if right.value is (sign == "=="):
            return _render(module, left, env)
        return Prefix("not ", render(module, left, env, NOT)), NOT
    one, other = (_comparable(module, side, env) for side in (left, right))
    if _constancy(one) > _constancy(other):
        one, other, sign = other, one, _MIRRORED.get(sign, sign)
    return Parts((("", one), (f"{sign} ", other))), COMPARE


def _comparable(module: Module, expr: p.Expr, env: Env) -> Doc:
    """Instances of different classes are never equal in Python."""
    doc = render(module, expr, env, COMPARE + 1)
    return fitted(module, doc, expr.type, module)


_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _constancy(doc: Doc) -> int:
    """How much a side looks like a constant: linters want the more constant one on the right.

    Neither side can fail where this differs, so the order does not matter otherwise.
    """
    shown = flat(doc)
    if re.fullmatch(r"[\w.]+", shown) and shown[0].isalpha() and shown not in _LITERALS:
        return 1 if shown.rsplit(".", 1)[-1].isupper() else 0
    return 2 if isinstance(doc, Text) and not shown.startswith('f"') else 0


_LITERALS = ("True", "False", "None")


def _default(module: Module, expr: p.Binary, env: Env) -> tuple[Doc, int]:
    left, right = expr.left, expr.right
    if not may_fail(left):
        if not t.is_optional(left.type) and not isinstance(left.type, t.Unknown):
            return _render(module, left, env)
        if _is_path(left):
            value = render(module, left, env, OR)
            parts = (
                ("", value),
                ("if ", Suffix(value, " is not None")),
                ("else ", render(module, right, env, CONDITIONAL)),
            )
            return Parts(parts), CONDITIONAL
    lazily = [Prefix("lambda: ", render(module, side, env)) for side in (left, right)]
    return call(module.use("value_or"), *lazily), ATOM


def _is_path(expr: p.Expr) -> bool:
    match expr:
        case p.Ref() | p.ConstantRef() | p.ResultOf():
            return True
        case p.Member(value=value):
            return t.required(t.reveal(value.type)) != t.JSON and _is_path(value)
        case _:
            return False


# --- Lists, functions, text --------------------------------------------------------------------


def _comprehension(module: Module, expr: p.Comprehension, env: Env) -> Doc:
    source, condition = expr.source, expr.condition
    if condition is None and isinstance(expr.element, p.Ref) and expr.element.name == expr.variable:
        return render(module, source, env, ATOM)
    variable = Names({*env.names.values(), env.saga}, module.taken).claim(expr.variable)
    scope = env.bind(expr.variable, variable)
    parts = [
        ("", render(module, expr.element, scope, CONDITIONAL)),
        (f"for {variable} in ", render(module, source, env, OR)),
    ]
    if condition is not None:
        parts.append(("if ", render(module, condition, scope, OR)))
    return Enclosed("tuple", Parts(tuple(parts)))


def _apply(module: Module, expr: p.Apply, env: Env) -> tuple[Doc, int]:
    args = [render(module, arg, env) for arg in expr.args]
    bare = t.reveal(expr.type)
    match expr.function:
        case "now":
            return Text(f"{env.saga}.now()"), ATOM
        case "len":
            return call("len", *args), ATOM
        case "sum" if bare == t.DECIMAL:
            return call("sum", *args, Text(f"{module.use('Decimal')}()")), ATOM
        case "sum" if bare == t.DURATION:
            return call("sum", *args, Text(f"{module.use('timedelta')}()")), ATOM
        case "sum":
            return call("sum", *args), ATOM
        case "min" | "max" if len(args) == 1:
            name = "smallest" if expr.function == "min" else "largest"
            return call(module.use(name), *args), ATOM
        case "min" | "max":
            return call(expr.function, *args), ATOM
        case "contains":
            return _membership(module, expr, "in", env), COMPARE
        case "lower" | "upper":
            return Suffix(render(module, expr.args[0], env, ATOM), f".{expr.function}()"), ATOM
        case "round":
            return call(module.use("rounded"), *args), ATOM
        case name:
            raise CannotCompile(expr.span, f"the function `{name}`")


def _interpolate(module: Module, expr: p.Interpolate, env: Env) -> Doc:
    """An f-string; where its parts need quotes of their own, the parts joined."""
    pieces = []
    for part in expr.parts:
        if isinstance(part, p.Const) and isinstance(part.value, str) and part.type == t.STRING:
            pieces.append(string(part.value)[1:-1].replace("{", "{{").replace("}", "}}"))
            continue
        shown = flat(_as_text(module, part, env, plain=True))
        if any(sign in shown for sign in "\"'\\{}"):
            return _joined(module, expr, env)
        pieces.append("{" + shown + "}")
    text = "".join(pieces)
    long = width(text) > _LONGEST_STRING
    return _joined(module, expr, env) if long or '"' in text else Text(f'f"{text}"')


_LONGEST_STRING = 80
"""Of an f-string: nothing can break it over lines."""


def _joined(module: Module, expr: p.Interpolate, env: Env) -> Doc:
    return call('"".join', sequence([_as_text(module, part, env) for part in expr.parts]))


def _as_text(module: Module, part: p.Expr, env: Env, plain: bool = False) -> Doc:
    bare = t.reveal(part.type)
    as_it_is = (t.STRING, t.KEY, *((t.INT, t.UUID) if plain else ()))
    if bare in as_it_is:
        return render(module, part, env)
    return call(module.use("text"), render(module, part, env))


# --- Conversions -------------------------------------------------------------------------------


def _convert(module: Module, value: p.Expr, type_: t.Type, env: Env) -> tuple[Doc, int]:
    if isinstance(value, p.MakeRecord):
        found = _converted_record(module, value, type_, env)
        if found is not None:
            return found, ATOM
    if isinstance(value, p.MakeList) and isinstance(t.required(t.reveal(type_)), t.ListOf):
        wanted = t.required(t.reveal(type_))
        assert isinstance(wanted, t.ListOf)
        items = [render(module, p.Convert(i, wanted.item, i.span), env) for i in value.items]
        return sequence(items), ATOM
    doc, binding = _render(module, value, env)
    return convert(module, doc, binding, value.type, type_)


def _converted_record(module: Module, value: p.MakeRecord, type_: t.Type, env: Env) -> Doc | None:
    """A record written in place, made as what it becomes at once."""
    bare = t.required(t.reveal(type_))
    if not isinstance(bare, t.RecordRef | t.InlineRecord):
        return None
    wanted = {name: kind for name, kind, _ in module.fields_of(bare)}
    fields = tuple(
        (name, p.Convert(item, wanted[name], item.span))
        for name, item in value.fields
        if name in wanted
    )
    return make_record(module, bare, fields, env)
