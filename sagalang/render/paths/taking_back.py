"""Undoing one step on a path, under the faults that are still to come."""

from __future__ import annotations

from dataclasses import replace

from sagalang.machine import calls
from sagalang.machine.backward import timed
from sagalang.machine.outcomes import NotSent, Ok, Rejected
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.cast import ORCHESTRATOR
from sagalang.render.compensation import Matter, Open, Undone
from sagalang.render.diagram import Item, Message, MessageKind, Note, NoteKind
from sagalang.render.paths.attempts import Lines, exchange, late, waits
from sagalang.render.paths.calling import Calling, Memory
from sagalang.render.paths.trial import NEVER, Service, Trial
from sagalang.render.strokes import aside


def take_back(calling: Calling, step: p.Step) -> Undone:
    """The compensation of a step, and what must be found out before it."""
    program, strokes = calling.program, calling.strokes
    compensation = step.compensation
    assert isinstance(compensation, p.Compensation)
    memory = calling.memory.get(step.path) or calling.begun(step)
    undoing = program.operation(compensation.call)
    quiet = calling.luck.quiet(step.path, undoing)
    if quiet and not memory.unknown and memory.unanswered is None and not memory.service.late:
        return Undone((strokes.compensation(step),))
    items: list[Item] = []
    if memory.unknown and words.needs_result(compensation.call):
        found = _resolve(calling, step, compensation, memory, items)
        if found is not None:
            return Undone(tuple(items), found)
    items += _until_it_lands(calling, step, undoing, memory)
    config = calls.CallConfig.of(undoing, compensation.policy, patient=True)
    trial = calling.attempt(config, undoing, Service(undoing), step.path, undo=True)
    sent = strokes.compensation(step)
    answered = Message(sent.target, ORCHESTRATOR, "ok", MessageKind.REPLY, sent.path, sent.span)
    timeout = compensation.policy.timeout or p.DEFAULT_TIMEOUT
    items += exchange(trial, Lines(sent, answered, calling.question(undoing, sent), timeout))
    if isinstance(trial.outcome, Ok) and not _too_late(compensation, trial):
        items += _refused_copies(calling, step, undoing, memory)
        return Undone(tuple(items))
    return Undone(tuple(items), (_open_undo(step, compensation, trial),))


def _too_late(compensation: p.Compensation, trial: Trial) -> bool:
    escalate = compensation.escalate
    told = timed(escalate, compensation.policy)
    return told and escalate is not None and trial.ended - trial.first > escalate.after


def _open_undo(step: p.Step, compensation: p.Compensation, trial: Trial) -> Open:
    outcome = trial.outcome
    failure = None if outcome is None else calls.failure(outcome)
    escalate = compensation.escalate
    team = escalate.team if escalate is not None else ""
    forever = outcome is None and not timed(escalate, compensation.policy)
    error = failure.name if failure is not None else "still being retried"
    name = compensation.call.label
    return Open(step.path, name, error, team, Matter.UNDO, forever)


def _resolve(
    calling: Calling, step: p.Step, compensation: p.Compensation, memory: Memory, items: list[Item]
) -> tuple[Open, ...] | None:
    """Finds out what became of the step, whose result is needed to undo it. None: it happened;
    an empty tuple: it did not; else who must settle it."""
    operation = calling.program.operation(step.call)
    config = calls.CallConfig.of(operation, compensation.policy, resolve=True, patient=True)
    known = calls.recover(calling.now, memory.first, memory.unanswered)
    trial = calling.attempt(config, operation, memory.service, step.path, known=known)
    lines = calling.lines(step, operation)
    lines = replace(
        lines,
        sent=replace(lines.sent, text=f"{lines.sent.text} (finding out)"),
        timeout=compensation.policy.timeout or p.DEFAULT_TIMEOUT,
    )
    items += exchange(trial, lines)
    memory.unanswered = trial.unanswered if trial.outcome is not None else memory.unanswered
    match trial.outcome:
        case Ok() if not _too_late(compensation, trial):
            return None
        case Rejected() | NotSent():
            items.append(aside("it did not happen: nothing to undo", step.span))
            return ()
        case _:
            open_ = _open_undo(step, compensation, trial)
            return (replace(open_, label=step.call.label, matter=Matter.DOUBT),)


def _until_it_lands(
    calling: Calling, step: p.Step, undoing: p.Operation, memory: Memory
) -> tuple[Item, ...]:
    """Waits where nothing but time refuses a late call."""
    lands = memory.service.operation.promises.lands_within
    if memory.unanswered is None or lands is None or undoing.promises.fences_late:
        return ()
    safe = memory.unanswered + lands
    if safe <= calling.now:
        return ()
    sent = calling.strokes.call(step)
    calling.now = safe
    landed = memory.service.land(safe)
    arrived = tuple(late(sent, "takes effect") for one in landed if not one.known)
    return (waits(lands, sent), *arrived)


def _refused_copies(
    calling: Calling, step: p.Step, undoing: p.Operation, memory: Memory
) -> tuple[Item, ...]:
    """The late original, once its compensation is through."""
    copies = [at for at in memory.service.late if at > calling.now or at == NEVER]
    memory.service.late.clear()
    if not copies:
        return ()
    sent = calling.strokes.call(step)
    if undoing.promises.fences_late:
        return (late(sent, "is refused"),)
    mark = Note(("it takes effect, and nothing undoes it",), NoteKind.MARK)
    return (late(sent, "nothing refuses it"), mark)
