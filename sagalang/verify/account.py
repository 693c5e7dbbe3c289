"""A broken promise as people read it: a sentence, the promise that is missing, the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sagalang.machine import events as m
from sagalang.model import program as p
from sagalang.text import Span
from sagalang.verify.model import Model
from sagalang.verify.service import Belief, Unit, threatens
from sagalang.verify.verify import Found
from sagalang.verify.world import Breach, Id


@dataclass(frozen=True)
class Account:
    """`name`: of the diagnostic. `at`: where the missing promise would stand. `promise`: the word;
    `advice`: the sentence that says to write it."""

    name: str
    sentence: str
    step: Span | None
    at: Span | None
    promise: str
    advice: str


@dataclass(frozen=True)
class Row:
    """A line of the ledger: what the orchestrator believes of a step, and what is."""

    step: str
    believes: str
    reality: str
    wrong: bool


def account(found: Found) -> Account:
    """What went wrong, in words."""
    model, breach = found.model, found.breach
    step = _step(model, breach.at)
    label = "" if step is None else step.call.label
    sentence = _sentence(found, label)
    span = None if step is None else step.span
    if step is None:
        return Account(_code(breach), sentence, None, None, "", _report(breach))
    at, promise, advice = _missing(model, step, breach)
    return Account(_code(breach), sentence, span, at, promise, advice)


def _code(breach: Breach) -> str:
    match breach.rule:
        case "left" | "forgotten":
            return "effect-left"
        case "not-done":
            return "undone-with-another"
        case _:
            return "promise-broken"


def _step(model: Model, id_: Id | None) -> p.Step | None:
    if id_ is None:
        return None
    path, place = id_
    statement = model.definition(path).statements[place.path]
    return statement if isinstance(statement, p.Step) else None


def _sentence(found: Found, label: str) -> str:
    breach = found.breach
    saga = found.model.saga
    ended = _ended(found)
    match breach.rule:
        case "left" if breach.detail == "late":
            return (
                f"{saga} {ended}, and `{label}` may still happen: "
                "its request is still under way, and nothing refuses it"
            )
        case "left":
            return f"{saga} {ended}, but the effect of `{label}` is still there"
        case "forgotten":
            return f"{saga} {ended}, and nobody knows whether `{label}` happened"
        case "done-twice" if breach.detail == "late":
            return f"{saga} {ended}, and `{label}` may happen twice: a late request is under way"
        case "done-twice":
            return f"`{label}` happens twice"
        case "undone-before-done":
            return f"`{label}` is undone although it never happened"
        case "not-done" if breach.detail == "late":
            return (
                f"{saga} {ended}, and `{label}` may still be undone:"
                " the late compensation of another step with the same inputs would undo it, too"
            )
        case "not-done":
            return (
                f"{saga} {ended}, but `{label}` is undone:"
                " the compensation of another step with the same inputs undid it, too"
            )
        case "abort-after-pivot":
            return f"{saga} aborts after its point of no return"
        case "compensation-after-pivot":
            return f"`{label}` is undone after the point of no return"
        case "compensation-before-fault":
            return f"`{label}` is undone although nothing failed"
        case "out-of-order":
            return f"`{label}` is undone before `{breach.detail}`, which came after it"
        case "stuck":
            return f"{saga} comes to where nothing can move it any more"
        case "endless":
            return f"{saga} comes to where it can never end"
        case _:
            return f"{saga} ends while calls are in flight"


def _ended(found: Found) -> str:
    ledger = found.path.ledger
    match None if ledger is None else ledger.root.outcome:
        case m.Completed():
            return "completed"
        case m.Compensated():
            return "is compensated"
        case m.Escalated():
            return "is escalated"
        case _:
            return "goes on"


def _report(breach: Breach) -> str:
    return f"the checker should have refused this saga ({breach.rule}): please report it"


def _missing(model: Model, step: p.Step, breach: Breach) -> tuple[Span, str, str]:
    command = model.program.operation(step.call)
    promises = command.promises
    undo = step.compensation
    undoing = model.program.operation(undo.call) if isinstance(undo, p.Compensation) else None
    match breach.rule:
        case "left" if undoing is not None and not undoing.promises.fences_late:
            return (
                undoing.span,
                "fences late",
                f"let `{undoing.label}` promise `fences late` (what comes after it is refused),"
                f" or `{command.label}` promise `lands within …`",
            )
        case "left" | "done-twice" if promises.keyed and promises.key_for < _A_DAY:
            return (
                command.span,
                "keyed for",
                f"let `{command.label}` keep its keys longer: `keyed for …`",
            )
        case "not-done" if isinstance(undo, p.Compensation):
            return (
                undo.call.span,
                "key",
                "compensate by key, which names one step: "
                f"`keyed` on `{command.label}`, and `compensate {undo.call.operation}(key)`",
            )
        case "done-twice" if not command.repeatable:
            return (
                command.span,
                "keyed",
                f"let `{command.label}` promise `keyed`: the same key twice has the effect of once",
            )
        case "left" if command.rejects and not promises.records_rejections:
            return (
                command.span,
                "records rejections",
                f"let `{command.label}` promise `records rejections`:"
                " what it refused once, it refuses for ever",
            )
        case _:
            return step.span, "", _report(breach)


_A_DAY = 86_400_000


def ledger(found: Found) -> tuple[Row, ...]:
    """What the orchestrator believes of every step, beside what its service knows."""
    return tuple(_rows(found))


def _rows(found: Found) -> Iterator[Row]:
    world, model = found.path.ledger, found.model
    if world is None:
        return
    for id_, unit in world.units:
        step = _step(model, id_)
        if step is None:
            continue
        path, place = id_
        command = model.program.operation(step.call)
        late = threatens(command, unit, model.rules)
        undo_late = found.breach == Breach("not-done", id_, "late")
        around = "".join(f"{outer} > " for outer in path)
        inside = "".join(f" [{identity}]" for _, identity in place.loops)
        yield Row(
            f"{around}{command.label}{inside}",
            unit.belief.value,
            "one effect, which a late compensation may undo" if undo_late else _reality(unit, late),
            undo_late or _wrong(unit, late),
        )


def _reality(unit: Unit, late: bool) -> str:
    what = {0: "no effect", 1: "one effect", 2: "two effects"}.get(unit.effects, "undone too often")
    if late:
        return f"{what}, and a request under way that will have one"
    return what


def _wrong(unit: Unit, late: bool) -> bool:
    match unit.belief:
        case Belief.DONE:
            return unit.effects != 1 or late
        case Belief.NOT_DONE | Belief.UNDONE:
            return unit.effects != 0 or late
        case _:
            return True
