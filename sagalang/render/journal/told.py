"""What entries of a journal are called in a picture, in a few words.

A value is shown only where it was covered before (`Kept`), and the caller asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sagalang.graph.durations import duration
from sagalang.machine.events import Completed, Escalated, OpenItem, Purpose
from sagalang.machine.outcomes import Ok, Outcome
from sagalang.model.errors import TIMEOUT
from sagalang.model.program import Ms
from sagalang.render.diagram import Fate, MessageKind
from sagalang.runtime import journal as j
from sagalang.runtime import words
from sagalang.runtime.journal_values import Kept

Loops = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a picture shows beside what happened. `values`: arguments and answers that were covered
    (`runtime.journal_values`), no other ever. `clock`: the time of day in the details. `cut`: the
    journal's last line is missing. `doc`: a sentence about the run."""

    values: bool = False
    clock: bool = False
    cut: bool = False
    doc: str = ""


PLAIN: Final = Shown()


def offset(ms: Ms) -> str:
    """`+1.2s`, `+1h5m10s`: time since the start of the run; whole seconds from a minute on, so
    that two moments of a long run can be told apart."""
    if ms >= 60_000:
        return "+" + duration(ms - ms % 1_000)
    return "+" + words.duration(ms).replace(" ", "")


def moment(at: Ms) -> str:
    """`2026-11-22 22:45:01 UTC`: a time of ms since the Unix epoch."""
    try:
        return f"{datetime.fromtimestamp(at / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{at} ms after 1970"


def operation(label: str) -> str:
    return label.partition(".")[2]


def iteration(loops: Loops) -> str:
    """The iterations around something: ` [B]`."""
    return " " + "".join(f"[{identity}]" for _, identity in loops) if loops else ""


def called(entry: j.CallEntry, inside: str, args: str = "") -> str:
    text = operation(entry.label) + args + inside
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


def answer(entry: j.AttemptEnded | j.ProbeEnded, value: str = "") -> tuple[str, MessageKind, Fate]:
    """What came back, how it is drawn, and whether it arrived. `value`: what the answer holds."""
    if isinstance(entry, j.ProbeEnded):
        fate = Fate.LOST if entry.kind == "no answer" else Fate.ARRIVES
        return entry.kind + because(entry.error), MessageKind.REPLY, fate
    knew = because(words.KNEW_KEY if entry.replayed else None)
    match entry.kind:
        case "ok":
            return f"ok{value}{knew}", MessageKind.REPLY, Fate.ARRIVES
        case "rejected":
            return f"{entry.error}{value}{knew}", MessageKind.REJECTION, Fate.ARRIVES
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


def outcome(entry: j.SagaFinished, *, values: bool = False) -> tuple[str, ...]:
    error = f" with {entry.error}" if entry.error else ""
    gave = entry.value.value if isinstance(entry.value, Completed) and values else None
    tasks = entry.value.steps if isinstance(entry.value, Escalated) else ()
    return (f"{entry.kind}{error}{holding(gave)}", *map(task, tasks))


# --- Values --------------------------------------------------------------------------------------

SHORT: Final = 60
"""Characters of values beside an arrow."""
LONG: Final = 600
"""The same where they are shown on demand."""
_KEY: Final = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def arguments(args: tuple[Any, ...], most: int = SHORT) -> str:
    """`(o-1, {amount: 90.00, currency: EUR}, •••)`; nothing of a value that was not covered. Of a
    key only the beginning stands beside an arrow."""
    text = ", ".join(map(_covered, args))
    if most == SHORT:
        text = _KEY.sub(r"\1…", text)
    return f"({cut(text, most)})"


def holding(value: Any, most: int = SHORT) -> str:
    """` {payment: pay-1}`: what an answer or event holds; '' for nothing."""
    return f" {cut(_plain(value.plain), most)}" if isinstance(value, Kept) else ""


def held(outcome: Outcome) -> Any:
    """The value that an answer or a rejection brought."""
    return outcome.value if isinstance(outcome, Ok) else outcome.error.value


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _covered(value: Any) -> str:
    return "null" if value is None else _plain(value.plain) if isinstance(value, Kept) else "…"


def _plain(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "{" + ", ".join(f"{name}: {_plain(item)}" for name, item in value.items()) + "}"
        case tuple():
            return "[" + ", ".join(map(_plain, value)) + "]"
        case _:
            return str(value)
