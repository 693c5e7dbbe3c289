"""PNG pictures: drawn by the real resvg, the same on every machine."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from sagalang.graph import lower
from sagalang.render import png, svg
from sagalang.render.diagram import Message, MessageKind, Participant, ParticipantKind
from sagalang.render.diagram import SequenceDiagram as Diagram
from sagalang.render.sequence import model
from sagalang.workspace import load

ROOT = Path(__file__).parents[2]
MAIN = Participant("Main", ParticipantKind.ORCHESTRATOR)
PAY = Participant("Pay", ParticipantKind.SERVICE)


def calling(text: str) -> Diagram:
    return Diagram("Buy", (MAIN, PAY), (Message(0, 1, text, MessageKind.CALL),))


needs_wheels = pytest.mark.skipif(
    find_spec("resvg_py") is None or find_spec("fontpkg_arimo") is None,
    reason="run: pip install 'sagalang[png]'",
)


def size(data: bytes) -> tuple[int, int]:
    """Width and height, from the header of a PNG."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


@needs_wheels
def test_a_png_is_the_svg_at_a_scale() -> None:
    one, three = png.emit(calling("charge"), scale=1), png.emit(calling("charge"), scale=3)
    across, high = size(one)
    assert f'width="{across}' in svg.emit(calling("charge"))
    assert all(abs(3 * a - b) <= 3 for a, b in zip((across, high), size(three), strict=True))


@needs_wheels
def test_the_same_diagram_gives_the_same_bytes_and_texts_are_drawn() -> None:
    assert png.emit(calling("charge")) == png.emit(calling("charge"))
    assert png.emit(calling("charge")) != png.emit(calling("refund"))


@needs_wheels
def test_themes_differ_and_auto_is_light() -> None:
    light, dark, auto = (png.emit(calling("x"), theme) for theme in ("light", "dark", "auto"))
    assert light == auto != dark
    with pytest.raises(ValueError, match="no such theme"):
        png.emit(calling("x"), "sepia")


@needs_wheels
def test_fonts_of_the_system_are_used_only_for_what_the_own_font_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import resvg_py

    used: list[bool] = []
    real = resvg_py.svg_to_bytes

    def spy(**options: object) -> bytes:
        used.append(not options["skip_system_fonts"])
        return real(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(resvg_py, "svg_to_bytes", spy)
    for text in ("Größe → Ω", "日本"):
        png.emit(calling(text))
    assert used == [False, True]


@pytest.mark.parametrize(
    ("module", "package"), [("resvg_py", "resvg-py"), ("fontpkg", "fontpkg-arimo")]
)
def test_what_is_missing_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    if module != "resvg_py":
        pytest.importorskip("resvg_py", reason="run: pip install 'sagalang[png]'")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(png.NoRenderer, match=rf"`{package}`.*pip install 'sagalang\[png\]'"):
        png.emit(calling("x"))


@needs_wheels
def test_a_picture_that_would_take_all_memory_is_drawn_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(png, "_PIXELS", 1_000_000)
    tall = replace(calling("x"), items=calling("x").items * 200)
    across, high = size(png.emit(tall, scale=10_000))
    assert 0.98e6 < across * high < 1.02e6


MADE_WITH = "0.5.0"
"""The version of resvg-py behind the golden pictures; another one may round otherwise."""


@needs_wheels
@pytest.mark.parametrize("name", ["order", "shop"])
def test_goldens(request: pytest.FixtureRequest, name: str) -> None:
    import resvg_py

    if resvg_py.__version__ != MADE_WITH:
        pytest.skip(f"the golden pictures were made with resvg-py {MADE_WITH}")
    program = load(str(ROOT / "examples" / name / f"{name}.saga")).program
    data = png.emit(model(lower(program, "PlaceOrder")))
    path = ROOT / "tests" / "golden" / "png" / f"{name}.png"
    if request.config.getoption("--bless"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert path.read_bytes() == data, f"{path.name} differs (bless with --bless)"
