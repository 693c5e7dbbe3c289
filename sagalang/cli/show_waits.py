"""What a run waits for and what it is owed, each with a value to send, made up, to be edited."""

from __future__ import annotations

from collections.abc import Collection

from sagalang.graph.structure import blocks_of
from sagalang.interpret.run import defined
from sagalang.machine.events import Purpose
from sagalang.machine.settlement import needs_value
from sagalang.model import program as p
from sagalang.model.types import RecordRef
from sagalang.runtime.codec import encode
from sagalang.runtime.fake_values import Inventor
from sagalang.runtime.values import Values


def events(
    program: p.Program, waits: Collection[tuple[str, str]]
) -> dict[tuple[str, str], tuple[str, str]]:
    """By saga and path of a `wait`: the name of its event, and one as JSON, to be edited. A
    `poll` waits for no event."""
    values = Values(program)
    inventor = Inventor(program, values, 0)
    found: dict[tuple[str, str], tuple[str, str]] = {}

    def visit(saga: str, block: p.Block) -> None:
        for statement in block.statements:
            if isinstance(statement, p.Wait) and (saga, statement.path) in waits:
                type_ = RecordRef(statement.event)
                made = encode(inventor.record(type_, {}, 1), values.python_type(type_))
                found[saga, statement.path] = statement.event, made.decode()
            for inner in blocks_of(statement):
                visit(saga, inner)

    for name in {saga for saga, _ in waits} & program.sagas.keys():
        visit(name, program.sagas[name].body)
    return found


def results(
    program: p.Program, owed: Collection[tuple[str, str, Purpose]]
) -> dict[tuple[str, str, Purpose], str]:
    """By saga, path and purpose of what is owed: what it may have given, as JSON, where it cannot
    be settled as done without."""
    values = Values(program)
    inventor = Inventor(program, values, 0)
    found: dict[tuple[str, str, Purpose], str] = {}
    for saga, path, purpose in owed:
        statement = defined(program, saga, values).statements.get(path)
        if not needs_value(program.sagas[saga], statement, purpose):
            continue
        assert isinstance(statement, p.Step | p.ChildStep | p.Wait | p.Poll)
        made = inventor.value(statement.type, statement.name or path, 1)
        found[saga, path, purpose] = encode(made, values.python_type(statement.type)).decode()
    return found
