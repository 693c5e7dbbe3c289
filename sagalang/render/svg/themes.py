"""Colours, light and dark, and the style sheet made of them.

Every text has a contrast of at least 4.5:1 to what it stands on (WCAG 2.2, 1.4.3), and no meaning
hangs on a colour alone. Rules hold only below the class of the picture's root, so that pictures
of different themes can stand in one page. No variables: not every renderer knows them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sagalang.render.svg.shapes import FONTS, Look

FAMILY: Final = "Arimo"
"""The font of a PNG; a browser takes it or one with its metrics."""
_FAMILIES: Final = f'{FAMILY},Helvetica,Arial,"Liberation Sans",sans-serif'


@dataclass(frozen=True, slots=True)
class Colours:
    """`ink`: lines and filled shapes. `text`: texts, on `surface` where there is one. `beside`:
    small texts that belong to the group and stand outside its surface."""

    ink: str
    text: str
    surface: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Theme:
    page: str
    looks: Mapping[Look, Colours]


LIGHT: Final = Theme(
    "#ffffff",
    {
        Look.HEADING: Colours("#1f2733", "#1f2733"),
        Look.LIFELINE: Colours("#b9c1cc", "#1f2733"),
        Look.ORCHESTRATOR: Colours("#1d3b66", "#ffffff", "#24477a"),
        Look.SERVICE: Colours("#7d8a9a", "#1f2733", "#f3f5f8"),
        Look.SAGA: Colours("#24477a", "#1d3b66", "#e6edf8"),
        Look.ACTOR: Colours("#4c5869", "#1f2733", "#f3f5f8"),
        Look.CALL: Colours("#24477a", "#1f2733"),
        Look.REPLY: Colours("#66727f", "#4c5869"),
        Look.REJECTION: Colours("#c0291c", "#a82015"),
        Look.EVENT: Colours("#0b6e6e", "#0a5f5f"),
        Look.COMPENSATION: Colours("#b45309", "#8a3f06"),
        Look.POLICY: Colours("#c9d0d9", "#566172", "#fafbfc"),
        Look.INFO: Colours("#aab4c0", "#414c5b", "#f6f7f9"),
        Look.MARK: Colours("#b45309", "#6b3203", "#fff3cf"),
        Look.PIVOT: Colours("#5b2a9d", "#ffffff", "#5b2a9d", "#5b2a9d"),
        Look.COMPLETED: Colours("#2c8a4b", "#14532d", "#e2f5e7"),
        Look.COMPENSATED: Colours("#cf7a16", "#6f3606", "#ffe9c7"),
        Look.ESCALATED: Colours("#c0291c", "#8c1a11", "#fde4e1"),
        Look.ENDED: Colours("#7d8a9a", "#1f2733", "#eceff3"),
        Look.ABORT: Colours("#c0291c", "#8c1a11", "#fff1ef", "#8c1a11"),
        Look.CRASH: Colours("#8c1a11", "#ffffff", "#a82015", "#8c1a11"),
        Look.FRAGMENT: Colours("#7d8a9a", "#2f3b4c", "#e4e9f0"),
        Look.BREAK: Colours("#c77b74", "#8c1a11", "#fbe6e3"),
        Look.PHASE: Colours("#d98a2b", "#8a3f06", "#fff6e6"),
    },
)
DARK: Final = Theme(
    "#0f141b",
    {
        Look.HEADING: Colours("#e6ebf2", "#e6ebf2"),
        Look.LIFELINE: Colours("#465160", "#e6ebf2"),
        Look.ORCHESTRATOR: Colours("#8fb8f5", "#0f141b", "#8fb8f5"),
        Look.SERVICE: Colours("#6c7a8c", "#e6ebf2", "#1b232d"),
        Look.SAGA: Colours("#8fb8f5", "#c4dafb", "#172640"),
        Look.ACTOR: Colours("#a9b4c2", "#e6ebf2", "#1b232d"),
        Look.CALL: Colours("#8fb8f5", "#e6ebf2"),
        Look.REPLY: Colours("#8b98a8", "#b3bdc9"),
        Look.REJECTION: Colours("#ff7a6e", "#ff9a90"),
        Look.EVENT: Colours("#4fc4bf", "#74d6d1"),
        Look.COMPENSATION: Colours("#f0a04b", "#ffbd78"),
        Look.POLICY: Colours("#38424f", "#a3aebb", "#141a22"),
        Look.INFO: Colours("#566272", "#c3ccd6", "#1b222b"),
        Look.MARK: Colours("#f0a04b", "#ffdf9e", "#3a2a0c"),
        Look.PIVOT: Colours("#b48cf2", "#150a26", "#b48cf2", "#c9adf7"),
        Look.COMPLETED: Colours("#4cb56f", "#b4f0c6", "#10301c"),
        Look.COMPENSATED: Colours("#f0a04b", "#ffdcae", "#3d2a10"),
        Look.ESCALATED: Colours("#ff7a6e", "#ffc9c3", "#40150f"),
        Look.ENDED: Colours("#6c7a8c", "#e6ebf2", "#232c37"),
        Look.ABORT: Colours("#ff7a6e", "#ffc9c3", "#2b1210", "#ff9a90"),
        Look.CRASH: Colours("#ff7a6e", "#200704", "#ff7a6e", "#ff9a90"),
        Look.FRAGMENT: Colours("#6c7a8c", "#cdd6e0", "#27313d"),
        Look.BREAK: Colours("#a8574f", "#ff9a90", "#33161a"),
        Look.PHASE: Colours("#b9762c", "#ffbd78", "#20180d"),
    },
)
PALETTES: Final = {"light": (LIGHT,), "dark": (DARK,), "auto": (LIGHT, DARK)}


def style_sheet(theme: str, looks: Collection[Look]) -> str:
    """The rules for a theme, as far as these looks need them. Raises KeyError for no theme."""
    root = f".{root_class(theme)}"
    first, *more = PALETTES[theme]
    rules = [*_shapes(root), *_colours(root, first, looks)]
    for palette in more:
        dark = "".join(_colours(root, palette, looks))
        rules.append(f"@media (prefers-color-scheme:dark){{{dark}}}")
    return "".join(rules)


def root_class(theme: str) -> str:
    return f"saga-{theme}"


def _shapes(root: str) -> Iterator[str]:
    yield f"{root} text{{font-family:{_FAMILIES};stroke:none}}"
    for type_, font in FONTS.items():
        weight = "700" if font.bold else "400"
        yield f"{root} .{type_.value}{{font-size:{font.size:g}px;font-weight:{weight}}}"
    lines = ",".join(f"{root} .{part}" for part in "sdowi")
    yield f"{lines}{{fill:none;stroke-width:1.4;stroke-linejoin:round}}"
    yield f"{root} .d{{stroke-dasharray:6 4}}"
    yield f"{root} .o{{stroke-dasharray:.1 4;stroke-linecap:round;stroke-width:2}}"
    yield f"{root} .w{{stroke-width:2.5}}"
    yield f"{root} .f,{root} .j{{stroke:none}}"
    yield f"{root} .b{{stroke-width:1.2}}"


def _colours(root: str, theme: Theme, looks: Collection[Look]) -> Iterator[str]:
    yield f"{root} .page{{fill:{theme.page}}}"
    for look, colours in theme.looks.items():
        if look not in looks:
            continue
        name = f"{root} .{look.value}"
        yield f"{name}{{stroke:{colours.ink};fill:{colours.ink}}}"
        yield f"{name} text,{name} .j{{fill:{colours.text}}}"
        yield f"{name} .i{{stroke:{colours.text}}}"
        if colours.surface:
            yield f"{name} .b{{fill:{colours.surface}}}"
        if colours.beside:
            yield f"{name} .m{{fill:{colours.beside}}}"
