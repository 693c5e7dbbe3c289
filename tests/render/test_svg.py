"""SVG pictures: goldens, what holds for any diagram, themes, and what others rely on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from pathlib import Path
from time import process_time
from xml.etree import ElementTree

import pictured
import pytest
from external.subjects import HOSTILE, diagrams, hostile
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Stage
from pictured import CONSTRUCTS, GOLDEN, graph_in

from sagalang.render.diagram import (
    Arm,
    Fate,
    Fragment,
    FragmentKind,
    Message,
    MessageKind,
    Note,
    NoteKind,
    Participant,
    ParticipantKind,
    Phase,
    SequenceDiagram,
    messages,
    printable,
)
from sagalang.render.sequence import model
from sagalang.render.svg import emit
from sagalang.render.svg.picture import picture
from sagalang.render.svg.shapes import FONTS, Box, Group, Look, Part, Picture, Text
from sagalang.render.svg.shapes import Path as Path_
from sagalang.render.svg.themes import DARK, LIGHT, Theme
from sagalang.render.themes import THEMES
from sagalang.text import Source, Span

EXAMPLES = 1_000 if "SAGA_SLOW" in os.environ else 15
SVG = "{http://www.w3.org/2000/svg}"
LONG = "x" * 200


ORDER = model(graph_in(pictured.ORDER))
SHOP = model(graph_in(pictured.SHOP))


def root(diagram: SequenceDiagram, theme: str = "light") -> ElementTree.Element:
    return ElementTree.fromstring(emit(diagram, theme))


@pytest.mark.parametrize(
    ("name", "diagram"),
    [
        ("order", ORDER),
        ("shop", SHOP),
        ("constructs", model(graph_in(CONSTRUCTS, "BookTrip"))),
        ("hostile", hostile("</script>", '"&\x00\x1b[31m', "שלום עולם", "😀日本語", LONG, "end")),
    ],
)
def test_goldens(golden: Callable[[Path, str], None], name: str, diagram: SequenceDiagram) -> None:
    text = emit(diagram)
    golden(GOLDEN / "svg" / f"{name}.svg", text)
    assert text == emit(diagram)
    assert len(text) < 100_000


# --- Any diagram ---------------------------------------------------------------------------------


# Diagrams are large: to shrink one that fails takes minutes.
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Stage.generate],
    suppress_health_check=list(HealthCheck),
)


def texts(groups: tuple[Group, ...]) -> list[Text]:
    return [mark for group in groups for mark in group.marks if isinstance(mark, Text)]


def rectangle(text: Text) -> tuple[float, float, float, float]:
    """Left, top, right, low of what the text covers."""
    size = FONTS[text.type].size
    return text.x, text.y - 0.92 * size, text.x + text.width, text.y + 0.25 * size


def apart(found: Picture) -> None:
    """No text lies on another, or is cut off by the picture's edge."""
    places = sorted((rectangle(text), text.text) for text in texts(found.groups))
    right, low = found.left + found.width, found.height
    for (x, y, x2, y2), text in places:
        assert found.left < x < x2 + 1 < right, text
        assert 0 < y < y2 < low, text
    for index, ((_, top, right, low), text) in enumerate(places):
        for (x, y, _, y2), other in places[index + 1 :]:
            if x >= right:
                break
            assert y >= low or y2 <= top, f"{text!r} lies on {other!r}"


def stays_off_lifelines(found: Picture, count: int) -> None:
    """A text meets a lifeline only inside a box that covers it."""
    columns = [
        mark.points[0][0]
        for group in found.groups
        if group.about is None and group.look in (Look.LIFELINE, Look.ORCHESTRATOR)
        for mark in group.marks
        if not isinstance(mark, Text | Box) and hasattr(mark, "points")
    ]
    assert len(columns) == count
    for group in found.groups:
        if isinstance(group.about, Participant) or group.look is Look.HEADING:
            continue
        boxes = [mark for mark in group.marks if isinstance(mark, Box)]
        for text in texts((group,)):
            left, top, right, low = rectangle(text)
            covered = group.look is Look.INFO or any(
                box.x <= left
                and right <= box.x + box.width
                and box.y - 2 <= top
                and low <= box.y + box.height + 2
                for box in boxes
            )
            tab = text.type.name == "TAB"
            crossing = [x for x in columns if left < x < right]
            assert covered or tab or not crossing, text


@many
@given(diagrams())
def test_nothing_lies_on_anything_in_any_diagram(diagram: SequenceDiagram) -> None:
    found = picture(diagram)
    apart(found)
    stays_off_lifelines(found, len(diagram.participants))
    assert emit(diagram) == emit(diagram)


