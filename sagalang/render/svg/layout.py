"""Where everything in an SVG picture stands: from the diagram to sizes, before anything is drawn.

The lifeline of the orchestrator is x = 0. A text that belongs to an arrow stands right of one
lifeline, in the gap before the next, which is made wide enough; so no text ever meets a lifeline
or another text, and the columns far from the orchestrator stay narrow. Boxes of notes and bars
are opaque and may cover lifelines. Every item has rows of its own, so nothing lies on anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from sagalang.render.diagram import (
    Arm,
    Fate,
    Fragment,
    FragmentKind,
    Item,
    Message,
    Note,
    NoteKind,
    Participant,
    ParticipantKind,
    Phase,
    SequenceDiagram,
    depth,
    printable,
)
from sagalang.render.svg.icons import room
from sagalang.render.svg.metrics import width, wrap
from sagalang.render.svg.shapes import FONTS, LEADING, MESSAGES, Look, Type, note_look

Lines = tuple[str, ...]

NEST: Final = 11
"""From the side of a frame to the side of one within."""
ASIDE: Final = 11
"""From a lifeline to the text right of it."""
_SPARE: Final = 12
"""From such a text to the next lifeline."""
_LABEL: Final = 280
_NAME: Final = 158
_NOTE: Final = 400
_BAR: Final = 420
"""Texts are wrapped at these widths."""
_BETWEEN: Final = 18
"""Between two participants' boxes."""
BOX: Final = 14, 10
"""From the side and the top of a participant's box to its name."""
FIGURE: Final = 22, 46
"""Width and height of a person, with the room to the name below."""
INSET: Final = 9, 5
"""From the side and the top of a note to its text."""
_TABS: Final = 24
"""Left of the lifeline of the orchestrator within the innermost frame: room for its tab."""
LOOP: Final = 34, 16
"""An arrow back to where it starts."""
TAB: Final = 20
"""The head of a frame: the height of its tab, and the least height of a label beside it."""

OVER: Final = 6
UNDER: Final = 8
"""Free above and below an item."""
AFTER: Final = 2
"""From the last item within a frame to the frame."""
BELOW: Final = 4
"""Free below a frame."""
_TO_ARROW: Final = 6, 10
"""From the last line of a message to its arrow: a plain one, and one with a sign at an end."""

NEXT: Final = {
    FragmentKind.PAR: "and",
    FragmentKind.ALT: "else",
    FragmentKind.CRITICAL: "option",
}
PHASE: Final = "compensation"
STRIKES: Final = (NoteKind.PIVOT, NoteKind.ABORT, NoteKind.CRASH)
"""Notes that are a line across the picture, with a sign on it."""


@dataclass(frozen=True, slots=True)
class Columns:
    """`at`: the lifelines. `left`: the left side of the picture's contents."""

    at: tuple[float, ...]
    left: float

    def side(self, depth: int) -> float:
        """The left side of what stands within so many frames."""
        return self.left + NEST * depth


