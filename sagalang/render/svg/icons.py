"""Small signs, so that no meaning hangs on a colour alone. About 11 pixels wide, around a middle
height `y`, from `x` on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sagalang.render.svg.shapes import Dot, Look, Mark, Part, Path

ROOM: Final = 17
"""From the left end of a sign to the text behind it."""


def _path(x: float, y: float, *points: tuple[float, float], closed: bool = False) -> Path:
    return Path(tuple((x + dx, y + dy) for dx, dy in points), Part.SIGN, closed)


def refused(x: float, y: float) -> tuple[Mark, ...]:
    """No entry: a ring with a bar."""
    return Dot(x + 5.5, y, 5, Part.SIGN), _path(x, y, (2.5, -3), (8.5, 3))


def undone(x: float, y: float) -> tuple[Mark, ...]:
    """An arrow that turns back."""
    hook = ((1, -2), (7.5, -2), (10, 0), (10, 1.5), (7.5, 3.5), (3, 3.5))
    return _path(x, y, *hook), _path(x, y, (4, -5), (1, -2), (4, 1))


def done(x: float, y: float) -> tuple[Mark, ...]:
    return (_path(x, y, (1, 0), (4.5, 4), (10.5, -4)),)


def warning(x: float, y: float) -> tuple[Mark, ...]:
    triangle = _path(x, y, (5.5, -5.5), (11, 4.5), (0, 4.5), closed=True)
    return triangle, _path(x, y, (5.5, -2), (5.5, 1)), Dot(x + 5.5, y + 2.8, 0.6, Part.SOLID)


def stop(x: float, y: float) -> tuple[Mark, ...]:
    """An octagon with a bar."""
    a, b = 2.2, 5.3
    corners = ((-a, -b), (a, -b), (b, -a), (b, a), (a, b), (-a, b), (-b, a), (-b, -a))
    octagon = _path(x + 5.5, y, *corners, closed=True)
    return octagon, _path(x, y, (3, 0), (8, 0))


def bolt(x: float, y: float) -> tuple[Mark, ...]:
    corners = ((7, -6), (1.5, 1), (5, 1), (4, 6), (9.5, -1), (6, -1))
    shape = tuple((x + dx, y + dy) for dx, dy in corners)
    return (Path(shape, Part.SOLID, closed=True),)


def onwards(x: float, y: float) -> tuple[Mark, ...]:
    """Two arrow heads: there is no way back."""
    return tuple(_path(x + at, y, (0, -4), (4, 0), (0, 4)) for at in (1, 6))


def ended(x: float, y: float) -> tuple[Mark, ...]:
    return (Dot(x + 5.5, y, 3.5, Part.SIGN),)


ICONS: Final[dict[Look, Callable[[float, float], tuple[Mark, ...]]]] = {
    Look.REJECTION: refused,
    Look.COMPENSATION: undone,
    Look.PHASE: undone,
    Look.COMPLETED: done,
    Look.COMPENSATED: undone,
    Look.ESCALATED: warning,
    Look.ENDED: ended,
    Look.MARK: warning,
    Look.ABORT: stop,
    Look.CRASH: bolt,
    Look.PIVOT: onwards,
}


def icon(look: Look, x: float, y: float) -> tuple[Mark, ...]:
    """The sign of a look; most have none."""
    return ICONS[look](x, y) if look in ICONS else ()


def room(look: Look) -> float:
    """What a sign takes from the left end of the text."""
    return ROOM if look in ICONS else 0