def said(element: ElementTree.Element) -> str:
    return "".join("".join(text.itertext()) for text in element.iter(f"{SVG}text"))


def squeezed(text: str) -> str:
    return "".join(printable(text).split())


@many
@given(diagrams())
def test_an_xml_parser_reads_every_word_back(diagram: SequenceDiagram) -> None:
    found = root(diagram)
    groups = [g for g in found.iter(f"{SVG}g") if "message" in g.get("class", "").split()]
    expected = list(messages(diagram.items))
    assert len(groups) == len(expected)
    for group, message in zip(groups, expected, strict=True):
        assert squeezed(said(group)) == squeezed(message.text)
    whole = squeezed(said(found))
    for who in diagram.participants:
        assert squeezed(who.name) in whole
    names = {element.tag.removeprefix(SVG) for element in found.iter()}
    assert names <= {
        *("svg", "title", "desc", "style", "rect", "g", "text", "path", "circle"),
    }
    attributes = {name for element in found.iter() for name in element.attrib}
    assert not attributes & {"id", "href", "style", "src"}
    assert not [name for name in attributes if name.startswith("on") or "}" in name]


@pytest.mark.parametrize(
    "text", [LONG, "ten chars " * 20, "שלום" * 50, "日本" * 100, "<&\"'>" * 40]
)
def test_long_texts_in_every_place_of_twenty_participants_six_deep(text: str) -> None:
    kinds = [ParticipantKind.ORCHESTRATOR, *[ParticipantKind.SERVICE] * 17]
    kinds += [ParticipantKind.SAGA, ParticipantKind.ACTOR]
    cast = tuple(Participant(text, kind, text) for kind in kinds)
    calls = tuple(
        Message(at, to, text, kind) for (at, to), kind in product(pairwise(range(20)), MessageKind)
    )
    notes = tuple(
        Note((text, text), kind, over)
        for kind in NoteKind
        for over in (None, (0, 0), (3, 3), (2, 9), (19, 19))
    )
    inner: tuple[Message | Note | Fragment | Phase, ...] = (
        Message(0, 19, text, MessageKind.CALL),
        Message(19, 19, text, MessageKind.CALL),
        *notes,
    )
    for kind in FragmentKind:
        inner = (Phase((Fragment(kind, (Arm(text, inner), Arm(text, ()), Arm("", calls[:2]))),)),)
    diagram = SequenceDiagram(text, cast, (*calls, *notes, *inner), text)
    found = picture(diagram)
    apart(found)
    stays_off_lifelines(found, 20)


def test_every_hostile_text_is_well_formed_xml_in_every_place() -> None:
    for first, second in pairwise(HOSTILE):
        found = root(hostile(first, second), "auto")
        assert squeezed(first) in squeezed(said(found))


def test_the_directions_of_a_name_cannot_escape_it() -> None:
    found = said(root(hostile("\u202eevil", "\u2066x\u2069")))
    assert "evil" in found
    assert not set(found) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


# --- Arrows and notes ----------------------------------------------------------------------------

CAST = tuple(
    Participant(name, kind)
    for name, kind in (
        ("Main", ParticipantKind.ORCHESTRATOR),
        ("A", ParticipantKind.SERVICE),
        ("B", ParticipantKind.SERVICE),
    )
)


def shapes(item: Message | Note) -> str:
    """What is drawn for an item, without its colours, which hang on the class of its group."""
    text = emit(SequenceDiagram("", CAST, (item,)))
    found = [
        group
        for look, group in re.findall(r'<g class="([\w ]+)"[^>]*>(.*?)</g>', text, re.DOTALL)
        if look.split()[0] not in ("lifeline", "orchestrator", "service")
    ]
    return re.sub(r"<title>[^<]*</title>", "", "".join(found))


def test_every_kind_of_arrow_can_be_told_without_its_colour() -> None:
    ways = ((0, 2), (2, 0), (1, 1))
    every = [
        shapes(Message(source, target, "", kind, fate=fate))
        for kind, fate, (source, target) in product(MessageKind, Fate, ways)
        # Whether a lost call was a call or an event, its text and place must say.
        if not (fate is Fate.LOST and kind is MessageKind.EVENT)
        and not (fate is Fate.LATE and kind is MessageKind.REPLY)
    ]
    assert len(set(every)) == len(every)


def test_every_kind_of_note_can_be_told_without_its_colour() -> None:
    outcomes = ("completed", "compensated", "escalated", "gone")
    every = [shapes(Note(("",), kind)) for kind in NoteKind if kind is not NoteKind.OUTCOME]
    every += [
        re.sub("<text.*?</text>", "", shapes(Note((text,), NoteKind.OUTCOME))) for text in outcomes
    ]
    assert len(set(every)) == len(every) == 10


