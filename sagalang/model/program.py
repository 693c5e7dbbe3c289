"""The checked program: what every stage after the front end works on.

Frozen values only. All names are resolved, all expressions carry their type, all policies are
merged. Times are whole milliseconds (`Ms`). Every node keeps the span it came from.

A statement's `path` is its stable identity within the saga (no loop indexes): the bound name or
`Service.operation`, with `#2`, `#3` for later ones of the same label. Keys are derived from it,
so it never depends on line numbers or on statements of other labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from enum import Enum

from msgspec import Struct, field

from sagalang.model.types import Type
from sagalang.text import Source, Span

_NOWHERE = Span("", 0, 0)
Ms = int
"""Whole milliseconds."""


# --- Expressions -------------------------------------------------------------------------------


class Const(Struct, frozen=True, gc=False):
    """A literal. An enum member is a string constant whose type is the enum."""

    value: str | int | Decimal | bool | timedelta | None
    type: Type
    span: Span


class Ref(Struct, frozen=True, gc=False):
    """A parameter of the saga, a bound name, a loop variable or a `let` inside the saga."""

    name: str
    type: Type
    span: Span


class ConstantRef(Struct, frozen=True, gc=False):
    """A top-level `let`; its value is in `Program.constants`."""

    name: str
    type: Type
    span: Span


class KeyOf(Struct, frozen=True, gc=False):
    """`key` in a default compensation (step is None), or `key(step)` (the step's path)."""

    step: str | None
    type: Type
    span: Span


class ResultOf(Struct, frozen=True, gc=False):
    """`result` in a compensation: the answer of the command that is compensated."""

    type: Type
    span: Span


class Member(Struct, frozen=True, gc=False):
    value: Expr
    name: str
    type: Type
    span: Span


class Index(Struct, frozen=True, gc=False):
    value: Expr
    index: Expr
    type: Type
    span: Span


class Unary(Struct, frozen=True, gc=False):
    """`not` or `-`."""

    operator: str
    operand: Expr
    type: Type
    span: Span


class Binary(Struct, frozen=True, gc=False):
    """`+ - * / == != < <= > >= and or ??`; the last three are lazy in their right side."""

    operator: str
    left: Expr
    right: Expr
    type: Type
    span: Span


class Conditional(Struct, frozen=True, gc=False):
    condition: Expr
    then: Expr
    otherwise: Expr
    type: Type
    span: Span


class MakeRecord(Struct, frozen=True, gc=False):
    """`Order(id: ...)`; or `{ field: ... }`, whose type then says record, map or json."""

    fields: tuple[tuple[str, Expr], ...]
    type: Type
    span: Span


class Update(Struct, frozen=True, gc=False):
    """`value with { field: ... }`."""

    value: Expr
    fields: tuple[tuple[str, Expr], ...]
    type: Type
    span: Span


class MakeList(Struct, frozen=True, gc=False):
    items: tuple[Expr, ...]
    type: Type
    span: Span


class Comprehension(Struct, frozen=True, gc=False):
    """`[element for variable in source if condition]`."""

    element: Expr
    variable: str
    source: Expr
    condition: Expr | None
    type: Type
    span: Span


class Apply(Struct, frozen=True, gc=False):
    """A built-in function: `len sum min max contains lower upper round now`."""

    function: str
    args: tuple[Expr, ...]
    type: Type
    span: Span


class Interpolate(Struct, frozen=True, gc=False):
    """`"text ${expr} text"`: constants of type string and expressions in turn."""

    parts: tuple[Expr, ...]
    type: Type
    span: Span


class Convert(Struct, frozen=True, gc=False):
    """A value made to fit `type` where the language lets it: an int as a decimal, an inline
    record as a record (fields the record does not have are dropped), also inside lists, maps and
    optionals. The checker puts it there, so nothing after it needs to guess."""

    value: Expr
    type: Type
    span: Span


Expr = (
    Const
    | Ref
    | ConstantRef
    | KeyOf
    | ResultOf
    | Member
    | Index
    | Unary
    | Binary
    | Conditional
    | MakeRecord
    | Update
    | MakeList
    | Comprehension
    | Apply
    | Interpolate
    | Convert
)


# --- Declarations of data ----------------------------------------------------------------------


class Field(Struct, frozen=True, gc=False):
    name: str
    type: Type
    wire: str
    doc: str
    span: Span


class Record(Struct, frozen=True, gc=False):
    """A record; also the fields of an error or an event."""

    name: str
    fields: tuple[Field, ...]
    doc: str
    span: Span


class EnumDecl(Struct, frozen=True, gc=False):
    name: str
    members: tuple[tuple[str, str], ...]
    """(name, name on the wire)"""
    doc: str
    span: Span


# --- Policies ----------------------------------------------------------------------------------


class Jitter(Enum):
    FULL = "full"
    EQUAL = "equal"
    DECORRELATED = "decorrelated"
    PROPORTIONAL = "proportional"
    NONE = "none"


class Retry(Struct, frozen=True, gc=False):
    """`retries` counts repeats, not attempts; None is `forever`. The cap comes before the jitter.

    Delay before repeat n (from 1): min(cap, backoff * factor ** (n - 1)), then jitter.
    """

    retries: int | None
    backoff: Ms
    factor: Decimal = Decimal(1)
    cap: Ms | None = None
    jitter: Jitter = Jitter.FULL
    percent: int = 0
    """Only for PROPORTIONAL: plus or minus this share."""
    why: str = ""
    """Only for NONE: the reason given."""


class RetryBudget(Struct, frozen=True, gc=False):
    percent: int
    window: Ms = 10_000
    per_operation: bool = False


class Breaker(Struct, frozen=True, gc=False):
    percent: int
    calls: int
    window: Ms
    probe_after: Ms
    probe_up_to: Ms | None = None
    slow_after: Ms | None = None
    per_operation: bool = False
    probes: int = 1
    """Results of probes it takes for a verdict by rate. Not expressible in the language, like
    `probes_at_once`: for direct users of `sagalang.resilience`. Both are at least 1."""
    probes_at_once: int = 1


class Bulkhead(Struct, frozen=True, gc=False):
    limit: int
    queue: int = 0
    wait: Ms | None = None
    per_operation: bool = False


class Rate(Struct, frozen=True, gc=False):
    calls: int
    per: Ms
    per_operation: bool = False


class Policy(Struct, frozen=True, gc=False):
    """A policy, or several merged. None: the clause was not given anywhere."""

    timeout: Ms | None = None
    total: Ms | None = None
    retry: Retry | None = None
    budget: RetryBudget | None = None
    breaker: Breaker | None = None
    bulkhead: Bulkhead | None = None
    rate: Rate | None = None


DEFAULT_TIMEOUT: Ms = 10_000
"""The attempt timeout where no policy gives one."""

RELENTLESS = Policy(
    timeout=DEFAULT_TIMEOUT,
    retry=Retry(retries=None, backoff=1_000, factor=Decimal(2), cap=60_000, jitter=Jitter.FULL),
)
"""The built-in policy of compensations, of the pivot and of what follows it."""


# --- Services ----------------------------------------------------------------------------------


class Header(Struct, frozen=True, gc=False):
    name: str
    env: str | None
    text: str | None
    span: Span | None = None
    """Where the text stands."""


class HttpBinding(Struct, frozen=True, gc=False):
    url: str
    env: str | None
    """An environment variable that overrides the URL."""


class PythonBinding(Struct, frozen=True, gc=False):
    module: str


class Param(Struct, frozen=True, gc=False):
    name: str
    type: Type
    wire: str
    span: Span


class HttpRoute(Struct, frozen=True, gc=False):
    """`POST "/auths/{auth}/capture"`; `path` is the template as written."""

    method: str
    path: str
    span: Span


class Rejection(Struct, frozen=True, gc=False):
    error: str
    status: int | None
    span: Span


class Call(Struct, frozen=True, gc=False):
    """A call of an operation; one argument per parameter, in the operation's order.

    An argument that is None was left out (its parameter is optional).
    """

    service: str
    operation: str
    args: tuple[Expr | None, ...]
    span: Span

    @property
    def label(self) -> str:
        return f"{self.service}.{self.operation}"


class Promises(Struct, frozen=True, gc=False):
    """What the service vouches for. Times in milliseconds."""

    keyed: bool = False
    key_header: str = "Idempotency-Key"
    key_field: str | None = None
    """The body field that carries the key, instead of the header."""
    key_for: Ms = 86_400_000
    records_rejections: bool = False
    idempotent: bool = False
    absent_ok: bool = False
    fences_late: bool = False
    lands_within: Ms | None = None


class Operation(Struct, frozen=True, gc=False):
    service: str
    name: str
    is_query: bool
    params: tuple[Param, ...]
    result: Type
    """`Null` where nothing is answered."""
    route: HttpRoute | None
    promises: Promises
    rejects: tuple[Rejection, ...]
    compensation: Call | None
    """The default compensation. Its arguments see the operation's parameters (as `Ref`), `key`
    (`KeyOf(None)`) and `result` (`ResultOf`)."""
    probe: Call | None
    """Its arguments see the operation's parameters and `key`."""
    policy: Policy
    """Service and operation merged; not yet defaulted."""
    doc: str
    span: Span

    @property
    def label(self) -> str:
        return f"{self.service}.{self.name}"

    @property
    def repeatable(self) -> bool:
        """Whether an unknown outcome may be repeated without asking first."""
        return self.is_query or self.promises.keyed or self.promises.idempotent


class Service(Struct, frozen=True, gc=False):
    name: str
    binding: HttpBinding | PythonBinding | None
    headers: tuple[Header, ...]
    operations: Mapping[str, Operation]
    policy: Policy
    folder: str
    """The folder of the file that declares it: where `python` modules are looked for first."""
    doc: str
    span: Span


# --- Sagas -------------------------------------------------------------------------------------


class Escalation(Struct, frozen=True, gc=False):
    """`else escalate "team" [after D]`."""

    team: str
    after: Ms
    span: Span


class Compensation(Struct, frozen=True, gc=False):
    """How a step is undone: `call` sees the saga's names, `key` and `result`.

    Where it came from the operation's default, the operation's parameters have been replaced by
    the step's own arguments, so that the machine captures one thing only: this call's arguments.
    """

    call: Call
    from_operation: bool
    policy: Policy
    """The saga's `compensate with`, or `relentless`; complete."""
    escalate: Escalation | None


class NoCompensation(Struct, frozen=True, gc=False):
    why: str


class Step(Struct, frozen=True, gc=False):
    """`step [name =] Service.op(args) ...`"""

    path: str
    name: str | None
    call: Call
    type: Type
    """The type of `name`: the operation's result, `T?` for best effort."""
    policy: Policy
    """Complete: step, operation and service merged, or `relentless` where section 6 says so."""
    compensation: Compensation | NoCompensation | None
    escalate: Escalation | None
    best_effort: bool
    pivot: bool
    after_pivot: bool
    """True where a pivot may have happened before this step."""
    doc: str
    span: Span
    before_pivot: bool = True
    """True where this step may run without a pivot having happened. Both may be true."""


class ChildStep(Struct, frozen=True, gc=False):
    """`step x = saga Other(args)`."""

    path: str
    name: str | None
    saga: str
    args: tuple[Expr | None, ...]
    type: Type
    escalate: Escalation | None
    best_effort: bool
    pivot: bool
    doc: str
    span: Span


class Parallel(Struct, frozen=True, gc=False):
    branches: tuple[Block, ...]
    span: Span


class For(Struct, frozen=True, gc=False):
    """`path` names the loop in keys. `binds`: names that are lists after the loop."""

    path: str
    variable: str
    source: Expr
    by: Expr | None
    at_once: int
    """1: one after the other."""
    body: Block
    binds: tuple[tuple[str, Type], ...]
    """(name, type of one element)"""
    span: Span


class If(Struct, frozen=True, gc=False):
    condition: Expr
    then: Block
    otherwise: Block
    """Empty where there is no `else`."""
    span: Span


class Let(Struct, frozen=True, gc=False):
    name: str
    value: Expr
    span: Span


class Abort(Struct, frozen=True, gc=False):
    error: str
    fields: tuple[tuple[str, Expr], ...]
    span: Span


class Return(Struct, frozen=True, gc=False):
    value: Expr
    span: Span


class Sleep(Struct, frozen=True, gc=False):
    """`sleep duration` or `sleep until datetime` (`until` says which)."""

    path: str
    value: Expr
    until: bool
    span: Span


Otherwise = Abort | Escalation | None
"""What happens when a wait or poll runs out: abort, escalate, or go on with null."""


class Wait(Struct, frozen=True, gc=False):
    path: str
    name: str
    event: str
    where: Expr | None
    """Sees the saga's names and `name` (the event)."""
    within: Ms
    otherwise: Otherwise
    type: Type
    span: Span


class Poll(Struct, frozen=True, gc=False):
    path: str
    name: str
    call: Call
    until: Expr
    """Sees the saga's names and `name` (the answer)."""
    every: Ms
    within: Ms
    otherwise: Otherwise
    policy: Policy
    type: Type
    span: Span


class Handler(Struct, frozen=True, gc=False):
    """`on E, F [as e] { ... }`."""

    errors: tuple[str, ...]
    binder: str | None
    body: Block
    span: Span


class Attempt(Struct, frozen=True, gc=False):
    path: str
    body: Block
    handlers: tuple[Handler, ...]
    span: Span


Statement = (
    Step | ChildStep | Parallel | For | If | Let | Abort | Return | Sleep | Wait | Poll | Attempt
)


class Block(Struct, frozen=True, gc=False):
    """Statements one after the other.

    `exports`: names bound inside that stay visible after the enclosing statement, with their type
    there (a name some arm leaves unbound is null there).
    """

    statements: tuple[Statement, ...]
    exports: tuple[tuple[str, Type], ...] = ()


class WhenCompensated(Struct, frozen=True, gc=False):
    binder: str | None
    body: Block
    span: Span


class Saga(Struct, frozen=True, gc=False):
    name: str
    params: tuple[Param, ...]
    result: Type
    id: Expr | None
    deadline: Ms | None
    compensate_with: Policy
    compensate_escalate: Escalation | None
    body: Block
    when_compensated: WhenCompensated | None
    errors: tuple[str, ...]
    """The errors it can end with, inferred, in order of first appearance."""
    doc: str
    span: Span


# --- Scenarios ---------------------------------------------------------------------------------


class Fault(Struct, frozen=True, gc=False):
    """`when Service.op(args) KIND`, one fault.

    kind: `rejects` (error, fields), `returns` (value), `times out before effect`,
    `times out after effect`, `unavailable`, `arrives late` (after), `duplicated`,
    `is not sent`, `answers nonsense`, `crash before`, `crash after`.
    """

    kind: str
    operation: str
    """`Service.operation`."""
    args: tuple[Expr, ...] | None
    """Only calls with these arguments; None: any."""
    error: str | None = None
    fields: tuple[tuple[str, Expr], ...] = ()
    value: Expr | None = None
    after: Ms | None = None
    times: int | None = 1
    """How often it strikes; None is always."""
    span: Span = _NOWHERE


class Send(Struct, frozen=True, gc=False):
    """`send Event(...) [after D]`."""

    event: str
    fields: tuple[tuple[str, Expr], ...]
    after: Ms
    span: Span


class Cancel(Struct, frozen=True, gc=False):
    after: Ms
    span: Span


class Expect(Struct, frozen=True, gc=False):
    """kind: `completed` (value), `compensated` (error), `escalated` (operation), `count`
    (operation, count; 0 is never), `before` (operation, other), `effect` (operation, count),
    `nothing left`, `within` (after)."""

    kind: str
    operation: str | None = None
    other: str | None = None
    value: Expr | None = None
    error: str | None = None
    count: int | None = None
    after: Ms | None = None
    span: Span = _NOWHERE


class Scenario(Struct, frozen=True, gc=False):
    title: str
    saga: str
    args: tuple[Expr, ...]
    faults: tuple[Fault, ...]
    sends: tuple[Send, ...]
    cancels: tuple[Cancel, ...]
    expects: tuple[Expect, ...]
    doc: str
    span: Span


# --- The whole ---------------------------------------------------------------------------------


class Constant(Struct, frozen=True, gc=False):
    """A top-level `let`."""

    name: str
    value: Expr
    type: Type
    doc: str
    span: Span


class Program(Struct, frozen=True, gc=False):
    """All declarations of a file and of what it imports. Mappings keep text order.

    `main`: the name of the file that was asked for (its sagas can be run without being named).
    """

    main: str
    sources: Mapping[str, Source]
    records: Mapping[str, Record] = field(default_factory=dict)
    enums: Mapping[str, EnumDecl] = field(default_factory=dict)
    errors: Mapping[str, Record] = field(default_factory=dict)
    events: Mapping[str, Record] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    constants: Mapping[str, Constant] = field(default_factory=dict)
    sagas: Mapping[str, Saga] = field(default_factory=dict)
    scenarios: tuple[Scenario, ...] = ()
    sees: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """For each file those that it imports, also by way of others, and itself."""
    policy_files: Mapping[str, str] = field(default_factory=dict)
    """The file in which each policy stands."""

    def operation(self, call: Call) -> Operation:
        return self.services[call.service].operations[call.operation]
