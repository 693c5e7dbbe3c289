"""The syntax tree: what was written, nothing more.

Frozen values; every node has the span it came from. No name is resolved here, no default filled.
A `Name` is a word with its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sagalang.text import Source, Span


@dataclass(frozen=True, slots=True)
class Name:
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal without interpolation, unescaped."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Millis:
    """A duration literal."""

    value: int
    span: Span


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number, or the number of a percentage."""

    value: int
    span: Span


# --- Types -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedType:
    name: Name
    span: Span


@dataclass(frozen=True, slots=True)
class ListType:
    item: TypeExpr
    span: Span


@dataclass(frozen=True, slots=True)
class MapType:
    item: TypeExpr
    span: Span


@dataclass(frozen=True, slots=True)
class OptionalType:
    item: TypeExpr
    span: Span


@dataclass(frozen=True, slots=True)
class SecretType:
    item: TypeExpr
    span: Span


@dataclass(frozen=True, slots=True)
class RecordType:
    fields: tuple[Field, ...]
    span: Span


TypeExpr = NamedType | ListType | MapType | OptionalType | SecretType | RecordType


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record or a parameter: `name: type [as "wire"]`."""

    name: Name
    type: TypeExpr
    wire: Text | None
    doc: str
    span: Span


# --- Expressions -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int | Decimal | bool | timedelta | None
    span: Span


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Parts of a string: literals and expressions."""

    parts: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Reference:
    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Member:
    value: Expr
    name: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Index:
    value: Expr
    index: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Apply:
    """`name(args)`: a function or the construction of a record."""

    name: Name
    args: tuple[Arg, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Expr
    right: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Conditional:
    condition: Expr
    then: Expr
    otherwise: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Braces:
    """`{ field: value, "key": value }`: names or strings before the colon."""

    fields: tuple[tuple[Name, Expr], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Update:
    value: Expr
    changes: Braces
    span: Span


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Comprehension:
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


@dataclass(frozen=True, slots=True)
class Arg:
    """An argument, with its name where it was given."""

    name: Name | None
    value: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """`Service.operation(args)`; `service` is None where a bare operation name is allowed."""

    service: Name | None
    operation: Name
    args: tuple[Arg, ...]
    span: Span


# --- Clauses -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Promise:
    """kind: `keyed`, `records rejections`, `idempotent`, `absent ok`, `fences late`,
    `lands within`. `where`: (`header` or `field`, name). `period`: of `for` or `within`."""

    kind: str
    where: tuple[str, Text] | None
    period: Millis | None
    span: Span


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: Text
    span: Span


@dataclass(frozen=True, slots=True)
class Rejects:
    errors: tuple[tuple[Name, Count | None], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class CompensateBy:
    call: Call
    span: Span


@dataclass(frozen=True, slots=True)
class CompensateNone:
    why: Text
    span: Span


@dataclass(frozen=True, slots=True)
class ProbeBy:
    call: Call
    span: Span


@dataclass(frozen=True, slots=True)
class With:
    policy: Name
    span: Span


@dataclass(frozen=True, slots=True)
class ElseEscalate:
    team: Text
    after: Millis | None
    span: Span


@dataclass(frozen=True, slots=True)
class BestEffort:
    span: Span


OperationClause = Promise | Route | Rejects | CompensateBy | ProbeBy | With
StepClause = With | CompensateBy | CompensateNone | ElseEscalate | BestEffort


# --- Policy clauses ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimeoutClause:
    timeout: Millis
    total: Millis | None
    span: Span


@dataclass(frozen=True, slots=True)
class RetryClause:
    """`times` None: forever. `jitter` None: not written; `percent` where it is a share."""

    times: Count | None
    backoff: Millis
    factor: Decimal | None
    cap: Millis | None
    jitter: str | None
    percent: Count | None
    why: Text | None
    span: Span


@dataclass(frozen=True, slots=True)
class BudgetClause:
    percent: Count
    window: Millis | None
    per_operation: bool
    span: Span


@dataclass(frozen=True, slots=True)
class BreakerClause:
    percent: Count
    calls: Count
    window: Millis
    probe_after: Millis
    probe_up_to: Millis | None
    slow_after: Millis | None
    per_operation: bool
    span: Span


@dataclass(frozen=True, slots=True)
class BulkheadClause:
    limit: Count
    queue: Count | None
    wait: Millis | None
    per_operation: bool
    span: Span


@dataclass(frozen=True, slots=True)
class RateClause:
    calls: Count
    per: Millis
    per_operation: bool
    span: Span


PolicyClause = (
    TimeoutClause | RetryClause | BudgetClause | BreakerClause | BulkheadClause | RateClause
)


# --- Statements --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    statements: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Step:
    """`target` is a call, or for `step x = saga Other(...)` a `ChildCall`."""

    pivot: bool
    name: Name | None
    target: Call | ChildCall
    clauses: tuple[StepClause, ...]
    doc: str
    span: Span


@dataclass(frozen=True, slots=True)
class ChildCall:
    saga: Name
    args: tuple[Arg, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Branch:
    body: Block
    span: Span


@dataclass(frozen=True, slots=True)
class Parallel:
    body: Block
    span: Span


@dataclass(frozen=True, slots=True)
class For:
    variable: Name
    source: Expr
    by: Expr | None
    at_once: Count | None
    body: Block
    span: Span


@dataclass(frozen=True, slots=True)
class If:
    condition: Expr
    then: Block
    otherwise: Block | None
    span: Span


@dataclass(frozen=True, slots=True)
class Let:
    """A `let` in a saga; at the top level it is a declaration with a doc."""

    name: Name
    value: Expr
    doc: str
    span: Span


@dataclass(frozen=True, slots=True)
class Abort:
    error: Name
    args: tuple[Arg, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Sleep:
    value: Expr
    until: bool
    span: Span


Otherwise = Abort | ElseEscalate | None


@dataclass(frozen=True, slots=True)
class Wait:
    name: Name
    event: Name
    where: Expr | None
    within: Millis
    otherwise: Otherwise
    span: Span


@dataclass(frozen=True, slots=True)
class Poll:
    name: Name
    call: Call
    until: Expr
    every: Millis
    within: Millis
    otherwise: Otherwise
    span: Span


@dataclass(frozen=True, slots=True)
class Handler:
    errors: tuple[Name, ...]
    binder: Name | None
    body: Block
    span: Span


@dataclass(frozen=True, slots=True)
class Attempt:
    body: Block
    handlers: tuple[Handler, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class WhenCompensated:
    binder: Name | None
    body: Block
    span: Span


@dataclass(frozen=True, slots=True)
class SagaId:
    value: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Deadline:
    within: Millis
    span: Span


@dataclass(frozen=True, slots=True)
class CompensateWith:
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


@dataclass(frozen=True, slots=True)
class Import:
    path: Text
    span: Span


@dataclass(frozen=True, slots=True)
class RecordDecl:
    """kind: `record`, `error` or `event`. One `error A, B` makes one of these for each name."""

    kind: str
    name: Name
    fields: tuple[Field, ...]
    doc: str
    span: Span


@dataclass(frozen=True, slots=True)
class EnumDecl:
    name: Name
    members: tuple[tuple[Name, Text | None], ...]
    doc: str
    span: Span


@dataclass(frozen=True, slots=True)
class TypeDecl:
    name: Name
    type: TypeExpr
    doc: str
    span: Span


@dataclass(frozen=True, slots=True)
class PolicyDecl:
    name: Name
    base: Name | None
    clauses: tuple[PolicyClause, ...]
    doc: str
    span: Span


@dataclass(frozen=True, slots=True)
class HttpBinding:
    url: Text
    env: Name | None
    span: Span


@dataclass(frozen=True, slots=True)
class PythonBinding:
    module: Text
    span: Span


@dataclass(frozen=True, slots=True)
class Header:
    name: Text
    env: Name | None
    text: Text | None
    span: Span


@dataclass(frozen=True, slots=True)
class OperationDecl:
    is_query: bool
    name: Name
    params: tuple[Field, ...]
    result: TypeExpr | None
    clauses: tuple[OperationClause, ...]
    doc: str
    span: Span


ServiceItem = HttpBinding | PythonBinding | Header | With | OperationDecl


@dataclass(frozen=True, slots=True)
class ServiceDecl:
    name: Name
    items: tuple[ServiceItem, ...]
    doc: str
    span: Span


@dataclass(frozen=True, slots=True)
class SagaDecl:
    name: Name
    params: tuple[Field, ...]
    result: TypeExpr | None
    body: Block
    doc: str
    span: Span


# --- Scenarios ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OperationName:
    service: Name
    operation: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Fault:
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


@dataclass(frozen=True, slots=True)
class Send:
    event: Name
    args: tuple[Arg, ...]
    after: Millis | None
    span: Span


@dataclass(frozen=True, slots=True)
class Cancel:
    after: Millis | None
    span: Span


@dataclass(frozen=True, slots=True)
class Expect:
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


@dataclass(frozen=True, slots=True)
class ScenarioDecl:
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


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment; `///` makes it documentation. `text` without the slashes and one space."""

    text: str
    is_doc: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Module:
    """One file. Declarations in text order; those that could not be parsed are missing."""

    source: Source
    declarations: tuple[Declaration, ...]
    comments: tuple[Comment, ...]
