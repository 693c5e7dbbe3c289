"""The participants' boxes, at the head of a picture and, where it is tall, at its foot."""

from __future__ import annotations

from typing import Final

from sagalang.render.diagram import Participant, ParticipantKind, SequenceDiagram
from sagalang.render.svg.layout import BOX, FIGURE, Layout, Lines, box_height, box_width
from sagalang.render.svg.metrics import width
from sagalang.render.svg.shapes import (
    FONTS,
    LEADING,
    PARTICIPANTS,
    Box,
    Dot,
    Group,
    Mark,
    Part,
    Path,
    Text,
    Type,
    base,
)

_RADII: Final = {ParticipantKind.ORCHESTRATOR: 5, ParticipantKind.SERVICE: 5}


def boxes(diagram: SequenceDiagram, found: Layout, y: float, *, below: bool) -> tuple[Group, ...]:
    """A group for each participant. Boxes at the head stand on `y`, those at the foot hang from
    it (`below`)."""
    groups = []
    for who, lines, x in zip(diagram.participants, found.names, found.columns.at, strict=True):
        top = y if below else y - box_height(who, lines)
        marks = (
            _person(lines, x, top)
            if who.kind is ParticipantKind.ACTOR
            else _box(who, lines, x, top)
        )
        groups.append(Group(PARTICIPANTS[who.kind], marks, who))
    return tuple(groups)


def _box(who: Participant, lines: Lines, x: float, top: float) -> tuple[Mark, ...]:
    across, height = box_width(who, lines), box_height(who, lines)
    left, low = x - across / 2, top + height
    marks: list[Mark] = [Box(left, top, across, height, radius=_RADII.get(who.kind, 0))]
    if who.kind is ParticipantKind.SAGA:
        # The sign for a process that is described elsewhere.
        marks += (Path(((at, top), (at, low)), Part.STROKE) for at in (left + 5, left + across - 5))
    return *marks, *_name(lines, x, top + BOX[1])


def _person(lines: Lines, x: float, top: float) -> tuple[Mark, ...]:
    arm = FIGURE[0] / 2
    hip = top + 28
    return (
        Dot(x, top + 7, 6, Part.SURFACE),
        Path(((x, top + 13), (x, hip)), Part.STROKE),
        Path(((x - arm, top + 19), (x + arm, top + 19)), Part.STROKE),
        Path(((x - 8, top + 40), (x, hip), (x + 8, top + 40)), Part.STROKE),
        *_name(lines, x, top + FIGURE[1] - 2),
    )


def _name(lines: Lines, x: float, top: float) -> tuple[Mark, ...]:
    marks = []
    for index, line in enumerate(lines):
        across = width(line, FONTS[Type.NAME])
        y = base(top + index * LEADING[Type.NAME], Type.NAME)
        marks.append(Text(x - across / 2, y, across, line, Type.NAME))
    return tuple(marks)
