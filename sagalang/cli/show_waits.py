"""The events that a run waits for, each with one to send."""

from __future__ import annotations

from collections.abc import Collection

from sagalang.graph.structure import blocks_of
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
