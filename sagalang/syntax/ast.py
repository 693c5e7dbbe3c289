"""The syntax tree: what was written, nothing more.

Frozen values; every node has the span it came from. No name is resolved here, no default filled.
A `Name` is a word with its place.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from msgspec import Struct

from sagalang.text import Source, Span


class Name(Struct, frozen=True, gc=False):
    text: str
    span: Span


class Text(Struct, frozen=True, gc=False):
    """A string literal without interpolation, unescaped."""

    value: str
    span: Span


class Millis(Struct, frozen=True, gc=False):
    """A duration literal."""

    value: int
    span: Span


class Count(Struct, frozen=True, gc=False):
    """A whole number, or the number of a percentage."""

    value: int
    span: Span


# --- Types -------------------------------------------------------------------------------------


class NamedType(Struct, frozen=True, gc=False):
    name: Name
    span: Span


class ListType(Struct, frozen=True, gc=False):
    item: TypeExpr
    span: Span


class MapType(Struct, frozen=True, gc=False):
    item: TypeExpr
    span: Span


class OptionalType(Struct, frozen=True, gc=False):
    item: TypeExpr
    span: Span


class SecretType(Struct, frozen=True, gc=False):
    item: TypeExpr
    span: Span


class RecordType(Struct, frozen=True, gc=False):
    fields: tuple[Field, ...]
    span: Span


TypeExpr = NamedType | ListType | MapType | OptionalType | SecretType | RecordType


class Field(Struct, frozen=True, gc=False):
    """A field of a record or a parameter: `name: type [as "wire"]`."""

    name: Name
    type: TypeExpr
    wire: Text | None
    doc: str
    span: Span


# --- Expressions -------------------------------------------------------------------------------


class Literal(Struct, frozen=True, gc=False):
    value: str | int | Decimal | bool | timedelta | None
    span: Span


class Interpolation(Struct, frozen=True, gc=False):
    """Parts of a string: literals and expressions."""

    parts: tuple[Expr, ...]
    span: Span


class Reference(Struct, frozen=True, gc=False):
    name: str
    span: Span


class Member(Struct, frozen=True, gc=False):
    value: Expr
    name: Name
    span: Span


class Index(Struct, frozen=True, gc=False):
    value: Expr
    index: Expr
    span: Span


class Apply(Struct, frozen=True, gc=False):
    """`name(args)`: a function or the construction of a record."""

    name: Name
    args: tuple[Arg, ...]
    span: Span


class Unary(Struct, frozen=True, gc=False):
    operator: str
    operand: Expr
    span: Span


class Binary(Struct, frozen=True, gc=False):
    operator: str
    left: Expr
    right: Expr
    span: Span


class Conditional(Struct, frozen=True, gc=False):
    condition: Expr
    then: Expr
    otherwise: Expr
    span: Span


class Braces(Struct, frozen=True, gc=False):
    """`{ field: value, "key": value }`: names or strings before the colon."""

    fields: tuple[tuple[Name, Expr], ...]
    span: Span


class Update(Struct, frozen=True, gc=False):
    value: Expr
    changes: Braces
    span: Span


class ListOf(Struct, frozen=True, gc=False):
    items: tuple[Expr, ...]
    span: Span


class Comprehension(Struct, frozen=True, gc=False):
    element: Expr
    variable: Name
    source: Expr
    condition: Expr | None
    span: Span


Expr = (
    Literal
    | Interpolation
    | Reference
    | Member
    | Index
    | Apply
    | Unary
    | Binary
    | Conditional
    | Braces
    | Update
    | ListOf
    | Comprehension
)


class Arg(Struct, frozen=True, gc=False):
    """An argument, with its name where it was given."""

    name: Name | None
    value: Expr
    span: Span


class Call(Struct, frozen=True, gc=False):
    """`Service.operation(args)`; `service` is None where a bare operation name is allowed."""

    service: Name | None
    operation: Name
    args: tuple[Arg, ...]
    span: Span


# --- Clauses -----------------------------------------------------------------------------------


class Promise(Struct, frozen=True, gc=False):
    """kind: `keyed`, `records rejections`, `idempotent`, `absent ok`, `fences late`,
    `lands within`. `where`: (`header` or `field`, name). `period`: of `for` or `within`."""

    kind: str
    where: tuple[str, Text] | None
    period: Millis | None
    span: Span


class Route(Struct, frozen=True, gc=False):
    method: str
    path: Text
    span: Span


class Rejects(Struct, frozen=True, gc=False):
    errors: tuple[tuple[Name, Count | None], ...]
    span: Span


class CompensateBy(Struct, frozen=True, gc=False):
    call: Call
    span: Span


class CompensateNone(Struct, frozen=True, gc=False):
    why: Text
    span: Span


class ProbeBy(Struct, frozen=True, gc=False):
    call: Call
    span: Span


class With(Struct, frozen=True, gc=False):
    policy: Name
    span: Span


class ElseEscalate(Struct, frozen=True, gc=False):
    team: Text
    after: Millis | None
    span: Span


class BestEffort(Struct, frozen=True, gc=False):
    span: Span


OperationClause = Promise | Route | Rejects | CompensateBy | ProbeBy | With
StepClause = With | CompensateBy | CompensateNone | ElseEscalate | BestEffort


# --- Policy clauses ----------------------------------------------------------------------------


class TimeoutClause(Struct, frozen=True, gc=False):
    timeout: Millis
    total: Millis | None
    span: Span


class RetryClause(Struct, frozen=True, gc=False):
    """`times` None: forever. `jitter` None: not written; `percent` where it is a share."""

    times: Count | None
    backoff: Millis
    factor: Decimal | None
    cap: Millis | None
    jitter: str | None
    percent: Count | None
    why: Text | None
    span: Span


class BudgetClause(Struct, frozen=True, gc=False):
    percent: Count
    window: Millis | None
    per_operation: bool
    span: Span


class BreakerClause(Struct, frozen=True, gc=False):
    percent: Count
    calls: Count
    window: Millis
    probe_after: Millis
    probe_up_to: Millis | None
    slow_after: Millis | None
    per_operation: bool
    span: Span


class BulkheadClause(Struct, frozen=True, gc=False):
    limit: Count
    queue: Count | None
    wait: Millis | None
    per_operation: bool
    span: Span


class RateClause(Struct, frozen=True, gc=False):
    calls: Count
    per: Millis
    per_operation: bool
    span: Span


PolicyClause = (
    TimeoutClause | RetryClause | BudgetClause | BreakerClause | BulkheadClause | RateClause
)


# --- Statements --------------------------------------------------------------------------------


class Block(Struct, frozen=True, gc=False):
    statements: tuple[Statement, ...]
    span: Span


class Step(Struct, frozen=True, gc=False):
    """`target` is a call, or for `step x = saga Other(...)` a `ChildCall`."""

    pivot: bool
    name: Name | None
    target: Call | ChildCall
    clauses: tuple[StepClause, ...]
    doc: str
    span: Span


class ChildCall(Struct, frozen=True, gc=False):
    saga: Name
    args: tuple[Arg, ...]
    span: Span


class Branch(Struct, frozen=True, gc=False):
    body: Block
    span: Span


class Parallel(Struct, frozen=True, gc=False):
    body: Block
    span: Span


class For(Struct, frozen=True, gc=False):
    variable: Name
    source: Expr
    by: Expr | None
    at_once: Count | None
    body: Block
    span: Span


class If(Struct, frozen=True, gc=False):
    condition: Expr
    then: Block
    otherwise: Block | None
    span: Span


class Let(Struct, frozen=True, gc=False):
    """A `let` in a saga; at the top level it is a declaration with a doc."""

    name: Name
    value: Expr
    doc: str
    span: Span


class Abort(Struct, frozen=True, gc=False):
    error: Name
    args: tuple[Arg, ...]
    span: Span


class Return(Struct, frozen=True, gc=False):
    value: Expr
    span: Span


class Sleep(Struct, frozen=True, gc=False):
    value: Expr
    until: bool
    span: Span


Otherwise = Abort | ElseEscalate | None


class Wait(Struct, frozen=True, gc=False):
    name: Name
    event: Name
    where: Expr | None
    within: Millis
    otherwise: Otherwise
    span: Span


class Poll(Struct, frozen=True, gc=False):
    name: Name
    call: Call
    until: Expr
    every: Millis
    within: Millis
    otherwise: Otherwise
    span: Span


class Handler(Struct, frozen=True, gc=False):
    errors: tuple[Name, ...]
    binder: Name | None
    body: Block
    span: Span


class Attempt(Struct, frozen=True, gc=False):
    body: Block
    handlers: tuple[Handler, ...]
    span: Span


class WhenCompensated(Struct, frozen=True, gc=False):
    binder: Name | None
    body: Block
    span: Span


class SagaId(Struct, frozen=True, gc=False):
    value: Expr
    span: Span


class Deadline(Struct, frozen=True, gc=False):
    within: Millis
    span: Span


class CompensateWith(Struct, frozen=True, gc=False):
    policy: Name
    escalate: ElseEscalate | None
    span: Span


SagaHead = SagaId | Deadline | CompensateWith
Statement = (
    Step
    | Parallel
    | Branch
    | For
    | If
    | Let
    | Abort
    | Return
    | Sleep
    | Wait
    | Poll
    | Attempt
    | WhenCompensated
    | SagaId
    | Deadline
    | CompensateWith
)


# --- Declarations ------------------------------------------------------------------------------


class Import(Struct, frozen=True, gc=False):
    path: Text
    span: Span


class RecordDecl(Struct, frozen=True, gc=False):
    """kind: `record`, `error` or `event`. One `error A, B` makes one of these for each name."""

    kind: str
    name: Name
    fields: tuple[Field, ...]
    doc: str
    span: Span


class EnumDecl(Struct, frozen=True, gc=False):
    name: Name
    members: tuple[tuple[Name, Text | None], ...]
    doc: str
    span: Span


class TypeDecl(Struct, frozen=True, gc=False):
    name: Name
    type: TypeExpr
    doc: str
    span: Span


class PolicyDecl(Struct, frozen=True, gc=False):
    name: Name
    base: Name | None
    clauses: tuple[PolicyClause, ...]
    doc: str
    span: Span


class HttpBinding(Struct, frozen=True, gc=False):
    url: Text
    env: Name | None
    span: Span


class PythonBinding(Struct, frozen=True, gc=False):
    module: Text
    span: Span


class Header(Struct, frozen=True, gc=False):
    name: Text
    env: Name | None
    text: Text | None
    span: Span


class OperationDecl(Struct, frozen=True, gc=False):
    is_query: bool
    name: Name
    params: tuple[Field, ...]
    result: TypeExpr | None
    clauses: tuple[OperationClause, ...]
    doc: str
    span: Span


ServiceItem = HttpBinding | PythonBinding | Header | With | OperationDecl


class ServiceDecl(Struct, frozen=True, gc=False):
    name: Name
    items: tuple[ServiceItem, ...]
    doc: str
    span: Span


class SagaDecl(Struct, frozen=True, gc=False):
    name: Name
    params: tuple[Field, ...]
    result: TypeExpr | None
    body: Block
    doc: str
    span: Span


# --- Scenarios ---------------------------------------------------------------------------------


class OperationName(Struct, frozen=True, gc=False):
    service: Name
    operation: Name
    span: Span


class Fault(Struct, frozen=True, gc=False):
    """kind as in `sagalang.model.program.Fault`. `count` None is always, else how often."""

    kind: str
    operation: OperationName
    args: tuple[Arg, ...] | None
    error: Name | None
    error_args: tuple[Arg, ...]
    value: Expr | None
    after: Millis | None
    count: int | None
    span: Span


class Send(Struct, frozen=True, gc=False):
    event: Name
    args: tuple[Arg, ...]
    after: Millis | None
    span: Span


class Cancel(Struct, frozen=True, gc=False):
    after: Millis | None
    span: Span


class Expect(Struct, frozen=True, gc=False):
    """kind as in `sagalang.model.program.Expect`."""

    kind: str
    operation: OperationName | None
    other: OperationName | None
    value: Expr | None
    error: Name | None
    count: int | None
    after: Millis | None
    span: Span


ScenarioItem = Fault | Send | Cancel | Expect


class ScenarioDecl(Struct, frozen=True, gc=False):
    title: Text
    saga: Name
    args: tuple[Arg, ...]
    items: tuple[ScenarioItem, ...]
    doc: str
    span: Span


Declaration = (
    Import
    | RecordDecl
    | EnumDecl
    | TypeDecl
    | PolicyDecl
    | ServiceDecl
    | SagaDecl
    | ScenarioDecl
    | Let
)


class Comment(Struct, frozen=True, gc=False):
    """A comment; `///` makes it documentation. `text` without the slashes and one space."""

    text: str
    is_doc: bool
    span: Span


class Module(Struct, frozen=True, gc=False):
    """One file. Declarations in text order; those that could not be parsed are missing."""

    source: Source
    declarations: tuple[Declaration, ...]
    comments: tuple[Comment, ...]
