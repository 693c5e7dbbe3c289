"""Whether an expectation was met; and if not, what was found instead, as near as can be said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sagalang.machine import events as m
from sagalang.machine.evaluate import BadValueError
from sagalang.model import program as p
from sagalang.model.types import (
    InlineRecord,
    ListOf,
    MapOf,
    Optional,
    RecordRef,
    Secret,
    Type,
)
from sagalang.runtime.shown import shown
from sagalang.scenario.effects import left
from sagalang.scenario.result import Course, Finding
from sagalang.scenario.stage import Stage, one_line
from sagalang.scenario.story import ended, moment, span_of_time, times
from sagalang.text import Span

_SHOWN = 5
"""Of a list that may be long."""


def judge(stage: Stage, course: Course, expect: p.Expect) -> Finding:
    """The finding on one expectation of the scenario that took this course."""
    wanted = wording(stage, expect)
    found, other = _difference(stage, course, expect)
    if found is None:
        return Finding(expect, met=True)
    return Finding(expect, False, f"expected {wanted}; {found}", other)


def wording(stage: Stage, expect: p.Expect) -> str:
    """The expectation as it is written; without the value, which may hold a secret."""
    match expect.kind:
        case "completed":
            return "completed with another value" if expect.value is not None else "completed"
        case "compensated":
            return f"compensated with {expect.error}" if expect.error else "compensated"
        case "escalated":
            return f"escalated {expect.operation}" if expect.operation else "escalated"
        case "count":
            return f"{expect.operation} {times(expect.count or 0)}"
        case "before":
            return f"{expect.operation} before {expect.other}"
        case "effect":
            return f"effect {expect.operation} {times(expect.count or 0)}"
        case "within":
            return f"within {span_of_time(expect.after or 0)}"
        case kind:
            return kind


Difference = tuple[str | None, tuple[Span, str] | None]
"""What was found instead (None: the expectation was met), and a place that explains it."""
_MET: Difference = (None, None)


def _difference(stage: Stage, course: Course, expect: p.Expect) -> Difference:
    match expect.kind:
        case "completed" | "compensated" | "escalated":
            return _outcome(stage, course, expect)
        case "count":
            return _count(course, expect.operation or "", expect.count or 0), None
        case "before":
            return _before(course, expect.operation or "", expect.other or ""), None
        case "effect":
            return _effect(stage, course, expect.operation or "", expect.count or 0), None
        case "nothing left":
            return _nothing_left(stage, course)
        case "within":
            return _within(course, expect.after or 0), None
        case kind:
            raise AssertionError(kind)


# --- How it ended ------------------------------------------------------------------------------


def _saga(stage: Stage, course: Course) -> p.Saga:
    started = course.journal[0]
    return stage.program.sagas[getattr(started, "saga", "")]


def _outcome(stage: Stage, course: Course, expect: p.Expect) -> Difference:
    if course.outcome is None:
        return "it did not end", None
    saga = _saga(stage, course)
    match expect.kind, course.outcome:
        case "completed", m.Completed(value):
            if expect.value is None:
                return _MET
            return _value(stage, saga.result, expect.value, value), None
        case "compensated", m.Compensated(error):
            if expect.error in (None, error.name):
                return _MET
        case "escalated", m.Escalated():
            if expect.operation in (None, *(item.label for item in course.owed)):
                return _MET
        case _:
            pass
    return ended(stage, course, saga)


def _value(stage: Stage, type_: Type, expected: p.Expr, found: Any) -> str | None:
    try:
        wanted = stage.known(expected)
    except BadValueError as error:
        return f"the value that is expected does not exist: {error}"
    differences = list(_differences(stage, type_, wanted, found, ""))
    if not differences:
        return None
    return _some(differences, "; ")


def _differences(stage: Stage, type_: Type, wanted: Any, found: Any, path: str) -> Iterator[str]:
    """`total.amount is 90.00, not 80.00`, for every part that differs."""
    if wanted == found:
        return
    here = path or "it"
    match type_:
        case Secret():
            yield f"{here} is another secret"
            return
        case Optional(item) if wanted is not None and found is not None:
            yield from _differences(stage, item, wanted, found, path)
            return
        case ListOf(item):
            if len(wanted) != len(found):
                yield f"{here} has {len(found)} elements, not {len(wanted)}"
                return
            for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
                yield from _differences(stage, item, one, other, f"{path}[{index}]")
            return
        case MapOf(item) if wanted.keys() == found.keys():
            for name in wanted:
                part = _joined(path, name)
                yield from _differences(stage, item, wanted[name], found[name], part)
            return
        case RecordRef() | InlineRecord():
            for name, field_type, _ in stage.values.fields_of(type_):
                one, other = stage.values.get(wanted, name), stage.values.get(found, name)
                yield from _differences(stage, field_type, one, other, _joined(path, name))
            return
        case _:
            pass
    one, other = (one_line(shown(value, type_, stage.values)) for value in (wanted, found))
    yield f"{here} is {other}, not {one}"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# --- Calls -------------------------------------------------------------------------------------


def _moments(course: Course, operation: str) -> list[str]:
    return [moment(a.at - course.started) for a in course.arrivals if a.operation == operation]


def _count(course: Course, operation: str, wanted: int) -> str | None:
    found = _moments(course, operation)
    if len(found) == wanted:
        return None
    if not found:
        return "it was never called"
    if len(found) == 1:
        return f"it was called once, at {found[0]}"
    return f"it was called {len(found)} times: at {_some(found, ', ')}"


def _before(course: Course, first: str, second: str) -> str | None:
    order = list(dict.fromkeys(arrival.operation for arrival in course.arrivals))
    missing = [name for name in dict.fromkeys((first, second)) if name not in order]
    if missing:
        return " and ".join(f"{name} was never called" for name in missing)
    if order.index(first) < order.index(second):
        return None
    if first == second:
        return "a call is not before itself"
    at = {name: _moments(course, name)[0] for name in (first, second)}
    return f"{second} was called first, at {at[second]}, and {first} at {at[first]}"


def _within(course: Course, wanted: p.Ms) -> str | None:
    if course.outcome is None:
        return "it did not end"
    took = course.ended - course.started
    return None if took <= wanted else f"it took {span_of_time(took)}"


# --- Effects -----------------------------------------------------------------------------------


def _effect(stage: Stage, course: Course, operation: str, wanted: int) -> str | None:
    mine = [entry for entry in course.ledger if entry.operation == operation]
    there = [entry for entry in mine if entry.effect == "done"]
    if len(there) == wanted:
        return None
    if there:
        told = [stage.called(entry.operation, entry.args) + _key(entry.key) for entry in there]
        return f"it has {len(there)} effect{'s' * (len(there) > 1)}: {_some(told, ', ')}"
    calls = sum(entry.calls for entry in mine)
    if not calls:
        return "it has none: it was never called"
    undone = sum(entry.effect == "undone" for entry in mine)
    if undone:
        return "it has none: " + ("it was undone" if undone == 1 else f"all {undone} were undone")
    return f"it has none: it was called {times(calls)}, without effect"


def _nothing_left(stage: Stage, course: Course) -> Difference:
    found = left(stage, course)
    if not found:
        return _MET
    told = [
        stage.called(item.entry.operation, item.entry.args)
        + _key(item.entry.key)
        + (f" ({item.why})" if item.why else "")
        for item in found
    ]
    step = found[0].step
    return f"left: {_some(told, ', ')}", (step.span, "done here") if step else None


def _key(key: str | None) -> str:
    return f" key {key}" if key else ""


def _some(items: list[str], separator: str) -> str:
    more = len(items) - _SHOWN
    told = separator.join(items[:_SHOWN])
    return f"{told}{separator}and {more} more" if more > 0 else told
