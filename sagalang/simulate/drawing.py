"""What all pictures share: colours, axes, labels beside the lines, and the bytes of a file.

matplotlib comes with the extra `plot` and is imported here only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = ("svg", "png")

COLOURS: Final[Mapping[str, str]] = {
    "none": "#7a7a7a",
    "fixed": "#7a7a7a",
    "exponential": "#d55e00",
    "proportional": "#cc79a7",
    "equal": "#e0a000",
    "full": "#009e73",
    "decorrelated": "#0072b2",
    "decorrelated, capped first": "#56b4e9",
}
"""By strategy; told apart by the colour-blind, too (Okabe and Ito, 2008)."""

INK: Final = "#333333"
FAINT: Final = "#dddddd"

_STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # The same picture is the same bytes: ids come from a fixed salt, text stays text.
    "svg.hashsalt": "sagalang",
    "svg.fonttype": "none",
}

_NO_STAMP: Final = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


def available() -> bool:
    """Whether matplotlib is installed; it is not loaded."""
    return find_spec("matplotlib") is not None


def drawn(draw: Callable[[Figure], None], size: tuple[float, float], to: str) -> bytes:
    """The bytes of a picture of `size` inches, `to` one of `FORMATS`; deterministic."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        out = BytesIO()
        figure.savefig(out, format=to, dpi=150, metadata=_NO_STAMP[to])
    return _rounded(out.getvalue()) if to == "svg" else out.getvalue()


def _rounded(svg: bytes) -> bytes:
    """Paths to a tenth of a point, and no indentation: half as long, and nobody sees it."""

    def shorter(path: re.Match[bytes]) -> bytes:
        tenths = re.sub(rb"(\d\.\d)\d+", rb"\1", path[0])
        return re.sub(rb" ?\n?([LM]) ", rb"\1", tenths)

    return re.sub(rb"\n +<", rb"\n<", re.sub(rb'd="[^"]+"', shorter, svg))


def label_ends(axes: Axes, ends: Mapping[str, float]) -> None:
    """Names at the right edge, moved apart where lines end close together.

    `ends`: the last y of each line. The scale and the limits of y must be set.
    """
    low, high = (_height(axes, limit) for limit in axes.get_ylim())
    heights = {name: (_height(axes, y) - low) / (high - low) for name, y in ends.items()}
    for name, height in _apart(heights).items():
        axes.annotate(
            name,
            (1, height),
            xycoords="axes fraction",
            xytext=(0, 0),
            textcoords="offset points",
            va="center",
            color=COLOURS[name],
            fontsize=8.5,
            annotation_clip=False,
        )


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """The heights, those closer than a line of text spread around their middle."""
    groups: list[list[str]] = []
    for name in sorted(heights, key=lambda name: heights[name]):
        groups.append([name])
        while len(groups) > 1 and _top(groups[-2], heights) > _bottom(groups[-1], heights):
            groups[-2:] = [groups[-2] + groups[-1]]
    return {
        name: _bottom(group, heights) + (i + 0.5) * _LINE
        for group in groups
        for i, name in enumerate(group)
    }


def _bottom(group: list[str], heights: Mapping[str, float]) -> float:
    middle = sum(heights[name] for name in group) / len(group)
    return middle - len(group) * _LINE / 2


def _top(group: list[str], heights: Mapping[str, float]) -> float:
    return _bottom(group, heights) + len(group) * _LINE


_LINE: Final = 0.05
"""The height of a label, as a share of the height of the axes."""


def _height(axes: Axes, y: float) -> float:
    from math import log10

    return log10(y) if axes.get_yscale() == "log" else y
