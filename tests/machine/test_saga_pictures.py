"""The state diagrams of ARCHITECTURE.md are those of the tables that the machine goes by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sagalang.machine import pictures
from sagalang.machine.state import NEXT, Phase, Turning
from sagalang.machine.undo import LIFE, Fate, Status

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"
ARROW = re.compile(r"  (\[\*\]|[\w-]+) --> (\[\*\]|[\w-]+): [^:;]+")


def test_the_diagrams_in_the_architecture_are_those_of_the_tables() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    shown = text.split(pictures.BEGIN)[1].split(pictures.END)[0].strip()
    assert shown == pictures.blocks(), "run: python -m sagalang.machine.pictures"


@pytest.mark.parametrize("make", [pictures.saga, pictures.undoing, pictures.call])
def test_every_line_is_an_arrow_with_a_label_that_is_not_cut_off(make: object) -> None:
    assert callable(make)
    first, *lines = make().splitlines()
    assert first == "stateDiagram-v2"
    assert [line for line in lines if not ARROW.fullmatch(line)] == []


def test_every_phase_and_status_is_left_and_every_cause_is_used() -> None:
    assert {before for before, _ in NEXT} == set(Phase)
    assert {turning for _, turning in NEXT} == set(Turning)
    assert {before for before, _ in LIFE} == set(Status)
    assert {fate for _, fate in LIFE} == set(Fate)
