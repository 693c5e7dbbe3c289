"""Typed programs written by hand, and a world of services that counts its effects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sagalang.interpret.run import RunResult, Send, run
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.values import Values
from sagalang.text import Span

HERE = Span("", 0, 0)

ONCE = p.Policy(timeout=1_000)
THRICE = p.Policy(timeout=1_000, retry=p.Retry(retries=2, backoff=100, factor=Decimal(2)))
FOREVER = p.Policy(timeout=1_000, retry=p.Retry(retries=None, backoff=1_000, cap=10_000))
TEAM = p.Escalation("team", 60_000, HERE)


def const(value: Any, type_: t.Type | None = None) -> p.Const:
    found: dict[type, t.Type] = {bool: t.BOOL, int: t.INT, str: t.STRING, Decimal: t.DECIMAL}
    return p.Const(value, found.get(type(value), t.UNKNOWN) if type_ is None else type_, HERE)


def ref(name: str, type_: t.Type = t.UNKNOWN) -> p.Ref:
    return p.Ref(name, type_, HERE)


def binary(operator: str, left: p.Expr, right: p.Expr, type_: t.Type = t.UNKNOWN) -> p.Binary:
    return p.Binary(operator, left, right, type_, HERE)


BAD = p.Index(p.MakeList((), t.ListOf(t.INT), HERE), const(0), t.INT, HERE)
"""An expression without a value."""

KEY = p.KeyOf(None, t.KEY, HERE)
RESULT = p.ResultOf(t.STRING, HERE)


def param(name: str, type_: t.Type = t.STRING) -> p.Param:
    return p.Param(name, type_, name, HERE)


def operation(
    label: str,
    params: Sequence[p.Param] = (),
    *,
    query: bool = False,
    result: t.Type = t.STRING,
    rejects: Sequence[str] = (),
    probe: p.Call | None = None,
    **promises: Any,
) -> p.Operation:
    service, name = label.split(".")
    return p.Operation(
        service=service,
        name=name,
        is_query=query,
        params=tuple(params),
        result=result,
        route=None,
        promises=p.Promises(**promises),
        rejects=tuple(p.Rejection(error, None, HERE) for error in rejects),
        compensation=None,
        probe=probe,
        policy=p.Policy(),
        doc="",
        span=HERE,
    )


def call(label: str, *args: p.Expr) -> p.Call:
    service, name = label.split(".")
    return p.Call(service, name, args, HERE)


def undoing(
    undo: p.Call, policy: p.Policy = p.RELENTLESS, escalate: p.Escalation | None = None
) -> p.Compensation:
    return p.Compensation(undo, False, policy, escalate)


def step(
    label: str,
    *args: p.Expr,
    path: str | None = None,
    name: str | None = None,
    policy: p.Policy = ONCE,
    undo: p.Compensation | None = None,
    escalate: p.Escalation | None = None,
    best_effort: bool = False,
    pivot: bool = False,
    after_pivot: bool = False,
) -> p.Step:
    return p.Step(
        path=path or name or label,
        name=name,
        call=call(label, *args),
        type=t.STRING,
        policy=policy,
        compensation=undo,
        escalate=escalate,
        best_effort=best_effort,
        pivot=pivot,
        after_pivot=after_pivot,
        doc="",
        span=HERE,
    )


def do(name: str, undo_policy: p.Policy = p.RELENTLESS, **options: Any) -> p.Step:
    """A step `S.do("name")` that is undone by `S.undo(key)`."""
    if not options.get("pivot") and "undo" not in options:
        options["undo"] = undoing(call("S.undo", KEY), undo_policy)
    return step("S.do", const(name), path=name, name=name, **options)


def block(*statements: p.Statement, exports: Sequence[str] = ()) -> p.Block:
    return p.Block(tuple(statements), tuple((name, t.STRING) for name in exports))


def parallel(*branches: p.Block | p.Statement) -> p.Parallel:
    made = [branch if isinstance(branch, p.Block) else block(branch) for branch in branches]
    return p.Parallel(tuple(made), HERE)


def loop(
    items: p.Expr,
    *statements: p.Statement,
    path: str = "for",
    by: p.Expr | None = None,
    at_once: int = 1,
    binds: Sequence[str] = (),
) -> p.For:
    names = tuple((name, t.STRING) for name in binds)
    return p.For(path, "x", items, by, at_once, block(*statements), names, HERE)


def strings(*items: str) -> p.MakeList:
    return p.MakeList(tuple(const(item) for item in items), t.ListOf(t.STRING), HERE)


def attempt(
    body: p.Block,
    *handlers: tuple[Sequence[str], p.Block],
    path: str = "attempt",
    binder: str | None = None,
) -> p.Attempt:
    made = tuple(p.Handler(tuple(errors), binder, inner, HERE) for errors, inner in handlers)
    return p.Attempt(path, body, made, HERE)


def abort(error: str) -> p.Abort:
    return p.Abort(error, (), HERE)


def returns(value: p.Expr) -> p.Return:
    return p.Return(value, HERE)


def wait(
    name: str,
    event: str = "Go",
    where: p.Expr | None = None,
    within: p.Ms = 10_000,
    otherwise: p.Otherwise = None,
) -> p.Wait:
    return p.Wait(name, name, event, where, within, otherwise, t.RecordRef(event), HERE)


def sleep(ms: int, path: str = "sleep") -> p.Sleep:
    from datetime import timedelta

    value = p.Const(timedelta(milliseconds=ms), t.DURATION, HERE)
    return p.Sleep(path, value, False, HERE)


def saga(
    *statements: p.Statement,
    name: str = "Main",
    params: Sequence[p.Param] = (),
    deadline: p.Ms | None = None,
    after: p.WhenCompensated | None = None,
) -> p.Saga:
    return p.Saga(
        name=name,
        params=tuple(params),
        result=t.STRING,
        id=const("id-1"),
        deadline=deadline,
        compensate_with=p.RELENTLESS,
        compensate_escalate=None,
        body=block(*statements),
        when_compensated=after,
        errors=(),
        doc="",
        span=HERE,
    )


DO = operation("S.do", [param("name")], rejects=["No"], keyed=True, records_rejections=True)
UNDO = operation("S.undo", [param("of", t.KEY)], idempotent=True, absent_ok=True, fences_late=True)


def program(
    *sagas: p.Saga,
    operations: Sequence[p.Operation] = (),
    events: Sequence[str] = ("Go",),
    constants: Sequence[p.Constant] = (),
) -> p.Program:
    services: dict[str, dict[str, p.Operation]] = {}
    for found in (DO, UNDO, *operations):
        services.setdefault(found.service, {})[found.name] = found
    number = p.Field("n", t.INT, "n", "", HERE)
    return p.Program(
        main="test.saga",
        sources={},
        events={name: p.Record(name, (number,), "", HERE) for name in events},
        services={
            name: p.Service(name, None, (), found, p.Policy(), "", "", HERE)
            for name, found in services.items()
        },
        constants={constant.name: constant for constant in constants},
        sagas={found.name: found for found in sagas},
    )


# --- A world of services -----------------------------------------------------------------------

Fault = Callable[["World", Request], "Outcome | None"]
"""What happens to one attempt: an outcome, or None for the timeout to strike."""


def ok(world: World, request: Request) -> Outcome:
    return Ok(world.take_effect(request))


def rejects(world: World, request: Request) -> Outcome:
    return Rejected(Failure("No"))


def not_sent(world: World, request: Request) -> Outcome:
    return NotSent(Failure("NotSent"))


def lost_before(world: World, request: Request) -> None:
    return None


def lost_after(world: World, request: Request) -> None:
    world.take_effect(request)


def broken_after(world: World, request: Request) -> Outcome:
    world.take_effect(request)
    return Unknown(Failure("Unavailable"))


def answers(value: Any) -> Fault:
    return lambda world, request: Ok(value)


def mismatch(world: World, request: Request) -> Outcome:
    world.take_effect(request)
    return Unknown(Failure("ContractMismatch"), repeat=False)


def crash_before(world: World, request: Request) -> None:
    world.crash()


def crash_after(world: World, request: Request) -> None:
    world.take_effect(request)
    world.crash()


@dataclass
class World:
    """Services whose commands take effect once per key; `S.undo(key)` removes the effect.

    `script`: per label, or per `label(first argument)`, what happens to the attempts in turn; the
    last one repeats, `ok` where there is none. Each attempt takes `latency` ms.
    """

    script: dict[str, list[Fault]] = field(default_factory=dict)
    latency: dict[str, int] = field(default_factory=dict)
    clock: SimulatedClock | None = None
    effects: dict[str, str] = field(default_factory=dict)
    """key: what it was done for"""
    fenced: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    """`label(first argument)` of every attempt that arrived, in order."""
    ends: list[tuple[str, str]] = field(default_factory=list)
    """('done' | 'undone', name) in the order in which it took effect."""
    keys: dict[str, list[str | None]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    crash: Callable[[], None] = lambda: None
    in_flight: int = 0
    most_in_flight: int = 0

    def subject(self, request: Request) -> str:
        label = request.contract.label
        if not request.args:
            return label
        first = request.args[0]
        return f"{label}({self.names.get(first, first)})"

    async def call(self, request: Request) -> Outcome:
        if request.key is not None and request.args and request.contract.label == "S.do":
            self.names[request.key] = str(request.args[0])
        subject = self.subject(request)
        self.log.append(subject)
        self.keys.setdefault(subject, []).append(request.key)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, subject)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: Request, subject: str) -> Outcome:
        assert self.clock is not None
        label = request.contract.label
        latency = self.latency.get(subject, self.latency.get(label, 10))
        await self.clock.sleep_until(self.clock.now() + latency)
        faults = self.script.get(subject, self.script.get(label, []))
        fault = (faults.pop(0) if len(faults) > 1 else faults[0]) if faults else ok
        outcome = fault(self, request)
        if outcome is None:
            await self.clock.sleep_until(self.clock.now() + 10**9)
        assert outcome is not None
        return outcome

    async def aclose(self) -> None:
        pass

    def take_effect(self, request: Request) -> Any:
        label = request.contract.label
        if label.endswith(".undo"):
            key = request.args[0]
            self.fenced.add(key)
            if self.effects.pop(key, None) is not None:
                self.ends.append(("undone", self.names.get(key, key)))
            return None
        if request.contract.is_query or request.key is None:
            return "answer"
        if request.key not in self.effects and request.key not in self.fenced:
            name = str(request.args[0]) if request.args else label
            self.effects[request.key] = name
            self.ends.append(("done", name))
        return f"did {request.args[0] if request.args else ''}"


def execute(
    made: p.Program,
    world: World | None = None,
    *,
    saga_name: str = "Main",
    args: dict[str, Any] | None = None,
    sends: Sequence[Send] = (),
    cancel_after: int | None = None,
    draw: Callable[[], float] = lambda: 0.5,
) -> tuple[RunResult, World]:
    """Run a saga in simulated time against a world."""
    world = world or World()
    values = Values(made)

    async def main(clock: SimulatedClock) -> RunResult:
        world.clock = clock
        engine = MemoryEngine(clock, world, draw)
        world.crash = lambda: engine.crash("id-1")
        return await run(
            made,
            saga_name,
            args or {},
            engine=engine,
            sends=sends,
            cancel_after=cancel_after,
            values=values,
        )

    return simulated(main), world


def go(number: int) -> Any:
    """The value of an event `Go`; a record of the program's own classes is not needed here."""
    return Go(number)


@dataclass(frozen=True)
class Go:
    n: int


def send(number: int, after: int = 0, event: str = "Go", id_: str | None = None) -> Send:
    return Send(event, Go(number), after, id_ if id_ is not None else f"{event}-{number}-{after}")
