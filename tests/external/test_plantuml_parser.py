"""Every diagram is put before the real PlantUML, and every text of what it drew is compared."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import wrap
from xml.etree import ElementTree

import pytest
from subjects import drawn, examples, hostile_diagrams, random_diagrams, random_sagas

from sagalang.render import diagram as d
from sagalang.render.plantuml import emit

TEXT = "{http://www.w3.org/2000/svg}text"
THEMES = ("light", "dark")

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(
        shutil.which("plantuml") is None,
        reason="run: apt-get install --no-install-recommends plantuml",
    ),
]


def draw(folder: Path, texts: Sequence[str]) -> tuple[list[Counter[str]], bool]:
    """The texts in each of the pictures, without blanks; and whether PlantUML took them all."""
    for at, text in enumerate(texts):
        (folder / f"{at:04}.puml").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["plantuml", "-charset", "UTF-8", "-tsvg", str(folder / "*.puml")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    pictures = [ElementTree.parse(folder / f"{at:04}.svg") for at in range(len(texts))]
    return [
        Counter(bare("".join(element.itertext())) for element in picture.iter(TEXT))
        for picture in pictures
    ], done.returncode == 0


def compare(folder: Path, diagrams: Sequence[d.SequenceDiagram]) -> None:
    """Every other diagram is drawn in the dark theme."""
    texts = [emit(diagram, theme) for diagram, theme in zip(diagrams, cycle(THEMES), strict=False)]
    pictures, accepted = draw(folder, texts)
    for diagram, text, found in zip(diagrams, texts, pictures, strict=True):
        assert found == Counter(map(bare, said(diagram))), text
    assert accepted


def bare(text: str) -> str:
    return "".join(d.printable(text).split())


def said(diagram: d.SequenceDiagram) -> Iterator[str]:
    """All that the picture should say: each message once, each participant above and below."""
    yield diagram.title
    yield from wrap(d.printable(diagram.doc), 90, break_on_hyphens=False)
    for who in diagram.participants:
        yield from (who.name, who.name)
    yield from said_by(diagram.items)


def said_by(items: tuple[d.Item, ...]) -> Iterator[str]:
    for item in items:
        match item:
            case d.Message(text=text):
                yield text
            case d.Note(lines=lines):
                yield from lines
            case d.Phase(items=inner):
                yield "compensation"
                yield from said_by(inner)
            case d.Fragment(kind=kind, arms=arms):
                yield kind.value
                for arm in arms:
                    if arm.label:
                        yield f"[{d.printable(arm.label)}]"
                    yield from said_by(arm.items)


def test_examples_and_hostile_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    compare(tmp_path, [*examples(), *hostile_diagrams()])


def test_random_diagrams_and_sagas(tmp_path: Path) -> None:
    compare(tmp_path, [*random_diagrams(), *drawn(random_sagas())])


def test_the_check_itself_can_fail(tmp_path: Path) -> None:
    def with_(line: str) -> str:
        return f"@startuml\nparticipant a\n{line}\n@enduml\n"

    (good, strike, refused), accepted = draw(
        tmp_path, [with_("a -> a : x"), with_("a -> a : --x--"), with_("a -> end end : x")]
    )
    assert good == Counter(("a", "a", "x"))
    assert strike == good, "creole is taken as such"
    assert refused != good
    assert not accepted
