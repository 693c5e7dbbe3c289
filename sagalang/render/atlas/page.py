"""The index of an atlas as Markdown, and as one HTML page with all its pictures.

The page needs nothing beside it: no script, no style sheet, no font. Every text is escaped; the
pictures are taken as they are, for our own emitter escapes what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sagalang.render.atlas import Entry, Index
from sagalang.render.diagram import printable

_NOTHING: Final = "nothing"
_HEADINGS: Final = ("what fails", "what is undone", "how it ends", "what the operator does")


# --- Markdown ------------------------------------------------------------------------------------


def markdown(index: Index, link: Callable[[str], str]) -> str:
    """A table, and a section for each entry. `link`: where the picture of a slug is, relative to
    this text."""
    lines = [f"# {_plain(index.title)}", ""]
    if index.doc:
        lines += [_plain(index.doc), ""]
    lines += [_plain(index.summary), ""]
    for heading, entries in index.sections:
        lines += [f"## {_plain(heading)}", "", f"| {' | '.join(_HEADINGS)} |", "|---|---|---|---|"]
        lines += [_row(entry) for entry in entries]
        lines.append("")
    lines += ["# The pictures", ""]
    for _, entries in index.sections:
        for entry in entries:
            lines += _section(entry, link(entry.slug))
    return "\n".join(lines).rstrip() + "\n"


def _row(entry: Entry) -> str:
    cells = (
        f"[{_plain(entry.title)}](#{_anchor(entry)})",
        "<br>".join(map(_plain, (*(entry.undone or (_NOTHING,)), *entry.left))),
        _plain(entry.ends),
        "<br>".join(map(_plain, entry.operator)) or _NOTHING,
    )
    return f"| {' | '.join(cells)} |"


def _section(entry: Entry, target: str) -> list[str]:
    undone = [f"{number}. {_plain(line)}" for number, line in enumerate(entry.undone, 1)]
    lines = [f'<a id="{_anchor(entry)}"></a>', "", f"## {_plain(entry.title)}", ""]
    lines += ["Undone, in this order:", "", *undone] if undone else ["Nothing is undone."]
    for line in entry.left:
        lines += ["", f"{_plain(line[:1].upper() + line[1:])}."]
    lines += ["", f"How it ends: {_plain(entry.ends)}.", ""]
    for line in entry.operator:
        lines += [_plain(line), ""]
    lines += [f"![{_plain(entry.title)}]({_target(target)})", "", "Drawn by:", ""]
    lines += [f"    {_options(texts)}" for texts in entry.whens]
    return [*lines, ""]


def _options(texts: Iterable[str]) -> str:
    return " ".join(f'--when "{printable(text)}"' for text in texts)


def _anchor(entry: Entry) -> str:
    return f"path-{entry.slug}"


def _target(path: str) -> str:
    """A path as the target of a link: what would end it is percent-encoded."""
    return re.sub(r"[\s()<>]", lambda found: f"%{ord(found[0]):02X}", path)


def _plain(text: str) -> str:
    """A text that Markdown, and HTML in it, shows as it is, also in a cell of a table."""
    shown = re.sub(r"([\\`*_{}\[\]()#+!|~$-])", r"\\\1", printable(text))
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# --- HTML ----------------------------------------------------------------------------------------


def html(index: Index, pictures: Mapping[str, str]) -> str:
    """One page; `pictures`: the SVG of each entry, by its slug.

    Raises KeyError where a picture is missing.
    """
    from markupsafe import Markup

    from sagalang.render.pages import environment

    pages = environment()
    pages.filters["options"] = _options
    return pages.get_template("atlas.html.jinja").render(
        index=index,
        headings=_HEADINGS,
        nothing=_NOTHING,
        pictures={slug: Markup(_inline(picture)) for slug, picture in pictures.items()},
    )


def _inline(picture: str) -> str:
    """The SVG without what only a file of its own may begin with."""
    return re.sub(r"\A\s*(<\?xml[^>]*\?>\s*)?(<!DOCTYPE[^>]*>\s*)?", "", picture).rstrip()
