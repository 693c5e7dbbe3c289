"""What goes wrong in one run, as data: a fault script, and what the world is like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.runtime.codec import decode, encode
from sagalang.runtime.fault_script import VERSION, Kind, Script, ScriptedEvent, ScriptedFault

from .choices import Choices

COMMANDS_ONLY: Final = frozenset({Kind.LATE, Kind.DUPLICATED, Kind.CRASH_DURING})


class Answer(Struct, frozen=True, omit_defaults=True):
    """What a person says `after` ms to a run that ended escalated, of the `item`-th thing that is
    open in it or in a saga below it. `how`: as `How`, or `cancel`. `value`: what the value that is
    given is made of, if one is."""

    how: str
    item: int = 0
    after: int = 0
    value: int | None = None


class Case(Struct, frozen=True, omit_defaults=True):
    """One run. `seed`: of the jitter and of what fakes make up. `spread`: every answer takes the
    script's latency and up to so many ms more. `answers`: one each time it ends escalated."""

    script: Script
    seed: int = 0
    spread: int = 0
    answers: tuple[Answer, ...] = ()


def read_case(data: bytes) -> Case:
    found: Case = decode(data, Case, strict=True)
    return found


def write_case(case: Case) -> str:
    return msgspec.json.format(encode(case, Case), indent=2).decode() + "\n"


def nodes(value: Any) -> Iterator[Any]:
    """All nodes of a tree, this one first."""
    match value:
        case Struct():
            yield value
            for name in value.__struct_fields__:
                yield from nodes(getattr(value, name))
        case tuple():
            for item in value:
                yield from nodes(item)


