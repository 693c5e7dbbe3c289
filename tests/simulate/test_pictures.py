"""The pictures: right bytes, right contents, and no matplotlib unless one is drawn."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sagalang.model.program import Operation
from sagalang.simulate import contention_shown, drawing, outage_shown
from sagalang.simulate.cases import Protection
from sagalang.simulate.comparison import Result
from sagalang.simulate.contention import STRATEGIES, Cell
from sagalang.simulate.outage import Course, Setting
from sagalang.workspace import load

ROOT = Path(__file__).parents[2]
CELLS = [
    Cell(strategy, clients, clients * (i + 1.5), clients * 10.0 ** (i / 2))
    for clients in (10, 20)
    for i, strategy in enumerate(STRATEGIES)
]
SETTING = Setting(clients=5, processes=1, down_at=300, down_for=300, duration=1_000)
RESULTS = [
    Result(strategy, protection, Course((3, 3, 3, 9, 9, 9, 17, 3, 3, 3), 1, 1, 400))
    for strategy in ("fixed", "full")
    for protection in Protection
]


@pytest.fixture(scope="module")
def create() -> Operation:
    services = load(str(ROOT / "examples/order/order.saga")).program.services
    return services["Orders"].operations["create"]


def words(svg: bytes) -> list[str]:
    return [word.strip() for word in re.findall(r"<text[^>]*>([^<]*)</text>", svg.decode())]


def test_contention_names_its_axes_with_units_and_every_line() -> None:
    svg = drawing.drawn(contention_shown.picture(CELLS, 3), contention_shown.SIZE, "svg")
    found = words(svg)
    assert {"clients that compete", "calls until all are done", "time until all are done (s)"} <= {
        *found
    }
    for strategy in STRATEGIES:
        assert found.count(strategy) == 2  # beside its line in both panels


def test_an_outage_is_a_panel_for_each_case_on_one_scale(create: Operation) -> None:
    picture = outage_shown.picture(create, SETTING, RESULTS)
    svg = drawing.drawn(picture, outage_shown.size(RESULTS), "svg")
    found = words(svg)
    assert {"time (s)", "calls that reach the service, per 100 ms", "down", "normal load"} <= {
        *found
    }
    assert {"retries alone", "with breaker", "with retry budget", "with both"} <= {*found}
    assert found.count("17") == len(RESULTS)  # the peak after the outage, in every panel


@pytest.mark.parametrize("to", drawing.FORMATS)
def test_the_same_picture_is_the_same_bytes(to: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import hashlib, test_pictures as t\n"
        "made = t.drawing.drawn(t.contention_shown.picture(t.CELLS, 3),"
        " t.contention_shown.SIZE, sys.argv[2])\n"
        "print(hashlib.sha256(made).hexdigest())"
    )
    here = str(Path(__file__).parent)
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, here, to], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(seen) == 1


def test_labels_that_would_overlap_are_moved_apart_and_others_stay() -> None:
    moved = drawing._apart({"a": 0.10, "b": 0.11, "c": 0.50, "d": 0.12})
    heights = sorted(moved[name] for name in "abd")
    assert heights == pytest.approx([0.06, 0.11, 0.16])
    assert moved["c"] == pytest.approx(0.5)


def test_text_tables_align_and_compare_with_the_best() -> None:
    lines = contention_shown.text(CELLS, 3, 1).splitlines()
    table = lines[3:9]
    assert len({len(line) for line in table}) == 1
    assert table[1].split() == ["none", "15", "30", "1.00"]
    assert table[2].split() == ["exponential", "25", "50", "1.67"]


def test_matplotlib_is_not_imported_before_a_picture_is_drawn() -> None:
    code = (
        "import sagalang.cli.simulate, sagalang.simulate.outage_shown, sys\n"
        "import sagalang.simulate.contention_shown, sagalang.simulate.drawing\n"
        "sys.exit('matplotlib' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
