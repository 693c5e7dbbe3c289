"""Random walks over the sagas of the corpus: states are values, and no run hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sagalang.interpret.run import build
from sagalang.machine import events as m
from sagalang.machine.definition import Definition
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.saga import Phase, State, advance, define, open_items, refusal, start
from sagalang.model import program as p
from sagalang.model.types import RecordRef
from sagalang.runtime.fake_values import Inventor
from sagalang.runtime.values import Values
from sagalang.workspace import load

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted(ROOT.glob("tests/corpus/correct/*.saga")),
    *sorted(ROOT.glob("tests/compile/sagas/*.saga")),
    ROOT / "examples/shop/shop.saga",
]
WALKS = 300 if os.environ.get("SAGA_SLOW") else 12
LONGEST = 400


class Walk:
    """One random run of a saga; `history` is all that happened."""

    def __init__(self, program: p.Program, saga: p.Saga, seed: int) -> None:
        self.random = Random(f"{saga.name}:{seed}")
        self.program, self.saga, self.seed = program, saga, seed
        self.values = Values(program)
        self.inventor = Inventor(program, self.values, seed)
        self.definition: Definition = define(program, saga.name, build(self.values))
        self.args = {param.name: self.value(param.type, param.name) for param in saga.params}
        self.now = 0
        self.calls: dict[tuple[m.Place, m.Purpose], m.RunCall] = {}
        self.timers: dict[tuple[m.Place, m.Timer], m.StartTimer] = {}
        self.children: dict[m.Place, m.RunChild | m.UndoChild] = {}
        self.escalated: dict[m.Place, m.RunChild | m.UndoChild] = {}
        self.history: list[m.Event] = []
        self.state, commands = start(self.definition, "id", self.args, 0)
        self.take(commands)

    def value(self, type_: Any, name: str) -> Any:
        made = self.inventor.value(type_, name, self.random.randint(0, 3))
        longer = isinstance(made, tuple) and made and self.random.random() < 0.5
        return made * 2 if longer else made

    def take(self, commands: tuple[m.Command, ...]) -> None:
        for command in commands:
            match command:
                case m.RunCall(place=place, purpose=purpose):
                    assert (place, purpose) not in self.calls
                    self.calls[place, purpose] = command
                case m.StartTimer(place=place, timer=timer):
                    assert (place, timer) not in self.timers
                    self.timers[place, timer] = command
                case m.StopTimer(place, timer):
                    self.timers.pop((place, timer), None)
                case m.RunChild(place=place) | m.UndoChild(place=place):
                    assert place not in self.children
                    self.escalated.pop(place, None)
                    self.children[place] = command
                case m.CancelChild(place):
                    # One that ended escalated takes it in and ends once more.
                    if place in self.escalated:
                        self.children[place] = self.escalated.pop(place)

    def event(self) -> m.Event | None:
        """Something that can happen now; None where only a person could move the run."""
        choices = [*self.calls, *self.timers, *self.children]
        if self.state.phase is Phase.OVER or self.random.random() < 0.05:
            extra = self.outside()
            if extra is not None:
                return extra
        if not choices or self.state.phase is Phase.OVER:
            return None
        chosen = self.random.choice(choices)
        if chosen in self.calls:
            return self.ended(self.calls.pop(chosen))
        if chosen in self.timers:
            timer = self.timers.pop(chosen)
            self.now = max(self.now, timer.at)
            return m.TimerFired(self.now, timer.place, timer.timer)
        return self.child_ended(self.children.pop(chosen))  # type: ignore[call-overload]

    def outside(self) -> m.Event | None:
        kind = self.random.choice(["settle", "settle", "child", "event", "cancel"])
        items = list(open_items(self.definition, self.state))
        if kind == "settle" and items:
            item = self.random.choice(items)
            how = self.random.choice(list(m.How))
            value = self.result_of(item.place)
            event = m.Settle(self.now, item.place, item.purpose, how, value)
            if refusal(self.definition, self.state, event) is None:
                return event
        if kind == "child" and self.escalated:
            place = self.random.choice(list(self.escalated))
            return self.child_ended(self.escalated.pop(place))
        if kind == "event" and self.program.events:
            name = self.random.choice(list(self.program.events))
            value = self.inventor.record(RecordRef(name), {}, self.random.randint(0, 9))
            return m.EventReceived(self.now, name, str(self.random.randint(0, 9)), value)
        if kind == "cancel" and self.random.random() < 0.3:
            return m.CancelRequested(self.now)
        return None

    def result_of(self, place: m.Place) -> Any:
        match self.definition.statements.get(place.path):
            case p.Step(call=call):
                return self.value(self.program.operation(call).result, "given")
            case p.Wait(event=event):
                return self.inventor.record(RecordRef(event), {}, 1)
            case p.ChildStep(type=type_) | p.Poll(type=type_):
                return self.value(type_, "given")
            case _:
                return None

    def ended(self, call: m.RunCall) -> m.Event:
        self.now += self.random.randint(0, 50)
        operation = self.program.services[call.service].operations[call.operation]
        roll = self.random.random()
        outcome: Outcome
        unanswered = None
        if roll < 0.7:
            outcome = Ok(self.value(operation.result, operation.name))
        elif roll < 0.8 and operation.rejects:
            error = self.random.choice(operation.rejects).error
            outcome = Rejected(Failure(error, self.inventor.record(RecordRef(error), {}, 1)))
        elif roll < 0.85:
            outcome = NotSent(Failure("CircuitOpen"))
        else:
            outcome, unanswered = Unknown(Failure("Timeout")), self.now
        return m.CallEnded(self.now, call.place, call.purpose, outcome, unanswered)

    def child_ended(self, child: m.RunChild | m.UndoChild) -> m.Event:
        roll = self.random.random()
        undone = isinstance(child, m.UndoChild)
        result = self.program.sagas[child.saga].result
        outcome: m.SagaOutcome
        if roll < 0.2:
            self.escalated[child.place] = child
            item = m.OpenItem(m.Place("x"), m.Purpose.STEP, "x", Failure("Timeout"))
            outcome = m.Escalated((item,))
        elif undone or roll < 0.5:
            outcome = m.Compensated(Failure("Cancelled"))
        else:
            outcome = m.Completed(None if result is None else self.value(result, "child"))
        purpose = m.Purpose.COMPENSATE if undone else m.Purpose.STEP
        return m.ChildEnded(self.now, child.place, purpose, outcome)

    def __iter__(self) -> Iterator[tuple[State, m.Event]]:
        """The states on the way, each with what happens then."""
        for _ in range(LONGEST):
            event = self.event()
            if event is None:
                if self.state.phase is Phase.OVER and not isinstance(
                    self.state.outcome, m.Escalated
                ):
                    return
                assert self.calls or self.timers or self.children or self.state.outcome, "it hangs"
                continue
            before = self.state
            self.history.append(event)
            self.state, commands = advance(self.definition, before, event)
            self.take(commands)
            yield before, event


def sagas(path: Path) -> tuple[p.Program, list[p.Saga]]:
    loaded = load(str(path))
    assert not loaded.has_errors
    return loaded.program, list(loaded.program.sagas.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_states_are_values_and_equal_histories_give_equal_states(path: Path) -> None:
    program, found = sagas(path)
    for saga in found:
        for seed in range(WALKS):
            walk = Walk(program, saga, seed)
            kept: list[tuple[State, int, State]] = []
            for before, event in walk:
                number = hash(before)
                kept.append((before, number, walk.state))
                # Another future of the same state: what it was is not touched by either.
                advance(walk.definition, before, m.CancelRequested(event.at))
                assert hash(before) == number
                again, _ = advance(walk.definition, before, event)
                assert again == walk.state
                assert hash(again) == hash(walk.state)
            replayed, _ = start(walk.definition, "id", walk.args, 0)
            for (before, number, _), event in zip(kept, walk.history, strict=True):
                assert replayed == before
                assert hash(replayed) == number
                replayed, _ = advance(walk.definition, replayed, event)
            assert replayed == walk.state


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_run_ends_with_nothing_under_way(path: Path) -> None:
    program, found = sagas(path)
    for saga in found:
        for seed in range(100, 100 + WALKS):
            walk = Walk(program, saga, seed)
            for _ in walk:
                if walk.state.phase is Phase.OVER:
                    assert walk.calls == {}
                    assert walk.timers == {}
                    assert walk.children == {}
            assert walk.state.phase is Phase.OVER


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_whatever_is_open_can_be_settled_here_or_in_a_child_saga(path: Path) -> None:
    program, found = sagas(path)
    for saga in found:
        for seed in range(200, 200 + WALKS):
            walk = Walk(program, saga, seed)
            for _ in walk:
                for item in open_items(walk.definition, walk.state):
                    value = walk.result_of(item.place)
                    ways = [
                        refusal(
                            walk.definition,
                            walk.state,
                            m.Settle(walk.now, item.place, item.purpose, how, value),
                        )
                        for how in m.How
                    ]
                    assert None in ways or item.place in walk.escalated, (item, ways)
