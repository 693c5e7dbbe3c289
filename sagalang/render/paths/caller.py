"""Who makes the calls of one path: under the faults that are still to come, with a clock that
jumps, and with a memory of what each service knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sagalang import graph as g
from sagalang.graph.undoing import NOTHING
from sagalang.machine import calls
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.cast import ORCHESTRATOR
from sagalang.render.diagram import Item, Message, MessageKind
from sagalang.render.paths.call_history import CallHistory, Service, simulate
from sagalang.render.paths.exchange import Arrows, late
from sagalang.render.paths.faults import Faults
from sagalang.render.strokes import Strokes


@dataclass(slots=True)
class Memory:
    """What the picture must remember of a step: its service, and its call if nobody knows."""

    service: Service
    first: p.Ms = 0
    unanswered: p.Ms | None = None
    unknown: bool = False


@dataclass(slots=True)
class Caller:
    """One saga as a caller. `now`: simulated time, as far as a picture knows it. `memory`: of each
    step that was begun, by its path."""

    strokes: Strokes
    faults: Faults
    now: p.Ms = 0
    memory: dict[str, Memory] = field(default_factory=dict)

    @property
    def program(self) -> p.Program:
        return self.strokes.program

    def begun(self, step: p.Step) -> Memory:
        """A step is begun; its calls are remembered from now on."""
        memory = Memory(Service(self.program.operation(step.call)), self.now)
        self.memory[step.path] = memory
        return memory

    def attempt(
        self,
        config: calls.CallConfig,
        operation: p.Operation,
        service: Service,
        path: str,
        *,
        undo: bool = False,
        known: calls.CallState | None = None,
    ) -> CallHistory:
        """What the machine does about the call; time passes."""
        probe = operation.probe
        asked = probe.label if probe is not None else ""
        history = simulate(
            config,
            service,
            self.faults.strike(operation.label, path, undo=undo),
            self.faults.strike(asked, path, undo=undo, probe=True),
            self.now,
            known,
        )
        self.now = history.ended
        return history

    def arrows(self, step: p.Step, operation: p.Operation) -> Arrows:
        sent, answered = self.strokes.call(step), self.strokes.reply(step)
        timeout = step.policy.timeout or p.DEFAULT_TIMEOUT
        return Arrows(sent, answered, self.question(operation, sent), timeout)

    def question(self, operation: p.Operation, sent: Message) -> Message | None:
        """What asks whether a call happened that nobody answered, if anything can."""
        probe = operation.probe
        if probe is None:
            return None
        text = words.call_text(self.program.operation(probe), probe)
        to = self.strokes.cast.joined(probe.service)
        kind = MessageKind.CALL
        return Message(ORCHESTRATOR, to, f"{text}: did it happen?", kind, sent.path, sent.span)

    def strays(self, step: p.Step, owed: g.Undo) -> tuple[Item, ...]:
        """A copy that is still under way and that nothing will have to refuse; one is drawn for
        all."""
        memory = self.memory[step.path]
        if not memory.service.late or (memory.unknown and owed != NOTHING):
            return ()
        known = memory.service.stored or (
            memory.service.happened and memory.service.operation.promises.idempotent
        )
        memory.service.late.clear()
        if memory.service.refused is not None and known:
            what = "is refused again, its key is known"
        else:
            what = "changes nothing, it is known" if known else "takes effect"
        return (late(self.strokes.call(step), what),)
