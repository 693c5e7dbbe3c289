"""What entries of a journal are called in a picture: in a few words, without any value."""

from __future__ import annotations

from sagalang.graph.durations import duration
from sagalang.machine.events import Escalated, OpenItem, Purpose
from sagalang.model.errors import TIMEOUT
from sagalang.model.program import Ms
from sagalang.render.diagram import Fate, MessageKind
from sagalang.runtime import journal as j
from sagalang.runtime import words

Loops = tuple[tuple[str, str], ...]


def offset(ms: Ms) -> str:
    """`+1.2s`, `+1h5m10s`: time since the start of the run; whole seconds from a minute on, so
    that two moments of a long run can be told apart."""
    if ms >= 60_000:
        return "+" + duration(ms - ms % 1_000)
    return "+" + words.duration(ms).replace(" ", "")


def operation(label: str) -> str:
    return label.partition(".")[2]


def iteration(loops: Loops) -> str:
    """The iterations around something: ` [B]`."""
    return " " + "".join(f"[{identity}]" for _, identity in loops) if loops else ""


def called(entry: j.CallEntry, inside: str) -> str:
    text = operation(entry.label) + inside
    if entry.purpose is Purpose.RESOLVE:
        text += " (finding out)"
    match entry:
        case j.ProbeStarted() | j.ProbeEnded():
            return f"{text} (did it happen?)"
        case j.AttemptStarted(attempt=attempt) | j.AttemptEnded(attempt=attempt) if attempt > 1:
            return f"{text}, attempt {attempt}"
        case _ if entry.number > 1:
            return f"{text}, question {entry.number}"
        case _:
            return text


def answer(entry: j.AttemptEnded | j.ProbeEnded) -> tuple[str, MessageKind, Fate]:
    """What came back, how it is drawn, and whether it arrived."""
    if isinstance(entry, j.ProbeEnded):
        fate = Fate.LOST if entry.kind == "no answer" else Fate.ARRIVES
        return entry.kind + because(entry.error), MessageKind.REPLY, fate
    knew = because(words.KNEW_KEY if entry.replayed else None)
    match entry.kind:
        case "ok":
            return f"ok{knew}", MessageKind.REPLY, Fate.ARRIVES
        case "rejected":
            return f"{entry.error}{knew}", MessageKind.REJECTION, Fate.ARRIVES
        case "unknown" if entry.error == TIMEOUT:
            return f"unknown: no answer ({entry.error})", MessageKind.REPLY, Fate.LOST
        case kind:
            return kind + because(words.attempt(entry)), MessageKind.REPLY, Fate.LOST


def because(why: str | None) -> str:
    return f" ({why})" if why else ""


def task(item: OpenItem) -> str:
    """Who must do what."""
    verb = "undo" if item.purpose is Purpose.COMPENSATE else "settle"
    inside = iteration(item.place.loops)
    return f"{item.team or 'somebody'} must {verb} {item.label}{inside}: {item.failure.name}"


def outcome(entry: j.SagaFinished) -> tuple[str, ...]:
    error = f" with {entry.error}" if entry.error else ""
    tasks = entry.value.steps if isinstance(entry.value, Escalated) else ()
    return (f"{entry.kind}{error}", *map(task, tasks))
