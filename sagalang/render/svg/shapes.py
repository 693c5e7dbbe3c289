"""What an SVG picture is made of, before it is written: plain values, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from sagalang.render.diagram import (
    Fragment,
    Message,
    MessageKind,
    Note,
    NoteKind,
    Participant,
    ParticipantKind,
    Phase,
)
from sagalang.render.svg.metrics import Font

Point = tuple[float, float]


class Type(Enum):
    """What a text is for; the value is its class in the style sheet."""

    TITLE = "t"
    DOC = "e"
    NAME = "n"
    LABEL = "l"
    STRONG = "v"
    SMALL = "m"
    TAB = "k"


FONTS: Final = {
    Type.TITLE: Font(19, bold=True),
    Type.DOC: Font(13),
    Type.NAME: Font(14, bold=True),
    Type.LABEL: Font(13),
    Type.STRONG: Font(13, bold=True),
    Type.SMALL: Font(11.5),
    Type.TAB: Font(11, bold=True),
}
LEADING: Final = {
    Type.TITLE: 24,
    Type.DOC: 17,
    Type.NAME: 18,
    Type.LABEL: 16,
    Type.STRONG: 16,
    Type.SMALL: 15,
    Type.TAB: 15,
}
"""From one line to the next."""


class Part(Enum):
    """How a shape is drawn; the value is its class in the style sheet."""

    STROKE = "s"
    DASHED = "d"
    DOTTED = "o"
    HEAVY = "w"
    FILL = "f"
    SURFACE = "b"
    """Filled with the colour that a text stands on, with a border."""
    SIGN = "i"
    """A line in the colour of the text."""
    SOLID = "j"
    """Filled with the colour of the text."""


class Look(Enum):
    """What a group of shapes stands for, and with that its colours; the value is its class."""

    HEADING = "heading"
    LIFELINE = "lifeline"
    ORCHESTRATOR = "orchestrator"
    SERVICE = "service"
    SAGA = "saga"
    ACTOR = "actor"
    CALL = "call"
    REPLY = "reply"
    REJECTION = "rejection"
    EVENT = "event"
    COMPENSATION = "compensation"
    POLICY = "policy"
    INFO = "info"
    MARK = "mark"
    PIVOT = "pivot"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    ESCALATED = "escalated"
    ENDED = "ended"
    """An outcome of no other kind."""
    ABORT = "abort"
    CRASH = "crash"
    FRAGMENT = "fragment"
    BREAK = "break"
    PHASE = "phase"


PARTICIPANTS: Final = {kind: Look(kind.value) for kind in ParticipantKind}
MESSAGES: Final = {kind: Look(kind.value) for kind in MessageKind}
_NOTES: Final = {kind: Look(kind.value) for kind in NoteKind if kind is not NoteKind.OUTCOME}
_OUTCOMES: Final = (Look.COMPLETED, Look.COMPENSATED, Look.ESCALATED)


def note_look(note: Note) -> Look:
    """The look of a note; an outcome's is told by the first word that names one."""
    if note.kind is not NoteKind.OUTCOME:
        return _NOTES[note.kind]
    words = " ".join(note.lines).replace(",", " ").split()
    known = {look.value: look for look in _OUTCOMES}
    return next((known[word] for word in words if word in known), Look.ENDED)


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text, not empty. `x`: its left end, `y`: its base line."""

    x: float
    y: float
    width: float
    text: str
    type: Type


@dataclass(frozen=True, slots=True)
class Path:
    points: tuple[Point, ...]
    part: Part
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    part: Part = Part.SURFACE
    radius: float = 0


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    radius: float
    part: Part


Mark = Text | Path | Box | Dot


@dataclass(frozen=True, slots=True)
class Group:
    """Marks that belong together. `about`: what of the diagram they show."""

    look: Look
    marks: tuple[Mark, ...]
    about: Participant | Message | Note | Fragment | Phase | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """`left`: where the picture begins, which is left of the first lifeline, where x is 0; its top
    is 0. Groups in the order in which they are drawn."""

    left: float
    width: float
    height: float
    groups: tuple[Group, ...]


def base(top: float, type_: Type) -> float:
    """The base line of a line of text that begins at `top`."""
    return top + LEADING[type_] / 2 + FONTS[type_].size * 0.36
