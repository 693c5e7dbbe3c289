"""The neutral sequence model: what a picture says, in no particular format.

Plain frozen values. Texts are raw: they may contain anything, and each emitter escapes them for
its format. Participants are referred to by their index. A `span` leads back to the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from sagalang.text import Span


class ParticipantKind(Enum):
    ORCHESTRATOR = "orchestrator"
    SERVICE = "service"
    SAGA = "saga"
    ACTOR = "actor"
    """People and sources of events."""


class MessageKind(Enum):
    CALL = "call"
    REPLY = "reply"
    REJECTION = "rejection"
    EVENT = "event"
    COMPENSATION = "compensation"


class Fate(Enum):
    ARRIVES = "arrives"
    LOST = "lost"
    LATE = "late"
    """It arrives when its sender knows nothing of it any more."""


class NoteKind(Enum):
    POLICY = "policy"
    PIVOT = "pivot"
    OUTCOME = "outcome"
    INFO = "info"
    ABORT = "abort"
    CRASH = "crash"
    MARK = "mark"
    """Something a reader must not overlook."""


class FragmentKind(Enum):
    """PAR, ALT and CRITICAL may have several arms, the others have one."""

    PAR = "par"
    LOOP = "loop"
    ALT = "alt"
    OPT = "opt"
    CRITICAL = "critical"
    BREAK = "break"


@dataclass(frozen=True, slots=True)
class Participant:
    name: str
    kind: ParticipantKind
    doc: str = ""
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """An arrow. `path` is the step it belongs to. `details`: what else there is to know about it,
    for formats that can show it on demand: its policy, its key, its worst case."""

    source: int
    target: int
    text: str
    kind: MessageKind
    path: str | None = None
    span: Span | None = None
    fate: Fate = Fate.ARRIVES
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """Lines of text over some participants, from the first to the last; None: over all.

    A saga may have fewer participants than a note would like to cover.
    """

    lines: tuple[str, ...]
    kind: NoteKind
    over: tuple[int, int] | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """A compartment of a fragment; `label` says when it is taken."""

    label: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Fragment:
    kind: FragmentKind
    arms: tuple[Arm, ...]
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """A coloured part of the picture: the compensation."""

    items: tuple[Item, ...]
    span: Span | None = None


Item = Message | Note | Fragment | Phase


@dataclass(frozen=True, slots=True)
class SequenceDiagram:
    """The first participant is the orchestrator; in a choreography whoever starts it."""

    title: str
    participants: tuple[Participant, ...]
    items: tuple[Item, ...]
    doc: str = ""


def messages(items: tuple[Item, ...]) -> Iterator[Message]:
    """All arrows, from top to bottom."""
    for item in items:
        match item:
            case Message():
                yield item
            case Phase(items=inner):
                yield from messages(inner)
            case Fragment(arms=arms):
                for arm in arms:
                    yield from messages(arm.items)


def depth(items: tuple[Item, ...]) -> int:
    """How many fragments and phases stand in each other at the most."""
    deepest = 0
    for item in items:
        match item:
            case Phase(items=inner):
                deepest = max(deepest, 1 + depth(inner))
            case Fragment(arms=arms):
                deepest = max(deepest, *(1 + depth(arm.items) for arm in arms))
    return deepest


def extent(note: Note, last: int) -> tuple[int, int]:
    """The first and the last participant that a note covers, of those up to `last`."""
    first, end = note.over if note.over is not None else (0, last)
    return min(first, end, last), min(max(first, end), last)


def printable(text: str) -> str:
    """The text on one line, without what no reader can see and a renderer may stumble over.

    Control characters become spaces; marks that turn the direction of everything after them are
    dropped, so that a name cannot disguise the text beside it. Joiners stay: emoji need them.
    """
    from unicodedata import category

    kept = []
    for char in text:
        kind = category(char)
        if kind in ("Cc", "Zl", "Zp"):
            kept.append(" ")
        elif kind not in ("Cf", "Cs", "Co", "Cn") or char in "\u200c\u200d":
            kept.append(char)
    return " ".join("".join(kept).split())
