"""Plays a fault script on the interpreter, in simulated time, and says what it broke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from msgspec.structs import replace

from sagalang.graph.structure import bodies, statements
from sagalang.interpret import run as interpret
from sagalang.machine import events as m
from sagalang.machine.frozen import FrozenMap
from sagalang.model import program as p
from sagalang.runtime import journal as j
from sagalang.runtime.codec import encode, freeze, parse
from sagalang.runtime.fake_relations import Relations
from sagalang.runtime.fault_replay import Played, play
from sagalang.runtime.fault_script import Script, event_value, saga_args
from sagalang.runtime.values import Values
from sagalang.verify.world import Breach


@dataclass(frozen=True)
class Did:
    """A step as it ran. `belief`: what the saga holds of it in the end: `done`, `not done`,
    `undone`, `unknown`, `open`. `effects`: those that its service has of it. `key` is the step's,
    whether its service wants one or not."""

    saga_id: str
    place: m.Place
    step: p.Step
    label: str
    key: str | None
    args: tuple[Any, ...]
    belief: str
    effects: int
    alike: int
    """How many steps the service cannot tell from this one, itself included."""


@dataclass(frozen=True)
class Replay:
    """A script that was played. `left`: effects that the saga does not stand by; `twice`: steps
    with more effects than one."""

    program: p.Program
    script: Script
    played: Played

    @property
    def outcome(self) -> m.SagaOutcome | None:
        ended: m.SagaOutcome | None = getattr(self.played.result, "outcome", None)
        return ended

    @property
    def journal(self) -> tuple[j.Entry, ...]:
        return self.played.journal

    @cached_property
    def steps(self) -> tuple[Did, ...]:
        return tuple(_steps(self.program, self.played))

    @property
    def left(self) -> tuple[Did, ...]:
        undone = isinstance(self.outcome, m.Compensated)
        return tuple(did for did in self.steps if _is_left(did, undone=undone))

    @property
    def twice(self) -> tuple[Did, ...]:
        return tuple(d for d in self.steps if d.effects > d.alike and not d.step.best_effort)


def _is_left(did: Did, *, undone: bool) -> bool:
    if did.step.best_effort or not did.effects:
        return False
    if did.belief in ("undone", "not done"):
        return True
    accepted = isinstance(did.step.compensation, p.NoCompensation)
    return undone and did.belief in ("done", "unknown") and not accepted


class Theatre:
    """Where scripts of one program are played."""

    def __init__(self, program: p.Program) -> None:
        self.program = program
        self.values = Values(program)
        self.relations = Relations(program, self.values)

    def play(self, script: Script, args: Mapping[str, Any] | None = None) -> Replay:
        """`args`: instead of the script's input. The script was checked."""
        program, values = self.program, self.values
        given = saga_args(script, program, values) if args is None else args
        sends = [
            interpret.Send(event.event, event_value(values, event), event.after)
            for event in script.events
        ]
        # Only a saga that others run lacks an id of its own.
        own_id = program.sagas[script.saga].id is not None
        saga_id = None if own_id else script.saga
        played = play(
            program,
            script,
            lambda engine: interpret.begin(
                program, script.saga, given or {}, engine=engine, saga_id=saga_id, values=values
            ),
            sends=sends,
            values=values,
            relations=self.relations,
        )
        return Replay(program, script, played)

    def plain_args(self, saga: str, args: Mapping[str, Any]) -> FrozenMap:
        """The arguments as JSON, for a script's `input`."""
        params = self.program.sagas[saga].params
        made = {}
        for param in params:
            text = encode(args[param.name], self.values.python_type(param.type))
            made[param.wire] = freeze(parse(text))
        return FrozenMap(made)


def replayed(
    program: p.Program, saga: str, args: Mapping[str, Any] | None, script: Script
) -> Replay:
    """Play a script on the interpreter in simulated time. `args`: instead of the script's input."""
    return Theatre(program).play(replace(script, saga=saga), args)


# --- What became of each step --------------------------------------------------------------------


def _steps(program: p.Program, played: Played) -> list[Did]:
    sagas: dict[str, str] = {}
    intents: dict[tuple[str, m.Place], j.Intent] = {}
    beliefs: dict[tuple[str, m.Place], str] = {}
    for entry in played.journal:
        match entry:
            case j.SagaStarted(saga=saga):
                sagas[entry.saga_id] = saga
            case j.Intent(place=place, purpose=m.Purpose.STEP | m.Purpose.COMPENSATE):
                if entry.purpose is m.Purpose.STEP:
                    intents[entry.saga_id, place] = entry
                beliefs[entry.saga_id, place] = "open"
            case j.OutcomeRecorded(place=place, purpose=purpose, kind=kind):
                beliefs[entry.saga_id, place] = _belief(purpose, kind)
            case _:
                pass

    def which(label: str, key: str | None, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """What its service tells effects apart by: the key, or without one the input."""
        keyed = operation_of(program, label).promises.keyed
        return (label, key) if keyed else (label, None, args)

    commands = {at: e for at, e in intents.items() if not operation_of(program, e.label).is_query}
    every = {at: which(e.label, e.key, e.args) for at, e in commands.items()}
    alike = Counter(every.values())
    effects = Counter(which(e.operation, e.key, e.args) for e in played.world.left())
    made = []
    for (saga_id, place), intent in commands.items():
        mine = every[saga_id, place]
        step = statement(program, sagas[saga_id], place.path)
        assert isinstance(step, p.Step)
        made.append(
            Did(
                saga_id,
                place,
                step,
                intent.label,
                intent.key,
                intent.args,
                beliefs[saga_id, place],
                effects[mine],
                alike[mine],
            )
        )
    return made


def _belief(purpose: m.Purpose, kind: str) -> str:
    if purpose is m.Purpose.COMPENSATE:
        return "undone" if kind == "ok" else "unknown"
    return {"ok": "done", "rejected": "not done", "not sent": "not done"}.get(kind, "unknown")


def operation_of(program: p.Program, label: str) -> p.Operation:
    """The operation that is called `Service.operation`."""
    service, _, name = label.partition(".")
    return program.services[service].operations[name]


def statement(program: p.Program, saga: str, path: str) -> p.Statement | None:
    """The saga's statement of this path."""
    every = (one for body in bodies(program.sagas[saga]) for one in statements(body))
    return next((one for one in every if getattr(one, "path", None) == path), None)


# --- Whether it is a breach ----------------------------------------------------------------------


def shows(replay: Replay, breach: Breach) -> bool | None:
    """Whether the run broke what the breach says. None: from outside this cannot be seen."""
    path = "" if breach.at is None else breach.at[1].path
    steps = [did for did in replay.steps if did.place.path == path]
    match breach.rule:
        case "left":
            if any(did in replay.left for did in steps):
                return True
            doubtful = any(
                did.belief == "unknown" and not isinstance(did.step.compensation, p.NoCompensation)
                for did in steps
            )
            return isinstance(replay.outcome, m.Compensated) and doubtful
        case "done-twice":
            return any(did in replay.twice for did in steps)
        case "not-done":
            ended = isinstance(replay.outcome, m.Completed)
            return ended and any(did.belief == "done" and not did.effects for did in steps)
        case "forgotten":
            ended = not isinstance(replay.outcome, m.Escalated)
            return ended and any(did.belief in ("open", "unknown") for did in steps)
        case "stuck" | "endless":
            return replay.outcome is None
        case _:
            return None
