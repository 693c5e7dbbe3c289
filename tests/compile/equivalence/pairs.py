"""One saga and one script: run interpreted and compiled in worlds that are alike, and compared."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from random import Random
from types import ModuleType
from typing import Any, Final

from sagalang.interpret import run as interpret
from sagalang.machine.events import Escalated
from sagalang.model.program import Program
from sagalang.runtime import saga as compiled
from sagalang.runtime.clock import DeadlockError, SimulatedClock, simulated
from sagalang.runtime.codec import decode, encode
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.entry_types import ModuleTypes, ProgramTypes, Types
from sagalang.runtime.fake_relations import Relations
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.fault_replay import START, EndlessError, watch
from sagalang.runtime.fault_script import Scripted, ScriptedEvent, check, event_value, saga_args
from sagalang.runtime.saga_main import decode_arguments
from sagalang.runtime.values import Values
from sagalang.workspace import load_text

from ..twin import NO_CRASH, Recorder, Sent, compile_to_module, entries, plain
from .people import answer
from .scripts import Case, write_case

MAIN: Final = "Main"


class NotASaga(Exception):  # noqa: N818 - an outcome
    """The text has errors."""


class Difference(AssertionError):  # noqa: N818 - an outcome
    """Interpreted and compiled took different courses."""

    def __init__(self, text: str, case: Case | None, how: str) -> None:
        script = "" if case is None else write_case(case)
        super().__init__(f"{how}\n\n{text}\n{script}")
        self.text, self.case, self.how = text, case, how

    def __reduce__(self) -> tuple[Any, ...]:
        return Difference, (self.text, self.case, self.how)


@dataclass(frozen=True)
class Course:
    """Everything that can be told of a run, without the classes that its values have."""

    outcome: Any
    sent: tuple[Sent, ...]
    journal: tuple[str, ...]
    ended: int
    owed: Any
    ledger: Any
    unused: Any
    answered: tuple[str, ...]
    """What became of what people said."""
    problem: str = ""
    """Why it did not end, if it did not."""


class Subject:
    """A saga in both forms, and what many runs of it share. Raises `NotASaga`."""

    def __init__(
        self, text: str, compile_: Callable[[Program], ModuleType] = compile_to_module
    ) -> None:
        loaded = load_text(text, "random.saga")
        if loaded.has_errors:
            raise NotASaga([found.message for found in loaded.diagnostics if found.is_error])
        self.text, self.program = text, loaded.program
        self.values = Values(self.program)
        self.relations = Relations(self.program, self.values)
        try:
            self.module = compile_(self.program)
        except Exception as error:
            raise Difference(text, None, f"it does not compile: {error!r}") from error

    def interpreted(self, case: Case) -> Course:
        values, script = self.values, case.script
        args = saga_args(script, self.program, values) or {}
        sends = [
            interpret.Send(event.event, event_value(values, event), event.after)
            for event in script.events
        ]

        def begin(engine: MemoryEngine) -> interpret.Run:
            return interpret.begin(self.program, script.saga, args, engine=engine, values=values)

        return self._played(case, begin, sends, ProgramTypes(self.program, values))

    def compiled(self, case: Case, module: ModuleType | None = None) -> Course:
        found, script = module or self.module, case.script
        definition = next(
            value
            for value in vars(found).values()
            if isinstance(value, compiled.SagaDefinition) and value.name == script.saga
        )
        call = decode_arguments(definition, encode(script.input, Any))
        sends = [compiled.Send(_event(found, event), event.after) for event in script.events]
        types = ModuleTypes.around(definition)
        return self._played(case, lambda engine: compiled.begin(call, engine=engine), sends, types)

    def compare(self, case: Case, told: Course | None = None) -> Course:
        """Run both; the interpreted course. Raises `Difference`."""
        check(case.script, self.program, self.values)
        how = "interpreted"
        try:
            one = told or self.interpreted(case)
            how = "compiled"
            other = self.compiled(case)
        except Exception as error:
            raise Difference(self.text, case, f"{how}, it breaks: {error!r}") from error
        if one != other:
            raise Difference(self.text, case, difference(one, other))
        return one

    def _played(
        self,
        case: Case,
        begin: Callable[[MemoryEngine], Any],
        sends: Sequence[Any],
        types: Types,
    ) -> Course:
        script, clock = case.script, SimulatedClock(START)
        world = FakeWorld(self.program, case.seed, values=self.values, relations=self.relations)
        latency = (script.latency, script.latency + case.spread)
        scripted = Scripted(FakeTransport(world, clock, latency), world, clock, script)
        recorder = Recorder(scripted, clock, NO_CRASH)
        engine = MemoryEngine(clock, recorder, Random(case.seed).random, watch)
        ended = START
        answered: list[str] = []

        async def main(_: SimulatedClock) -> Any:
            nonlocal ended
            begun = begin(engine)
            scripted.crash = lambda: engine.crash(begun.saga_id)
            try:
                result = await begun.result(sends, script.cancel)
                for said in case.answers:
                    if not isinstance(result.outcome, Escalated):
                        break
                    await clock.sleep_until(clock.now() + said.after)
                    answered.append(answer(begun, said, self.program, types))
                    result = await begun.result()
                return result
            finally:
                ended = clock.now()
                scripted.settle()

        result, problem = None, ""
        try:
            result = simulated(main, start=START)
        except EndlessError as endless:
            problem = str(endless)
        except DeadlockError:
            problem = "nothing can happen any more"
        return Course(
            plain(getattr(result, "outcome", None)),
            tuple(recorder.sent),
            entries(engine.journal),
            ended - START,
            plain(getattr(result, "owed", ())),
            plain([(e.operation, e.args, e.key, e.effect, e.calls) for e in world.ledger]),
            scripted.unused,
            tuple(answered),
            problem,
        )


def _event(module: ModuleType, event: ScriptedEvent) -> Any:
    return decode(encode(event.fields or {}, Any), getattr(module, event.event))


def difference(one: Course, other: Course) -> str:
    """Where two courses part, in a few lines: - interpreted, + compiled."""
    lines = []
    for found in fields(Course):
        left, right = getattr(one, found.name), getattr(other, found.name)
        if left == right:
            continue
        if found.name in ("journal", "sent"):
            texts = [[str(item) for item in items] for items in (left, right)]
            parted = list(difflib.unified_diff(*texts, "interpreted", "compiled", "", "", 1, ""))
            lines += [f"{found.name}:", *parted[:12]]
        else:
            lines.append(f"{found.name}: interpreted {left!r}, compiled {right!r}")
    return "\n".join(lines)