@dataclass(frozen=True, slots=True)
class Sized:
    """An item with the room it takes. `right`: its right side at least. `lines`: its wrapped
    text, for each arm or line. `inner`: what is within, for each arm."""

    item: Item
    right: float
    height: float
    lines: tuple[Lines, ...]
    inner: tuple[tuple[Sized, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """`names`: the lines of each participant's name. `head`: the height of the highest box."""

    columns: Columns
    names: tuple[Lines, ...]
    head: float
    items: tuple[Sized, ...]
    right: float


def layout(diagram: SequenceDiagram) -> Layout:
    names = tuple(wrap(printable(p.name), _NAME, FONTS[Type.NAME]) for p in diagram.participants)
    boxes = [box_width(who, lines) for who, lines in zip(diagram.participants, names, strict=True)]
    left = -max(boxes[0] / 2, NEST * depth(diagram.items) + _TABS)
    wanted = [0.0] * len(boxes)
    for gap, needed in _wants(diagram.items, left, 0):
        if gap < len(wanted):
            wanted[gap] = max(wanted[gap], needed + ASIDE + _SPARE)
    gaps = [
        max((before + after) / 2 + _BETWEEN, needed)
        for (before, after), needed in zip(pairwise(boxes), wanted, strict=False)
    ]
    columns = Columns(tuple(accumulate(gaps, initial=0.0)), left)
    items = tuple(_sized(item, columns, 0) for item in diagram.items)
    right = columns.at[-1] + boxes[-1] / 2
    heads = [box_height(who, lines) for who, lines in zip(diagram.participants, names, strict=True)]
    return Layout(columns, names, max(heads), items, max([right, *(i.right for i in items)]))


def widest(lines: Iterable[str], type_: Type) -> float:
    return max((width(line, FONTS[type_]) for line in lines), default=0.0)


def box_width(who: Participant, lines: Lines) -> float:
    inner = widest(lines, Type.NAME)
    if who.kind is ParticipantKind.ACTOR:
        return max(inner, FIGURE[0])
    return inner + 2 * BOX[0] + (8 if who.kind is ParticipantKind.SAGA else 0)


def box_height(who: Participant, lines: Lines) -> float:
    text = LEADING[Type.NAME] * len(lines)
    return text + FIGURE[1] if who.kind is ParticipantKind.ACTOR else text + 2 * BOX[1]


# --- Texts ---------------------------------------------------------------------------------------


def _said(message: Message) -> Lines:
    indent = room(MESSAGES[message.kind])
    return wrap(printable(message.text), _LABEL - indent, FONTS[Type.LABEL])


def to_arrow(message: Message) -> float:
    return _TO_ARROW[message.fate is not Fate.ARRIVES]


def _guard(arm: Arm) -> Lines:
    return wrap(printable(arm.label), _LABEL, FONTS[Type.LABEL])


def word(kind: FragmentKind, index: int) -> str:
    """What stands in the tab of a fragment, or before the label of a further arm."""
    return NEXT.get(kind, "or") if index else kind.value


def beside_tab(side: float, text: str) -> float:
    """Where the label beside a tab begins."""
    return max(side + width(text, FONTS[Type.TAB]) + 24, ASIDE)


def _told(note: Note) -> tuple[Lines, ...]:
    """The wrapped lines of a note. Of a strike the first stands on the line, the others below
    it, in the gap beside the orchestrator."""
    texts = [printable(line) for line in note.lines]
    texts = [text for text in texts if text]
    if note.kind in STRIKES:
        first = tuple(wrap(text, _BAR, FONTS[Type.STRONG]) for text in texts[:1])
        return first + tuple(wrap(text, _LABEL, FONTS[Type.SMALL]) for text in texts[1:])
    if note.kind is NoteKind.OUTCOME:
        first = tuple(wrap(text, _BAR, FONTS[Type.STRONG]) for text in texts[:1])
        return first + tuple(wrap(text, _BAR, FONTS[Type.LABEL]) for text in texts[1:])
    return tuple(wrap(text, _NOTE, FONTS[note_type(note.kind)]) for text in texts)


def note_type(kind: NoteKind) -> Type:
    """The type of a note that is a box."""
    return Type.STRONG if kind is NoteKind.MARK else Type.SMALL


def _wants(items: tuple[Item, ...], left: float, depth: int) -> Iterator[tuple[int, float]]:
    """The gap and the width of every text that stands between two lifelines."""
    for item in items:
        match item:
            case Message():
                text = room(MESSAGES[item.kind]) + widest(_said(item), Type.LABEL)
                yield min(item.source, item.target), max(text, LOOP[0])
            case Note(kind=kind) if kind in STRIKES:
                below = (widest(lines, Type.SMALL) for lines in _told(item)[1:])
                yield 0, max(below, default=0.0)
            case Phase(items=inner):
                yield 0, room(Look.PHASE) + width(PHASE, FONTS[Type.TAB])
                yield from _wants(inner, left, depth + 1)
            case Fragment(kind=kind, arms=arms):
                for index, arm in enumerate(arms):
                    start = beside_tab(left + NEST * depth, word(kind, index))
                    yield 0, start - ASIDE + widest(_guard(arm), Type.LABEL)
                    yield from _wants(arm.items, left, depth + 1)


# --- Sizes ---------------------------------------------------------------------------------------


def _sized(item: Item, columns: Columns, depth: int) -> Sized:
    match item:
        case Message():
            return _message(item, columns)
        case Note():
            return _note(item, columns, depth)
        case Phase(items=items):
            inner = tuple(_sized(each, columns, depth + 1) for each in items)
            head = ASIDE + room(Look.PHASE) + width(PHASE, FONTS[Type.TAB])
            right = max([head, *(each.right for each in inner)]) + NEST
            height = TAB + sum(each.height for each in inner) + AFTER
            return Sized(item, right, OVER + height + BELOW, (), (inner,))
        case Fragment():
            return _fragment(item, columns, depth)


def _message(message: Message, columns: Columns) -> Sized:
    lines = _said(message)
    start, end = sorted((columns.at[message.source], columns.at[message.target]))
    height = OVER + LEADING[Type.LABEL] * len(lines) + to_arrow(message) + UNDER
    if start < end:
        return Sized(message, end, height, (lines,))
    text = ASIDE + room(MESSAGES[message.kind]) + widest(lines, Type.LABEL)
    return Sized(message, start + max(text, LOOP[0] + 4), height + LOOP[1], (lines,))


def _fragment(fragment: Fragment, columns: Columns, depth: int) -> Sized:
    side = columns.side(depth)
    lines = tuple(_guard(arm) for arm in fragment.arms)
    inner = tuple(
        tuple(_sized(item, columns, depth + 1) for item in arm.items) for arm in fragment.arms
    )
    rights = [ASIDE * 2.0]
    for index, guard in enumerate(lines):
        start = beside_tab(side, word(fragment.kind, index))
        rights += (start + widest(guard, Type.LABEL), *(each.right for each in inner[index]))
    arms = zip(lines, inner, strict=True)
    height = sum(arm_head(guard) + sum(i.height for i in items) + AFTER for guard, items in arms)
    return Sized(fragment, max(rights) + NEST, OVER + height + BELOW, lines, inner)


def arm_head(guard: Lines) -> float:
    """The height of the head of an arm, above its first item."""
    return max(TAB, LEADING[Type.LABEL] * len(guard) + 4)


def _note(note: Note, columns: Columns, depth: int) -> Sized:
    lines = _told(note)
    indent = room(note_look(note))
    count = sum(map(len, lines))
    if note.kind in STRIKES or note.kind is NoteKind.OUTCOME:
        first = widest(lines[0], Type.STRONG) if lines else 0.0
        more = Type.LABEL if note.kind is NoteKind.OUTCOME else Type.SMALL
        rest = max((widest(each, more) for each in lines[1:]), default=0.0)
        right = ASIDE + indent + max(first, rest) + 2 * INSET[0] + 4
        if note.kind is NoteKind.PIVOT:
            right = max(right, columns.at[-1] + NEST)
        leads = LEADING[Type.STRONG] * max(len(lines[0]) if lines else 0, 1)
        below = LEADING[more] * (count - len(lines[0])) if lines else 0
        return Sized(note, right, OVER + leads + 2 * INSET[1] + below + UNDER, lines)
    type_ = note_type(note.kind)
    across = box_of_note(note, lines, columns, depth)
    height = OVER + LEADING[type_] * max(count, 1) + 2 * INSET[1] + UNDER
    return Sized(note, across[0] + across[1] + 2, height, lines)


def box_of_note(
    note: Note, lines: tuple[Lines, ...], columns: Columns, depth: int
) -> tuple[float, float]:
    """Left side and width of a note that is a box. Beside the orchestrator it is aligned with
    the other texts there; elsewhere it stands in the middle over whom it is about."""
    texts = max((widest(each, note_type(note.kind)) for each in lines), default=0.0)
    across = texts + room(note_look(note)) + 2 * INSET[0] + (8 if note.kind is NoteKind.INFO else 0)
    last = len(columns.at) - 1
    first, end = (0, 0) if note.over is None else sorted(min(i, last) for i in note.over)
    if first == 0:
        return max(-14.0, columns.side(depth)), across
    start, stop = columns.at[first], columns.at[end]
    across = max(across, stop - start + 28 if stop > start else 0)
    return max((start + stop - across) / 2, columns.side(depth) + 2), across
