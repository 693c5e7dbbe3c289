"""A way through the exploration as the journal that such a run would leave, faults marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sagalang.machine import events as m
from sagalang.machine.outcomes import NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model.errors import CANCELLED
from sagalang.runtime import journal as j
from sagalang.verify.call import FAULTS, Happening
from sagalang.verify.explore import Path
from sagalang.verify.model import Model
from sagalang.verify.values import Question
from sagalang.verify.world import Edge
from sagalang.verify.world import Path as SagaPath

FAULT = "⚡ "

_MARKS = {
    "rejects": "the service refuses",
    "not sent": "the request cannot be sent",
    "request lost": "the request is lost",
    "answer lost": "it happened, but the answer is lost",
    "late": "the request is held up; it may still arrive",
    "duplicated": "the request arrives twice",
    "strange answer": "it happened, but the answer is not one the contract knows",
    "strange refusal": "it did not happen, and the answer is not one the contract knows",
    "no answer": "the question is not answered",
    "key expires": "the service forgets the key",
    "time is up": "there is no time left for another attempt",
}


@dataclass
class Trace:
    """`marks`: by index of the entry, what to note beside it. `undelivered`: the attempts whose
    request never arrived. `late`: (index to stand before, label, text) of late requests."""

    entries: list[j.Entry] = field(default_factory=list)
    marks: dict[int, str] = field(default_factory=dict)
    undelivered: set[int] = field(default_factory=set)
    late: list[tuple[int, str, str]] = field(default_factory=list)

    def mark(self, text: str) -> None:
        index = len(self.entries) - 1
        known = self.marks.get(index)
        self.marks[index] = text if known is None else f"{known}; {text}"


def trace(model: Model, path: Path) -> Trace:
    """What a journal would say of the way, as far as it goes."""
    made = Trace()
    told: set[int] = set()
    """Edges whose story was told at the crash in the middle of it."""
    for index, edge in enumerate(path.edges):
        _edge(model, made, path.edges, index, edge, told)
    return made


def _edge(
    model: Model,
    made: Trace,
    edges: Sequence[Edge],
    index: int,
    edge: Edge,
    told: set[int],
) -> None:
    match edge.kind:
        case "start":
            started = j.SagaStarted(at=0, saga_id=_id(()), saga=model.saga, args={})
            made.entries.append(started)
        case "call":
            story = edge.story
            if index in told:
                story = story[_crash(story) + 1 :]
            _story(model, made, edge, story)
            made.entries.append(
                j.OutcomeRecorded(
                    **_common(model, edge),
                    **_outcome(edge.outcome),
                    value=edge.outcome,
                    unanswered=None,
                )
            )
        case "crash":
            for later in range(index + 1, len(edges)):
                if edges[later].kind == "crash":
                    break
                if later not in told and _crash(edges[later].story) >= 0:
                    told.add(later)
                    story = edges[later].story
                    _story(model, made, edges[later], story[: _crash(story)])
            made.entries.append(j.Restarted(at=0, saga_id=_id(())))
            made.mark(f"{FAULT}the orchestrator dies, and starts again")
        case "timer":
            assert edge.place is not None
            timer = m.Timer(edge.label)
            made.entries.append(
                j.TimerEnded(at=0, saga_id=_id(edge.path), place=edge.place, timer=timer)
            )
        case "event":
            made.entries.append(
                j.EventAccepted(at=0, saga_id=_id(edge.path), event=edge.label, id="", value=None)
            )
        case "cancel":
            made.entries.append(j.CancelAsked(at=0, saga_id=_id(())))
        case "branch":
            made.mark(f"another branch: {_ended(edge.outcome)}")
    for question, answer in edge.decided:
        made.mark(_decided(question, answer))
    for where, command in edge.commands:
        _command(model, made, where, command)


def _crash(story: tuple[Happening, ...]) -> int:
    return next((i for i, happening in enumerate(story) if happening.what == "crash"), -1)


def _id(path: SagaPath) -> str:
    return "/".join(["id", *map(str, path)])


def _decided(question: Question, answer: Any) -> str:
    match question.kind:
        case "holds":
            return f"{question.text}: {'yes' if answer else 'no'}"
        case "exists":
            return f"{question.text} has {'a' if answer else 'no'} value"
        case _:
            return f"{question.text} has {answer} element{'' if answer == 1 else 's'}"


def _ended(outcome: Any) -> str:
    match outcome:
        case m.Completed():
            return "it completes"
        case m.Compensated(error):
            return f"it fails with {error.name} and is undone"
        case _:
            return "it is escalated"


def _common(model: Model, edge: Edge, label: str | None = None) -> dict[str, Any]:
    assert edge.place is not None
    return {
        "at": 0,
        "saga_id": _id(edge.path),
        "place": edge.place,
        "purpose": edge.purpose,
        "label": label or edge.label,
        "key": None,
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Ok():
            return {"kind": "ok", "error": None}
        case Rejected(error):
            return {"kind": "rejected", "error": error.name}
        case NotSent(error):
            return {"kind": "not sent", "error": error.name}
        case Unknown(error):
            return {"kind": "unknown", "error": error.name}


_KINDS = {
    "ok": ("ok", None),
    "rejects": ("rejected", None),
    "not sent": ("not sent", "NotSent"),
    "request lost": ("unknown", "Timeout"),
    "answer lost": ("unknown", "Timeout"),
    "late": ("unknown", "Timeout"),
    "duplicated": ("ok", None),
    "strange answer": ("unknown", "ContractMismatch"),
    "strange refusal": ("unknown", "ContractMismatch"),
}


def _story(model: Model, made: Trace, edge: Edge, story: tuple[Happening, ...]) -> None:
    attempt = 0
    asked = 0
    asking = _probe(model, edge)
    for happening in story:
        what = happening.what
        if happening.asking:
            asked += 1
            common = _common(model, edge, asking)
            made.entries.append(j.ProbeStarted(**common, attempt=asked))
            made.entries.append(j.ProbeEnded(**common, attempt=asked, kind=what))
        elif what in _KINDS:
            attempt += 1
            common = _common(model, edge)
            made.entries.append(j.AttemptStarted(**common, attempt=attempt))
            if what in ("request lost", "late"):
                made.undelivered.add(len(made.entries) - 1)
            kind, error = _KINDS[what]
            made.entries.append(
                j.AttemptEnded(**common, attempt=attempt, kind=kind, error=happening.error or error)
            )
        elif what == "late lands":
            made.late.append((len(made.entries), edge.label, "the late request arrives"))
        if what in FAULTS and what in _MARKS:
            made.mark(FAULT + _MARKS[what])


def _probe(model: Model, edge: Edge) -> str | None:
    service, _, operation = edge.label.partition(".")
    found = model.program.services[service].operations[operation].probe
    return None if found is None else found.label


def _command(model: Model, made: Trace, where: SagaPath, command: m.Command) -> None:
    base: dict[str, Any] = {"at": 0, "saga_id": _id(where)}
    match command:
        case m.RunCall(place=place, purpose=purpose, service=service, operation=operation):
            made.entries.append(
                j.Intent(
                    **base,
                    place=place,
                    purpose=purpose,
                    label=f"{service}.{operation}",
                    key=None,
                    args=(),
                )
            )
        case m.AbortStarted(scope, failure):
            made.entries.append(
                j.AbortBegan(**base, place=scope, error=failure.name, detail=failure.detail)
            )
        case m.Escalate(item, retrying):
            made.entries.append(j.EscalationRaised(**base, item=item, retrying=retrying))
        case m.Alert(failure, text):
            made.entries.append(j.Alerted(**base, error=failure.name, text=text))
        case m.RunChild(place=place, saga=saga) if saga in model.program.sagas:
            child = _id((*where, place))
            made.entries.append(j.ChildStarted(**base, place=place, saga=saga, child_id=child))
        case m.UndoChild(place=place, saga=saga) if saga in model.program.sagas:
            child = _id((*where, place))
            made.entries.append(
                j.ChildStarted(**base, place=place, saga=saga, child_id=child, undo=True)
            )
        case m.Finished(outcome):
            kind, name = _finished(outcome)
            made.entries.append(j.SagaFinished(**base, kind=kind, error=name, value=outcome))
        case _:
            pass


def _finished(outcome: m.SagaOutcome) -> tuple[str, str | None]:
    match outcome:
        case m.Completed():
            return "completed", None
        case m.Compensated(error):
            return "compensated", error.name
        case m.Escalated():
            return "escalated", None


_SHORT = {
    "rejects": "rejects",
    "not sent": "is not sent",
    "request lost": "times out before effect",
    "answer lost": "times out after effect",
    "late": "arrives late",
    "duplicated": "is duplicated",
    "strange answer": "answers nonsense",
    "strange refusal": "answers nonsense, and did nothing",
    "no answer": "cannot be asked about",
    "key expires": "forgets the key",
    "time is up": "runs out of time",
}
"""In the words of a scenario, where it has some."""


def _short(happening: Happening) -> str:
    words = _SHORT.get(happening.what, happening.what)
    return f"{words} {happening.error}" if happening.what == "rejects" else words


def _consequence(edge: Edge) -> bool:
    """Whether the other branches only did what they had to."""
    match edge.outcome:
        case m.Compensated(error):
            return error.name == CANCELLED or edge.purpose is m.Purpose.COMPENSATE
        case outcome:
            return isinstance(outcome, m.Completed)


def faults(path: Path) -> tuple[str, ...]:
    """The faults on the way, in words, in order."""
    found = []
    for edge in path.edges:
        match edge.kind:
            case "call":
                before = ""
                for happening in edge.story:
                    told = f"{edge.label} {_short(happening)}"
                    if happening.what in _SHORT and told != before:
                        found.append(told)
                        before = told
            case "crash":
                found.append("the orchestrator dies")
            case "cancel":
                found.append("the saga is cancelled")
            case "timer" if edge.label == "deadline":
                found.append("the deadline passes")
            case "timer" if edge.label == "escalate":
                found.append(f"{edge.place} is still being retried after its time")
            case "timer" if edge.label == "wait":
                found.append(f"{edge.place}: nothing comes in time")
            case "branch" if not _consequence(edge):
                found.append(f"another branch: {_ended(edge.outcome)}")
            case _:
                pass
    return tuple(found)
