"""SVG pictures in a real browser: where their texts really stand, and that nothing runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any, Final

import pytest
from subjects import drawn, examples, hostile, hostile_diagrams, random_diagrams, random_sagas

from sagalang.render import diagram as d
from sagalang.render.svg import emit

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM: Final = which("chromium") or which("chromium-browser") or which("google-chrome")

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(find_spec("playwright") is None, reason="run: pip install playwright"),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt install chromium"),
]

MEASURE: Final = """
() => [...document.querySelectorAll("svg")].map(svg => {
  const place = element => {
    const r = element.getBoundingClientRect();
    return [r.left, r.top, r.right, r.bottom, element.textContent];
  };
  return {edge: place(svg), texts: [...svg.querySelectorAll("text")].map(place)};
})
"""
# The colour of each text, and of what is drawn right below its middle.
COLOURS: Final = """
() => [...document.querySelectorAll("svg text")].map(text => {
  text.scrollIntoView({block: "center", inline: "center"});
  const r = text.getBoundingClientRect();
  const below = document.elementsFromPoint((r.left + r.right) / 2, (r.top + r.bottom) / 2)
    .filter(e => e.tagName !== "text" && getComputedStyle(e).fill.startsWith("rgb(")
      && e.tagName !== "svg" && e.closest("svg"));
  return [text.textContent, getComputedStyle(text).fill, getComputedStyle(below[0]).fill];
})
"""


class Browser:
    """One page for all; remembers what should not happen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.heard: list[str] = []
        page.on("console", lambda message: self.heard.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.heard.append(f"error: {error}"))
        page.on("request", lambda request: self.heard.append(f"request: {request.url}"))
        page.on("dialog", lambda dialog: (self.heard.append("dialog"), dialog.dismiss()))

    def show(self, documents: Sequence[str]) -> None:
        """Puts pictures into one page, as an HTML parser reads them."""
        self.page.set_content("<!doctype html><meta charset=utf-8>" + "<hr>".join(documents))

    def measure(self, documents: Sequence[str]) -> list[dict[str, Any]]:
        self.show(documents)
        found: list[dict[str, Any]] = self.page.evaluate(MEASURE)
        assert len(found) == len(documents)
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Browser(chromium.new_page())
        chromium.close()


def overlaps(texts: Sequence[tuple[float, float, float, float, str]]) -> Iterator[str]:
    """Texts of which one lies more than a pixel on another."""
    places = sorted(tuple(text) for text in texts)
    for index, (_, top, right, low, text) in enumerate(places):
        for x, y, _, y2, other in places[index + 1 :]:
            if x > right - 1:
                break
            if y < low - 1 and top < y2 - 1:
                yield f"{text!r} and {other!r}"


def check(browser: Browser, diagrams: Sequence[d.SequenceDiagram]) -> None:
    for at in range(0, len(diagrams), 25):
        some = diagrams[at : at + 25]
        for diagram, found in zip(
            some, browser.measure([emit(each) for each in some]), strict=True
        ):
            left, top, right, low, _ = found["edge"]
            texts = [text for text in found["texts"] if text[2] > text[0]]
            assert texts or not diagram.title.strip()
            assert not list(overlaps(texts)), diagram.title
            for x, y, x2, y2, text in texts:
                inside = left - 1 < x and x2 < right + 1 and top - 1 < y and y2 < low + 1
                assert inside, text
    assert browser.heard == []
    assert browser.page.evaluate("window.ran") is None


def test_the_check_sees_texts_that_lie_on_each_other(browser: Browser) -> None:
    text = emit(examples()[0])
    (good,) = browser.measure([text])
    assert len(good["texts"]) > 30
    assert not list(overlaps(good["texts"]))
    squeezed = text.replace('<g class="message reply"', '<g transform="translate(0,-24)"')
    (bad,) = browser.measure([squeezed])
    assert list(overlaps(bad["texts"]))


def test_the_check_hears_scripts_and_requests(browser: Browser) -> None:
    browser.show(["<svg><script>window.ran = 1; console.log(1)</script></svg>"])
    assert browser.page.evaluate("window.ran") == 1
    assert browser.heard == ["console: 1"]
    browser.heard.clear()
    browser.page.evaluate("delete window.ran")


def test_labels_of_the_examples(browser: Browser) -> None:
    check(browser, examples())


def test_labels_with_hostile_texts(browser: Browser) -> None:
    scripts = (
        "</script><script>window.ran=1</script>",
        "</style></svg><script>window.ran=1</script>",
        '"><img src=x onerror=window.ran=1>',
        "</title></text><script>window.ran=1</script>",
        "]]><script>window.ran=1</script>",
        "<image href='http://127.0.0.1:9/x'/>",
    )
    check(browser, [hostile(*scripts), *hostile_diagrams()])


def test_labels_of_random_diagrams(browser: Browser) -> None:
    check(browser, random_diagrams())


def test_labels_of_random_sagas(browser: Browser) -> None:
    check(browser, drawn(random_sagas()))


def test_a_browser_without_our_fonts_keeps_every_text_in_its_place(browser: Browser) -> None:
    text = emit(hostile_diagrams()[0]).replace(
        "font-family:Arimo,Helvetica,Arial", "font-family:monospace"
    )
    (found,) = browser.measure([text])
    assert not list(overlaps(found["texts"]))


def luminance(colour: str) -> float:
    channels = [int(c) / 255 for c in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast_to_what_is_drawn_below_it(
    browser: Browser, scheme: str
) -> None:
    """With `auto`, as a reader of that scheme sees it."""
    browser.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    browser.show([emit(hostile("a", "b", "c"), "auto"), *(emit(e, "auto") for e in examples()[:2])])
    found = browser.page.evaluate(COLOURS)
    assert len(found) > 100
    for text, colour, ground in found:
        bright, dim = sorted((luminance(colour), luminance(ground)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, colour, ground)
    grounds = {luminance(ground) > 0.5 for _, _, ground in found}
    assert (scheme == "light") in grounds


def test_a_file_of_its_own_opens_as_well(browser: Browser, tmp_path: Path) -> None:
    """Read by the XML parser, which is stricter than that of HTML."""
    path = tmp_path / "hostile.svg"
    for diagram in (hostile("<&>", "]]>", "\x00\ufffe"), *hostile_diagrams()[:3]):
        path.write_text(emit(diagram), encoding="utf-8")
        browser.page.goto(path.as_uri())
        assert browser.page.evaluate("document.documentElement.tagName") == "svg"
        assert browser.page.evaluate("document.querySelector('parsererror')") is None
        assert browser.page.evaluate("document.querySelectorAll('text').length") > 50
    browser.heard.clear()
