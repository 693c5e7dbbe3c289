"""Mermaid sequence diagrams. Pure: the same model gives the same text.

Every text is escaped for Mermaid's line grammar: `;` ends a statement there, `#` begins an
entity, `%%` a comment, `:` and `@` mean something too, and what looks like HTML is taken as HTML.
Whatever is not plainly harmless is written as a numeric entity; HTML entities would break
because of their `;`. Participants have ids of our own, for a name like `end` breaks as an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

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
    ParticipantKind,
    Phase,
    SequenceDiagram,
    extent,
    printable,
)

_ARROWS: Final = {
    MessageKind.CALL: "->>",
    MessageKind.REPLY: "-->>",
    MessageKind.REJECTION: "-->>",
    MessageKind.EVENT: "-)",
    MessageKind.COMPENSATION: "-->>",
}
_LOST: Final = {"->>": "-x", "-->>": "--x", "-)": "-x"}
_LATE: Final = "--)"
_WORDS: Final = {
    FragmentKind.PAR: ("par", "and"),
    FragmentKind.LOOP: ("loop", ""),
    FragmentKind.ALT: ("alt", "else"),
    FragmentKind.OPT: ("opt", ""),
    FragmentKind.CRITICAL: ("critical", "option"),
    FragmentKind.BREAK: ("break", ""),
}
_PHASE: Final = "rect rgba(255, 152, 0, 0.15)"
"""Translucent, so that it can be read on a light and on a dark page."""
_PLAIN: Final = frozenset(" .,()[]_-=+*/!?'")
_MARKS: Final = frozenset("ﬂ¶")
"""Letters with which Mermaid marks entities in its own working copy of the text."""
_INDENT: Final = "  "


def emit(diagram: SequenceDiagram) -> str:
    """The diagram as the text of a `.mmd` file, with a line break at its end."""
    lines = ["sequenceDiagram", f"{_INDENT}accTitle: {escape(diagram.title)}"]
    if diagram.doc.strip():
        lines.append(f"{_INDENT}accDescr: {escape(diagram.doc)}")
    for index, participant in enumerate(diagram.participants):
        word = "actor" if participant.kind is ParticipantKind.ACTOR else "participant"
        lines.append(f"{_INDENT}{word} s{index} as {escape(participant.name)}")
    last = len(diagram.participants) - 1
    lines += _items(diagram.items, 1, last)
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """A text that Mermaid shows as it is, on one line; never empty."""
    shown = "".join(
        char if char in _PLAIN or (char.isalnum() and char not in _MARKS) else f"#{ord(char)};"
        for char in printable(text)
    )
    return shown or "#160;"


def _items(items: tuple[Item, ...], depth: int, last: int) -> Iterator[str]:
    indent = _INDENT * depth
    for item in items:
        match item:
            case Message(source=source, target=target, text=text, kind=kind):
                yield f"{indent}s{source}{_arrow(kind, item.fate)}s{target}: {escape(text)}"
            case Note():
                yield f"{indent}Note over {_place(item, last)}: {_lines(item)}"
            case Phase(items=inner):
                yield f"{indent}{_PHASE}"
                yield from _items(inner, depth + 1, last)
                yield f"{indent}end"
            case Fragment(kind=kind, arms=arms):
                yield from _fragment(kind, arms, depth, last)


def _arrow(kind: MessageKind, fate: Fate) -> str:
    match fate:
        case Fate.ARRIVES:
            return _ARROWS[kind]
        case Fate.LOST:
            return _LOST[_ARROWS[kind]]
        case Fate.LATE:
            return _LATE


def _fragment(kind: FragmentKind, arms: tuple[Arm, ...], depth: int, last: int) -> Iterator[str]:
    first, next_ = _WORDS[kind]
    assert len(arms) == 1 or next_, f"a {kind.value} has one arm"
    indent = _INDENT * depth
    for index, arm in enumerate(arms):
        label = f" {escape(arm.label)}" if arm.label else ""
        yield f"{indent}{next_ if index else first}{label}"
        yield from _items(arm.items, depth + 1, last)
    yield f"{indent}end"


def _place(note: Note, last: int) -> str:
    first, end = extent(note, last)
    return f"s{first}" if first == end else f"s{first},s{end}"


def _lines(note: Note) -> str:
    lines = [escape(line) for line in note.lines]
    if note.kind is NoteKind.PIVOT:  # all notes look the same, and this one is a line, not a remark
        lines[0] = f"=== {lines[0]} ==="
    return "<br/>".join(lines)