def classes(item: Note) -> list[str]:
    found = root(SequenceDiagram("", CAST, (item,)))
    return [group.get("class", "") for group in found.iter(f"{SVG}g")]


@pytest.mark.parametrize(
    ("line", "look"),
    [
        ("completed", "completed"),
        ("+3s compensated with OutOfStock", "compensated"),
        ("nothing to undo, compensated with Declined", "compensated"),
        ("escalated with Timeout", "escalated"),
        ("cancelled", "ended"),
    ],
)
def test_an_outcome_is_coloured_by_what_it_says(line: str, look: str) -> None:
    assert look in classes(Note((line,), NoteKind.OUTCOME))


def test_a_tall_picture_names_its_participants_again_at_its_foot() -> None:
    calls = (Message(0, 1, "call", MessageKind.CALL),) * 30
    once = [t.text for t in texts(picture(SequenceDiagram("", CAST, calls[:1])).groups)]
    twice = [t.text for t in texts(picture(SequenceDiagram("", CAST, calls)).groups)]
    assert once.count("Main") == 1
    assert twice.count("Main") == 2


def test_frames_end_right_of_what_they_hold_and_inside_the_frame_around() -> None:
    inner = Fragment(FragmentKind.LOOP, (Arm("", (Message(0, 1, "x", MessageKind.CALL),)),))
    outer = Fragment(FragmentKind.OPT, (Arm("", (inner, Message(0, 2, "y", MessageKind.CALL))),))
    found = root(SequenceDiagram("", CAST, (outer,)))
    frames = [
        [float(n) for n in re.findall(r"-?[\d.]+", path.get("d", ""))]
        for group in found.iter(f"{SVG}g")
        if group.get("class") == "fragment"
        for path in list(group)[:1]
    ]
    (left, top, right, _, _, low, *_), (left2, top2, right2, _, _, low2, *_) = frames
    assert left < left2 < right2 < right
    assert top < top2 < low2 < low


def test_a_bar_within_a_frame_stays_within_it() -> None:
    over = Note(("compensated",), NoteKind.OUTCOME)
    frame = Fragment(FragmentKind.BREAK, (Arm("E", (Message(0, 1, "x", MessageKind.CALL), over)),))
    groups = picture(SequenceDiagram("", CAST, (frame,))).groups
    (outline,) = [g.marks[0] for g in groups if g.about is frame]
    (bar,) = [g.marks[0] for g in groups if g.about is over]
    assert isinstance(bar, Box)
    assert isinstance(outline, Path_)
    left, right = outline.points[0][0], outline.points[1][0]
    assert left < bar.x < bar.x + bar.width < right


@pytest.mark.parametrize("kind", [FragmentKind.CRITICAL, FragmentKind.PAR])
def test_the_label_of_an_arm_stands_right_of_its_tab(kind: FragmentKind) -> None:
    inner = Fragment(kind, (Arm("one", ()), Arm("two", ())))
    outer = Fragment(FragmentKind.OPT, (Arm("", (Phase((inner,)),)),))
    (marks,) = [
        g.marks
        for g in picture(SequenceDiagram("", (Participant("M", CAST[0].kind),), (outer,))).groups
        if g.about is inner
    ]
    tabs = [m for m in marks if isinstance(m, Path_) and m.part is Part.SURFACE]
    labels = [m for m in marks if isinstance(m, Text) and m.text in ("one", "two")]
    assert len(tabs) == len(labels) == 2
    for tab, label in zip(tabs, labels, strict=True):
        assert max(x for x, _ in tab.points) < label.x


def test_a_lost_message_ends_with_a_cross_before_its_target() -> None:
    lost = Message(0, 2, "x", MessageKind.CALL, fate=Fate.LOST)
    groups = picture(SequenceDiagram("", CAST, (lost,))).groups
    (marks,) = [g.marks for g in groups if g.about is lost]
    line, *cross = [m for m in marks if isinstance(m, Path_)]
    end = line.points[1][0]
    lifeline = max(m.points[0][0] for g in groups if g.look is Look.LIFELINE for m in g.marks)
    assert len(cross) == 2
    assert all(m.points[0][0] < end < m.points[1][0] < lifeline for m in cross)


# --- What others rely on -------------------------------------------------------------------------


