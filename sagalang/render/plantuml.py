"""PlantUML sequence diagrams. Pure: the same model and theme give the same text.

Only the core of the syntax that has not changed from 1.2020 to 1.2026. What PlantUML would take
for something else (creole, tags, links, builtins of its preprocessor, `\\n`) is written as
`<U+XXXX>`, which it decodes last. No line begins with a text of the model: there even plain marks
mean something. Letters stay as they are, so the file is UTF-8 (`plantuml -charset UTF-8`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sagalang.render.diagram import (
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
    extent,
    printable,
)

_INDENT: Final = "  "
_DOC_WIDTH: Final = 90
"""Columns of the saga's description below its name."""
_DASHED: Final = frozenset({MessageKind.REPLY, MessageKind.REJECTION, MessageKind.COMPENSATION})
_NEXT: Final = "else"
"""PlantUML has one word for `and`, `else` and `option`."""
_SEVERAL: Final = frozenset({FragmentKind.PAR, FragmentKind.ALT, FragmentKind.CRITICAL})
_SHAPES: Final = {
    NoteKind.POLICY: "rnote",
    NoteKind.INFO: "note",
    NoteKind.OUTCOME: "rnote",
    NoteKind.ABORT: "hnote",
    NoteKind.CRASH: "hnote",
    NoteKind.MARK: "note",
}
"""Rectangles, sheets with a folded corner, hexagons. The pivot is a line across the picture."""


@dataclass(frozen=True, slots=True)
class _Theme:
    """Colours; `page` is drawn too, for a picture is pasted on any background."""

    page: str
    ink: str
    line: str
    box: str
    orchestrator: str
    saga: str
    phase: str
    arrows: dict[MessageKind, str]
    late: str
    pivot: str
    notes: dict[NoteKind, str]


_THEMES: Final = {
    "light": _Theme(
        page="#FFFFFF",
        ink="#1F2328",
        line="#57606A",
        box="#F6F8FA",
        orchestrator="#CFE2FF",
        saga="#E7F0FF",
        phase="#FFF1E5",
        arrows={MessageKind.REJECTION: "#C5221F", MessageKind.COMPENSATION: "#BC4C00"},
        late="#8250DF",
        pivot="#FFE08A",
        notes={
            NoteKind.POLICY: "#F6F8FA",
            NoteKind.INFO: "#FFFBE0",
            NoteKind.OUTCOME: "#E1E8F5",
            NoteKind.ABORT: "#FFD8D3",
            NoteKind.CRASH: "#FFD8D3",
            NoteKind.MARK: "#FFE08A",
        },
    ),
    "dark": _Theme(
        page="#0D1117",
        ink="#E6EDF3",
        line="#9198A1",
        box="#21262D",
        orchestrator="#1F4B8F",
        saga="#1B3358",
        phase="#33200F",
        arrows={MessageKind.REJECTION: "#FF7B72", MessageKind.COMPENSATION: "#FFA657"},
        late="#D2A8FF",
        pivot="#6B5300",
        notes={
            NoteKind.POLICY: "#21262D",
            NoteKind.INFO: "#2D2A14",
            NoteKind.OUTCOME: "#1D2B45",
            NoteKind.ABORT: "#5C1D1A",
            NoteKind.CRASH: "#5C1D1A",
            NoteKind.MARK: "#6B5300",
        },
    ),
}


def emit(diagram: SequenceDiagram, theme: str = "light") -> str:
    """The diagram as the text of a `.puml` file, with a line break at its end.

    `theme`: light or dark. Raises ValueError for any other.
    """
    if theme not in _THEMES:
        raise ValueError(f"no such theme: {theme}")
    colours = _THEMES[theme]
    lines = ["@startuml", *_look(colours), *_title(diagram)]
    lines += [_participant(at, who, colours) for at, who in enumerate(diagram.participants)]
    lines += _items(diagram.items, _Place(0, len(diagram.participants) - 1, colours))
    return "\n".join([*lines, "@enduml"]) + "\n"


# --- Texts ---------------------------------------------------------------------------------------

_INSIDE: Final = frozenset(" .,()_-+=?/")
"""Marks that are harmless behind a letter, and alone."""
_ALONE: Final = frozenset("._-=?/")
"""Two of them in a row are a line, a strike, an underline, italics."""


def escape(text: str) -> str:
    """A text that PlantUML shows as it is, on one line; never empty."""
    shown = printable(text)
    return "".join(_marks(shown)) or "<U+00A0>"


def _marks(text: str) -> Iterator[str]:
    before = ""
    for at, char in enumerate(text):
        doubled = char in _ALONE and char in (before, text[at + 1 : at + 2])
        plain = (at > 0 and char in _INSIDE and not doubled) or (
            char.isalnum() and ord(char) <= 0xFFFF
        )
        if before == "\\" and char == "t":  # late versions decode first and then see a tab
            yield "<U+200B>"
        yield char if plain else f"<U+{ord(char):04X}>"
        before = char


