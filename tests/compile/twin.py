"""Runs a saga twice, interpreted and compiled, in worlds that are alike, and compares."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from random import Random
from types import ModuleType
from typing import Any

import msgspec

from sagalang.compile import Compiled, GeneratedFile, compile_program
from sagalang.interpret import run as interpret
from sagalang.machine import events as m
from sagalang.model.program import Program
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.codec import decode, encode
from sagalang.runtime.contract import Request
from sagalang.runtime.data import field_name, member_name
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.journal import Interrupted, TimerEnded
from sagalang.runtime.saga_main import decode_arguments
from sagalang.runtime.saga_values import to_json
from sagalang.runtime.values import Values
from sagalang.workspace import load_text

Compile = Callable[[Program], Compiled]


def one_file(program: Program, compile_: Compile = compile_program) -> GeneratedFile:
    """The program as a single module, what it imports included."""
    made = compile_(program)
    assert made.problems == ()
    (file,) = made.files
    return file


def compile_to_module(program: Program, compile_: Compile = compile_program) -> ModuleType:
    """The compiled program, imported under a name of its own."""
    file = one_file(program, compile_)
    name = "compiled_" + sha256(file.text.encode()).hexdigest()[:16]
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(file.text, file.path, "exec"), module.__dict__)
    return module


def checked(text: str) -> Program:
    loaded = load_text(text, "test.saga")
    assert not loaded.has_errors, [d.message for d in loaded.diagnostics if d.is_error]
    return loaded.program


@dataclass(frozen=True)
class Sent:
    """One attempt that left: what, with which arguments, under which key, and when."""

    label: str
    args: str
    key: str | None
    attempt: int
    at: int


@dataclass(frozen=True)
class Told:
    """What came of a run, without the classes that its values have."""

    outcome: Any
    sent: tuple[Sent, ...]
    journal: tuple[str, ...]
    ended: int
    owed: tuple[Any, ...]


@dataclass(frozen=True)
class Signal:
    """An event from outside; `fields` as JSON."""

    event: str
    fields: str
    after: int = 0
    id: str | None = None


class Recorder:
    """A transport that writes down what goes through it, and lets the orchestrator crash."""

    def __init__(
        self, inner: Any, clock: SimulatedClock, crash: Callable[[Request], str | None]
    ) -> None:
        self.inner = inner
        self.clock = clock
        self.crash = crash
        self.engine: MemoryEngine | None = None
        self.saga_id = ""
        self.sent: list[Sent] = []

    async def call(self, request: Request) -> Any:
        args = repr(plain(request.args))
        label = request.contract.label
        self.sent.append(Sent(label, args, request.key, request.attempt, self.clock.now()))
        when = self.crash(request)
        if when == "after":
            await self.inner.call(request)
        if when is not None:
            assert self.engine is not None
            self.engine.crash(self.saga_id)
            await asyncio.get_running_loop().create_future()
        return await self.inner.call(request)

    async def aclose(self) -> None:
        pass


def plain(value: Any) -> Any:
    """A value without its class: records as lists of pairs, errors by their fields."""
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, Enum):
        return member_name(value) if isinstance(value.value, str) else value.value
    if isinstance(value, m.Place | m.OpenItem | m.Completed | m.Compensated | m.Escalated):
        return (
            type(value).__name__,
            *(plain(getattr(value, name)) for name in value.__struct_fields__),
        )
    if isinstance(value, BaseException) and not dataclasses.is_dataclass(value):
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        names = [field.metadata.get("name", field_name(field.name)) for field in fields]
        values = [plain(getattr(value, field.name)) for field in fields]
        return list(zip(names, values, strict=True)) or None
    if isinstance(value, msgspec.Struct):
        attrs = value.__struct_fields__
        return [(field_name(attr), plain(getattr(value, attr))) for attr in attrs] or None
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def entry(found: Any) -> str:
    return f"{type(found).__name__} {plain(found)}"


def entries(journal: Sequence[Any]) -> tuple[str, ...]:
    """The journal as texts. What a part that is taken down ends at one moment stands in the order
    of the text: the machine ends iterations in the order in which they last moved."""
    found: list[str] = []
    ending: list[str] = []
    for made in journal:
        text = entry(made)
        ends = isinstance(made, Interrupted) or (isinstance(made, TimerEnded) and made.stopped)
        if ends:
            ending.append(text)
            continue
        found += [*sorted(ending), text]
        ending = []
    return tuple(found + sorted(ending))


NO_CRASH: Callable[[Request], str | None] = lambda request: None  # noqa: E731


def run_both(
    program: Program,
    json_input: str,
    *,
    saga: str | None = None,
    faults: Callable[[Values], Sequence[PlannedFault]] = lambda values: (),
    signals: Sequence[Signal] = (),
    cancel_after: int | None = None,
    crash: Callable[[], Callable[[Request], str | None]] = lambda: NO_CRASH,
    module: ModuleType | None = None,
    latency: Any = 20,
    seed: int = 1,
) -> tuple[Told, Told]:
    """(interpreted, compiled)"""
    name = saga or next(iter(program.sagas))
    values = Values(program)

    def told(recorder: Recorder, result: Any, clock: SimulatedClock) -> Told:
        outcome = result.outcome
        return Told(
            plain(outcome),
            tuple(recorder.sent),
            entries(result.journal),
            clock.now(),
            tuple(plain(item) for item in result.owed),
        )

    def world(clock: SimulatedClock) -> tuple[MemoryEngine, Recorder]:
        fakes = FakeWorld(program, seed, values=values, faults=faults(values))
        recorder = Recorder(FakeTransport(fakes, clock, latency), clock, crash())
        draw = Random(seed)
        recorder.engine = MemoryEngine(clock, recorder, draw.random)
        return recorder.engine, recorder

    async def interpreted(clock: SimulatedClock) -> Told:
        from sagalang.runtime.values import decode_input

        engine, recorder = world(clock)
        args = decode_input(values, program.sagas[name], json_input)
        sends = []
        for signal in signals:
            type_ = values.python_type(_event_type(signal.event))
            sends.append(
                interpret.Send(signal.event, decode(signal.fields, type_), signal.after, signal.id)
            )
        began = interpret.begin(program, name, args, engine=engine, values=values)
        recorder.saga_id = began.saga_id
        result = await began.result(sends, cancel_after)
        return told(recorder, result, clock)

    async def generated(clock: SimulatedClock) -> Told:
        made = module or compile_to_module(program)
        engine, recorder = world(clock)
        definition = next(
            found
            for found in vars(made).values()
            if isinstance(found, compiled.SagaDefinition) and found.name == name
        )
        call = decode_arguments(definition, json_input)
        sends = [
            compiled.Send(
                decode(signal.fields, event_class(made, signal.event)), signal.after, signal.id
            )
            for signal in signals
        ]
        began = compiled.begin(call, engine=engine)
        recorder.saga_id = began.saga_id
        result = await began.result(sends, cancel_after)
        return told(recorder, result, clock)

    return simulated(interpreted), simulated(generated)


def event_class(module: ModuleType, name: str) -> type:
    """The class of an event, which may be called otherwise in Python."""
    classes = [found for found in vars(module).values() if isinstance(found, type)]
    named = [found for found in classes if vars(found).get("__event_name__") == name]
    return named[0] if named else getattr(module, name)


def _event_type(name: str) -> Any:
    from sagalang.model.types import RecordRef

    return RecordRef(name)


def same(*args: Any, **options: Any) -> Told:
    """Run both, and fail where they differ in anything; what the interpreted one told."""
    one, other = run_both(*args, **options)
    assert other.sent == one.sent
    assert other.outcome == one.outcome
    assert other.owed == one.owed
    assert other.journal == one.journal
    assert other.ended == one.ended
    return one


__all__ = ["Signal", "checked", "compile_to_module", "encode", "run_both", "same", "to_json"]