def test_title_description_and_role_are_there_for_those_who_cannot_see() -> None:
    found = root(ORDER)
    assert found.get("role") == "img"
    assert found.findtext(f"{SVG}title") == "PlaceOrder"
    description = found.findtext(f"{SVG}desc") or ""
    assert ORDER.doc in description
    assert "4 participants (PlaceOrder, Orders, Payment, Inventory) and 13 messages." in description


def test_a_message_tells_its_details_path_and_line() -> None:
    source = Source("x.saga", "line one\nstep Pay.charge\n")
    span = Span("x.saga", source.text.index("step"), 20)
    details = ("retry 3x", 'key <"a">\n& b')
    message = Message(0, 1, "charge", MessageKind.CALL, "0/<p>", span, details=details)
    note = Note(("quiet",), NoteKind.POLICY, None, span)
    diagram = SequenceDiagram("", CAST, (message, note))
    text = emit(diagram, line_of=lambda where: source.position(where.start).line)
    found = {g.get("class"): g for g in ElementTree.fromstring(text).iter(f"{SVG}g")}
    group = found["message call"]
    assert (group.get("data-path"), group.get("data-line")) == ("0/<p>", "2")
    assert group.findtext(f"{SVG}title") == ('charge\ncall, Main to A\nretry 3x\nkey <"a"> & b')
    assert found["policy"].get("data-line") == "2"
    assert "data-line" not in emit(diagram)


def test_pictures_of_several_themes_can_stand_in_one_page() -> None:
    for theme in THEMES:
        text = emit(SHOP, theme)
        sheet = re.sub(r"@media[^{]*{(.*)}$", r"\1", style(text))
        for selectors in re.findall(r"([^{}]+){", sheet):
            for selector in selectors.split(","):
                assert selector.startswith(f".saga-{theme} "), selector
        assert f'class="saga-{theme}"' in text
        assert " id=" not in text
        assert "url(" not in text


def style(text: str) -> str:
    found = ElementTree.fromstring(text).findtext(f"{SVG}style")
    assert found is not None
    return found


def test_auto_is_light_until_the_reader_prefers_dark() -> None:
    light, dark, auto = (style(emit(ORDER, theme)) for theme in THEMES)
    day, night = auto.split("@media (prefers-color-scheme:dark){")
    assert day == light.replace("saga-light", "saga-auto")
    colours = set(re.findall("#[0-9a-f]{6}", dark))
    assert set(re.findall("#[0-9a-f]{6}", night)) == colours


def test_an_unknown_theme_is_refused() -> None:
    with pytest.raises(ValueError, match="there are light, dark, auto"):
        emit(ORDER, "sepia")


# --- Contrast ------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


OPEN = (Look.FRAGMENT, Look.BREAK)
"""Their texts stand on a tab and beside it."""


def pairs(theme: Theme) -> Iterator[tuple[Look, str, str]]:
    grounds = (theme.page, theme.looks[Look.PHASE].surface)
    for look, colours in theme.looks.items():
        if look is Look.ACTOR or look in OPEN or not colours.surface:
            yield from ((look, colours.text, ground) for ground in grounds)
        if colours.surface:
            yield look, colours.text, colours.surface
        if colours.beside:
            yield from ((look, colours.beside, ground) for ground in grounds)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_has_enough_contrast(theme: Theme) -> None:
    assert set(theme.looks) == set(Look)
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    for look, text, ground in pairs(theme):
        assert contrast(text, ground) >= 4.5, (look, text, ground)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_arrow_has_enough_contrast(theme: Theme) -> None:
    grounds = (theme.page, theme.looks[Look.PHASE].surface)
    for kind, ground in product(MessageKind, grounds):
        assert contrast(theme.looks[Look(kind.value)].ink, ground) >= 3, kind


# --- Speed ---------------------------------------------------------------------------------------


def test_two_hundred_steps_are_drawn_well_within_a_second() -> None:
    steps = tuple(
        item
        for n in range(200)
        for item in (
            Message(
                0, n % 19 + 1, f"call {n}(order.id, order.amount, order.sku)", MessageKind.CALL
            ),
            Fragment(
                FragmentKind.BREAK,
                (Arm(f"E{n}", (Phase((Message(0, 1, "undo", MessageKind.COMPENSATION),)),)),),
            ),
            Message(n % 19 + 1, 0, "ok", MessageKind.REPLY),
        )
    )
    cast = tuple(
        Participant(f"Service{n}", ParticipantKind.SERVICE if n else ParticipantKind.ORCHESTRATOR)
        for n in range(20)
    )
    start = process_time()
    emit(SequenceDiagram("long", cast, steps))
    assert process_time() - start < 10, "0.2 s on a quiet machine"