class CaseMaker:
    """Writes random cases of the sagas of one program. `people`: the chance of what they say, by
    itself, so that nothing else depends on it."""

    def __init__(self, choices: Choices, program: p.Program, people: Choices | None = None) -> None:
        self.choices = choices
        self.people = people or choices
        self.program = program
        self.operations = [o for s in program.services.values() for o in s.operations.values()]
        sagas = tuple(program.sagas.values())
        called = {n.call.label for n in nodes(sagas) if isinstance(n, p.Step | p.Poll)}
        self.called = [o for o in self.operations if o.label in called]
        self.undoing = [o for o in self.operations if o.promises.absent_ok]

    def case(self, saga: p.Saga) -> Case:
        chance, pick = self.choices.chance, self.choices.pick
        given = {param.wire: self.value(param.type) for param in saga.params}
        faults: list[ScriptedFault] = []
        if self.operations:
            count = self.choices.weighted((2, 0), (4, 1), (5, 2), (4, 3), (2, 5))
            faults = [self.fault()] if count else []
            while len(faults) < count:
                again = faults[-1] if self.choices.chance(45) else None
                faults.append(self.fault(again))
        events: list[ScriptedEvent] = []
        if self.program.events:
            for _ in range(pick(0, 1, 2, 3)):
                events += self.event(events)
        cancel = pick(5, 15, 25, 45, 90, 150, 400, 1_500, 20_000) if chance(18) else None
        script = Script(
            VERSION, saga.name, given, tuple(faults), tuple(events), cancel, pick(0, 10, 20, 45)
        )
        answers = tuple(self.answer() for _ in range(self.people.pick(0, 1, 2, 3)))
        return Case(script, pick(0, 1, 2, 3), pick(0, 0, 7, 60), answers)

    def answer(self) -> Answer:
        choices = self.people
        how = choices.weighted((6, "retry"), (5, "done"), (3, "not done"), (1, "cancel"))
        value = choices.number(0, 99) if how == "done" and choices.chance(80) else None
        after = choices.pick(0, 30, 2_000, 7_200_000)
        return Answer(how, choices.weighted((4, 0), (2, 1), (1, 2)), after, value)

    def fault(self, before: ScriptedFault | None = None) -> ScriptedFault:
        """Something that goes wrong; with the call of `before`, after that."""
        choices = self.choices
        often = choices.weighted(
            (12 if self.called else 0, self.called),
            (4 if self.undoing else 0, self.undoing),
            (1, self.operations),
        )
        operation = choices.of(often)
        call = choices.weighted((6, 1), (2, 2), (1, 3))
        attempt = choices.weighted((6, 1), (1, 2))
        if before is not None:
            operation = next(o for o in self.operations if o.label == before.operation)
            call, attempt = before.call, before.attempt + before.times
        kinds = [
            (8, Kind.ANSWER_LOST),
            (9, Kind.REQUEST_LOST),
            (5, Kind.NOT_SENT),
            (3, Kind.STRANGE_ANSWER),
            (3, Kind.CRASH_BEFORE),
            (4, Kind.CRASH_AFTER),
            (24 if operation.rejects else 0, Kind.REJECTS),
            (8 if operation.result != t.NULL else 0, Kind.ANSWERS),
            (0 if operation.is_query else 4, Kind.LATE),
            (0 if operation.is_query else 3, Kind.DUPLICATED),
            (0 if operation.is_query else 2, Kind.CRASH_DURING),
        ]
        kind = choices.weighted(*kinds)
        error, fields = None, None
        if kind is Kind.REJECTS:
            error = choices.of([found.error for found in operation.rejects])
            declared = self.program.errors[error].fields
            if declared and choices.chance(70):
                fields = {field.wire: self.value(field.type) for field in declared}
        after = None
        if kind in (Kind.LATE, Kind.CRASH_DURING):
            least = operation.promises.lands_within
            after = choices.pick(5, 300, 1_500) if least is None or least > 1_500 else 300
        return ScriptedFault(
            operation.label,
            kind,
            call=call,
            attempt=attempt,
            times=choices.weighted((6, 1), (2, 2), (1, 5), (1, 40)),
            error=error,
            fields=fields,
            value=self.value(operation.result) if kind is Kind.ANSWERS else None,
            after=after,
        )

    def event(self, before: list[ScriptedEvent]) -> list[ScriptedEvent]:
        """An event, early or late; or one that came before, once more."""
        choices = self.choices
        after = choices.pick(0, 10, 50, 200, 1_000, 4_900, 30_000, 100_000)
        if before and choices.chance(20):
            again = choices.of(before)
            return [ScriptedEvent(again.event, again.fields, after)]
        record = choices.of(list(self.program.events.values()))
        fields = {field.wire: self.value(field.type) for field in record.fields}
        return [ScriptedEvent(record.name, fields, after)]

    def value(self, type_: t.Type) -> Any:
        """A value as JSON has it."""
        pick, number = self.choices.pick, self.choices.number
        match type_:
            case t.Secret(item):
                return self.value(item)
            case t.Optional(item):
                return self.value(item) if self.choices.chance(60) else None
            case t.ListOf(item):
                return [self.value(item) for _ in range(number(0, 3))]
            case t.MapOf(item):
                return {name: self.value(item) for name in ("a", "b c")[: number(0, 2)]}
            case t.EnumRef(name):
                return self.choices.of([wire for _, wire in self.program.enums[name].members])
            case t.RecordRef(name):
                tables = (self.program.records, self.program.errors, self.program.events)
                record = next(table[name] for table in tables if name in table)
                made = {field.wire: self.value(field.type) for field in record.fields}
                return {wire: value for wire, value in made.items() if value is not None}
            case t.InlineRecord(fields):
                made = {wire: self.value(kind) for _, kind, wire in fields}
                return {wire: value for wire, value in made.items() if value is not None}
        match type_:
            case t.STRING | t.KEY:
                return pick("a", "b", "", 'é {"x"}')
            case t.INT:
                return pick(0, 1, 2, 7, 13, -3)
            case t.DECIMAL:
                return pick("0", "1.50", "0.1", "1000.01", "-2", "3")
            case t.BOOL:
                return pick(False, True)
            case t.DURATION:
                return pick("PT0S", "PT0.05S", "PT2S", "PT1M")
            case t.DATETIME:
                return pick("2030-01-01T00:00:00Z", "2030-01-01T00:00:01.5Z")
            case t.UUID:
                return pick(*(f"{n}f9e3b66-7a2b-5c55-9e5e-0d7c3ad7b2a{n}" for n in (0, 1)))
            case _:
                return pick({}, {"a": 1}, [1, "x"], "j")
