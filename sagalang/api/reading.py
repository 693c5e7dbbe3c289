"""From what is on record of a run to what is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from sagalang.api.results import Failure, Outcome, Owed, Result, RunInfo, RunView
from sagalang.host.definitions import Definition
from sagalang.host.status import Following
from sagalang.machine import events as m
from sagalang.machine import outcomes
from sagalang.machine.events import Purpose
from sagalang.model.types import RecordRef
from sagalang.runtime import journal as j
from sagalang.runtime.shown import shown
from sagalang.runtime.sqlite import Run as Row
from sagalang.runtime.sqlite import State as Standing


def listed(row: Row) -> RunInfo:
    return RunInfo(**_fields(row))


def viewed(row: Row, definition: Definition, journal: Sequence[j.Entry]) -> RunView:
    """`journal`: of the run and its child sagas."""
    open_ = tuple(open_items(journal))
    result = None if row.state is Standing.RUNNING else _result(row, definition, journal, open_)
    return RunView(**_fields(row), result=result, owed=open_)


def _fields(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "saga": row.saga,
        "state": row.state.value,
        "began": _moment(row.began),
        "changed": _moment(row.changed),
        "ended": None if row.ended is None else _moment(row.ended),
        "error": row.error,
        "parent": row.parent,
    }


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


def _result(
    row: Row, definition: Definition, journal: Sequence[j.Entry], open_: tuple[Owed, ...]
) -> Result:
    values, program = definition.values, definition.program
    outcome = cast(Outcome, row.state.value)
    match _end(row, journal):
        case m.Completed(value):
            data = shown(value, program.sagas[row.saga].result, values)
            return Result(row.id, row.saga, outcome, data=data, value=value)
        case m.Compensated(error):
            return Result(row.id, row.saga, outcome, error=_failure(error, definition))
        case _:
            return Result(row.id, row.saga, outcome, owed=open_)


def _end(row: Row, journal: Sequence[j.Entry]) -> m.SagaOutcome | None:
    for entry in reversed(journal):
        if isinstance(entry, j.SagaFinished) and entry.saga_id == row.id:
            return entry.value
    return None


def _failure(error: outcomes.Failure, definition: Definition) -> Failure:
    data = None
    if error.value is not None and error.name in definition.program.errors:
        data = shown(error.value, RecordRef(error.name), definition.values)
    return Failure(error.name, error.detail, data, error.value)


def open_items(journal: Iterable[j.Entry]) -> dict[Owed, m.OpenItem]:
    """What a person can settle in a run and its child sagas, where it is to be settled."""
    following = Following()
    for entry in journal:
        following.take(entry)
    return {
        Owed(
            run,
            str(place),
            item.operation,
            purpose is Purpose.COMPENSATE,
            item.error,
            item.detail,
            item.team,
            item.retrying,
        ): m.OpenItem(
            place, purpose, item.operation, outcomes.Failure(item.error, None, item.detail)
        )
        for (run, place, purpose), item in following.owed.items()
        if item.child is None
    }
