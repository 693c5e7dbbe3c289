"""What happened in a run, in words: how it ended, and why."""

from __future__ import annotations

from collections.abc import Sequence

from sagalang.machine import events as m
from sagalang.machine.events import SAGA, OpenItem
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED, DEADLINE_EXCEEDED
from sagalang.model.types import RecordRef
from sagalang.runtime import journal as j
from sagalang.runtime.shown import shown
from sagalang.scenario.result import Course
from sagalang.scenario.shape import Shape
from sagalang.scenario.stage import Stage, one_line
from sagalang.text import Span

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000))


def span_of_time(ms: p.Ms) -> str:
    """`0s`, `340ms`, `1.2s`, `4h`, `1h30m`: as in the language, and exact."""
    if 0 < ms < 1_000:
        return f"{ms}ms"
    parts = ""
    for unit, size in _UNITS:
        count, ms = divmod(ms, size)
        parts += f"{count}{unit}" if count else ""
    return parts + (f"{ms / 1_000:.3f}".rstrip("0").rstrip(".") + "s" if ms or not parts else "")


def moment(ms: p.Ms) -> str:
    """A time since the start."""
    return "+" + span_of_time(ms)


def times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def ended(stage: Stage, course: Course, saga: p.Saga) -> tuple[str, tuple[Span, str] | None]:
    """`it was compensated with Declined, raised by Payment.authorize (line 88)`, and the place."""
    match course.outcome:
        case None:
            return course.problem or "it did not end", None
        case m.Completed(value):
            if value is None:
                return "it completed", None
            return f"it completed with {one_line(shown(value, saga.result, stage.values))}", None
        case m.Compensated(error):
            fields = ""
            if error.value is not None and error.name in stage.program.errors:
                told = shown(error.value, RecordRef(error.name), stage.values)
                fields = f" {one_line(told)}" if told else ""
            why, span = _cause(stage, course, stage.shapes[saga.name], error.name)
            place = (span, "raised here") if span is not None else None
            return f"it was compensated with {error.name}{fields}{why}", place
        case m.Escalated():
            items = ", ".join(_item(item) for item in course.owed)
            return f"it was escalated: {items}", None


def _item(item: OpenItem) -> str:
    team = f", for {item.team}" if item.team else ""
    return f"{item.label} ({item.failure.name}{team})"


def _cause(stage: Stage, course: Course, shape: Shape, error: str) -> tuple[str, Span | None]:
    """What raised the error that a saga was compensated with: words, and where it stands."""
    mine = [entry for entry in course.journal if entry.saga_id == course.saga_id]
    began = next(
        (i for i, e in enumerate(mine) if isinstance(e, j.AbortBegan) and e.place == SAGA), None
    )
    if began is None:
        return "", None
    at = moment(mine[began].at - course.started)
    if error == CANCELLED:
        return f", because it was cancelled at {at}", None
    if error == DEADLINE_EXCEEDED:
        return f", because its deadline passed at {at}", None
    found = _raiser(mine[:began], shape, error)
    if found is None:
        return "", None
    words, span = found
    return f", raised by {words} (line {stage.line(span)})", span


def _raiser(before: Sequence[j.Entry], shape: Shape, error: str) -> tuple[str, Span] | None:
    """Which statement raised the error, by the journal up to the abort."""
    for entry in reversed(before):
        match entry:
            case j.OutcomeRecorded(error=name, label=label, place=place) if name == error:
                return label, shape.statements[place.path].span
            case j.TimerEnded(place=place, timer=m.Timer.WAIT, stopped=False):
                statement = shape.statements[place.path]
                otherwise = getattr(statement, "otherwise", None)
                if isinstance(otherwise, p.Abort) and otherwise.error == error:
                    kind = "wait" if isinstance(statement, p.Wait) else "poll"
                    return f"`{kind} {place.path}`, which ran out", statement.span
            case j.ChildFinished(place=place, kind="compensated", undo=False):
                statement = shape.statements[place.path]
                assert isinstance(statement, p.ChildStep)
                return f"saga {statement.saga}", statement.span
            case _:
                pass
    aborts = [abort for abort in shape.aborts if abort.error == error]
    return ("`abort`", aborts[0].span) if len(aborts) == 1 else None
