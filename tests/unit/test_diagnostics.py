"""Codes, their explain pages, and the three ways in which a diagnostic is shown."""

from __future__ import annotations

import json
import re

import pytest

from sagalang.diagnostics import CODES, Code, diagnose, find, page
from sagalang.diagnostics.render import concise, full, to_json
from sagalang.diagnostics.suggest import hint, nearest
from sagalang.scenario import run
from sagalang.scenario.told import diagnostics
from sagalang.text import Source, Span
from sagalang.verify import told
from sagalang.verify.verify import verify
from sagalang.workspace import load_text

BLOCK = re.compile(r"^```saga\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {"money.saga": "record Money { amount: decimal }\n"}
"""What the examples about imports import."""
WITHOUT_EXAMPLE = {
    "internal-error",
    "unreadable-file",
    "too-many-participants",
    "not-compilable",
    "promise-broken",
}


def names_in(text: str, *, verified: bool = False) -> set[str]:
    """What is said about a text when it is checked, its scenarios are run, its sagas verified."""
    loaded = load_text(text, "example.saga", FILES)
    found = list(loaded.diagnostics)
    if not loaded.has_errors:
        for scenario in loaded.program.scenarios:
            found += diagnostics(run(loaded.program, scenario))
        for saga in loaded.program.sagas if verified else ():
            found += told.diagnostics(verify(loaded.program, saga))
    return {d.name for d in found}


@pytest.mark.parametrize("code", CODES, ids=[code.name for code in CODES])
def test_page_begins_with_name_and_code(code: Code) -> None:
    assert page(code.name).startswith(f"# {code.name} ({code.code})\n\n")


@pytest.mark.parametrize("code", CODES, ids=[code.name for code in CODES])
def test_wrong_example_gives_that_code_alone_and_the_right_one_none(code: Code) -> None:
    examples = BLOCK.findall(page(code.name))
    if code.name in WITHOUT_EXAMPLE:
        assert not examples
        return
    wrong, right = examples
    verified = code.code.startswith("SG6")
    assert names_in(wrong, verified=verified) == {code.name}
    assert names_in(right, verified=verified) == set()


@pytest.mark.parametrize("word", ["SG301", "sg301", "missing-compensation", "Missing-Compensation"])
def test_a_code_is_found_by_number_and_by_name(word: str) -> None:
    found = find(word)
    assert found is not None
    assert found.name == "missing-compensation"


def test_an_unknown_code_is_not_found() -> None:
    assert find("SG999") is None


@pytest.mark.parametrize("code", CODES, ids=[code.name for code in CODES])
def test_band_of_a_code_is_one_of_the_documented(code: Code) -> None:
    assert re.fullmatch(r"SG[0-79]\d\d", code.code)


SOURCES = {
    "a.saga": Source("a.saga", "one\n\ttwo \U0001f600 three\n"),
    "b.saga": Source("b.saga", "x"),
}


def test_concise_is_one_line_with_place_code_and_name() -> None:
    found = diagnose("unknown-name", Span("a.saga", 5, 8), "there is no `two`")
    assert concise(found, SOURCES) == "a.saga:2:2: error[SG101] unknown-name: there is no `two`"


def test_full_underlines_behind_tabs_and_wide_characters() -> None:
    found = diagnose("unknown-name", Span("a.saga", 11, 16), "what?", "here")
    lines = full(found, SOURCES).split("\n")
    assert lines[3] == "2 |     two \U0001f600 three"
    assert lines[4] == "  |            ^^^^^ here"


def test_full_shows_a_second_place_in_another_file() -> None:
    found = diagnose(
        "import-clash", Span("a.saga", 0, 3), "twice", other=(Span("b.saga", 0, 1), "and here")
    )
    assert " ::: b.saga:1:1" in full(found, SOURCES)


def test_full_of_a_file_without_text_names_the_file_and_no_line() -> None:
    found = diagnose("unreadable-file", Span("e", 0, 0), "cannot read e")
    assert full(found, {"e": Source("e", "")}) == "error[SG901]: cannot read e\n --> e"


def test_colours_stand_only_where_they_are_wanted() -> None:
    found = diagnose("unknown-name", Span("a.saga", 0, 3), "m", "l", help="h", notes=("n",))
    plain, coloured = full(found, SOURCES), full(found, SOURCES, colour=True)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


def test_json_has_offsets_lines_and_columns() -> None:
    found = diagnose("unknown-name", Span("a.saga", 5, 8), "m", other=(Span("b.saga", 0, 1), "o"))
    read = json.loads(to_json([found], SOURCES))
    assert read["format_version"] == 1
    only = read["diagnostics"][0]
    assert only["primary"]["start"] == {"offset": 5, "line": 2, "column": 2}
    assert only["secondary"][0]["file"] == "b.saga"


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("Mony", ["Money", "Many2"], "Money"),
        ("money", ["Money"], "Money"),
        ("sku", ["qty"], None),
        ("teh", ["the"], "the"),
        ("Money", ["Money"], None),
    ],
)
def test_nearest_word(word: str, known: list[str], meant: str | None) -> None:
    assert nearest(word, known) == meant


def test_hint_never_proposes_the_word_itself() -> None:
    assert hint("edge", ["edge"]) is None
