"""The one layout: a fixed point, which keeps the tree and every comment."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import pytest

from sagalang.format import format_text
from sagalang.format.declarations import WIDTH
from sagalang.text import Source

from .texts import ROOT, TEXTS, close, comments, damaged, stretched, tree, words

GOLDEN = ROOT / "tests" / "golden" / "fmt"
RANDOM = 1_000 if os.environ.get("SAGA_SLOW") else 100


@cache
def laid_out(text: str) -> str:
    formatted = format_text(Source("text", text))
    assert formatted.diagnostics == ()
    return formatted.text


def check_kept(text: str, again: str) -> None:
    """What a layout may not change, whatever it looks like."""
    assert tree(again) == tree(text)
    assert sorted(comments(again)) == sorted(comments(text))
    if words(again) == words(text):  # No clause was put in order, nor a comma between promises.
        assert comments(again) == comments(text)
    assert laid_out(again) == again
    assert again.endswith("\n") or not again
    assert "\n\n\n" not in again
    assert "\r" not in again
    assert [line for line in again.split("\n") if line != line.rstrip()] == []


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_the_repository_keeps_tree_and_comments(name: str) -> None:
    check_kept(TEXTS[name], laid_out(TEXTS[name]))


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_text_keeps_tree_and_comments(seed: int) -> None:
    chance = Random(seed)
    for _ in range(RANDOM // 10):
        text = TEXTS[chance.choice(sorted(TEXTS))]
        if chance.random() < 0.5:
            text = stretched(text, chance, chance.choice([0.1, 0.5]))
        text = damaged(text, chance, chance.choice([0, 0, 0.02, 0.1, 0.4]))
        check_kept(text, laid_out(text))


def test_blanks_between_words_make_no_difference() -> None:
    for text in list(TEXTS.values())[::3]:
        assert laid_out(close(words(text))) == laid_out(" ".join(words(text)))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.in.saga")), ids=lambda path: path.stem)
def test_layout_is_the_committed_one(path: Path, golden: Callable[[Path, str], None]) -> None:
    golden(path.with_name(path.name.replace(".in.", ".out.")), laid_out(path.read_text("utf-8")))


@pytest.mark.parametrize(
    "folder", ["examples", "sagalang/cli/template", "tests/corpus/correct", "tests/golden/fmt"]
)
def test_committed_files_are_laid_out(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.saga") if ".in." not in path.name]
    assert files
    for path in files:
        text = path.read_text("utf-8")
        assert laid_out(text) == text, path


def test_no_line_is_too_wide_but_for_a_text_or_a_comment() -> None:
    for text in TEXTS.values():
        wide = [line for line in laid_out(text).split("\n") if len(line) > WIDTH]
        assert [line for line in wide if '"' not in line and "//" not in line] == []


def test_the_example_of_the_reference_is_laid_out() -> None:
    page = (ROOT / "tests" / "spec" / "03-lexical.md").read_text("utf-8")
    example = page.split("\n## Layout\n")[1].split("```saga\n")[1].split("```")[0]
    assert laid_out(example) == example


@pytest.mark.parametrize("ends", ["", "\n", "\r\n", "\n\n\n", "  \t"])
def test_a_text_ends_with_one_line_end(ends: str) -> None:
    assert laid_out("let a = 1" + ends) == "let a = 1\n"


@pytest.mark.parametrize("text", ["", "\n\n", " \t"])
def test_nothing_stays_nothing(text: str) -> None:
    assert laid_out(text) == ""


def test_a_text_of_comments_alone_keeps_them() -> None:
    assert laid_out("\n\n//a\n\n\n//  b\n/// c") == "// a\n\n//  b\n/// c\n"


@pytest.mark.parametrize(
    "text",
    [
        "// above\nrecord A { x: int }  // beside\n",
        "/// above\nlet a = f(1, [2], { b: 3 })\n",
        "service S {\n  // above\n  command a(x: int) keyed compensate b(x)  // beside\n}\n",
    ],
)
def test_a_comment_does_not_break_what_it_stands_at(text: str) -> None:
    assert laid_out(text) == text


@pytest.mark.parametrize(
    "literal",
    ["90m", "1h30m", "0.50", "1.0", "007", r'"\u{1F600}\t\$5 \"x\""', '"${a}"', "60s", "100"],
)
def test_literals_stay_as_they_were_written(literal: str) -> None:
    assert laid_out(f"let b={literal}") == f"let b = {literal}\n"


def test_expressions_inside_strings_are_laid_out_as_outside() -> None:
    text = 'let b = "${ a+-b*( c-1 ) } \\${x+y} ${f(x,[1,2][0])??"a  b"}"'
    assert laid_out(text) == 'let b = "${a + -b * (c - 1)} \\${x+y} ${f(x, [1, 2][0]) ?? "a  b"}"\n'


def test_an_allow_comment_stays_above_what_it_allows() -> None:
    text = TEXTS["tests/corpus/correct/allowed.saga"]
    again = laid_out(damaged(text.replace("    // saga", "\n\n // saga"), Random(3), 0))
    above, below = again.split("// saga: allow", 1)[1].split("\n")[:2]
    assert "mainframe" in above
    assert below.strip() == "compensate unregister(id)"


def test_no_blank_line_stands_before_a_closing_bracket() -> None:
    text = "saga A(x: int) {\n\n  id x\n\n  // end\n\n}\n\n"
    assert laid_out(text) == "saga A(x: int) {\n  id x\n\n  // end\n}\n"


def test_what_stands_behind_a_comma_on_its_line_began_no_line() -> None:
    wide = "x" * 60
    text = f"record A {{\n a: {wide}, b: {wide}\n /// c\n , d: int }}\n"
    check_kept(text, laid_out(text))


def test_a_text_with_a_mistake_is_left_alone() -> None:
    text = "record   A{x:int}\nrecord B { x int }\n"
    formatted = format_text(Source("text", text))
    assert formatted.text == text
    assert [found.name for found in formatted.diagnostics] == ["syntax-error"]
