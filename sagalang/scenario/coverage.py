"""What scenarios reach of a saga: its steps, compensations, rejections, waits and handlers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sagalang.machine.events import Place, Purpose, Timer
from sagalang.model import program as p
from sagalang.runtime import journal as j
from sagalang.scenario.result import Course
from sagalang.scenario.shape import Shape, everything, undone_with
from sagalang.scenario.stage import Stage
from sagalang.text import Span


@dataclass(frozen=True, slots=True)
class Goal:
    """Something a scenario can reach. `kind`: `step`, `compensation`, `rejection`, `arrives`,
    `runs out`, `handler`, `when compensated`. `detail` tells goals of one statement apart."""

    saga: str
    kind: str
    path: str
    detail: str
    what: str
    span: Span


def goals(program: p.Program, saga: p.Saga) -> Iterator[Goal]:
    """All there is to reach in a saga, in text order."""

    def goal(kind: str, path: str, what: str, span: Span, detail: str = "") -> Goal:
        return Goal(saga.name, kind, path, detail, what, span)

    for statement in everything(saga):
        match statement:
            case p.Step(path=path, call=call, compensation=undo, span=span):
                yield goal("step", path, call.label, span)
                for rejection in program.operation(call).rejects:
                    what = f"{call.label} rejects {rejection.error}"
                    yield goal("rejection", path, what, span, rejection.error)
                if isinstance(undo, p.Compensation) and _can_be_undone(statement):
                    what = f"{undo.call.label} for {call.label}"
                    yield goal("compensation", path, what, span)
            case p.ChildStep(path=path, saga=child, span=span):
                yield goal("step", path, f"saga {child}", span)
                if not (statement.pivot or statement.best_effort):
                    yield goal("compensation", path, f"saga {child} undone", span)
            case p.Wait(path=path, span=span):
                yield goal("arrives", path, f"wait {path} arrives", span)
                yield goal("runs out", path, f"wait {path} runs out", span)
            case p.Poll(path=path, span=span):
                yield goal("arrives", path, f"poll {path} meets its condition", span)
                yield goal("runs out", path, f"poll {path} runs out", span)
            case p.Attempt(path=path, handlers=handlers):
                for index, handler in enumerate(handlers):
                    what = f"on {', '.join(handler.errors)}"
                    yield goal("handler", path, what, handler.span, str(index))
            case _:
                pass
    if saga.when_compensated is not None:
        yield goal("when compensated", "", "when compensated", saga.when_compensated.span)


def _can_be_undone(step: p.Step) -> bool:
    return step.before_pivot and not step.pivot and not step.best_effort


def sagas_of(program: p.Program, scenarios: Iterable[p.Scenario]) -> list[str]:
    """The sagas that scenarios are to reach: their own, those that these run, and whatever else
    the program's main file declares."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        if name in found:
            return
        found[name] = None
        for statement in everything(program.sagas[name]):
            if isinstance(statement, p.ChildStep):
                add(statement.saga)

    for scenario in scenarios:
        add(scenario.saga)
    for saga in program.sagas.values():
        if saga.span.file == program.main:
            add(saga.name)
    return list(found)


Reached = tuple[str, str, str, str]
"""(saga, kind, path, detail) of a goal."""


def key(goal: Goal) -> Reached:
    return goal.saga, goal.kind, goal.path, goal.detail


def reached(stage: Stage, course: Course) -> set[Reached]:
    """The goals that a run reached, by its journal."""
    found: set[Reached] = set()
    sagas: dict[str, Shape] = {}
    aborted: dict[str, list[Place]] = {}
    for entry in course.journal:
        if isinstance(entry, j.SagaStarted):
            sagas[entry.saga_id] = stage.shapes[entry.saga]
            continue
        shape = sagas[entry.saga_id]
        name = shape.saga.name
        match entry:
            case j.Intent(place=place, purpose=Purpose.STEP):
                found.add((name, "step", place.path, ""))
            case j.Intent(place=place, purpose=Purpose.COMPENSATE):
                found.add((name, "compensation", place.path, ""))
            case j.AttemptEnded(place=place, kind="rejected", error=error):
                if entry.purpose is not Purpose.COMPENSATE:
                    found.add((name, "rejection", place.path, error or ""))
            case j.ChildStarted(place=place, undo=undo):
                found.add((name, "compensation" if undo else "step", place.path, ""))
            case j.TimerEnded(place=place, timer=Timer.WAIT, stopped=stopped):
                if not stopped:
                    found.add((name, "runs out", place.path, ""))
                elif not undone_with(shape, aborted.get(entry.saga_id, ()), place):
                    found.add((name, "arrives", place.path, ""))
            case j.AbortBegan(place=place, error=error):
                aborted.setdefault(entry.saga_id, []).append(place)
                handler = _handler(shape, place, error)
                if handler is not None:
                    found.add((name, "handler", place.path, str(handler)))
            case j.SagaFinished(kind="compensated") if shape.saga.when_compensated is not None:
                found.add((name, "when compensated", "", ""))
            case _:
                pass
    return found | _early(sagas, course, found)


def _handler(shape: Shape, place: Place, error: str) -> int | None:
    statement = shape.statements.get(place.path)
    if not isinstance(statement, p.Attempt):
        return None
    taken = (i for i, handler in enumerate(statement.handlers) if error in handler.errors)
    return next(taken, None)


def _early(sagas: dict[str, Shape], course: Course, found: set[Reached]) -> set[Reached]:
    """Waits that began after their event had come: they leave no timer in the journal, only an
    event that was accepted and that nothing else took. Such events are counted off against the
    waits in text order, which is how they are consumed."""
    shape = sagas.get(course.saga_id)
    if shape is None:
        return set()
    waits = [s for s in shape.statements.values() if isinstance(s, p.Wait)]
    timed = {
        e.place.path
        for e in course.journal
        if isinstance(e, j.TimerStarted) and e.timer is Timer.WAIT
    }
    made: set[Reached] = set()
    for event in {wait.event for wait in waits}:
        mine = [(shape.saga.name, "arrives", w.path, "") for w in waits if w.event == event]
        ids = {e.id for e in course.journal if isinstance(e, j.EventAccepted) and e.event == event}
        early = len(ids - course.kept) - sum(goal in found for goal in mine)
        made.update([goal for goal in mine if goal[2] not in timed][: max(early, 0)])
    return made
