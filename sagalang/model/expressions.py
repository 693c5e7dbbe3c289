"""Expressions: names resolved, types known, conversions made explicit.

`Typing` checks one expression after the other in a scope. A mistake is reported once; its
expression is then of type `Unknown`, which fits everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from msgspec.structs import replace

from sagalang.diagnostics.suggest import hint
from sagalang.model import functions
from sagalang.model import program as p
from sagalang.model.context import FUNCTIONS, Context, kind_of
from sagalang.model.context import article as _article
from sagalang.model.declare import contains_secret
from sagalang.model.fit import fits, join, needs_conversion, record_fields
from sagalang.model.scope import Scope, facts_if, path_of
from sagalang.model.types import (
    BOOL,
    DATETIME,
    DECIMAL,
    DURATION,
    INT,
    JSON,
    KEY,
    NULL,
    STRING,
    UNKNOWN,
    UUID,
    EnumRef,
    InlineRecord,
    ListOf,
    MapOf,
    Null,
    Optional,
    RecordRef,
    Secret,
    Type,
    Unknown,
    is_optional,
    required,
    reveal,
    secret,
    show,
)
from sagalang.syntax import ast
from sagalang.syntax.words import FOREIGN_VALUES
from sagalang.text import Span

_ORDERED = (INT, DECIMAL, STRING, DURATION, DATETIME)
_NUMBERS = (INT, DECIMAL)
_TEXTUAL = (STRING, INT, DECIMAL, BOOL, DURATION, DATETIME, UUID, KEY)


class Typing:
    """Checks expressions of one scope. `types` remembers the type found at each dotted path."""

    def __init__(self, context: Context, scope: Scope) -> None:
        self.context = context
        self.scope = scope
        self.used: set[str] = set()
        self._paths: dict[str, Type] = {}

    # --- entry points --------------------------------------------------------------------------

    def check(self, value: ast.Expr, wanted: Type, what: str = "") -> p.Expr:
        """The expression, made to fit `wanted`; `what` names the place in messages."""
        made = self.infer(value, wanted)
        return self.fit(made, wanted, what)

    def fit(self, made: p.Expr, wanted: Type, what: str = "") -> p.Expr:
        given = made.type
        if not fits(self.context, given, wanted):
            self._mismatch(made, wanted, what)
            return replace(made, type=UNKNOWN)
        if not needs_conversion(given, wanted):
            return made
        plain = reveal(required(reveal(wanted)))
        if isinstance(made, p.Const) and isinstance(made.value, int) and plain == DECIMAL:
            return p.Const(Decimal(made.value), DECIMAL, made.span)
        return p.Convert(made, wanted, made.span)

    def condition(self, value: ast.Expr, what: str = "a condition") -> p.Expr:
        made = self.infer(value, BOOL)
        if isinstance(made.type, Secret):
            self.context.report(
                "secret-leak",
                made.span,
                f"{what} must not depend on a secret: which way it goes can be seen",
                help="decide in the service that knows the secret",
            )
            return replace(made, type=UNKNOWN)
        return self.fit(made, BOOL, what)

    def facts(self, condition: ast.Expr, holds: bool) -> dict[str, Type]:
        """What a condition that this object has checked tells about null."""
        return facts_if(condition, holds, self._paths)

    def _mismatch(self, made: p.Expr, wanted: Type, what: str) -> None:
        given = made.type
        place = f"{what} needs" if what else "here"
        if isinstance(given, Secret) and fits(self.context, given.item, wanted):
            self.context.report(
                "secret-leak",
                made.span,
                f"{what or 'this place'} is not secret, and this value is",
                "a secret",
                help="declare the receiving parameter or field `secret`",
            )
            return
        help_text = self._instead_of_text(made, wanted)
        if help_text is not None:
            pass
        elif is_optional(given) and fits(self.context, required(given), wanted):
            help_text = "it may be null: give a value for that case with `??`, or test it by `if`"
        elif given == DECIMAL and reveal(wanted) == INT:
            help_text = "decimals are exact and never become ints by themselves"
        self.context.report(
            "type-mismatch",
            made.span,
            f"{place} {_a(show(wanted))}, and this is {_a(show(given))}"
            if what
            else f"{_a(show(wanted))} is needed here, and this is {_a(show(given))}",
            show(given),
            help=help_text,
        )

    # --- the walk ------------------------------------------------------------------------------

    def infer(self, value: ast.Expr, wanted: Type = UNKNOWN) -> p.Expr:
        """The typed expression. `wanted` helps where the text alone does not tell the type."""
        match value:
            case ast.Literal():
                return self._literal(value)
            case ast.Reference():
                return self._reference(value, wanted)
            case ast.Member():
                return self._member(value)
            case ast.Apply():
                return self._apply(value, wanted)
            case ast.Binary():
                return self._binary(value)
            case ast.Unary():
                return self._unary(value)
            case ast.Conditional():
                return self._conditional(value, wanted)
            case ast.Braces():
                return self._braces(value, wanted)
            case ast.Update():
                return self._update(value)
            case ast.ListOf():
                return self._list(value, wanted)
            case ast.Index():
                return self._index(value)
            case ast.Comprehension():
                return self._comprehension(value, wanted)
            case ast.Interpolation():
                return self._interpolation(value)

    def _literal(self, value: ast.Literal) -> p.Expr:
        match value.value:
            case None:
                kind: Type = NULL
            case bool():
                kind = BOOL
            case int():
                kind = INT
            case Decimal():
                kind = DECIMAL
            case str():
                kind = STRING
            case _:
                kind = DURATION
        return p.Const(value.value, kind, value.span)

    def _reference(self, value: ast.Reference, wanted: Type = UNKNOWN) -> p.Expr:
        scope, name, span = self.scope, value.name, value.span
        if name == scope.own_name and scope.result is not None:
            return p.ResultOf(scope.result, span)
        binding = scope.names.get(name)
        if binding is not None:
            self.used.add(name)
            found = scope.facts.get(name, binding.type)
            self._paths[name] = found
            return p.Ref(name, found, span)
        if name == "key" and scope.key is not None:
            if not scope.key:
                self.context.report(
                    "key-without-keyed",
                    span,
                    "this command is not `keyed`, so it has no key",
                    help="promise `keyed` on the command, or compensate by its inputs",
                )
            return p.KeyOf(None, KEY, span)
        if name == "result" and scope.result is not None:
            return p.ResultOf(scope.result, span)
        constant = self.context.find(name, span.file, ("constant",))
        if constant is not None:
            made = self.context.constants.get(name)
            if made is None:
                if name not in self.context.poisoned:
                    self.context.poisoned.add(name)
                    self.context.report("recursive-type", span, f"`{name}` is defined by itself")
                return p.ConstantRef(name, UNKNOWN, span)
            return p.ConstantRef(name, made.type, span)
        self._unknown_reference(name, span, wanted)
        return p.Const(None, UNKNOWN, span)

    def _unknown_reference(self, name: str, span: Span, wanted: Type = UNKNOWN) -> None:
        scope = self.scope
        if name in self.context.poisoned:
            return
        if name in scope.maybe:
            self.used.add(name)
            self.context.report(
                "possibly-unbound",
                span,
                f"`{name}` is not bound on every path that leads here",
                other=(scope.maybe[name], "bound only here"),
                help="bind it on the other paths too, or use it inside the same block",
            )
            return
        if name in ("key", "result"):
            where = "in a compensation" if name == "result" else "in a compensation or a probe"
            self.context.report(
                "unknown-name",
                span,
                f"`{name}` means something only {where}",
                help="elsewhere write `key(name)` with the name of a step"
                if name == "key"
                else "elsewhere use the name that a step binds",
            )
            return
        if self._told_kind(name, span) or self.context.incomplete:
            return
        known = [*scope.names, *self.context.names(("constant", "enum", "record")), *FUNCTIONS]
        if scope.key is not None:
            known.append("key")
        self.context.report(
            "unknown-name",
            span,
            f"there is no `{name}` here",
            help=self._foreign_value(name, span, wanted)
            or self.context.hint(name, known)
            or (
                "only constants are known here"
                if scope.constant
                else "bind it before by `step`, `let`, `wait` or a parameter"
            ),
        )

    def _foreign_value(self, name: str, span: Span, wanted: Type) -> str | None:
        """What is meant by a bare member of an enum, or by another language's word for a value."""
        if name in FOREIGN_VALUES:
            return f"did you mean `{FOREIGN_VALUES[name]}`?"
        bare = reveal(required(wanted))
        enums = [bare.name] if isinstance(bare, EnumRef) else []
        for enum in [*enums, *self.context.enums]:
            members = dict(self.context.enums[enum].members)
            if name in members and self.context.hidden(enum, span.file) is None:
                self.context.used.add(enum)
                return f"did you mean `{enum}.{name}`?"
        return None

    def _instead_of_text(self, made: p.Expr, wanted: Type) -> str | None:
        """What stands where a text cannot: the members of an enum, or where a datetime is from."""
        bare = reveal(required(reveal(wanted)))
        if not isinstance(made, p.Const) or not isinstance(made.value, str):
            return None
        if made.type == STRING and bare == DATETIME:
            return "a date cannot be written in a saga: take it as a parameter, or use `now()`"
        if not isinstance(bare, EnumRef) or made.type != STRING:
            return None
        members = self.context.enums[bare.name].members
        for name, wire in members:
            if made.value.lower() in (name.lower(), wire.lower()):
                return f"write `{bare.name}.{name}`"
        shown = ", ".join(f"`{bare.name}.{name}`" for name, _ in members[:8])
        return f"write {shown}" + (" …" if len(members) > 8 else "")

    def _told_kind(self, name: str, span: Span) -> bool:
        """Say what a name is that is declared, but is no value, or not in sight."""
        context = self.context
        found = context.declared.get(name)
        if found is None:
            return False
        kind = kind_of(found)
        if context.hidden(name, span.file) is not None:
            context.unknown(ast.Name(name, span), (kind,), f"a {kind}")
            return True
        context.used.add(name)
        if kind == "service":
            context.report(
                "unknown-name",
                span,
                f"`{name}` is a service, and an expression calls none",
                help=f"call it in a step of its own: `step x = {name}.…(…)`",
            )
            return True
        members = context.enums[name].members if name in context.enums else ()
        context.report(
            "unknown-name",
            span,
            f"`{name}` is {_article(kind)}, and a value is needed here",
            other=(found.name.span, "declared here"),
            help=f"name one of its members: `{name}.{members[0][0]}`"
            if members
            else f"build one: `{name}(…)`"
            if kind == "record"
            else None,
        )
        return True

    def _member(self, value: ast.Member) -> p.Expr:
        if isinstance(value.value, ast.Reference) and value.value.name not in self.scope.names:
            enum = self.context.find(value.value.name, value.span.file, ("enum",))
            if enum is not None:
                return self._enum_member(value, value.value.name)
        base = self.infer(value.value)
        name, span = value.name.text, value.span
        path = path_of(value)
        bare = reveal(base.type)
        if isinstance(bare, Unknown):
            return p.Member(base, name, UNKNOWN, span)
        if bare == JSON:
            return p.Member(base, name, self._taint(JSON, base), span)
        if is_optional(base.type):
            shown = self._source(value.value)
            self.context.report(
                "type-mismatch",
                value.name.span,
                f"`{shown}` may be null here",
                other=(base.span, show(base.type)),
                help=f"test it first: `if {shown} != null {{ … }}`",
            )
            return p.Member(base, name, UNKNOWN, span)
        fields = dict(record_fields(self.context, bare))
        if name not in fields:
            self._no_field(value.name, bare, fields)
            return p.Member(base, name, UNKNOWN, span)
        found = self._taint(fields[name], base)
        if path is not None:
            found = self.scope.facts.get(path, found)
            self._paths[path] = found
        return p.Member(base, name, found, span)

    def _no_field(self, name: ast.Name, bare: Type, fields: Mapping[str, Type]) -> None:
        if name.text in self.context.poisoned:
            return
        what = _a(show(bare))
        self.context.report(
            "unknown-name",
            name.span,
            f"{what} has no field `{name.text}`"
            if fields
            else f"{what} has no fields, so `.{name.text}` means nothing",
            help=hint(name.text, fields)
            or (f"its fields are {', '.join(f'`{f}`' for f in fields)}" if fields else None),
        )

    def _enum_member(self, value: ast.Member, enum: str) -> p.Expr:
        name = value.name.text
        members = [member for member, _ in self.context.enums[enum].members]
        if name not in members:
            self.context.report(
                "unknown-name",
                value.name.span,
                f"the enum `{enum}` has no member `{name}`",
                help=hint(name, members)
                or f"its members are {', '.join(f'`{m}`' for m in members)}",
            )
            return p.Const(name, UNKNOWN, value.span)
        return p.Const(name, EnumRef(enum), value.span)

    def _taint(self, item: Type, *operands: p.Expr) -> Type:
        """A result is as secret as what it was made from."""
        return secret(item) if any(isinstance(o.type, Secret) for o in operands) else item

    def _source(self, value: ast.Expr) -> str:
        return path_of(value) or "this value"

    # --- operators -----------------------------------------------------------------------------

    def _unary(self, value: ast.Unary) -> p.Expr:
        if value.operator == "not":
            operand = self.infer(value.operand, BOOL)
            bare = replace(operand, type=reveal(operand.type))
            self.fit(bare, BOOL, "`not`")
            return p.Unary("not", operand, self._taint(BOOL, operand), value.span)
        operand = self.infer(value.operand)
        bare_type = reveal(operand.type)
        if isinstance(operand, p.Const) and operand.type in _NUMBERS:
            assert isinstance(operand.value, int | Decimal)
            return p.Const(-operand.value, operand.type, value.span)
        if bare_type not in (*_NUMBERS, DURATION) and not isinstance(bare_type, Unknown):
            self.context.report(
                "type-mismatch",
                operand.span,
                f"`-` needs a number or a duration, and this is {_a(show(operand.type))}",
                show(operand.type),
            )
            return p.Unary("-", operand, UNKNOWN, value.span)
        return p.Unary("-", operand, operand.type, value.span)

    def _binary(self, value: ast.Binary) -> p.Expr:
        operator = value.operator
        if operator in ("and", "or"):
            return self._logical(value)
        if operator == "??":
            return self._default(value)
        left = self.infer(value.left)
        right = self.infer(value.right, reveal(left.type))
        if operator in ("==", "!=", "<", "<=", ">", ">="):
            return self._comparison(value, left, right)
        return self._arithmetic(value, left, right)

    def _logical(self, value: ast.Binary) -> p.Expr:
        left = self.infer(value.left, BOOL)
        inner = Typing(
            self.context,
            self.scope.assuming(facts_if(value.left, value.operator == "and", self._paths)),
        )
        right = inner.infer(value.right, BOOL)
        self._absorb(inner)
        for side in (left, right):
            self.fit(replace(side, type=reveal(side.type)), BOOL, f"`{value.operator}`")
        return p.Binary(value.operator, left, right, self._taint(BOOL, left, right), value.span)

    def _default(self, value: ast.Binary) -> p.Expr:
        left = self.infer(value.left)
        right = self.infer(value.right, required(left.type))
        made = join(self.context, required(left.type), right.type)
        if isinstance(left.type, Null):
            made = right.type
        if made is None:
            self._two_types(value, left, right)
            made = UNKNOWN
        else:
            wanted = made
            right = self.fit(right, wanted)
            if not isinstance(left.type, Null) and needs_conversion(required(left.type), wanted):
                left = p.Convert(left, optional_like(wanted, left.type), left.span)
        return p.Binary("??", left, right, made, value.span)

    def _comparison(self, value: ast.Binary, left: p.Expr, right: p.Expr) -> p.Expr:
        operator = value.operator
        a, b = reveal(left.type), reveal(right.type)
        null_test = isinstance(a, Null) or isinstance(b, Null)
        inside = contains_secret(self.context, a) or contains_secret(self.context, b)
        made = BOOL if null_test else secret(BOOL) if inside else self._taint(BOOL, left, right)
        if operator in ("==", "!="):
            common = join(self.context, a, b)
            if common is None:
                self._two_types(value, left, right)
            elif not null_test:
                left, right = self._converted(left, common), self._converted(right, common)
            return p.Binary(operator, left, right, made, value.span)
        if isinstance(a, Unknown) or isinstance(b, Unknown):
            return p.Binary(operator, left, right, made, value.span)
        if {a, b} <= set(_NUMBERS):
            common = DECIMAL if a != b else a
            left, right = self._converted(left, common), self._converted(right, common)
        elif a != b:
            self._two_types(value, left, right)
        elif a not in _ORDERED:
            self.context.report(
                "type-mismatch",
                value.span,
                f"values of type {show(a)} have no order",
                help="`<` works on numbers, strings, durations and datetimes",
            )
        return p.Binary(operator, left, right, made, value.span)

    def _arithmetic(self, value: ast.Binary, left: p.Expr, right: p.Expr) -> p.Expr:
        operator = value.operator
        a, b = reveal(left.type), reveal(right.type)
        if isinstance(a, Unknown) or isinstance(b, Unknown):
            return p.Binary(operator, left, right, UNKNOWN, value.span)
        result = functions.arithmetic(operator, a, b)
        if result is None:
            self._cannot(value, left, right)
            return p.Binary(operator, left, right, UNKNOWN, value.span)
        if {a, b} == {INT, DECIMAL} or (operator == "/" and a == b == INT):
            left, right = self._converted(left, DECIMAL), self._converted(right, DECIMAL)
        return p.Binary(operator, left, right, self._taint(result, left, right), value.span)

    def _converted(self, made: p.Expr, wanted: Type) -> p.Expr:
        """Like `fit`, for operands: a secret stays one."""
        if isinstance(made.type, Secret):
            wanted = secret(wanted)
        if not fits(self.context, made.type, wanted):
            return made
        return self.fit(made, wanted)

    def _two_types(self, value: ast.Binary, left: p.Expr, right: p.Expr) -> None:
        self.context.report(
            "type-mismatch",
            right.span,
            f"`{value.operator}` needs two values of one type",
            show(right.type),
            other=(left.span, show(left.type)),
            help=self._instead_of_text(right, left.type) or self._instead_of_text(left, right.type),
        )

    def _cannot(self, value: ast.Binary, left: p.Expr, right: p.Expr) -> None:
        a, b = show(left.type), show(right.type)
        verb = {"+": "added", "-": "subtracted", "*": "multiplied", "/": "divided"}[value.operator]
        help_text = None
        if STRING in (reveal(left.type), reveal(right.type)) and value.operator == "+":
            help_text = 'put values into a text by `"${…}"`'
        elif is_optional(left.type) or is_optional(right.type):
            help_text = "it may be null: give a value for that case with `??`"
        self.context.report(
            "type-mismatch",
            value.span,
            f"{_a(a)} and {_a(b)} cannot be {verb}",
            help=help_text,
        )

    def _conditional(self, value: ast.Conditional, wanted: Type) -> p.Expr:
        condition = self.infer(value.condition, BOOL)
        self.fit(replace(condition, type=reveal(condition.type)), BOOL, "`if`")
        arms: list[p.Expr] = []
        for arm, holds in ((value.then, True), (value.otherwise, False)):
            inner = Typing(
                self.context, self.scope.assuming(facts_if(value.condition, holds, self._paths))
            )
            arms.append(inner.infer(arm, wanted))
            self._absorb(inner)
        then, otherwise = arms
        made = join(self.context, then.type, otherwise.type)
        if made is None:
            self.context.report(
                "type-mismatch",
                otherwise.span,
                "both arms of `if … then … else …` need one type",
                show(otherwise.type),
                other=(then.span, show(then.type)),
                help="make them of one type, or use an `if` statement",
            )
            made = UNKNOWN
        else:
            then, otherwise = self.fit(then, made), self.fit(otherwise, made)
        return p.Conditional(condition, then, otherwise, self._taint(made, condition), value.span)

    def _absorb(self, inner: Typing) -> None:
        self.used |= inner.used
        # What is narrowed inside an operand is not narrowed outside of it.
        self._paths = {**inner._paths, **self._paths}

    # --- building values -----------------------------------------------------------------------

    def _apply(self, value: ast.Apply, wanted: Type) -> p.Expr:
        name = value.name.text
        if name == "key":
            return self._key_of(value)
        if name in FUNCTIONS:
            return self._function(value)
        record = self.context.find(name, value.span.file, ("record",))
        if record is not None:
            made = RecordRef(name)
            fields = self.record_arguments(value.args, made, f"`{name}`", value.name.span)
            return p.MakeRecord(fields, made, value.span)
        if name not in self.context.poisoned:
            found = self.context.declared.get(name)
            if found is None and self.context.incomplete:
                pass
            elif found is None:
                self.context.report(
                    "unknown-name",
                    value.name.span,
                    f"there is no function or record `{name}`",
                    help=hint(name, [*self.context.names(("record",)), *FUNCTIONS])
                    or "anything more than the built-in functions is a `query` of a service",
                )
            else:
                self.context.unknown(value.name, ("record",), "a record or function")
        for arg in value.args:
            self.infer(arg.value)
        return p.Const(None, UNKNOWN, value.span)

    def _key_of(self, value: ast.Apply) -> p.Expr:
        args = value.args
        if len(args) != 1 or not isinstance(args[0].value, ast.Reference):
            self.context.report(
                "type-mismatch",
                value.span,
                "`key(…)` takes the name of a step",
                help="for example `key(pay)` after `step pay = …`",
            )
            return p.Const(None, UNKNOWN, value.span)
        name = args[0].value.name
        binding = self.scope.names.get(name)
        if binding is None or binding.kind != "step" or binding.path is None:
            if binding is None:
                self._unknown_reference(name, args[0].span)
            else:
                self.context.report(
                    "type-mismatch",
                    args[0].span,
                    f"`{name}` is not a step, so it has no key",
                    other=(binding.span, "bound here"),
                )
            return p.Const(None, UNKNOWN, value.span)
        self.used.add(name)
        if binding.loop != self.scope.loops[: len(binding.loop)]:
            self.context.report(
                "type-mismatch",
                args[0].span,
                f"`{name}` ran once for each element of a loop: it has many keys",
                other=(binding.span, "bound in the loop here"),
                help="use the key inside the loop",
            )
        if not binding.keyed:
            self.context.report(
                "key-without-keyed",
                args[0].span,
                f"the command of `{name}` is not `keyed`, so it has no key",
                other=(binding.span, "bound here"),
                help="promise `keyed` on the command",
            )
        return p.KeyOf(binding.path, KEY, value.span)

    def _function(self, value: ast.Apply) -> p.Expr:
        args = tuple(self.infer(arg.value) for arg in value.args)
        for arg in value.args:
            if arg.name is not None:
                self.context.report(
                    "unknown-argument",
                    arg.name.span,
                    f"the arguments of `{value.name.text}` have no names",
                    help=f"leave out `{arg.name.text}:`",
                )
        bare = tuple(reveal(arg.type) for arg in args)
        if self.scope.constant and value.name.text == "now":
            self.context.report("not-constant", value.span, "`now()` is not constant")
        if any(isinstance(t, Unknown) for t in bare):
            return p.Apply(value.name.text, args, UNKNOWN, value.span)
        result = functions.result_type(self.context, value.name.text, bare)
        if result is None:
            given = ", ".join(show(arg.type) for arg in args)
            self.context.report(
                "type-mismatch",
                value.span,
                f"`{value.name.text}` cannot be used on ({given})",
                help="a value may be null: give one for that case with `??`, or test it by `if`"
                if any(is_optional(arg.type) for arg in args)
                else f"it takes {functions.USAGE[value.name.text]}",
            )
            return p.Apply(value.name.text, args, UNKNOWN, value.span)
        converted = tuple(self._converted(a, t) for a, t in zip(args, result.params, strict=True))
        made = self._taint(result.type, *args)
        inside = bare[0].item if bare and isinstance(bare[0], ListOf) else UNKNOWN
        if value.name.text == "contains" and contains_secret(self.context, inside):
            made = secret(made)
        return p.Apply(value.name.text, converted, made, value.span)

    def record_arguments(
        self, args: Iterable[ast.Arg], made: Type, what: str, where: Span
    ) -> tuple[tuple[str, p.Expr], ...]:
        """The named fields of a record, error or event under construction."""
        fields = dict(record_fields(self.context, made))
        given: dict[str, p.Expr] = {}
        wrong = False
        for arg in args:
            wrong = wrong or arg.name is None or arg.name.text not in fields
            if arg.name is None:
                self.infer(arg.value)
                names = ", ".join(f"{name}: …" for name in fields)
                self.context.report(
                    "unknown-argument",
                    arg.span,
                    f"the fields of {what} are given by name",
                    help=f"write `{what.strip('`')}({names})`" if fields else "it has no fields",
                )
                continue
            self._field(arg.name, arg.value, fields, given, what)
        if not wrong:  # else what is missing is most likely there under a wrong name
            self._all_given(fields, given, what, where)
        return tuple((name, given[name]) for name in fields if name in given)

    def _field(
        self,
        name: ast.Name,
        value: ast.Expr,
        fields: Mapping[str, Type],
        given: dict[str, p.Expr],
        what: str,
    ) -> None:
        wanted = fields.get(name.text)
        made = self.infer(value, wanted or UNKNOWN)
        if wanted is None:
            self.context.report(
                "unknown-argument",
                name.span,
                f"{what} has no field `{name.text}`",
                help=hint(name.text, fields)
                or (f"its fields are {', '.join(f'`{f}`' for f in fields)}" if fields else None),
            )
            return
        if name.text in given:
            self.context.report(
                "duplicate-name", name.span, f"`{name.text}` is given twice", help="remove one"
            )
            return
        given[name.text] = self.fit(made, wanted, f"the field `{name.text}`")

    def _all_given(
        self, fields: Mapping[str, Type], given: Mapping[str, p.Expr], what: str, where: Span
    ) -> None:
        missing = [n for n, t in fields.items() if n not in given and not is_optional(t)]
        missing = [n for n in missing if not isinstance(fields[n], Unknown)]
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            self.context.report(
                "missing-field",
                where,
                f"{what} needs {names}",
                help="add " + ", ".join(f"`{n}: …`" for n in missing),
            )

    def _braces(self, value: ast.Braces, wanted: Type) -> p.Expr:
        bare = required(reveal(wanted))
        if isinstance(bare, Optional):
            bare = bare.item
        if isinstance(bare, InlineRecord | RecordRef):
            fields = dict(record_fields(self.context, bare))
            given: dict[str, p.Expr] = {}
            what = f"`{show(bare)}`" if isinstance(bare, RecordRef) else "this record"
            for name, item in value.fields:
                self._field(name, item, fields, given, what)
            if all(name.text in fields for name, _ in value.fields):
                self._all_given(fields, given, what, value.span)
            ordered = tuple((name, given[name]) for name in fields if name in given)
            return p.MakeRecord(ordered, bare, value.span)
        seen: dict[str, p.Expr] = {}
        inner = bare.item if isinstance(bare, MapOf) else JSON if bare == JSON else UNKNOWN
        for name, item in value.fields:
            made = self.infer(item, inner)
            if not isinstance(inner, Unknown):
                made = self.fit(made, inner, f"the entry `{name.text}`")
            if name.text in seen:
                self.context.report(
                    "duplicate-name", name.span, f"`{name.text}` is given twice", help="remove one"
                )
            seen[name.text] = made
        if isinstance(bare, MapOf) or bare == JSON:
            return p.MakeRecord(tuple(seen.items()), bare, value.span)
        made_type = InlineRecord(tuple((name, item.type, name) for name, item in seen.items()))
        return p.MakeRecord(tuple(seen.items()), made_type, value.span)

    def _update(self, value: ast.Update) -> p.Expr:
        base = self.infer(value.value)
        bare = reveal(base.type)
        fields = dict(record_fields(self.context, bare))
        given: dict[str, p.Expr] = {}
        if not fields and not isinstance(bare, Unknown):
            self.context.report(
                "type-mismatch",
                base.span,
                f"`with` changes fields of a record, and this is {_a(show(base.type))}",
                show(base.type),
            )
            return replace(base, type=UNKNOWN)
        for name, item in value.changes.fields:
            if isinstance(bare, Unknown):
                self.infer(item)
            else:
                self._field(name, item, fields, given, f"{_a(show(bare))}")
        return p.Update(base, tuple(given.items()), base.type, value.span)

    def _list(self, value: ast.ListOf, wanted: Type) -> p.Expr:
        bare = required(reveal(wanted))
        if bare == JSON:
            bare = ListOf(JSON)
        hoped = bare.item if isinstance(bare, ListOf) else UNKNOWN
        items = [self.infer(item, hoped) for item in value.items]
        if not items:
            return p.MakeList((), ListOf(hoped), value.span)
        if isinstance(bare, ListOf) and not isinstance(hoped, Unknown):
            fitted = tuple(self.fit(item, hoped, "an element of this list") for item in items)
            return p.MakeList(fitted, bare, value.span)
        common: Type | None = items[0].type
        for item in items[1:]:
            common = join(self.context, common, item.type) if common else None
            if common is None:
                self.context.report(
                    "type-mismatch",
                    item.span,
                    "the elements of a list need one type",
                    show(item.type),
                    other=(items[0].span, show(items[0].type)),
                    help="make them all of the type of the first",
                )
                return p.MakeList(tuple(items), UNKNOWN, value.span)
        assert common is not None
        return p.MakeList(
            tuple(self.fit(item, common) for item in items), ListOf(common), value.span
        )

    def _index(self, value: ast.Index) -> p.Expr:
        base = self.infer(value.value)
        bare = reveal(base.type)
        match bare:
            case ListOf(item):
                index, made = self.check(value.index, INT, "an index"), item
            case MapOf(item):
                index, made = self.check(value.index, STRING, "a map's key"), item
            case _ if bare == JSON or isinstance(bare, Unknown):
                index, made = self.infer(value.index), bare
            case _:
                index, made = self.infer(value.index), UNKNOWN
                self.context.report(
                    "type-mismatch",
                    base.span,
                    f"only lists and maps have elements, and this is {_a(show(base.type))}",
                    show(base.type),
                    help="it may be null: test it first" if is_optional(base.type) else None,
                )
        return p.Index(base, index, self._taint(made, base), value.span)

    def _comprehension(self, value: ast.Comprehension, wanted: Type) -> p.Expr:
        from sagalang.model.scope import Binding

        source = self.infer(value.source)
        bare = reveal(source.type)
        item: Type = UNKNOWN
        if isinstance(bare, ListOf):
            item = self._taint(bare.item, source)
        elif not isinstance(bare, Unknown):
            self.context.report(
                "type-mismatch",
                source.span,
                f"`for` goes over a list, and this is {_a(show(source.type))}",
                show(source.type),
            )
        name = value.variable.text
        scope = self.scope.bind(name, Binding(item, value.variable.span, "loop"))
        inner = Typing(self.context, scope)
        condition = inner.condition(value.condition) if value.condition else None
        if value.condition is not None:
            inner.scope = scope.assuming(inner.facts(value.condition, True))
        hoped = required(reveal(wanted))
        element = inner.infer(value.element, hoped.item if isinstance(hoped, ListOf) else UNKNOWN)
        self.used |= inner.used - {name}
        return p.Comprehension(
            element, name, source, condition, self._taint(ListOf(element.type), source), value.span
        )

    def _interpolation(self, value: ast.Interpolation) -> p.Expr:
        parts = tuple(self.infer(part) for part in value.parts)
        for part in parts:
            bare = reveal(part.type)
            if isinstance(bare, EnumRef | Unknown) or bare in _TEXTUAL:
                continue
            self.context.report(
                "type-mismatch",
                part.span,
                f"{_a(show(part.type))} has no text",
                show(part.type),
                help="it may be null: give a value for that case with `??`"
                if is_optional(part.type)
                else "put one of its fields into the text",
            )
        return p.Interpolate(parts, self._taint(STRING, *parts), value.span)


