"""Sequence diagrams as SVG: one file, nothing outside of it, no script, no ids.

Pure: the same model gives the same bytes. Each text says how wide it was measured
(`textLength`), so that it never leaves its place, whatever font the reader has. The picture can
be put into an HTML page as it is, also several of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape, quoteattr

from sagalang.render.diagram import (
    Message,
    Participant,
    SequenceDiagram,
    messages,
    printable,
)
from sagalang.render.svg.picture import picture
from sagalang.render.svg.shapes import Box, Dot, Group, Mark, Path, Text
from sagalang.render.svg.themes import root_class, style_sheet
from sagalang.render.themes import THEMES
from sagalang.text import Span

LineOf = Callable[[Span], int | None]


def emit(diagram: SequenceDiagram, theme: str = "light", line_of: LineOf | None = None) -> str:
    """The diagram as an SVG document, with a line break at its end.

    Everything that was made from a place in a source carries it as `data-line`, if `line_of` can
    tell the line (from 1) of a span. Each message, `<g class="message …">`, carries the path of
    its step as `data-path`, and says its text and details in its `<title>`.

    Raises ValueError for an unknown theme.
    """
    if theme not in THEMES:
        raise ValueError(f"no such theme: {theme}; there are {', '.join(THEMES)}")
    drawn = picture(diagram)
    looks = {group.look for group in drawn.groups}
    x, across, height = _n(drawn.left), _n(drawn.width), _n(drawn.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{root_class(theme)}" role="img"'
        f' width="{across}" height="{height}" viewBox="{x} 0 {across} {height}">',
        f"<title>{_text(diagram.title) or 'Sequence diagram'}</title>",
        f"<desc>{escape(_description(diagram))}</desc>",
        f"<style>{style_sheet(theme, looks)}</style>",
        f'<rect class="page" x="{x}" width="{across}" height="{height}"/>',
    ]
    for group in drawn.groups:
        lines += _group(group, diagram, line_of)
    return "\n".join((*lines, "</svg>", ""))


def _description(diagram: SequenceDiagram) -> str:
    """What the picture is, in words."""
    names = [printable(who.name) for who in diagram.participants]
    count = sum(1 for _ in messages(diagram.items))
    sentence = (
        f"Sequence diagram with {_counted(len(names), 'participant')} ({', '.join(names)})"
        f" and {_counted(count, 'message')}."
    )
    return " ".join(part for part in (printable(diagram.doc), sentence) if part)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _group(group: Group, diagram: SequenceDiagram, line_of: LineOf | None) -> Iterator[str]:
    about = group.about
    kind = f"message {group.look.value}" if isinstance(about, Message) else group.look.value
    attributes = f'class="{kind}"'
    if isinstance(about, Message) and about.path:
        attributes += f" data-path={quoteattr(printable(about.path))}"
    span = None if about is None else about.span
    if span is not None and line_of is not None and (line := line_of(span)) is not None:
        attributes += f' data-line="{line}"'
    told = escape("\n".join(_told(about, diagram)))
    title = f"<title>{told}</title>" if told else ""
    yield f"<g {attributes}>{title}"
    yield from map(_mark, group.marks)
    yield "</g>"


def _told(about: object, diagram: SequenceDiagram) -> Iterator[str]:
    """What a browser shows when the pointer rests on a group."""
    match about:
        case Message():
            source, target = (
                printable(diagram.participants[index].name)
                for index in (about.source, about.target)
            )
            yield printable(about.text)
            yield f"{about.kind.value}, {source} to {target}"
            yield from map(printable, about.details)
        case Participant(doc=doc) if printable(doc):
            yield printable(about.name)
            yield printable(doc)


def _mark(mark: Mark) -> str:
    match mark:
        case Text():
            fit = (
                f' textLength="{_n(mark.width)}" lengthAdjust="spacingAndGlyphs"'
                if mark.width > 0
                else ""
            )
            place = f'class="{mark.type.value}" x="{_n(mark.x)}" y="{_n(mark.y)}"'
            return f"<text {place}{fit}>{escape(mark.text)}</text>"
        case Path():
            points = "L".join(f"{_n(x)} {_n(y)}" for x, y in mark.points)
            return f'<path class="{mark.part.value}" d="M{points}{"z" if mark.closed else ""}"/>'
        case Box():
            place = f'x="{_n(mark.x)}" y="{_n(mark.y)}" width="{_n(mark.width)}"'
            round_ = f' rx="{_n(mark.radius)}"' if mark.radius else ""
            height = _n(mark.height)
            return f'<rect class="{mark.part.value}" {place} height="{height}"{round_}/>'
        case Dot():
            place = f'cx="{_n(mark.x)}" cy="{_n(mark.y)}" r="{_n(mark.radius)}"'
            return f'<circle class="{mark.part.value}" {place}/>'


def _text(text: str) -> str:
    return escape(printable(text))


def _n(value: float) -> str:
    """A length, to a tenth of a pixel."""
    return f"{round(value, 1) + 0.0:g}" if abs(value) < 99999 else f"{round(value, 1):.1f}"
