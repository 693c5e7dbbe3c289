"""Fault scripts: what is to go wrong in one run, as data, and the transport that lets it happen.

    script = read_script(Path("lost.json").read_bytes())
    check(script, program, values)
    transport = Scripted(FakeTransport(world, clock), world, clock, script)

A script names single attempts, so the same script makes the same run again, interpreted or
compiled. The format is described in docs/faults.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import Struct

from sagalang.diagnostics.suggest import hint
from sagalang.machine.outcomes import (
    Outcome,
)
from sagalang.model.program import Ms, Operation, Program
from sagalang.model.types import Null, RecordRef, Type
from sagalang.runtime.clock import Clock
from sagalang.runtime.codec import DecodeError, decode, encode
from sagalang.runtime.contract import Request
from sagalang.runtime.fake_transport import world_args
from sagalang.runtime.fakes import Args, FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.transport import Transport
from sagalang.runtime.values import Values, decode_input

VERSION: Final = 1


class Kind(Enum):
    """What becomes of one attempt. `ANSWERS` is no fault: the service answers a given value."""

    REJECTS = "rejects"
    ANSWERS = "answers"
    NOT_SENT = "not sent"
    REQUEST_LOST = "request lost"
    ANSWER_LOST = "answer lost"
    LATE = "late"
    DUPLICATED = "duplicated"
    STRANGE_ANSWER = "strange answer"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    CRASH_DURING = "crash during"


LATE: Final = frozenset({Kind.LATE, Kind.CRASH_DURING})
"""Those whose request is still under way when its caller no longer waits."""

_PLANTED: Final = {
    Kind.REJECTS: "rejects",
    Kind.ANSWERS: "returns",
    Kind.REQUEST_LOST: "times out before effect",
    Kind.ANSWER_LOST: "times out after effect",
    Kind.LATE: "arrives late",
    Kind.DUPLICATED: "duplicated",
    Kind.NOT_SENT: "is not sent",
    Kind.STRANGE_ANSWER: "answers nonsense",
}
"""What the fakes of scenarios call it: the kinds that the service carries out."""


class ScriptedFault(Struct, frozen=True, omit_defaults=True):
    """What becomes of attempt `attempt` of the `call`-th call of `Service.operation`.

    Both count from 1. Calls are numbered in the order in which they were first attempted; one call
    is all that is sent under one key, or, for a query, with the same arguments. Attempts are
    counted over crashes; `times` is for so many in a row. `after`: when a late request arrives, in
    ms from when it was sent.
    """

    operation: str
    kind: Kind
    call: int = 1
    attempt: int = 1
    times: int = 1
    error: str | None = None
    fields: Mapping[str, Any] | None = None
    value: Any = None
    after: Ms | None = None


class ScriptedEvent(Struct, frozen=True, omit_defaults=True):
    """`after`: ms from the start of the saga."""

    event: str
    fields: Mapping[str, Any] | None = None
    after: Ms = 0


class Script(Struct, frozen=True, omit_defaults=True):
    """What is to go wrong in one run. `input`: the saga's, as JSON; None leaves it to the caller.
    `cancel`: ms from the start. `latency`: ms that every answer takes."""

    version: int
    saga: str
    input: Any = None
    faults: tuple[ScriptedFault, ...] = ()
    events: tuple[ScriptedEvent, ...] = ()
    cancel: Ms | None = None
    latency: Ms = 0


class ScriptError(ValueError):
    """A script that cannot be carried out. The text is a sentence for the user; `advice` too."""

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice


# --- Reading and writing -----------------------------------------------------------------------


def read_script(data: bytes | str) -> Script:
    """The script that this JSON text holds. Raises `ScriptError`."""
    try:
        script: Script = decode(data, Script, strict=True)
    except DecodeError as error:
        raise ScriptError(f"this is not a fault script: {error}", _WRITTEN) from None
    if script.version != VERSION:
        raise ScriptError(
            f"the script is of version {script.version}, and this sagalang reads {VERSION}"
        )
    for index, fault in enumerate(script.faults):
        where = f"faults[{index}]"
        for name, number, least in (
            ("call", fault.call, 1),
            ("attempt", fault.attempt, 1),
            ("times", fault.times, 1),
            ("after", fault.after, 0),
        ):
            if number is not None and number < least:
                raise ScriptError(f"{where}.{name} is {number}", f"it is {least} or more")
        if (fault.error is None) == (fault.kind is Kind.REJECTS):
            which = "needs" if fault.kind is Kind.REJECTS else "takes no"
            raise ScriptError(f"{where}: `{fault.kind.value}` {which} `error`")
        if fault.fields is not None and fault.error is None:
            raise ScriptError(f"{where}: `fields` are those of an `error`")
        if fault.after is not None and fault.kind not in LATE:
            raise ScriptError(f"{where}: only a late request has an `after`")
        if fault.value is not None and fault.kind is not Kind.ANSWERS:
            raise ScriptError(f"{where}: only `answers` has a `value`")
    return script


_WRITTEN: Final = 'the smallest one is {"version": 1, "saga": "NAME"}; see docs/faults.md'


def write_script(script: Script) -> str:
    """The script as JSON text, indented."""
    return msgspec.json.format(encode(script, Script), indent=2).decode() + "\n"


def check(script: Script, program: Program, values: Values) -> None:
    """Whether the program has all that the script names. Raises `ScriptError`."""
    if script.saga not in program.sagas:
        raise ScriptError(
            f"there is no saga `{script.saga}`", hint(script.saga, program.sagas) or None
        )
    operations = _operations(program)
    for index, fault in enumerate(script.faults):
        where = f"faults[{index}]"
        operation = operations.get(fault.operation)
        if operation is None:
            raise ScriptError(
                f"{where}: there is no operation `{fault.operation}`",
                hint(fault.operation, operations) or "it is written as Service.operation",
            )
        if operation.is_query and fault.kind in (*LATE, Kind.DUPLICATED):
            raise ScriptError(
                f"{where}: `{fault.operation}` is a query, and `{fault.kind.value}` is for commands"
            )
        allowed = [rejection.error for rejection in operation.rejects]
        if fault.error is not None and fault.error not in allowed:
            raise ScriptError(
                f"{where}: `{fault.operation}` never rejects with `{fault.error}`",
                f"it rejects {', '.join(f'`{name}`' for name in allowed)}" if allowed else None,
            )
        lands = operation.promises.lands_within
        if fault.after is not None and lands is not None and fault.after > lands:
            raise ScriptError(
                f"{where}: `{fault.operation}` promises to take effect within {lands} ms, or never"
            )
        if fault.kind is Kind.ANSWERS:
            if isinstance(operation.result, Null):
                raise ScriptError(f"{where}: `{fault.operation}` answers nothing")
            _typed(values, fault.value, operation.result, f"{where}.value")
        _error_fields(program, values, fault, where)
    for index, event in enumerate(script.events):
        where = f"events[{index}]"
        if event.event not in program.events:
            raise ScriptError(
                f"{where}: there is no event `{event.event}`", hint(event.event, program.events)
            )
        event_value(values, event, where)
    saga_args(script, program, values)


def saga_args(script: Script, program: Program, values: Values) -> dict[str, Any] | None:
    """The saga's arguments; None where the script has none. Raises `ScriptError`."""
    if script.input is None:
        return None
    try:
        return decode_input(values, program.sagas[script.saga], encode(script.input, Any))
    except DecodeError as error:
        raise ScriptError(f"input is not right: {error}") from None


