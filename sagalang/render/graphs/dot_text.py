"""What every DOT text needs: harmless texts, HTML-like labels, and colours.

Sources: the DOT language and its HTML-like labels, https://graphviz.org/doc/info/shapes.html#html;
palette after Okabe and Ito (2008), which the colour-blind can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sagalang.render.cells import wrap
from sagalang.render.diagram import printable

FONT: Final = "Helvetica,Arial,sans-serif"
COLUMNS: Final = 34
"""Where the lines of a node's label are broken."""
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


@dataclass(frozen=True, slots=True)
class Colours:
    """`fills`: fill and border of the first, second, ... participant, again and again."""

    paper: str
    ink: str
    faint: str
    line: str
    region: str
    failure: str
    undoing: str
    pivot: str
    on_pivot: str
    done: str
    fills: tuple[tuple[str, str], ...]

    def of(self, participant: int) -> tuple[str, str]:
        """Fill and border of a participant; the orchestrator is 0."""
        return self.fills[(participant - 1) % len(self.fills)]


_LIGHT: Final = Colours(
    paper="#ffffff",
    ink="#1f2328",
    faint="#57606a",
    line="#424a53",
    region="#f6f8fa",
    failure="#cf222e",
    undoing="#b35900",
    pivot="#5521b5",
    on_pivot="#ffffff",
    done="#1a7f37",
    fills=(
        ("#d6e8f7", "#0072b2"),
        ("#cfeee2", "#00805d"),
        ("#fbf0c0", "#8a7500"),
        ("#f6dcec", "#a8487f"),
        ("#d5f2f5", "#1b7f8c"),
        ("#ece1d6", "#7d532c"),
        ("#e5f2c6", "#5c8212"),
        ("#e2e2f8", "#5a5ac4"),
        ("#e6e9ec", "#57606a"),
        ("#fbdfd7", "#a34a31"),
    ),
)
_DARK: Final = Colours(
    paper="#0d1117",
    ink="#e6edf3",
    faint="#9ba5b1",
    line="#9ba5b1",
    region="#161b22",
    failure="#ff7b72",
    undoing="#f0a24f",
    pivot="#b69cff",
    on_pivot="#0d1117",
    done="#56d364",
    fills=(
        ("#10334f", "#56a8e6"),
        ("#0d3b2e", "#35c497"),
        ("#40380a", "#d8c24a"),
        ("#45203a", "#e28bbf"),
        ("#0f3a40", "#4cc3d1"),
        ("#3b2a1b", "#c99b6d"),
        ("#2b3a0c", "#a4cf4a"),
        ("#2a2a58", "#9d9df5"),
        ("#2d333b", "#9ba5b1"),
        ("#47241a", "#e79076"),
    ),
)


def colours(theme: str) -> Colours:
    """Raises ValueError for an unknown theme."""
    match theme:
        case "light":
            return _LIGHT
        case "dark":
            return _DARK
        case _:
            raise ValueError(f"no such theme: {theme}")


def escape(text: str) -> str:
    """A text that an HTML-like label shows as it is; never empty."""
    return _shown(text, backslashes=2)


def tooltip(text: str) -> str:
    """The same for a tooltip: backslashes are read twice there, once as the label's would be."""
    return _unmarked(_shown(text, backslashes=4))


def title(text: str) -> str:
    """The same for the name of the graph, which nothing is read into."""
    return _unmarked(_shown(text, backslashes=1))


def _shown(text: str, backslashes: int) -> str:
    """DOT reads entities everywhere, and only then escapes like `\\N`, the name of the node."""
    entities = _ENTITIES | {"\\": "&#92;" * backslashes}
    return "".join(entities.get(char, char) for char in printable(text)) or "&#160;"


def _unmarked(text: str) -> str:
    """In quotes, whatever it looks like."""
    from graphviz import nohtml

    marked: str = nohtml(text)
    return marked


def lines(
    text: str,
    *,
    columns: int = COLUMNS,
    size: int | None = None,
    colour: str | None = None,
    bold: bool = False,
) -> str:
    """A text as the lines of an HTML-like label, broken where it is long."""
    shown = "<BR/>".join(escape(line) for line in wrap(printable(text), columns))
    if bold:
        shown = f"<B>{shown}</B>"
    size_ = f' POINT-SIZE="{size}"' if size is not None else ""
    colour_ = f' COLOR="{colour}"' if colour is not None else ""
    return f"<FONT{size_}{colour_}>{shown}</FONT>" if size_ or colour_ else shown


def html(parts: Iterable[str]) -> str:
    """An HTML-like label of lines under each other."""
    return f"<{'<BR/>'.join(parts)}>"