def _lines(lines: tuple[str, ...]) -> str:
    return "\\n".join(map(escape, lines))


# --- Head ----------------------------------------------------------------------------------------


def _look(colours: _Theme) -> Iterator[str]:
    ink, line, box = colours.ink, colours.line, colours.box
    yield from (
        "skinparam shadowing false",
        f"skinparam backgroundColor {colours.page}",
        f"skinparam defaultFontColor {ink}",
        f"skinparam titleFontColor {ink}",
        "skinparam sequence {",
        f"  ArrowColor {ink}",
        f"  ArrowFontColor {ink}",
        f"  LifeLineBorderColor {line}",
        f"  ParticipantBackgroundColor {box}",
        f"  ParticipantBorderColor {line}",
        f"  ParticipantFontColor {ink}",
        f"  ActorBackgroundColor {box}",
        f"  ActorBorderColor {line}",
        f"  ActorFontColor {ink}",
        f"  GroupBackgroundColor {box}",
        f"  GroupBodyBackgroundColor {colours.page}",
        f"  GroupBorderColor {line}",
        "  GroupBorderThickness 1",
        f"  GroupFontColor {ink}",
        f"  GroupHeaderFontColor {ink}",
        f"  DividerBackgroundColor {colours.pivot}",
        f"  DividerBorderColor {line}",
        f"  DividerFontColor {ink}",
        "}",
        f"skinparam noteBorderColor {line}",
        f"skinparam noteFontColor {ink}",
    )


def _title(diagram: SequenceDiagram) -> Iterator[str]:
    from textwrap import wrap

    doc = wrap(printable(diagram.doc), _DOC_WIDTH, break_on_hyphens=False)
    below = "".join(f"\\n<size:12>{escape(line)}" for line in doc)
    yield f"title {escape(diagram.title)}{below}"


def _participant(at: int, who: Participant, colours: _Theme) -> str:
    match who.kind:
        case ParticipantKind.ORCHESTRATOR:
            word, colour = "participant", f" {colours.orchestrator}"
        case ParticipantKind.SAGA:
            word, colour = "participant", f" {colours.saga}"
        case ParticipantKind.SERVICE:
            word, colour = "participant", ""
        case ParticipantKind.ACTOR:
            word, colour = "actor", ""
    return f'{word} "{escape(who.name)}" as s{at}{colour}'


# --- Items ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an item stands. `ground`: the colour behind it, if that is not the page's."""

    depth: int
    last: int
    colours: _Theme
    ground: str = ""

    @property
    def indent(self) -> str:
        return _INDENT * self.depth


def _items(items: tuple[Item, ...], place: _Place) -> Iterator[str]:
    for item in items:
        match item:
            case Message():
                yield place.indent + _message(item, place.colours)
            case Note(kind=NoteKind.PIVOT):
                yield f"{place.indent}== {_lines(item.lines)} =="
            case Note():
                yield place.indent + _note(item, place)
            case Phase(items=inner):
                yield from _phase(inner, place)
            case Fragment():
                yield from _fragment(item, place)


def _phase(items: tuple[Item, ...], place: _Place) -> Iterator[str]:
    colours = place.colours
    yield f"{place.indent}group{colours.pivot} {colours.phase} compensation"
    yield from _items(items, replace(place, depth=place.depth + 1, ground=colours.phase))
    yield f"{place.indent}end"


def _message(message: Message, colours: _Theme) -> str:
    arrow = _arrow(message.kind, message.fate, colours)
    return f"s{message.source} {arrow} s{message.target} : {escape(message.text)}"


def _arrow(kind: MessageKind, fate: Fate, colours: _Theme) -> str:
    late = fate is Fate.LATE
    tail = "-" if kind in _DASHED or late else ""
    head = ">x" if fate is Fate.LOST else ">>" if late or kind is MessageKind.EVENT else ">"
    colour = colours.late if late else colours.arrows.get(kind, "")
    return f"-{colour and f'[{colour}]'}{tail}{head}"


def _note(note: Note, place: _Place) -> str:
    shape, colour = _SHAPES[note.kind], place.colours.notes[note.kind]
    return f"{shape} over {_over(note, place.last)} {colour} : {_lines(note.lines)}"


def _over(note: Note, last: int) -> str:
    first, end = extent(note, last)
    return f"s{first}" if first == end else f"s{first}, s{end}"


def _fragment(fragment: Fragment, place: _Place) -> Iterator[str]:
    kind, arms = fragment.kind, fragment.arms
    assert len(arms) == 1 or kind in _SEVERAL, f"a {kind.value} has one arm"
    inside = replace(place, depth=place.depth + 1)
    # Each arm paints over what is behind it, unless it is told the colour.
    ground = f" {place.ground}" if place.ground else ""
    first = f"{kind.value}{place.colours.box if ground else ''}"
    for index, arm in enumerate(arms):
        label = f" {escape(arm.label)}" if arm.label else ""
        yield f"{place.indent}{_NEXT if index else first}{ground}{label}"
        yield from _items(arm.items, inside)
    yield f"{place.indent}end"
