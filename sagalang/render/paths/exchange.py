"""A call under faults as items of a picture: what is sent, what gets lost, what is repeated.

Attempts that come to the same one after the other are drawn once, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from sagalang.graph.durations import duration
from sagalang.machine.outcomes import NotSent, Ok, Rejected
from sagalang.model import program as p
from sagalang.render.cast import ORCHESTRATOR
from sagalang.render.diagram import Fate, Item, Message, MessageKind, Note, NoteKind
from sagalang.render.paths.call_history import (
    Asked,
    Attempted,
    CallHistory,
    Died,
    Forgotten,
    Happening,
    Landed,
    OutOfTime,
    Waited,
)
from sagalang.render.paths.whens import CRASHES, TIMES_OUT
from sagalang.render.strokes import aside

_MANY = 20
"""More rounds are not counted but `again and again`."""
_LONGEST_ROUND = 5
"""So many happenings (attempts, waits, questions) may come again and again in turns."""
_FOR_LONG = 10**9
_FOR_EVER = 2 * _FOR_LONG
"""Counts of repeats that nobody counts: until a time is over, and without an end."""
CRASH = "the orchestrator dies and goes on from its journal"


@dataclass(frozen=True, slots=True)
class Arrows:
    """The arrows of one call: what is sent, what is answered, what is asked where nobody knows."""

    sent: Message
    answered: Message
    asked: Message | None
    timeout: p.Ms

    @property
    def undoing(self) -> bool:
        return self.sent.kind is MessageKind.COMPENSATION


def exchange(history: CallHistory, arrows: Arrows) -> Iterator[Item]:
    """Everything that happened, in order."""
    groups = [_Group(one, sum(1 for _ in alike)) for one, alike in groupby(history.happenings)]
    if history.outcome is None and groups:
        groups[-1] = _Group(groups[-1].one, _FOR_EVER)
    for at, group in enumerate(groups[1:], 1):
        if isinstance(group.one, Forgotten | OutOfTime):
            groups[at - 1] = _Group(groups[at - 1].one, _FOR_LONG)
    at, sent = 0, False
    while at < len(groups):
        size, turns = _round(groups[at:])
        for one, count in groups[at : at + size]:
            yield from _happening(one, count, arrows, again=sent)
            sent = sent or (isinstance(one, Attempted) and one.fault != "is not sent")
        if turns > 1:
            times = "again and again" if turns > _MANY else f"{_times(turns - 1)} more"
            yield aside(f"the same {times}", arrows.sent.span)
        at += size * turns


class _Group(NamedTuple):
    """Happenings that are alike, one after the other, and how many."""

    one: Happening
    times: int


def _round(groups: list[_Group]) -> tuple[int, int]:
    """The size of what is done in turns from here on (attempt, wait, question), and how often."""
    for size in range(2, _LONGEST_ROUND + 1):
        turns = 1
        while groups[turns * size : (turns + 1) * size] == groups[:size]:
            turns += 1
        if turns > 2:
            return size, turns
    return 1, 1


def _happening(one: Happening, count: int, arrows: Arrows, *, again: bool) -> Iterator[Item]:
    match one:
        case Attempted():
            yield from _attempt(one, arrows, count, again=again)
        case Asked():
            yield from _asked(one, arrows, count)
        case Waited(within=within):
            yield waits(within, arrows.sent)
        case Died():
            yield Note((CRASH,), NoteKind.CRASH)
        case Forgotten(after=after):
            text = f"after {duration(after)} its key is forgotten: repeating could do it twice"
            yield aside(text, arrows.sent.span)
        case OutOfTime():
            yield aside("its time is over", arrows.sent.span)
        case Landed(known=known):
            what = "changes nothing, it is known" if known else "takes effect"
            yield late(arrows.sent, what)


def waits(within: p.Ms, sent: Message) -> Note:
    return aside(f"waits until a late call can no longer land ({duration(within)})", sent.span)


def late(sent: Message, what: str) -> Message:
    """A copy of the request that nobody waits for any more."""
    name = sent.text.partition("(")[0]
    text = f"{name} arrives late: {what}"
    return Message(
        ORCHESTRATOR, sent.target, text, MessageKind.CALL, sent.path, sent.span, Fate.LATE
    )


def _attempt(one: Attempted, arrows: Arrows, count: int, *, again: bool) -> Iterator[Item]:
    sent = replace(arrows.sent, text=f"{arrows.sent.text} again") if again else arrows.sent
    answered = arrows.answered
    name = arrows.sent.text.partition("(")[0]
    lost = replace(answered, fate=Fate.LOST)
    patience = f"no answer within {duration(arrows.timeout)}"
    match one.fault:
        case "is not sent":
            more = f", {_times(count)}" if count > 1 else ""
            yield aside(f"{name} is not sent{more}", sent.span)
            return
        case "times out before effect" | "arrives late":
            yield replace(sent, fate=Fate.LOST)
        case "crash before":
            yield replace(sent, fate=Fate.LOST)
            return
        case "times out after effect" | "crash after":
            yield sent
            yield lost
        case "duplicated":
            yield sent
            yield replace(sent, text=f"{name}, the same request a second time")
        case _:
            yield sent
    if one.fault in CRASHES:
        return
    match one.outcome:
        case Ok() if arrows.undoing:
            pass
        case Ok():
            known = f"{answered.text} (its key is known)" if one.again else answered.text
            yield replace(answered, text=known)
        case Rejected(error):
            kind = MessageKind.REJECTION
            yield replace(answered, text=error.name, kind=kind)
        case _ if one.fault in (*TIMES_OUT, "arrives late"):
            more = f"; {_retried(count)}: none either" if count > 1 else ""
            yield aside(patience + more, sent.span)
            return
        case _ if one.fault == "answers nonsense":
            yield replace(answered, text="an answer that the contract does not know")
        case outcome:
            yield replace(lost, text="not sent" if isinstance(outcome, NotSent) else "unavailable")
    if count > 1:
        yield aside(f"{_retried(count)}: the same", sent.span)


def _retried(count: int) -> str:
    if count >= _FOR_LONG:
        return "retried for ever" if count == _FOR_EVER else "retried again and again"
    return "1 retry" if count == 2 else f"{count - 1} retries"


def _times(count: int) -> str:
    if count >= _FOR_LONG - 1:
        return "again and again"
    return "once" if count == 1 else f"{count} times"


def _asked(one: Asked, arrows: Arrows, count: int) -> Iterator[Item]:
    asked = arrows.asked
    assert asked is not None, "only a call with a probe asks"
    yield asked
    reply = Message(asked.target, asked.source, "", MessageKind.REPLY, asked.path, asked.span)
    match one.outcome:
        case Ok(value=None):
            yield replace(reply, text="no")
        case Ok():
            yield replace(reply, text="yes")
        case _:
            yield replace(reply, text="no answer", fate=Fate.LOST)
    if count > 1:
        yield aside(f"asks {_times(count - 1)} more: the same", asked.span)
