"""The index of an atlas as Markdown, and as one HTML page with all its pictures.

The page needs nothing beside it: no script, no style sheet, no font. Every text is escaped; the
pictures are taken as they are, for our own emitter escapes what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from html import escape
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
        "<br>".join(map(_plain, entry.undone)) or _NOTHING,
        _plain(entry.ends),
        "<br>".join(map(_plain, entry.operator)) or _NOTHING,
    )
    return f"| {' | '.join(cells)} |"


def _section(entry: Entry, target: str) -> list[str]:
    undone = [f"{number}. {_plain(line)}" for number, line in enumerate(entry.undone, 1)]
    lines = [f'<a id="{_anchor(entry)}"></a>', "", f"## {_plain(entry.title)}", ""]
    lines += ["Undone, in this order:", "", *undone] if undone else ["Nothing is undone."]
    lines += ["", f"{_plain(_how(entry))}.", ""]
    for line in entry.operator:
        lines += [_plain(line), ""]
    lines += [f"![{_plain(entry.title)}]({_target(target)})", "", "Drawn by:", ""]
    lines += [f"    {_options(texts)}" for texts in entry.whens]
    return [*lines, ""]


def _how(entry: Entry) -> str:
    return f"How it ends: {entry.ends}"


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

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1b1f; --paper: #ffffff; --line: #c9c9d1;
  --faint: #55555f; --link: #0b57d0; --mark: #fff4e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf1; --paper: #17171b; --line: #46464f;
  --faint: #b4b4c0; --link: #9ec1ff; --mark: #3a2c12; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
a { color: var(--link); }
h1, h2, h3 { line-height: 1.25; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
p.lead, figcaption { color: var(--faint); }
div.wide, figure { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; min-width: 40rem; table-layout: fixed; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem;
  border-bottom: 1px solid var(--line); }
td ol { margin: 0; padding-left: 1.2rem; }
figure { margin: 1rem 0; }
figure svg { max-width: 100%; height: auto; }
.todo { background: var(--mark); padding: .4rem .8rem; border-left: 4px solid #b26a00; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
"""


def html(index: Index, pictures: Mapping[str, str]) -> str:
    """One page; `pictures`: the SVG of each entry, by its slug.

    Raises KeyError where a picture is missing.
    """
    title = _shown(index.title)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        "<header>",
        f"<h1>{title}</h1>",
        *([f"<p>{_shown(index.doc)}</p>"] if index.doc else []),
        f'<p class="lead">{_shown(index.summary)}</p>',
        "</header>",
        '<nav aria-label="Contents">',
        *(_table(heading, entries) for heading, entries in index.sections),
        "</nav>",
        "<main>",
        *(
            _article(entry, pictures[entry.slug])
            for _, entries in index.sections
            for entry in entries
        ),
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _table(heading: str, entries: Iterable[Entry]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADINGS)
    rows = "\n".join(
        f'<tr><th scope="row"><a href="#{_anchor(entry)}">{_shown(entry.title)}</a></th>'
        f"<td>{_list(entry.undone)}</td><td>{_shown(entry.ends)}</td>"
        f"<td>{'<br>'.join(map(_shown, entry.operator)) or _NOTHING}</td></tr>"
        for entry in entries
    )
    return (
        f'<h2>{_shown(heading)}</h2>\n<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _list(lines: tuple[str, ...]) -> str:
    if not lines:
        return _NOTHING
    return f"<ol>{''.join(f'<li>{_shown(line)}</li>' for line in lines)}</ol>"


def _article(entry: Entry, picture: str) -> str:
    title = f"{_anchor(entry)}-title"
    todo = "".join(f'<p class="todo">{_shown(line)}</p>\n' for line in entry.operator)
    drawn = "<br>".join(f"<code>{_shown(_options(texts))}</code>" for texts in entry.whens)
    undone = f"<p>Undone, in this order:</p>{_list(entry.undone)}" if entry.undone else ""
    return (
        f'<article id="{_anchor(entry)}" aria-labelledby="{title}">\n'
        f'<h2 id="{title}">{_shown(entry.title)}</h2>\n'
        f"{undone or '<p>Nothing is undone.</p>'}\n<p>{_shown(_how(entry))}.</p>\n{todo}"
        f"<figure>\n{_inline(picture)}\n<figcaption>Drawn by {drawn}</figcaption>\n</figure>\n"
        "</article>"
    )


def _inline(picture: str) -> str:
    """The SVG without what only a file of its own may begin with."""
    return re.sub(r"\A\s*(<\?xml[^>]*\?>\s*)?(<!DOCTYPE[^>]*>\s*)?", "", picture).rstrip()


def _shown(text: str) -> str:
    return escape(printable(text))
