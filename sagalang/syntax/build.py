"""Lark's trees to syntax tree nodes: one method per rule of the grammar, children first.

The walk is iterative, so that no text can exhaust the stack. A mistake that only the values show
(a number too large, an unknown escape) is raised as `BadText` and told by `parse`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

from lark import Token, Tree
from lark.tree import Meta

from sagalang.syntax import ast
from sagalang.syntax.split import MAX_DEPTH
from sagalang.text import Span

_E = TypeVar("_E")
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION_PART: Final = re.compile(r"(\d+)(ms|s|m|h|d)")
_MAX_DIGITS: Final = 18
_MAX_MS: Final = 86_400_000 * 36_500
_STRING_PART: Final = re.compile(r"\\u\{([0-9A-Fa-f]{1,6})\}|\\(.)|\$\{([^}\n]*)\}|[^\\$]+|\$")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$", "/": "/"}


class BadText(Exception):  # noqa: N818 - not an error of ours, but of the text
    """A literal that means nothing: code name, place, sentence and fix."""

    def __init__(self, name: str, span: Span, message: str, help: str) -> None:  # noqa: A002
        super().__init__(message)
        self.name, self.span, self.message, self.help = name, span, message, help


class Builder:
    """Builds the nodes of one piece of a file.

    `base`: the offset of the piece in the file; the trees' own offsets begin at 0. `docs`: doc
    text by the offset of what it belongs to. `parse_inner` parses the expression
    between two offsets of the same file, for `"${...}"`.
    """

    def __init__(
        self,
        file: str,
        base: int,
        docs: dict[int, str],
        parse_inner: Callable[[int, int], ast.Expr],
    ) -> None:
        self._file, self._base, self._docs = file, base, docs
        self._parse_inner = parse_inner
        self._depth: dict[int, int] = {}

    def build(self, tree: Tree[Token]) -> Any:
        """The node of a whole tree. Raises BadText."""
        stack: list[tuple[Tree[Token], list[Any], int]] = [(tree, [], 0)]
        while True:
            node, done, at = stack.pop()
            children = node.children
            for i in range(at, len(children)):
                child = children[i]
                if type(child) is Tree:
                    stack.append((node, done, i + 1))
                    stack.append((child, [], 0))
                    break
                done.append(child)
            else:
                made = getattr(self, node.data)(node.meta, done)
                if not stack:
                    return made
                stack[-1][1].append(made)

    def _at(self, meta: Meta) -> Span:
        base = self._base
        return Span(self._file, base + meta.start_pos, base + meta.end_pos)

    def _token(self, token: Token) -> Span:
        base = self._base
        return Span(self._file, base + (token.start_pos or 0), base + (token.end_pos or 0))

    def _doc(self, meta: Meta) -> str:
        return self._docs.get(self._base + meta.start_pos, "")

    def _nest(self, node: _E, *children: object) -> _E:
        """Keep count of nesting that brackets do not show, as in `not not not ...`."""
        get = self._depth.get
        depth = 1 + max([get(id(child), 0) for child in children], default=0)
        if depth > MAX_DEPTH:
            raise BadText(
                "nested-too-deeply",
                node.span,  # type: ignore[attr-defined]
                f"this expression is nested more than {MAX_DEPTH} levels deep",
                "name a part of it with `let`",
            )
        self._depth[id(node)] = depth
        return node

    # --- words and numbers ---------------------------------------------------------------------

    def name(self, meta: Meta, c: list[Token]) -> ast.Name:
        return ast.Name(str(c[0]), self._token(c[0]))

    def string(self, meta: Meta, c: list[Token]) -> ast.Text:
        span = self._token(c[0])
        parts = self._string_parts(c[0])
        if any(not isinstance(part, str) for part in parts):
            raise BadText(
                "bad-literal", span, "this text has to be constant", "write it without `${...}`"
            )
        return ast.Text("".join(parts), span)  # type: ignore[arg-type]

    def _string_parts(self, token: Token) -> list[str | ast.Expr]:
        raw, base = str(token)[1:-1], self._token(token).start + 1
        parts: list[str | ast.Expr] = []
        for match in _STRING_PART.finditer(raw):
            code, escape, inner = match.groups()
            if inner is not None:
                start = base + match.start(3)
                parts.append(self._parse_inner(start, start + len(inner)))
                continue
            text = match.group()
            place = Span(self._file, base + match.start(), base + match.end())
            if code is not None:
                number = int(code, 16)
                if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                    raise BadText(
                        "bad-literal", place, f"`{text}` is no character", "look up its code point"
                    )
                text = chr(number)
            elif escape is not None:
                if escape not in _ESCAPES:
                    raise BadText(
                        "bad-literal",
                        place,
                        f"`{text}` is not an escape",
                        'the escapes are `\\"` `\\\\` `\\n` `\\t` `\\r` `\\$` `\\u{1F600}`;'
                        " a backslash itself is written `\\\\`",
                    )
                text = _ESCAPES[escape]
            if parts and isinstance(parts[-1], str):
                parts[-1] += text
            else:
                parts.append(text)
        return parts

    def whole(self, meta: Meta, c: list[Token]) -> ast.Count:
        return ast.Count(self._whole(c[0], str(c[0])), self._token(c[0]))

    def percent(self, meta: Meta, c: list[Token]) -> ast.Count:
        return ast.Count(self._whole(c[0], str(c[0])[:-1]), self._token(c[0]))

    def duration(self, meta: Meta, c: list[Token]) -> ast.Millis:
        return ast.Millis(self._millis(c[0]), self._token(c[0]))

    def _whole(self, token: Token, digits: str) -> int:
        if len(digits) > _MAX_DIGITS:
            raise BadText(
                "bad-literal",
                self._token(token),
                f"this number has more than {_MAX_DIGITS} digits",
                "a larger value can come in as input",
            )
        return int(digits)

    def _millis(self, token: Token) -> int:
        total = 0
        seen: list[str] = []
        for digits, unit in _DURATION_PART.findall(str(token)):
            total += self._whole(token, digits) * _UNITS[unit]
            seen.append(unit)
        order = [unit for unit in ("d", "h", "m", "s", "ms") if unit in seen]
        if seen != order:
            raise BadText(
                "bad-literal",
                self._token(token),
                "the parts of a duration go from large to small, each unit once",
                "for example `1h30m`",
            )
        if total > _MAX_MS:
            raise BadText(
                "bad-literal",
                self._token(token),
                "this duration is longer than a hundred years",
                "check the unit: `ms s m h d`",
            )
        return total

    # --- data ----------------------------------------------------------------------------------

    def import_decl(self, meta: Meta, c: list[Any]) -> ast.Import:
        return ast.Import(c[0], self._at(meta))

    def record_decl(self, meta: Meta, c: list[Any]) -> ast.RecordDecl:
        return ast.RecordDecl("record", c[0], c[1], self._doc(meta), self._at(meta))

    def error_decl(self, meta: Meta, c: list[Any]) -> tuple[ast.RecordDecl, ...]:
        doc = self._doc(meta)
        return tuple(ast.RecordDecl("error", name, fields, doc, span) for name, fields, span in c)

    def error_item(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        return c[0], c[1] if len(c) > 1 else (), self._at(meta)

    def event_decl(self, meta: Meta, c: list[Any]) -> ast.RecordDecl:
        fields = c[1] if len(c) > 1 else ()
        return ast.RecordDecl("event", c[0], fields, self._doc(meta), self._at(meta))

    def type_decl(self, meta: Meta, c: list[Any]) -> ast.TypeDecl:
        return ast.TypeDecl(c[0], c[1], self._doc(meta), self._at(meta))

    def enum_decl(self, meta: Meta, c: list[Any]) -> ast.EnumDecl:
        return ast.EnumDecl(c[0], tuple(c[1:]), self._doc(meta), self._at(meta))

    def enum_member(self, meta: Meta, c: list[Any]) -> tuple[ast.Name, ast.Text | None]:
        return c[0], c[1]

    def let_decl(self, meta: Meta, c: list[Any]) -> ast.Let:
        return ast.Let(c[0], c[1], self._doc(meta), self._at(meta))

    def fields(self, meta: Meta, c: list[Any]) -> tuple[ast.Field, ...]:
        return tuple(c)

    params = fields

    def field(self, meta: Meta, c: list[Any]) -> ast.Field:
        return ast.Field(c[0], c[1], c[2], self._doc(meta), self._at(meta))

    def secret_type(self, meta: Meta, c: list[Any]) -> ast.SecretType:
        return self._nest(ast.SecretType(c[0], self._at(meta)), c[0])

    def optional_type(self, meta: Meta, c: list[Any]) -> ast.OptionalType:
        return self._nest(ast.OptionalType(c[0], self._at(meta)), c[0])

    def list_type(self, meta: Meta, c: list[Any]) -> ast.ListType:
        return self._nest(ast.ListType(c[0], self._at(meta)), c[0])

    def map_type(self, meta: Meta, c: list[Any]) -> ast.MapType:
        return self._nest(ast.MapType(c[0], self._at(meta)), c[0])

    def record_type(self, meta: Meta, c: list[Any]) -> ast.RecordType:
        return self._nest(ast.RecordType(c[0], self._at(meta)), *(item.type for item in c[0]))

    def named_type(self, meta: Meta, c: list[Any]) -> ast.NamedType:
        return ast.NamedType(c[0], self._at(meta))

    # --- policies ------------------------------------------------------------------------------

    def policy_decl(self, meta: Meta, c: list[Any]) -> ast.PolicyDecl:
        return ast.PolicyDecl(c[0], c[1], tuple(c[2:]), self._doc(meta), self._at(meta))

    def timeout_clause(self, meta: Meta, c: list[Any]) -> ast.TimeoutClause:
        return ast.TimeoutClause(c[0], c[1], self._at(meta))

    def retry_times(self, meta: Meta, c: list[Any]) -> ast.Count | None:
        return c[0] if c else None

    def factor(self, meta: Meta, c: list[Token]) -> Decimal:
        self._whole(c[0], str(c[0]).replace(".", ""))
        return Decimal(str(c[0]))

    def jitter(self, meta: Meta, c: list[Any]) -> tuple[str, ast.Count | None, ast.Text | None]:
        if isinstance(c[0], ast.Count):
            return "proportional", c[0], None
        return str(c[0]), None, c[1] if len(c) > 1 else None

    def retry_clause(self, meta: Meta, c: list[Any]) -> ast.RetryClause:
        times, backoff, factor, cap, jitter = c
        kind, percent, why = jitter or (None, None, None)
        return ast.RetryClause(times, backoff, factor, cap, kind, percent, why, self._at(meta))

    def per_operation(self, meta: Meta, c: list[Any]) -> bool:
        return True

    def budget_clause(self, meta: Meta, c: list[Any]) -> ast.BudgetClause:
        return ast.BudgetClause(c[0], c[1], bool(c[2]), self._at(meta))

    def breaker_clause(self, meta: Meta, c: list[Any]) -> ast.BreakerClause:
        percent, calls, window, after, up_to, slow, per_operation = c
        return ast.BreakerClause(
            percent, calls, window, after, up_to, slow, bool(per_operation), self._at(meta)
        )

    def bulkhead_clause(self, meta: Meta, c: list[Any]) -> ast.BulkheadClause:
        return ast.BulkheadClause(c[0], c[1], c[2], bool(c[3]), self._at(meta))

    def rate_clause(self, meta: Meta, c: list[Any]) -> ast.RateClause:
        return ast.RateClause(c[0], c[1], bool(c[2]), self._at(meta))

    # --- services ------------------------------------------------------------------------------

    def service_decl(self, meta: Meta, c: list[Any]) -> ast.ServiceDecl:
        return ast.ServiceDecl(c[0], tuple(c[1:]), self._doc(meta), self._at(meta))

    def http_binding(self, meta: Meta, c: list[Any]) -> ast.HttpBinding:
        return ast.HttpBinding(c[0], c[1], self._at(meta))

    def python_binding(self, meta: Meta, c: list[Any]) -> ast.PythonBinding:
        return ast.PythonBinding(c[0], self._at(meta))

    def header(self, meta: Meta, c: list[Any]) -> ast.Header:
        env = c[1] if isinstance(c[1], ast.Name) else None
        return ast.Header(c[0], env, None if env else c[1], self._at(meta))

    def operation_kind(self, meta: Meta, c: list[Token]) -> str:
        return str(c[0])

    method = key_place = when_effect = comparator = operation_kind

    def arg_name(self, meta: Meta, c: list[Token]) -> ast.Name:
        return ast.Name(str(c[0]), self._token(c[0]))

    def operation(self, meta: Meta, c: list[Any]) -> ast.OperationDecl:
        kind, name, params, result, *rest = c
        clauses: list[Any] = []
        for clause in rest:
            clauses.extend(clause if isinstance(clause, list) else [clause])
        return ast.OperationDecl(
            kind == "query", name, params, result, tuple(clauses), self._doc(meta), self._at(meta)
        )

    def promises(self, meta: Meta, c: list[Any]) -> list[ast.Promise]:
        return c

    def promise_keyed(self, meta: Meta, c: list[Any]) -> ast.Promise:
        where = (c[0], c[1]) if c[0] else None
        return ast.Promise("keyed", where, c[2], self._at(meta))

    def promise_records(self, meta: Meta, c: list[Any]) -> ast.Promise:
        return ast.Promise("records rejections", None, None, self._at(meta))

    def promise_idempotent(self, meta: Meta, c: list[Any]) -> ast.Promise:
        return ast.Promise("idempotent", None, None, self._at(meta))

    def promise_absent(self, meta: Meta, c: list[Any]) -> ast.Promise:
        return ast.Promise("absent ok", None, None, self._at(meta))

    def promise_fences(self, meta: Meta, c: list[Any]) -> ast.Promise:
        return ast.Promise("fences late", None, None, self._at(meta))

    def promise_lands(self, meta: Meta, c: list[Any]) -> ast.Promise:
        return ast.Promise("lands within", None, c[0], self._at(meta))

    def route(self, meta: Meta, c: list[Any]) -> ast.Route:
        return ast.Route(c[0], c[1], self._at(meta))

    def rejects(self, meta: Meta, c: list[Any]) -> ast.Rejects:
        return ast.Rejects(tuple(c), self._at(meta))

    def rejection(self, meta: Meta, c: list[Any]) -> tuple[ast.Name, ast.Count | None]:
        return c[0], c[1]

    def compensate_by(self, meta: Meta, c: list[Any]) -> ast.CompensateBy:
        return ast.CompensateBy(c[0], self._at(meta))

    def compensate_none(self, meta: Meta, c: list[Any]) -> ast.CompensateNone:
        return ast.CompensateNone(c[0], self._at(meta))

    def probe_by(self, meta: Meta, c: list[Any]) -> ast.ProbeBy:
        return ast.ProbeBy(c[0], self._at(meta))

    def with_clause(self, meta: Meta, c: list[Any]) -> ast.With:
        return ast.With(c[0], self._at(meta))

    def call(self, meta: Meta, c: list[Any]) -> ast.Call:
        return ast.Call(c[0], c[1], c[2], self._at(meta))

    qualified_call = call

    def args(self, meta: Meta, c: list[Any]) -> tuple[ast.Arg, ...]:
        return tuple(c)

    def arg(self, meta: Meta, c: list[Any]) -> ast.Arg:
        return ast.Arg(c[0], c[1], self._at(meta))

    # --- sagas ---------------------------------------------------------------------------------

    def saga_decl(self, meta: Meta, c: list[Any]) -> ast.SagaDecl:
        return ast.SagaDecl(c[0], c[1], c[2], c[3], self._doc(meta), self._at(meta))

    def block(self, meta: Meta, c: list[Any]) -> ast.Block:
        return ast.Block(tuple(c), self._at(meta))

    saga_body = block

    def saga_id(self, meta: Meta, c: list[Any]) -> ast.SagaId:
        return ast.SagaId(c[0], self._at(meta))

    def deadline(self, meta: Meta, c: list[Any]) -> ast.Deadline:
        return ast.Deadline(c[0], self._at(meta))

    def escalate(self, meta: Meta, c: list[Any]) -> ast.ElseEscalate:
        return ast.ElseEscalate(c[0], None, self._at(meta))

    otherwise_escalate = escalate

    def otherwise_null(self, meta: Meta, c: list[Any]) -> None:
        return None

    def compensate_with(self, meta: Meta, c: list[Any]) -> ast.CompensateWith:
        return ast.CompensateWith(c[0], c[1], self._at(meta))

    def step(self, meta: Meta, c: list[Any]) -> ast.Step:
        pivot, name, target, *clauses = c
        return ast.Step(
            pivot is not None, name, target, tuple(clauses), self._doc(meta), self._at(meta)
        )

    def child_call(self, meta: Meta, c: list[Any]) -> ast.ChildCall:
        return ast.ChildCall(c[0], c[1], self._at(meta))

    def else_escalate(self, meta: Meta, c: list[Any]) -> ast.ElseEscalate:
        return ast.ElseEscalate(c[0], c[1], self._at(meta))

    def best_effort(self, meta: Meta, c: list[Any]) -> ast.BestEffort:
        return ast.BestEffort(self._at(meta))

    def parallel(self, meta: Meta, c: list[Any]) -> ast.Parallel:
        return ast.Parallel(c[0], self._at(meta))

    def branch(self, meta: Meta, c: list[Any]) -> ast.Branch:
        return ast.Branch(c[0], self._at(meta))

    def for_loop(self, meta: Meta, c: list[Any]) -> ast.For:
        variable, source, by, at_once, body = c
        return ast.For(variable, source, by, at_once, body, self._at(meta))

    def if_statement(self, meta: Meta, c: list[Any]) -> ast.If:
        condition, then, otherwise = c
        if isinstance(otherwise, ast.If):
            otherwise = ast.Block((otherwise,), otherwise.span)
        return self._nest(ast.If(condition, then, otherwise, self._at(meta)), c[2])

    def let_statement(self, meta: Meta, c: list[Any]) -> ast.Let:
        return ast.Let(c[0], c[1], "", self._at(meta))

    def abort(self, meta: Meta, c: list[Any]) -> ast.Abort:
        return ast.Abort(c[0], c[1] or (), self._at(meta))

    def return_statement(self, meta: Meta, c: list[Any]) -> ast.Return:
        return ast.Return(c[0], self._at(meta))

    def sleep(self, meta: Meta, c: list[Any]) -> ast.Sleep:
        return ast.Sleep(c[1], c[0] is not None, self._at(meta))

    def wait(self, meta: Meta, c: list[Any]) -> ast.Wait:
        name, event, where, within, otherwise = c
        return ast.Wait(name, event, where, within, otherwise, self._at(meta))

    def poll(self, meta: Meta, c: list[Any]) -> ast.Poll:
        name, call, until, every, within, otherwise = c
        return ast.Poll(name, call, until, every, within, otherwise, self._at(meta))

    def attempt(self, meta: Meta, c: list[Any]) -> ast.Attempt:
        return ast.Attempt(c[0], tuple(c[1:]), self._at(meta))

    def handler(self, meta: Meta, c: list[Any]) -> ast.Handler:
        *names, binder, body = c
        return ast.Handler(tuple(names), binder, body, self._at(meta))

    def when_compensated(self, meta: Meta, c: list[Any]) -> ast.WhenCompensated:
        return ast.WhenCompensated(c[0], c[1], self._at(meta))

    # --- scenarios -----------------------------------------------------------------------------

    def scenario_decl(self, meta: Meta, c: list[Any]) -> ast.ScenarioDecl:
        title, saga, args, *items = c
        return ast.ScenarioDecl(title, saga, args, tuple(items), self._doc(meta), self._at(meta))

    def operation_name(self, meta: Meta, c: list[Any]) -> ast.OperationName:
        return ast.OperationName(c[0], c[1], self._at(meta))

    def once(self, meta: Meta, c: list[Any]) -> tuple[int | None]:
        return (1,)

    def never(self, meta: Meta, c: list[Any]) -> tuple[int | None]:
        return (0,)

    def n_times(self, meta: Meta, c: list[Any]) -> tuple[int | None]:
        return (c[0].value,)

    def always(self, meta: Meta, c: list[Any]) -> tuple[int | None]:
        return (None,)

    def fault(self, meta: Meta, c: list[Any]) -> ast.Fault:
        operation, args, kind, times = c
        count = times[0] if times else 1
        word, error, error_args, value, after = kind
        return ast.Fault(
            word, operation, args, error, error_args, value, after, count, self._at(meta)
        )

    def fault_rejects(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        return "rejects", c[0], c[1] or (), None, None

    def fault_returns(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        return "returns", None, (), c[0], None

    def fault_times_out(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        return f"times out {c[0]} effect", None, (), None, None

    def fault_unavailable(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        return "unavailable", None, (), None, None

    def fault_late(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        return "arrives late", None, (), None, c[0]

    def fault_duplicated(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        return "duplicated", None, (), None, None

    def fault_not_sent(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        return "is not sent", None, (), None, None

    def fault_nonsense(self, meta: Meta, c: list[Any]) -> tuple[Any, ...]:
        return "answers nonsense", None, (), None, None

    def crash(self, meta: Meta, c: list[Any]) -> ast.Fault:
        when, operation, times = c
        count = times[0] if times else 1
        return ast.Fault(
            f"crash {when}", operation, None, None, (), None, None, count, self._at(meta)
        )

    def sent_event(self, meta: Meta, c: list[Any]) -> ast.Send:
        return ast.Send(c[0], c[1] or (), c[2], self._at(meta))

    def send(self, meta: Meta, c: list[Any]) -> ast.Send:
        return c[0]  # type: ignore[no-any-return]

    def cancel(self, meta: Meta, c: list[Any]) -> ast.Cancel:
        return ast.Cancel(c[0], self._at(meta))

    def _expect(self, meta: Meta, kind: str, **given: Any) -> ast.Expect:
        get = given.get
        return ast.Expect(
            kind,
            get("operation"),
            get("other"),
            get("value"),
            get("error"),
            get("count"),
            get("after"),
            self._at(meta),
        )

    def expect_completed(self, meta: Meta, c: list[Any]) -> ast.Expect:
        return self._expect(meta, "completed", value=c[0])

    def expect_compensated(self, meta: Meta, c: list[Any]) -> ast.Expect:
        return self._expect(meta, "compensated", error=c[0])

    def expect_escalated(self, meta: Meta, c: list[Any]) -> ast.Expect:
        return self._expect(meta, "escalated", operation=c[0])

    def expect_nothing_left(self, meta: Meta, c: list[Any]) -> ast.Expect:
        return self._expect(meta, "nothing left")

    def expect_within(self, meta: Meta, c: list[Any]) -> ast.Expect:
        return self._expect(meta, "within", after=c[0])

    def expect_effect(self, meta: Meta, c: list[Any]) -> ast.Expect:
        return self._expect(meta, "effect", operation=c[0], count=c[1][0])

    def expect_count(self, meta: Meta, c: list[Any]) -> ast.Expect:
        return self._expect(meta, "count", operation=c[0], count=c[1][0])

    def expect_before(self, meta: Meta, c: list[Any]) -> ast.Expect:
        return self._expect(meta, "before", operation=c[0], other=c[1])

    # --- expressions ---------------------------------------------------------------------------

    def conditional(self, meta: Meta, c: list[Any]) -> ast.Conditional:
        return self._nest(ast.Conditional(c[0], c[1], c[2], self._at(meta)), *c)

    def _binary(self, operator: str, meta: Meta, left: Any, right: Any) -> ast.Binary:
        return self._nest(ast.Binary(operator, left, right, self._at(meta)), left, right)

    def or_(self, meta: Meta, c: list[Any]) -> ast.Binary:
        return self._binary("or", meta, c[0], c[1])

    def and_(self, meta: Meta, c: list[Any]) -> ast.Binary:
        return self._binary("and", meta, c[0], c[1])

    def compare(self, meta: Meta, c: list[Any]) -> ast.Binary:
        return self._binary(c[1], meta, c[0], c[2])

    def default(self, meta: Meta, c: list[Any]) -> ast.Binary:
        return self._binary("??", meta, c[0], c[1])

    def add(self, meta: Meta, c: list[Any]) -> ast.Binary:
        return self._binary("+", meta, c[0], c[1])

    def subtract(self, meta: Meta, c: list[Any]) -> ast.Binary:
        return self._binary("-", meta, c[0], c[1])

    def multiply(self, meta: Meta, c: list[Any]) -> ast.Binary:
        return self._binary("*", meta, c[0], c[1])

    def divide(self, meta: Meta, c: list[Any]) -> ast.Binary:
        return self._binary("/", meta, c[0], c[1])

    def not_(self, meta: Meta, c: list[Any]) -> ast.Unary:
        return self._nest(ast.Unary("not", c[0], self._at(meta)), c[0])

    def negate(self, meta: Meta, c: list[Any]) -> ast.Unary:
        return self._nest(ast.Unary("-", c[0], self._at(meta)), c[0])

    def member(self, meta: Meta, c: list[Any]) -> ast.Member:
        return self._nest(ast.Member(c[0], c[1], self._at(meta)), c[0])

    def index(self, meta: Meta, c: list[Any]) -> ast.Index:
        return self._nest(ast.Index(c[0], c[1], self._at(meta)), *c)

    def update(self, meta: Meta, c: list[Any]) -> ast.Update:
        return self._nest(ast.Update(c[0], c[1], self._at(meta)), *c)

    def apply(self, meta: Meta, c: list[Any]) -> ast.Apply:
        return self._nest(ast.Apply(c[0], c[1], self._at(meta)), *(arg.value for arg in c[1]))

    def group(self, meta: Meta, c: list[Any]) -> Any:
        return c[0]

    def comprehension(self, meta: Meta, c: list[Any]) -> ast.Comprehension:
        element, variable, source, condition = c
        made = ast.Comprehension(element, variable, source, condition, self._at(meta))
        return self._nest(made, element, source, condition)

    def list_of(self, meta: Meta, c: list[Any]) -> ast.ListOf:
        return self._nest(ast.ListOf(tuple(c), self._at(meta)), *c)

    def braces(self, meta: Meta, c: list[Any]) -> ast.Braces:
        return self._nest(ast.Braces(tuple(c), self._at(meta)), *(value for _, value in c))

    def entry(self, meta: Meta, c: list[Any]) -> tuple[ast.Name, ast.Expr]:
        name = c[0] if isinstance(c[0], ast.Name) else ast.Name(c[0].value, c[0].span)
        return name, c[1]

    def reference(self, meta: Meta, c: list[Any]) -> ast.Reference:
        return ast.Reference(c[0].text, c[0].span)

    def literal(self, meta: Meta, c: list[Token]) -> ast.Literal | ast.Interpolation:
        token = c[0]
        span = self._token(token)
        match token.type:
            case "INT":
                return ast.Literal(self._whole(token, str(token)), span)
            case "DECIMAL":
                self._whole(token, str(token).replace(".", ""))
                return ast.Literal(Decimal(str(token)), span)
            case "DURATION":
                return ast.Literal(timedelta(milliseconds=self._millis(token)), span)
            case "STRING":
                return self._string(token, span)
            case _:
                return ast.Literal({"true": True, "false": False, "null": None}[str(token)], span)

    def _string(self, token: Token, span: Span) -> ast.Literal | ast.Interpolation:
        if "\\" not in token and "$" not in token:
            return ast.Literal(str(token)[1:-1], span)
        parts = self._string_parts(token)
        if all(isinstance(part, str) for part in parts):
            return ast.Literal("".join(parts), span)  # type: ignore[arg-type]
        nodes = tuple(ast.Literal(p, span) if isinstance(p, str) else p for p in parts)
        return self._nest(ast.Interpolation(nodes, span), *nodes)
