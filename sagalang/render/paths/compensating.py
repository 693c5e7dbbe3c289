"""Undoing one step on a path, under the faults that are still to come.

Before the compensation is called, it may have to be found out whether the step happened at all, or
a late call has to be waited for.
"""

from __future__ import annotations

from dataclasses import replace

from sagalang import graph as g
from sagalang.machine import calls
from sagalang.machine.backward import timed
from sagalang.machine.outcomes import NotSent, Ok, Rejected
from sagalang.machine.turn import needs_result
from sagalang.model import program as p
from sagalang.render.cast import ORCHESTRATOR
from sagalang.render.compensation import Matter, Open, Undone
from sagalang.render.diagram import Item, Message, MessageKind, Note, NoteKind
from sagalang.render.paths.call_history import NEVER, CallHistory, Service
from sagalang.render.paths.caller import Caller, Memory
from sagalang.render.paths.exchange import Arrows, exchange, late, waits
from sagalang.render.strokes import aside


def compensate(caller: Caller, one: g.UndoCall) -> Undone:
    """The compensation of a step, and what must be found out before it."""
    program, strokes, step = caller.program, caller.strokes, one.step
    assert isinstance(step, p.Step)
    compensation = step.compensation
    assert isinstance(compensation, p.Compensation)
    memory = caller.memory.get(step.path) or caller.begun(step)
    del caller.memory[step.path]  # of other iterations of its loop that is not what is known
    undoing = program.operation(compensation.call)
    quiet = caller.faults.quiet(step.path, undoing)
    if quiet and not memory.unknown and memory.unanswered is None and not memory.service.late:
        return Undone((strokes.compensation(step),), done=one)
    items: list[Item] = []
    if memory.unknown and needs_result(compensation.call.args):
        found = _resolve(caller, step, compensation, memory, items)
        if found is not None:
            return Undone(tuple(items), found)
    items += _until_it_lands(caller, step, undoing, memory)
    config = calls.CallConfig.of(undoing, compensation.policy, patient=True)
    history = caller.attempt(config, undoing, Service(undoing), step.path, undo=True)
    sent = strokes.compensation(step)
    answered = Message(sent.target, ORCHESTRATOR, "ok", MessageKind.REPLY, sent.path, sent.span)
    timeout = compensation.policy.timeout or p.DEFAULT_TIMEOUT
    items += exchange(history, Arrows(sent, answered, caller.question(undoing, sent), timeout))
    if isinstance(history.outcome, Ok) and not _too_late(compensation, history):
        items += _refused_copies(caller, step, undoing, memory)
        return Undone(tuple(items), done=one)
    return Undone(tuple(items), (_open_undo(step, compensation, history),))


def _too_late(compensation: p.Compensation, history: CallHistory) -> bool:
    escalate = compensation.escalate
    told = timed(escalate, compensation.policy)
    return told and escalate is not None and history.ended - history.first > escalate.after


def _open_undo(step: p.Step, compensation: p.Compensation, history: CallHistory) -> Open:
    outcome = history.outcome
    failure = None if outcome is None else calls.failure(outcome)
    escalate = compensation.escalate
    team = escalate.team if escalate is not None else ""
    forever = outcome is None and not timed(escalate, compensation.policy)
    error = failure.name if failure is not None else "still being retried"
    name = compensation.call.label
    return Open(step.path, name, error, team, Matter.UNDO, forever)


def _resolve(
    caller: Caller, step: p.Step, compensation: p.Compensation, memory: Memory, items: list[Item]
) -> tuple[Open, ...] | None:
    """Finds out what became of the step, whose result is needed to undo it. None: it happened;
    an empty tuple: it did not; else who must settle it."""
    operation = caller.program.operation(step.call)
    config = calls.CallConfig.of(operation, compensation.policy, resolve=True, patient=True)
    known = calls.recover(caller.now, memory.first, memory.unanswered)
    history = caller.attempt(config, operation, memory.service, step.path, known=known)
    arrows = caller.arrows(step, operation)
    arrows = replace(
        arrows,
        sent=replace(arrows.sent, text=f"{arrows.sent.text} (finding out)"),
        timeout=compensation.policy.timeout or p.DEFAULT_TIMEOUT,
    )
    items += exchange(history, arrows)
    memory.unanswered = history.unanswered if history.outcome is not None else memory.unanswered
    match history.outcome:
        case Ok() if not _too_late(compensation, history):
            return None
        case Rejected() | NotSent():
            items.append(aside("it did not happen: nothing to undo", step.span))
            return ()
        case _:
            open_ = _open_undo(step, compensation, history)
            return (replace(open_, label=step.call.label, matter=Matter.DOUBT),)


def _until_it_lands(
    caller: Caller, step: p.Step, undoing: p.Operation, memory: Memory
) -> tuple[Item, ...]:
    """Waits where nothing but time refuses a late call."""
    lands = memory.service.operation.promises.lands_within
    if memory.unanswered is None or lands is None or undoing.promises.fences_late:
        return ()
    safe = memory.unanswered + lands
    if safe <= caller.now:
        return ()
    sent = caller.strokes.call(step)
    caller.now = safe
    landed = memory.service.land(safe)
    arrived = tuple(late(sent, "takes effect") for one in landed if not one.known)
    return (waits(lands, sent), *arrived)


def _refused_copies(
    caller: Caller, step: p.Step, undoing: p.Operation, memory: Memory
) -> tuple[Item, ...]:
    """The late original, once its compensation is through."""
    copies = [at for at in memory.service.late if at > caller.now or at == NEVER]
    memory.service.late.clear()
    if not copies:
        return ()
    sent = caller.strokes.call(step)
    if undoing.promises.fences_late:
        return (late(sent, "is refused"),)
    mark = Note(("it takes effect, and nothing undoes it",), NoteKind.MARK)
    return (late(sent, "nothing refuses it"), mark)