def event_value(values: Values, event: ScriptedEvent, where: str = "events") -> Any:
    """The event as the saga gets it. Raises `ScriptError`."""
    return _typed(values, event.fields or {}, RecordRef(event.event), f"{where}.fields")


def _typed(values: Values, plain: Any, type_: Type, where: str) -> Any:
    try:
        return decode(encode(plain, Any), values.python_type(type_))
    except DecodeError as error:
        error.hide_keys = True
        error.within(where)
        raise ScriptError(str(error)) from None


def _error_fields(
    program: Program, values: Values, fault: ScriptedFault, where: str
) -> dict[str, Any]:
    """The fields of a rejection that are given; the others are made up."""
    if not fault.fields or fault.error is None:
        return {}
    declared = program.errors.get(fault.error)
    types = {field.wire: field for field in declared.fields} if declared else {}
    found = {}
    for wire, plain in fault.fields.items():
        if wire not in types:
            raise ScriptError(
                f"{where}: `{fault.error}` has no field `{wire}`", hint(wire, types) or None
            )
        field = types[wire]
        found[field.name] = _typed(values, plain, field.type, f"{where}.fields.{wire}")
    return found


def by_attempt(script: Script) -> dict[tuple[str, int, int], int]:
    """The index of the fault that strikes, by operation, call and attempt."""
    return {
        (fault.operation, fault.call, fault.attempt + more): index
        for index, fault in enumerate(script.faults)
        for more in range(fault.times)
    }


