"""What people do with a run that ended escalated, interpreted or compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sagalang.interpret import run as interpret
from sagalang.machine.events import How, OpenItem, Purpose
from sagalang.machine.saga import open_items
from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.runtime.codec import decode, encode
from sagalang.runtime.driven import Driven, SettlementRefusedError
from sagalang.runtime.entry_types import Types
from sagalang.runtime.saga import Running

from .choices import Choices
from .scripts import Answer, CaseMaker, nodes


def still_open(run: Driven) -> Iterator[tuple[Driven, OpenItem]]:
    """What is open in the sagas below a run, and in itself: what is open there waits for them."""
    for _, child in run._runs():
        yield from still_open(child)
    if isinstance(run, Running):
        items = run._run.open_items()
    else:
        assert isinstance(run, interpret.Run)
        assert run.state is not None
        items = open_items(run.definition, run.state)
    for item in items:
        yield run, item


def answer(top: Driven, said: Answer, program: p.Program, types: Types) -> str:
    """Say it; whether it was taken."""
    found = list(still_open(top))
    if said.how == "cancel":
        top.cancel()
        return "cancelled"
    if not found:
        return "nothing is open"
    run, item = found[said.item % len(found)]
    saga = run._input()[0]
    statement = statements(program.sagas[saga]).get(item.place.path)
    if said.how == "retry" and reads_the_time(statement):
        return "left out"  # a compiled saga tries it with the time of the first try
    value, read = None, is_mentioned(program.sagas[saga], statement)
    if read and said.how == "not done" and not is_ahead(run):
        return "left out"  # the machine refuses what is named again, a compiled saga what is read
    if said.how == "done" and (read or said.value is not None):
        value = given(
            said, program, statement, item, types.settled(saga, item.place.path, item.purpose)
        )
    try:
        top.settle(item, How(said.how), value, by="ann", child=run.saga_id)
    except SettlementRefusedError:
        return "refused"
    below = "" if run is top else " below"
    return f"{said.how} of {item.purpose.value}{below}"


def statements(saga: p.Saga) -> dict[str, Any]:
    leaves = p.Step | p.ChildStep | p.Wait | p.Poll
    return {each.path: each for each in nodes(saga.body) if isinstance(each, leaves)}


def reads_the_time(statement: Any) -> bool:
    return any(isinstance(node, p.Apply) and node.function == "now" for node in nodes(statement))


def is_mentioned(saga: p.Saga, statement: Any) -> bool:
    """Whether the name that a statement binds occurs in the saga."""
    name = getattr(statement, "name", None)
    return any(isinstance(node, p.Ref) and node.name == name for node in nodes(saga.body))


def is_ahead(run: Driven) -> bool:
    """Whether the pivot is."""
    if isinstance(run, Running):
        return run._run.pivot.value == "ahead"
    assert isinstance(run, interpret.Run)
    assert run.state is not None
    return run.state.pivot.value == "ahead"


def given(
    said: Answer, program: p.Program, statement: Any, item: OpenItem, python_type: Any
) -> Any:
    """A value of the statement's type."""
    match statement:
        case p.Step(call=call) if item.purpose is Purpose.RESOLVE:
            kind = program.operation(call).result
        case p.Step(type=found) | p.ChildStep(type=found) | p.Wait(type=found) | p.Poll(type=found):
            kind = found
        case _:
            return None
    if item.purpose is Purpose.COMPENSATE or kind == t.NULL:
        return None
    made = CaseMaker(Choices(f"{said.value}"), program).value(kind)
    return None if made is None else decode(encode(made, Any), python_type)
