"""From a diagram to the shapes of its picture: drawing, at the places that `svg_layout` found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sagalang.render.diagram import (
    Fragment,
    FragmentKind,
    Message,
    Note,
    NoteKind,
    ParticipantKind,
    Phase,
    SequenceDiagram,
    printable,
)
from sagalang.render.svg.arrows import arrow
from sagalang.render.svg.cast import boxes
from sagalang.render.svg.icons import icon, room
from sagalang.render.svg.layout import (
    AFTER,
    ASIDE,
    BELOW,
    INSET,
    NEST,
    OVER,
    PHASE,
    STRIKES,
    TAB,
    UNDER,
    Columns,
    Layout,
    Sized,
    arm_head,
    beside_tab,
    box_of_note,
    layout,
    note_type,
    to_arrow,
    widest,
    word,
)
from sagalang.render.svg.metrics import width, wrap
from sagalang.render.svg.shapes import (
    FONTS,
    LEADING,
    MESSAGES,
    Box,
    Group,
    Look,
    Mark,
    Part,
    Path,
    Picture,
    Text,
    Type,
    base,
    note_look,
)

_MARGIN: Final = 20
_TALL: Final = 700
"""A picture whose contents are higher names its participants again at its foot."""
_LEAST: Final = 280


def picture(diagram: SequenceDiagram) -> Picture:
    """The shapes of a diagram, from back to front; of each item its own group."""
    found = layout(diagram)
    left = found.columns.left
    right = max(found.right, left + _LEAST)
    heading, top = _heading(diagram, left, right)
    foot = top + found.head
    drawing = _Drawing(found.columns)
    end = drawing.draw(found.items, foot + 8, 0, right) + 6
    below: tuple[Group, ...] = ()
    height = end + _MARGIN
    if end - foot > _TALL:
        below = boxes(diagram, found, end, below=True)
        height = end + found.head + _MARGIN
    lifelines = tuple(_lifelines(diagram, found, foot, end))
    front = (*heading, *boxes(diagram, found, foot, below=False), *drawing.front, *below)
    groups = (*drawing.back, *lifelines, *front)
    return Picture(left - _MARGIN, right - left + 2 * _MARGIN, height, groups)


def _heading(
    diagram: SequenceDiagram, left: float, right: float
) -> tuple[tuple[Group, ...], float]:
    """Title and documentation, and where the participants begin."""
    y: float = _MARGIN - 4
    marks: list[Mark] = []
    for text, type_ in ((diagram.title, Type.TITLE), (diagram.doc, Type.DOC)):
        lines = wrap(printable(text), right - left, FONTS[type_])
        marks += _texts(lines, left, y, type_)
        y += LEADING[type_] * len(lines)
    if not marks:
        return (), _MARGIN
    return (Group(Look.HEADING, tuple(marks)),), y + 14


def _lifelines(diagram: SequenceDiagram, found: Layout, top: float, end: float) -> Iterator[Group]:
    heavy = [who.kind is ParticipantKind.ORCHESTRATOR for who in diagram.participants]
    places = [((x, top), (x, end)) for x in found.columns.at]
    plain = tuple(Path(at, Part.STROKE) for at, is_ in zip(places, heavy, strict=True) if not is_)
    if plain:
        yield Group(Look.LIFELINE, plain)
    strong = tuple(Path(at, Part.HEAVY) for at, is_ in zip(places, heavy, strict=True) if is_)
    if strong:
        yield Group(Look.ORCHESTRATOR, strong)


def _texts(lines: Iterable[str], x: float, top: float, type_: Type) -> list[Mark]:
    return [
        Text(x, base(top + index * LEADING[type_], type_), width(line, FONTS[type_]), line, type_)
        for index, line in enumerate(lines)
    ]


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Where an item may stand: from its top, within so many frames, to the right side."""

    top: float
    depth: int
    right: float