def optional_like(wanted: Type, given: Type) -> Type:
    """`wanted`, optional if `given` is."""
    from sagalang.model.types import optional

    return optional(wanted) if is_optional(given) else wanted


def may_fail(value: p.Expr | None) -> bool:
    """Whether evaluating can end in `BadValue`: an index or a division that no `??` guards."""
    match value:
        case None | p.Const() | p.Ref() | p.ConstantRef() | p.KeyOf() | p.ResultOf():
            return False
        case p.Index():
            return True
        case p.Binary("??", _, right):
            return may_fail(right)
        case p.Binary("/", left, right):
            certain = isinstance(right, p.Const) and bool(right.value)
            return not certain or may_fail(left)
        case p.Binary(_, left, right):
            return may_fail(left) or may_fail(right)
        case p.Apply(function, args):
            empty = function in ("min", "max") and len(args) == 1
            return empty or any(may_fail(arg) for arg in args)
        case p.Member(inner) | p.Convert(inner):
            return may_fail(inner) or (isinstance(value, p.Member) and reveal(inner.type) == JSON)
        case p.Unary(_, operand):
            return may_fail(operand)
        case p.Conditional(condition, then, otherwise):
            return may_fail(condition) or may_fail(then) or may_fail(otherwise)
        case p.MakeRecord(fields):
            return any(may_fail(item) for _, item in fields)
        case p.Update(inner, fields):
            return may_fail(inner) or any(may_fail(item) for _, item in fields)
        case p.MakeList(items) | p.Interpolate(items):
            return any(may_fail(item) for item in items)
        case p.Comprehension(element, _, source, condition):
            return may_fail(element) or may_fail(source) or may_fail(condition)


def _a(noun: str) -> str:
    if noun.startswith("{"):
        return f"`{noun}`"
    if noun.startswith(("list<", "map<")) or noun == "null":
        return noun
    vowel = noun[0] in "aeiouAEIOU" and not noun.startswith("uuid")
    return f"an `{noun}`" if vowel else f"a `{noun}`"
