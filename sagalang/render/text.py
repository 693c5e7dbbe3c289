"""Sequence diagrams in box drawing characters, for terminals, logs and reviews.

Pure: the same model gives the same text. No colours, no trailing blanks, no control characters.

Every text stands to the right of one lifeline, in the gap before the next, and is wrapped there;
so no text ever covers a lifeline, and the columns far from the orchestrator can stay narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from sagalang.render.cells import put, width, wrap
from sagalang.render.diagram import (
    Arm,
    Fate,
    Fragment,
    FragmentKind,
    Item,
    Message,
    MessageKind,
    Note,
    NoteKind,
    Participant,
    ParticipantKind,
    Phase,
    SequenceDiagram,
    depth,
    printable,
)

WIDTH: Final = 100
"""Texts are wrapped to make the picture fit, but never into gaps narrower than `_NARROW`."""
_NARROW: Final = 36
_NAME: Final = 20
_SPARE: Final = 3
"""Between a lifeline and the text right of it, and between the text and the next lifeline."""


@dataclass(frozen=True, slots=True)
class _Stroke:
    line: str
    crossing: str
    right: str
    left: str
    from_left: str = "├"
    from_right: str = "┤"


_STROKES: Final = {
    MessageKind.CALL: _Stroke("─", "┼", "▶", "◀"),
    MessageKind.REPLY: _Stroke("╌", "┼", "▶", "◀"),
    MessageKind.REJECTION: _Stroke("╌", "┼", "▶", "◀"),
    MessageKind.EVENT: _Stroke("┈", "┼", "▷", "◁"),
    MessageKind.COMPENSATION: _Stroke("═", "╪", "▶", "◀", "╞", "╡"),
}
_LATE: Final = _Stroke("┈", "┼", "▶", "◀", "│", "│")
_SIGNS: Final = {MessageKind.REJECTION: "⊘ "}
_LOST: Final = "✗"
_PHASE: Final = "compensation"
_LOOP: Final = 3
"""Columns of an arrow back to where it starts."""
_SHORT_OF: Final = 3
"""So many columns before its target a lost arrow ends."""

_BARS: Final = {
    NoteKind.PIVOT: "═╪",
    NoteKind.OUTCOME: "━┿",
    NoteKind.ABORT: "─┼",
    NoteKind.CRASH: "┅┿",
}
"""Notes that are drawn across the whole picture: the line, and where it meets a lifeline."""

_BOXES: Final = {
    ParticipantKind.ORCHESTRATOR: "╔═╗║╚╝╤",
    ParticipantKind.SERVICE: "┌─┐│└┘┬",
    ParticipantKind.SAGA: "┌─┐│└┘┬",
    ParticipantKind.ACTOR: "╭─╮│╰╯┬",
}
_NEXT: Final = {
    FragmentKind.PAR: "and",
    FragmentKind.ALT: "else",
    FragmentKind.CRITICAL: "option",
}


def emit(diagram: SequenceDiagram, width: int | None = None) -> str:
    """The diagram as lines of text, with a line break at its end.

    `width`: the columns it should fit into, 100 unless told. With many participants, or names
    that cannot be made narrower, it is wider.
    """
    layout = _layout(diagram, WIDTH if width is None else width)
    rows = [*_boxes(diagram.participants, layout), *_items(diagram.items, layout, ())]
    heading = diagram.title if not diagram.doc.strip() else f"{diagram.title}: {diagram.doc}"
    lines = [*_heading(heading, layout), "", *("".join(row).rstrip() for row in rows)]
    return "\n".join(lines) + "\n"


def _heading(text: str, layout: _Layout) -> Iterator[str]:
    for line in wrap(printable(text), layout.width):
        row = [" "] * layout.width
        put(row, 0, line)
        yield "".join(row).rstrip()


# --- Where everything stands ---------------------------------------------------------------------

Names = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Layout:
    """`columns`: of the lifelines. `names`: the lines in each participant's box. A gap reaches
    from its lifeline to the next one, or to the right edge."""

    columns: tuple[int, ...]
    names: Names
    width: int
    rooms: tuple[int, ...]
    """Columns for a text in each gap."""


def _layout(diagram: SequenceDiagram, limit: int) -> _Layout:
    names = tuple(tuple(wrap(printable(p.name), _NAME)) for p in diagram.participants)
    boxes = [max(map(width, lines)) + 4 for lines in names]
    last = len(boxes) - 1
    frames = 2 * depth(diagram.items) + 1
    first = max(boxes[0] // 2, frames)
    tail = max(_right_half(boxes[last]), frames)
    least = [_right_half(box) + after // 2 + 2 for box, after in pairwise(boxes)]
    least.append(tail + 1)
    wanted = [0] * len(boxes)
    for gap, columns in _texts(diagram.items, names):
        wanted[gap] = max(wanted[gap], columns + _SPARE)
    # The frames end behind the last lifeline.
    lost = [0] * last + [frames]

    def gaps(cap: int) -> list[int]:
        return [max(a, min(b, cap) + c) for a, b, c in zip(least, wanted, lost, strict=True)]

    cap = max(*wanted, _NARROW)
    while cap > _NARROW and first + sum(gaps(cap)) > limit:
        cap -= 1
    found = tuple(gaps(cap))
    lifelines = tuple(accumulate(found[:-1], initial=first))
    rooms = tuple(gap - _SPARE - edge for gap, edge in zip(found, lost, strict=True))
    return _Layout(lifelines, names, first + sum(found), rooms)


def _right_half(box: int) -> int:
    return box - 1 - box // 2


def _texts(items: tuple[Item, ...], names: Names) -> Iterator[tuple[int, int]]:
    """The gap and the columns of every text."""
    for item in items:
        match item:
            case Message():
                yield min(item.source, item.target), max(width(_said(item)), _LOOP)
            case Note():
                yield from ((0, width(line) + 3) for line in _note_lines(item, names))
            case Phase(items=inner):
                yield 0, width(_PHASE) + 3
                yield from _texts(inner, names)
            case Fragment(kind=kind, arms=arms):
                for index, arm in enumerate(arms):
                    yield 0, width(_label(kind, index, arm)) + 3
                    yield from _texts(arm.items, names)


def _said(message: Message) -> str:
    return _SIGNS.get(message.kind, "") + printable(message.text)


def _label(kind: FragmentKind, index: int, arm: Arm) -> str:
    word = _NEXT[kind] if index else kind.value
    return f"{word}: {label}" if (label := printable(arm.label)) else word


def _note_lines(note: Note, names: Names) -> list[str]:
    """All notes stand beside the orchestrator; one about somebody else says about whom."""
    lines = [printable(line) for line in note.lines] or [""]
    first, last = (0, 0) if note.over is None else sorted(note.over)
    if first > 0:
        known = [" ".join(lines) for lines in names[first : last + 1]]
        lines[0] = f"{' to '.join(dict.fromkeys((known[0], known[-1])))}: {lines[0]}"
    return lines


# --- Rows ----------------------------------------------------------------------------------------

Row = list[str]
"""One cell a column."""
Frames = tuple[str, ...]
"""The sides of the frames around a row, outermost first."""


def _row(layout: _Layout, frames: Frames) -> Row:
    row = [" "] * layout.width
    for column in layout.columns:
        row[column] = "│"
    for level, side in enumerate(frames):
        row[2 * level] = row[layout.width - 1 - 2 * level] = side
    return row


def _bar(layout: _Layout, frames: Frames, stroke: str, ends: str, text: str) -> Row:
    """A line from side to side, inside the frames, with a text in it. `stroke`: the line, and
    where it meets a lifeline; `ends`: its corners, if it has any."""
    line, crossing = tuple(stroke)
    row = _row(layout, frames)
    left, right = 2 * len(frames), layout.width - 1 - 2 * len(frames)
    row[left : right + 1] = [line] * (right + 1 - left)
    for column in layout.columns:
        row[column] = crossing
    if ends:
        row[left], row[right] = ends[0], ends[1]
    if text:
        put(row, layout.columns[0] + 2, f" {text} ")
    return row


def _labelled(
    layout: _Layout, frames: Frames, inside: Frames, stroke: str, ends: str, text: str
) -> Iterator[Row]:
    """A bar whose text goes on below it where it is long."""
    first, *more = wrap(text, layout.rooms[0] - 3)
    yield _bar(layout, frames, stroke, ends, first)
    for rest in more:
        yield _beside(layout, inside, 0, " " + rest)


def _beside(layout: _Layout, frames: Frames, gap: int, text: str) -> Row:
    row = _row(layout, frames)
    put(row, layout.columns[gap] + 2, text)
    return row


def _boxes(participants: tuple[Participant, ...], layout: _Layout) -> Iterator[Row]:
    height = max(map(len, layout.names))
    rows = [[" "] * layout.width for _ in range(height + 2)]
    for who, lines, column in zip(participants, layout.names, layout.columns, strict=True):
        across = max(map(width, lines)) + 4
        left = column - across // 2
        right = left + across - 1
        top_left, line, top_right, side, low_left, low_right, foot = tuple(_BOXES[who.kind])
        rows[0][left : right + 1] = [top_left, *line * (across - 2), top_right]
        rows[-1][left : right + 1] = [low_left, *line * (across - 2), low_right]
        rows[-1][column] = foot
        for index, row in enumerate(rows[1:-1]):
            row[left] = row[right] = side
            if index < len(lines):
                put(row, left + 2, lines[index])
    yield from rows


def _items(items: tuple[Item, ...], layout: _Layout, frames: Frames) -> Iterator[Row]:
    for item in items:
        match item:
            case Message():
                yield from _message(item, layout, frames)
            case Note():
                yield from _note(item, layout, frames)
            case Phase(items=inner):
                inside = (*frames, "║")
                yield from _labelled(layout, frames, inside, "═╪", "╔╗", _PHASE)
                yield from _items(inner, layout, inside)
                yield _bar(layout, frames, "═╪", "╚╝", "")
            case Fragment():
                yield from _fragment(item, layout, frames)


def _fragment(fragment: Fragment, layout: _Layout, frames: Frames) -> Iterator[Row]:
    inside = (*frames, "│")
    for index, arm in enumerate(fragment.arms):
        stroke, ends = ("╌┼", "├┤") if index else ("─┼", "┌┐")
        text = _label(fragment.kind, index, arm)
        yield from _labelled(layout, frames, inside, stroke, ends, text)
        yield from _items(arm.items, layout, inside)
    yield _bar(layout, frames, "─┼", "└┘", "")


def _note(note: Note, layout: _Layout, frames: Frames) -> Iterator[Row]:
    lines = _note_lines(note, layout.names)
    if note.kind in _BARS:
        first, *more = lines
        yield from _labelled(layout, frames, frames, _BARS[note.kind], "", first)
        for text in more:
            for part in wrap(text, layout.rooms[0] - 1):
                yield _beside(layout, frames, 0, " " + part)
        return
    parts = [part for text in lines for part in wrap(text, layout.rooms[0] - 2)]
    last = len(parts) - 1
    for index, part in enumerate(parts):
        if note.kind is NoteKind.MARK:
            yield _beside(layout, frames, 0, f"┃ {part}")
        else:
            opening, closing = " ["[index == 0], "]" if index == last else ""
            yield _beside(layout, frames, 0, f"{opening}{part}{closing}")


def _message(message: Message, layout: _Layout, frames: Frames) -> Iterator[Row]:
    left, right = sorted((message.source, message.target))
    for line in wrap(_said(message), layout.rooms[left]):
        yield _beside(layout, frames, left, line)
    stroke = _LATE if message.fate is Fate.LATE else _STROKES[message.kind]
    if left == right:
        yield from _to_itself(layout, frames, left, stroke, message.fate)
        return
    row = _row(layout, frames)
    start, end = layout.columns[left], layout.columns[right]
    row[start + 1 : end] = [stroke.line] * (end - start - 1)
    for column in layout.columns[left + 1 : right]:
        row[column] = stroke.crossing
    rightwards = message.source == left
    if rightwards:
        row[start], row[end - 1] = stroke.from_left, stroke.right
    else:
        row[end], row[start + 1] = stroke.from_right, stroke.left
    if message.fate is Fate.LOST:
        blank = [" "] * (_SHORT_OF - 1)
        if rightwards:
            row[end - _SHORT_OF : end] = [_LOST, *blank]
        else:
            row[start + 1 : start + 1 + _SHORT_OF] = [*blank, _LOST]
    if message.fate is Fate.LATE:
        # Whoever sent it knows nothing of it any more.
        if rightwards:
            row[start + 1 : start + 3] = "  "
        else:
            row[end - 2 : end] = "  "
    yield row


def _to_itself(
    layout: _Layout, frames: Frames, who: int, stroke: _Stroke, fate: Fate
) -> Iterator[Row]:
    column = layout.columns[who]
    row = _row(layout, frames)
    row[column : column + 1 + _LOOP] = [stroke.from_left, stroke.line, stroke.line, "╮"]
    yield row
    row = _row(layout, frames)
    head = _LOST if fate is Fate.LOST else stroke.left
    row[column + 1 : column + 1 + _LOOP] = [head, stroke.line, "╯"]
    yield row
