"""The page around a picture: complete without a script, and nothing in it that was not meant."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from sagalang.graph import lower
from sagalang.render import html
from sagalang.render.diagram import (
    Message,
    MessageKind,
    Participant,
    ParticipantKind,
    SequenceDiagram,
    messages,
)
from sagalang.render.listing import Listing, listing
from sagalang.render.sequence import model
from sagalang.render.themes import THEMES
from sagalang.workspace import Loaded, load, load_text

SECRETIVE = """
record In { id: string }
error Bad
service Pay {
  command take(order: string, pin: secret string) keyed compensate give(key)
  command give(of: key) idempotent, absent ok, fences late
}
let sample = In(id: "o-4711")
saga Buy(order: In) {
  id order.id
  step Pay.take(order.id, "hunter2")
}
"""


class Page(HTMLParser):
    """The texts of table cells by row, the ids, and the places that links lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.scripts = 0
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if name := found.get("id"):
            assert name not in self.ids, f"{name} twice"
            self.ids.add(name)
        if tag == "a":
            self.links.append(found["href"] or "")
        self.scripts += tag == "script"
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self._cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell &= tag != "td"

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data


def text_of(loaded: Loaded, saga: str) -> Listing:
    found = loaded.program.sagas[saga]
    return listing(loaded.program, found, loaded.sources[found.span.file])


def shop() -> tuple[SequenceDiagram, Listing]:
    loaded = load("examples/shop/shop.saga")
    return model(lower(loaded.program, "PlaceOrder")), text_of(loaded, "PlaceOrder")


def test_every_message_has_a_row_and_leads_to_its_line() -> None:
    diagram, text = shop()
    page = Page(html.emit(diagram, "light", text))
    rows = [row for row in page.rows if row]
    assert [row[3] for row in rows] == [m.text for m in messages(diagram.items)]
    assert page.links, "no links"
    assert {link[1:] for link in page.links} <= page.ids
    written = {line.number: line.text for line in text.lines}
    for row, message in zip(rows, messages(diagram.items), strict=True):
        if message.kind is MessageKind.CALL:
            operation = message.text.partition("(")[0]
            assert f".{operation}(" in written[int(row[5])]
    # What undoes a step leads to the step.
    undone = next(row for row in rows if row[3].startswith("free("))
    assert "Inventory.reserve" in written[int(undone[5])]


def test_details_stand_in_the_page_itself() -> None:
    diagram, text = shop()
    known = [m for m in messages(diagram.items) if m.details]
    assert known
    rows = [row for row in Page(html.emit(diagram, "light", text)).rows if row]
    for row, message in zip(rows, messages(diagram.items), strict=True):
        assert row[4] == "".join(message.details)


def test_hostile_texts_stay_texts() -> None:
    evil = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
    who = (
        Participant(evil, ParticipantKind.ORCHESTRATOR),
        Participant(evil, ParticipantKind.SERVICE),
    )
    call = Message(0, 1, evil, MessageKind.CALL, path=evil, details=(evil,))
    page = Page(text := html.emit(SequenceDiagram(evil, who, (call,), evil), "auto"))
    assert page.scripts == 1
    assert "<img" not in text
    assert page.rows[1][1:5] == [evil] * 4


def test_only_the_lines_of_the_saga_are_shown_and_no_secret_in_them() -> None:
    loaded = load_text(SECRETIVE)
    assert not loaded.has_errors, loaded.diagnostics
    text = text_of(loaded, "Buy")
    lines = [line.text for line in text.lines]
    assert lines[0] == "saga Buy(order: In) {"
    assert lines[-1] == "}"
    whole = html.emit(model(lower(loaded.program, "Buy")), "light", text)
    assert "hunter2" not in whole
    assert "o-4711" not in whole
    assert "Pay.take(order.id" in whole


def test_no_script_but_its_own_may_run() -> None:
    import base64
    import hashlib

    diagram, text = shop()
    page = html.emit(diagram, "light", text)
    found = re.search(r"<script>(.*?)</script>", page, re.S)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert found
    assert policy
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'")


def test_the_same_model_gives_the_same_page_in_each_theme() -> None:
    diagram, text = shop()
    for theme in THEMES:
        assert html.emit(diagram, theme, text) == html.emit(diagram, theme, text)
    with pytest.raises(ValueError, match="theme"):
        html.emit(diagram, "pink", text)
