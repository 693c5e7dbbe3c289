"""Measured texts: the committed table against the font it was made from, and what has no entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagalang.render.svg.metrics import Font, covered, width, wrap

RENDER = Path(__file__).parents[2] / "sagalang" / "render"
RANGES = (
    (0x20, 0x7E),  # ASCII
    (0xA0, 0x17F),  # Latin-1 and Latin Extended-A
    (0x300, 0x36F),  # combining marks
    (0x370, 0x52F),  # Greek and Cyrillic
    (0x591, 0x5EA),  # Hebrew
    (0x1E00, 0x1EFF),  # Latin Extended Additional
    (0x2000, 0x205F),  # punctuation
    (0x20A0, 0x20BE),  # currencies
    (0x2100, 0x214F),  # letter-like symbols
    (0x2190, 0x22FF),  # arrows and mathematics
)
HEAD = '''"""Advance widths of Arimo (metrics of Arial and Helvetica), in thousandths of an em.

Made by `pytest tests/render/test_svg_metrics.py --bless`, where fonttools and fontpkg-arimo are
installed. Each run: its first character, then three hexadecimal digits a character, regular and
bold.
"""

from __future__ import annotations

from typing import Final

RUNS: Final[tuple[tuple[int, str, str], ...]] = (
'''
BODY, STRONG = Font(10), Font(10, bold=True)


def arimo(weight: int) -> tuple[dict[int, str], Any, int]:
    from fontpkg import path
    from fontTools.ttLib import TTFont
    from fontTools.varLib.instancer import instantiateVariableFont

    font = instantiateVariableFont(TTFont(path("Arimo", weight=weight)), {"wght": weight})
    return font.getBestCmap(), font["hmtx"], font["head"].unitsPerEm


def table() -> Iterator[str]:
    characters, regular, em = arimo(400)
    _, bold, _ = arimo(700)
    known = sorted(c for low, high in RANGES for c in characters if low <= c <= high)
    runs: list[list[int]] = [[known[0]]]
    for before, char in pairwise(known):
        if char != before + 1:
            runs.append([])
        runs[-1].append(char)

    def digits(run: list[int], metrics: Any) -> str:
        return "".join(f"{round(metrics[characters[c]][0] * 1000 / em):03x}" for c in run)

    def lines(text: str) -> Iterator[str]:
        parts = [text[at : at + 84] for at in range(0, len(text), 84)]
        if len(parts) == 1:
            yield f'        "{text}",'
        else:
            yield from ("        (", *(f'            "{part}"' for part in parts), "        ),")

    for run in runs:
        yield from ("    (", f"        0x{run[0]:04X},")
        yield from (*lines(digits(run, regular)), *lines(digits(run, bold)), "    ),")


@pytest.mark.skipif(
    find_spec("fontTools") is None or find_spec("fontpkg_arimo") is None,
    reason="run: pip install fonttools 'sagalang[png]'",
)
def test_the_table_is_what_the_font_says(golden: Callable[[Path, str], None]) -> None:
    golden(RENDER / "svg" / "widths.py", HEAD + "\n".join((*table(), ")", "")))


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("iii", 3 * 2.22),  # Arial's i is 0.222 em wide
        ("mmm", 3 * 8.33),
        ("", 0),
        ("e\u0301", 5.56),
        ("日本", 20),
        ("👩\u200d👩\u200d👧", 12.5),
        ("각", 10),
    ],
)
def test_widths_in_pixels(text: str, pixels: float) -> None:
    assert width(text, BODY) == pytest.approx(pixels)


def test_bold_is_wider() -> None:
    assert width("compensation", STRONG) > width("compensation", BODY)


def test_what_the_font_can_draw_is_known() -> None:
    assert covered("Größe 12 € → Ωж שלום\u0301")
    assert not any(map(covered, ("日本", "😀", "مرحبا")))


@given(st.text(max_size=60), st.floats(20, 200))
def test_wrapped_lines_keep_every_character_and_fit(text: str, limit: float) -> None:
    lines = wrap(text, limit, BODY)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert all(line == line.strip() != "" for line in lines)
    assert all(width(line, BODY) <= limit + 1e-6 for line in lines)


def test_long_names_are_broken_where_people_would_break_them() -> None:
    assert wrap("NotificationPreferencesService", 110, BODY) == (
        "NotificationPreferences",
        "Service",
    )
    assert wrap("create(order.id,order.lines)", 75, BODY) == ("create(order.id,", "order.lines)")
    assert wrap("xxxxxxxxxx", 25, BODY) == ("xxxxx", "xxxxx")
    assert wrap("日本語", 20, BODY) == ("日本", "語")
    assert wrap(" ", 20, BODY) == ()