def _operations(program: Program) -> dict[str, Operation]:
    return {o.label: o for s in program.services.values() for o in s.operations.values()}


# --- Carrying it out ---------------------------------------------------------------------------


class Attempt(Struct, frozen=True):
    """One attempt that a transport was asked for."""

    operation: str
    call: int
    attempt: int
    key: str | None
    at: Ms


class Scripted:
    """Carries a checked script out on calls into a world of fakes.

    `inner` reaches the world, in the process or over HTTP. `crash` ends the orchestrator; whoever
    begins the run sets it. `attempts` are all that were asked for, in order.
    """

    def __init__(self, inner: Transport, world: FakeWorld, clock: Clock, script: Script) -> None:
        self._inner, self._world, self._clock = inner, world, clock
        self._operations = _operations(world.program)
        self._waiting = by_attempt(script)
        self._faults = script.faults
        self._struck: set[int] = set()
        self._calls: dict[str, dict[str, int]] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._under_way: list[tuple[str, Args, str | None]] = []
        self.crash: Callable[[], None] = _nobody
        self.attempts: list[Attempt] = []

    @property
    def unused(self) -> tuple[ScriptedFault, ...]:
        """The faults that have not struck."""
        return tuple(f for i, f in enumerate(self._faults) if i not in self._struck)

    async def call(self, request: Request) -> Outcome:
        attempt = self._numbered(request)
        index = self._waiting.get((attempt.operation, attempt.call, attempt.attempt))
        if index is None:
            return await self._inner.call(request)
        self._struck.add(index)
        fault = self._faults[index]
        match fault.kind:
            case Kind.CRASH_BEFORE:
                return await self._die()
            case Kind.CRASH_AFTER:
                await self._inner.call(request)
                return await self._die()
            case Kind.CRASH_DURING:
                self._send_late(request, fault)
                return await self._die()
            case Kind.LATE:
                self._send_late(request, fault)
                return await _never()
            case _:
                with self._planted(request, index, fault):
                    return await self._inner.call(request)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def settle(self) -> None:
        """The run is over: what is still under way arrives."""
        now = self._clock.now()
        self._world.settle(now)
        for operation, args, key in self._under_way:
            self._world.deliver(operation, args, key, now)
        self._under_way.clear()
        self._world.settle()

    def _numbered(self, request: Request) -> Attempt:
        label = request.contract.label
        calls = self._calls.setdefault(label, {})
        which = request.key if request.key is not None else repr(request.args)
        call = calls.setdefault(which, len(calls) + 1)
        number = self._counts[label, call] = self._counts.get((label, call), 0) + 1
        made = Attempt(label, call, number, request.key, self._clock.now())
        self.attempts.append(made)
        return made

    async def _die(self) -> Outcome:
        self.crash()
        return await _never()  # the answer is lost with whoever waited for it

    def _send_late(self, request: Request, fault: ScriptedFault) -> None:
        """The request arrives `after` it was sent; by default as late as the contract allows."""
        label = request.contract.label
        promises = self._operations[label].promises
        after = promises.lands_within if fault.after is None else fault.after
        args, key = world_args(self._world, request), request.key if promises.keyed else None
        if after is None:
            self._under_way.append((label, args, key))
            return
        planted = PlannedFault("arrives late", label, args, after=after, key=key)
        self._world.faults.insert(0, planted)
        self._world.deliver(label, args, key, self._clock.now())

    @contextmanager
    def _planted(self, request: Request, index: int, fault: ScriptedFault) -> Iterator[None]:
        """The fault, told to the world for just this request."""
        operation = self._operations[fault.operation]
        world, values = self._world, self._world.values
        value = None
        if fault.kind is Kind.ANSWERS:
            value = _typed(values, fault.value, operation.result, "value")
        planted = PlannedFault(
            kind=_PLANTED[fault.kind],
            operation=fault.operation,
            args=world_args(world, request),
            error=fault.error,
            fields=_error_fields(world.program, values, fault, "fields"),
            value=value,
            key=request.key if operation.promises.keyed else None,
        )
        world.faults.insert(0, planted)
        try:
            yield
        finally:
            if not planted.struck:  # the service answered from memory
                world.faults.remove(planted)
                self._struck.discard(index)


def _nobody() -> None:
    raise AssertionError("`crash` is set before the first call")


async def _never() -> Outcome:
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
