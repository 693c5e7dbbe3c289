"""A page around the picture: what else is known of each message, and the text of the saga.

The page is one file, asks the network for nothing, and its policy lets no script run but the one
that shows the details under the pointer; all of them stand in a table below as well.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from sagalang.render.diagram import MessageKind, SequenceDiagram, messages, printable
from sagalang.render.listing import Listing

_SCRIPT: Final = """
const tip = document.getElementById("tip");
document.querySelectorAll("svg .message").forEach((message, index) => {
  const row = document.getElementById("m" + (index + 1));
  if (!row) return;
  const link = row.querySelector("a");
  message.querySelectorAll("title").forEach((title) => title.remove());
  message.setAttribute("tabindex", "0");
  message.setAttribute("role", link ? "link" : "note");
  message.setAttribute("aria-label", row.cells[3].textContent);
  const show = (x, y) => {
    const more = [...row.querySelectorAll("li")].map((item) => item.textContent);
    tip.textContent = [row.cells[3].textContent, ...more].join("\\n");
    tip.hidden = false;
    const left = Math.min(x + 12, innerWidth - tip.offsetWidth - 8);
    const below = y + 16 + tip.offsetHeight < innerHeight;
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = (below ? y + 16 : Math.max(8, y - 16 - tip.offsetHeight)) + "px";
  };
  const box = () => message.getBoundingClientRect();
  message.addEventListener("pointermove", (event) => show(event.clientX, event.clientY));
  message.addEventListener("focus", () => show(box().left, box().bottom));
  message.addEventListener("pointerleave", () => { tip.hidden = true; });
  message.addEventListener("blur", () => { tip.hidden = true; });
  message.addEventListener("click", () => link && link.click());
  message.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && link) link.click();
  });
});
"""


@dataclass(frozen=True, slots=True)
class _Row:
    source: str
    target: str
    text: str
    details: tuple[str, ...]
    line: int | None


def emit(diagram: SequenceDiagram, theme: str = "light", text: Listing | None = None) -> str:
    """The diagram as a page of its own. `text`: what its messages lead to when clicked.

    Raises ValueError for an unknown theme.
    """
    from markupsafe import Markup

    from sagalang.render import svg
    from sagalang.render.pages import environment

    digest = hashlib.sha256(_SCRIPT.encode()).digest()
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            theme=theme,
            title=printable(diagram.title),
            svg=Markup(svg.emit(diagram, theme, text.line_of if text else None)),
            rows=_rows(diagram, text),
            file=text and text.file,
            lines=text.lines if text else (),
            script=Markup(_SCRIPT),
            script_hash=base64.b64encode(digest).decode(),
        )
    )


def _rows(diagram: SequenceDiagram, text: Listing | None) -> list[_Row]:
    names = [printable(who.name) for who in diagram.participants]
    every = list(messages(diagram.items))
    lines = {m: text.line_of(m.span) if text else None for m in every}
    # A compensation is declared with its operation; in the saga it belongs to the step's line.
    steps = {m.path: lines[m] for m in every if m.kind is MessageKind.CALL and lines[m]}
    return [
        _Row(
            names[m.source],
            names[m.target],
            printable(m.text),
            tuple(map(printable, m.details)),
            lines[m] or steps.get(m.path),
        )
        for m in every
    ]
