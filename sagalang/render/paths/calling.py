"""The calls of one path: made under the faults that are still to come, and remembered."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagalang import graph as g
from sagalang.graph.undoing import NOTHING
from sagalang.machine import calls
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.cast import ORCHESTRATOR
from sagalang.render.diagram import Item, Message, MessageKind
from sagalang.render.paths.attempts import Lines, late
from sagalang.render.paths.luck import Luck
from sagalang.render.paths.trial import Service, Trial, attempt_call
from sagalang.render.strokes import Strokes


@dataclass(slots=True)
class Memory:
    """What the picture must remember of a step: its service, and its call if nobody knows."""

    service: Service
    first: p.Ms = 0
    unanswered: p.Ms | None = None
    unknown: bool = False


@dataclass(slots=True)
class Calling:
    """`now`: simulated time, as far as a picture knows it."""

    program: p.Program
    strokes: Strokes
    luck: Luck
    shown: words.Shown
    now: p.Ms = 0
    memory: dict[str, Memory] = field(default_factory=dict)

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
    ) -> Trial:
        """What the machine does about the call; time passes."""
        probe = operation.probe
        asked = probe.label if probe is not None else ""
        trial = attempt_call(
            config,
            service,
            self.luck.strike(operation.label, path, undo=undo),
            self.luck.strike(asked, path, undo=undo, probe=True),
            self.now,
            known,
        )
        self.now = trial.ended
        return trial

    def lines(self, step: p.Step, operation: p.Operation) -> Lines:
        sent, answered = self.strokes.call(step), self.strokes.reply(step)
        timeout = step.policy.timeout or p.DEFAULT_TIMEOUT
        return Lines(sent, answered, self.question(operation, sent), timeout)

    def question(self, operation: p.Operation, sent: Message) -> Message | None:
        probe = operation.probe
        if probe is None:
            return None
        text = words.call_text(self.program.operation(probe), probe)
        to = self.strokes.cast.joined(probe.service)
        kind = MessageKind.CALL
        return Message(ORCHESTRATOR, to, f"{text}: did it happen?", kind, sent.path, sent.span)

    def strays(self, step: p.Step, owed: g.Undo) -> tuple[Item, ...]:
        """Copies that are still under way and that nothing will have to refuse."""
        memory = self.memory[step.path]
        if not memory.service.late or (memory.unknown and owed != NOTHING):
            return ()
        known = memory.service.stored or (
            memory.service.happened and memory.service.operation.promises.idempotent
        )
        copies = len(memory.service.late)
        memory.service.late.clear()
        if memory.service.refused is not None and known:
            what = "is refused again, its key is known"
        else:
            what = "changes nothing, it is known" if known else "takes effect"
        sent = self.strokes.call(step)
        return tuple(late(sent, what) for _ in range(copies))[:1]