class _Drawing:
    """One picture being made: `back` lies behind the lifelines, `front` before them."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.back: list[Group] = []
        self.front: list[Group] = []

    def draw(self, items: Iterable[Sized], top: float, depth: int, right: float) -> float:
        """Draws items below each other; where they end."""
        for sized in items:
            bounds = _Bounds(top + OVER, depth, right)
            match sized.item:
                case Message():
                    self.front.append(self._message(sized.item, sized, bounds))
                case Note(kind=kind) if kind in STRIKES:
                    self.front.append(self._strike(sized.item, sized, bounds))
                case Note(kind=NoteKind.OUTCOME):
                    self.front.append(self._outcome(sized.item, sized, bounds))
                case Note():
                    self.front.append(self._box(sized.item, sized, bounds))
                case Phase():
                    self._phase(sized.item, sized, bounds)
                case Fragment():
                    self._fragment(sized.item, sized, bounds)
            top += sized.height
        return top

    # --- Messages --------------------------------------------------------------------------------

    def _message(self, message: Message, sized: Sized, bounds: _Bounds) -> Group:
        look = MESSAGES[message.kind]
        start = min(self._columns.at[message.source], self._columns.at[message.target]) + ASIDE
        marks = _texts(sized.lines[0], start + room(look), bounds.top, Type.LABEL)
        if room(look):
            top = bounds.top if sized.lines[0] else bounds.top - LEADING[Type.LABEL] / 2
            marks = [*icon(look, start, top + LEADING[Type.LABEL] / 2), *marks]
        y = bounds.top + LEADING[Type.LABEL] * len(sized.lines[0]) + to_arrow(message)
        return Group(look, (*marks, *arrow(message, self._columns.at, y)), message)

    # --- Notes -----------------------------------------------------------------------------------

    def _box(self, note: Note, sized: Sized, bounds: _Bounds) -> Group:
        look, type_ = note_look(note), note_type(note.kind)
        x, across = box_of_note(note, sized.lines, self._columns, bounds.depth)
        height = sized.height - OVER - UNDER
        y, right, low = bounds.top, x + across, bounds.top + height
        marks: list[Mark] = []
        match note.kind:
            case NoteKind.INFO:
                corner = ((x, y), (right - 8, y), (right, y + 8), (right, low), (x, low))
                fold = ((right - 8, y), (right - 8, y + 8), (right, y + 8))
                marks += (Path(corner, Part.SURFACE, closed=True), Path(fold, Part.STROKE))
            case NoteKind.MARK:
                marks += (Box(x, y, across, height), Path(((x, y), (x, low)), Part.HEAVY))
            case _:
                marks.append(Box(x, y, across, height, radius=8))
        lines = [line for each in sized.lines for line in each]
        marks += icon(look, x + INSET[0], y + INSET[1] + LEADING[type_] / 2)
        marks += _texts(lines, x + INSET[0] + room(look), y + INSET[1], type_)
        return Group(look, tuple(marks), note)

    def _outcome(self, note: Note, sized: Sized, bounds: _Bounds) -> Group:
        look, x = note_look(note), self._columns.side(bounds.depth)
        height = sized.height - OVER - UNDER
        marks: list[Mark] = [Box(x, bounds.top, bounds.right - x, height, radius=4)]
        marks += self._leading(look, sized, bounds.top, Type.LABEL)
        return Group(look, tuple(marks), note)

    def _strike(self, note: Note, sized: Sized, bounds: _Bounds) -> Group:
        look, left = note_look(note), self._columns.side(bounds.depth)
        first = sized.lines[0] if sized.lines else ()
        height = LEADING[Type.STRONG] * max(len(first), 1) + 2 * INSET[1]
        across = room(look) + widest(first, Type.STRONG) + 2 * INSET[0]
        y = bounds.top + height / 2
        marks: list[Mark] = []
        match note.kind:
            case NoteKind.PIVOT:
                rails = (y - 2.5, y + 2.5)
                marks += (Path(((left, at), (bounds.right, at)), Part.HEAVY) for at in rails)
            case NoteKind.CRASH:
                marks.append(Path(_zigzag(left, bounds.right, y), Part.STROKE))
            case _:
                marks.append(Path(((left, y), (bounds.right, y)), Part.DASHED))
        marks.append(
            Box(ASIDE, bounds.top, across, height, radius=height / 2 if len(first) < 2 else 8)
        )
        marks += self._leading(look, sized, bounds.top, Type.SMALL)
        return Group(look, tuple(marks), note)

    def _leading(self, look: Look, sized: Sized, top: float, more: Type) -> Iterator[Mark]:
        """A first text that stands out, the others below it."""
        first = sized.lines[0] if sized.lines else ()
        x, y = ASIDE + (INSET[0] if more is Type.SMALL else 0), top + INSET[1]
        yield from icon(look, x, y + LEADING[Type.STRONG] / 2)
        yield from _texts(first, x + room(look), y, Type.STRONG)
        y += LEADING[Type.STRONG] * max(len(first), 1) + (INSET[1] if more is Type.SMALL else 0)
        rest = [line for each in sized.lines[1:] for line in each]
        yield from _texts(rest, ASIDE if more is Type.SMALL else x + room(look), y, more)

    # --- Frames ----------------------------------------------------------------------------------

    def _phase(self, phase: Phase, sized: Sized, bounds: _Bounds) -> None:
        x, y = self._columns.side(bounds.depth), bounds.top
        height = sized.height - OVER - BELOW
        stripe = Path(((x, y), (x, y + height)), Part.HEAVY)
        band = Box(x, y, sized.right - x, height)
        self.back.append(Group(Look.PHASE, (band, stripe), phase))
        marks = icon(Look.PHASE, ASIDE, y + TAB / 2 + 2)
        text = _texts((PHASE,), ASIDE + room(Look.PHASE), y + 4, Type.TAB)
        self.front.append(Group(Look.PHASE, (*marks, *text)))
        self.draw(sized.inner[0], y + TAB, bounds.depth + 1, sized.right - NEST)

    def _fragment(self, fragment: Fragment, sized: Sized, bounds: _Bounds) -> None:
        look = Look.BREAK if fragment.kind is FragmentKind.BREAK else Look.FRAGMENT
        x, y = self._columns.side(bounds.depth), bounds.top
        height = sized.height - OVER - BELOW
        # The frame is drawn before what it holds, so that a reader in order meets it first.
        at = len(self.front)
        marks: list[Mark] = [
            Path(_corners(x, y, sized.right, y + height), Part.STROKE, closed=True)
        ]
        for index, (guard, inner) in enumerate(zip(sized.lines, sized.inner, strict=True)):
            text = word(fragment.kind, index)
            if index:
                marks.append(Path(((x, y), (sized.right, y)), Part.DASHED))
            marks += (_tab(x, y, text), *_texts((text,), x + 7, y + 2, Type.TAB))
            marks += _texts(guard, beside_tab(x, text), y + 2, Type.LABEL)
            y = self.draw(inner, y + arm_head(guard), bounds.depth + 1, sized.right - NEST) + AFTER
        self.front.insert(at, Group(look, tuple(marks), fragment))


def _corners(left: float, top: float, right: float, low: float) -> tuple[tuple[float, float], ...]:
    return (left, top), (right, top), (right, low), (left, low)


def _tab(x: float, y: float, text: str) -> Path:
    right, low = x + width(text, FONTS[Type.TAB]) + 18, y + TAB
    corners = ((x, y), (right, y), (right, low - 7), (right - 7, low), (x, low))
    return Path(corners, Part.SURFACE, closed=True)


def _zigzag(left: float, right: float, y: float) -> tuple[tuple[float, float], ...]:
    count = max(int((right - left) / 7), 1)
    step = (right - left) / count
    return tuple((left + step * i, y + (3.5 if i % 2 else -3.5)) for i in range(count + 1))
