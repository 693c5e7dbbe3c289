"""The arrows of messages. What becomes of a message is told by its ends: a lost one ends with a
cross before its target; of one that comes late, the sender has let go."""

from __future__ import annotations

from typing import Final

from sagalang.render.diagram import Fate, Message, MessageKind
from sagalang.render.svg.layout import LOOP
from sagalang.render.svg.shapes import Dot, Mark, Part, Path

_STROKES: Final = {
    MessageKind.CALL: Part.STROKE,
    MessageKind.REPLY: Part.DASHED,
    MessageKind.REJECTION: Part.DASHED,
    MessageKind.EVENT: Part.STROKE,
    MessageKind.COMPENSATION: Part.DASHED,
}
_OPEN: Final = (MessageKind.REPLY, MessageKind.REJECTION, MessageKind.EVENT)
_HEAD: Final = 9, 4.5
_SHORT_OF: Final = 26
"""So far before its target a lost arrow ends, and from its sender a late one begins."""
_CROSS: Final = 5


def arrow(message: Message, columns: tuple[float, ...], y: float) -> tuple[Mark, ...]:
    """The arrow of a message at a height."""
    start, end = columns[message.source], columns[message.target]
    if start == end:
        return _to_itself(message, start, y)
    way = 1 if end > start else -1
    late = message.fate is Fate.LATE
    stroke = Part.DOTTED if late else _STROKES[message.kind]
    origin: tuple[Mark, ...] = ()
    if late:
        start += way * _SHORT_OF
        origin = (Dot(start, y, 3.5, Part.STROKE),)
        start += way * 4
    if message.fate is Fate.LOST:
        end -= way * _SHORT_OF
        return Path(((start, y), (end, y)), stroke), *_cross(end, y)
    return *origin, *_pointed(((start, y), (end, y)), stroke, message.kind, way)


def _pointed(
    points: tuple[tuple[float, float], ...], stroke: Part, kind: MessageKind, way: int
) -> tuple[Mark, ...]:
    x, y = points[-1]
    back = x - way * _HEAD[0]
    barbs = (back, y - _HEAD[1]), (x, y), (back, y + _HEAD[1])
    if kind in _OPEN:
        return Path(points, stroke), Path(barbs, Part.STROKE)
    return Path((*points[:-1], (back, y)), stroke), Path(barbs, Part.FILL, closed=True)


def _cross(x: float, y: float) -> tuple[Mark, ...]:
    a = _CROSS
    return (
        Path(((x - a, y - a), (x + a, y + a)), Part.STROKE),
        Path(((x - a, y + a), (x + a, y - a)), Part.STROKE),
    )


def _to_itself(message: Message, x: float, y: float) -> tuple[Mark, ...]:
    out, low = x + LOOP[0], y + LOOP[1]
    stroke = Part.DOTTED if message.fate is Fate.LATE else _STROKES[message.kind]
    start = x + (10 if message.fate is Fate.LATE else 0)
    if message.fate is Fate.LOST:
        return Path(((start, y), (out, y), (out, low), (x + 14, low)), stroke), *_cross(x + 14, low)
    loop = ((start, y), (out, y), (out, low), (x, low))
    origin = (Dot(start, y, 3.5, Part.STROKE),) if message.fate is Fate.LATE else ()
    return *origin, *_pointed(loop, stroke, message.kind, -1)
