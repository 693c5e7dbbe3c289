"""The algebra: what is broken, where, and what comments do to it."""

from __future__ import annotations

import pytest

from sagalang.format import documents as d


def items(*names: str) -> d.Doc:
    body = d.join(d.LINE, [d.text(name + ",") for name in names])
    return d.group(d.cat(d.text("("), d.nest(2, d.cat(d.SOFT, body)), d.SOFT, d.text(")")))


@pytest.mark.parametrize(("width", "lines"), [(8, 1), (7, 4)])
def test_a_group_stands_on_one_line_exactly_if_it_fits(width: int, lines: int) -> None:
    text = d.render(items("ab", "c"), width)
    assert text.count("\n") + 1 == lines


def test_what_follows_a_group_without_a_break_has_to_fit_too() -> None:
    doc = d.cat(items("ab", "c"), d.text(" {"), d.HARD, d.text("much more than fits"))
    assert d.render(doc, 10).startswith("(ab, c,) {\n")
    assert d.render(doc, 9).startswith("(\n")


def test_of_two_groups_the_later_is_broken_first() -> None:
    doc = d.cat(items("ab"), items("cd", "ef"))
    assert d.render(doc, 10) == "(ab,)(\n  cd,\n  ef,\n)"


def test_a_fill_takes_only_the_breaks_it_needs() -> None:
    assert d.render(d.fill([d.text(c * 3) for c in "abcde"]), 7) == "aaa bbb\nccc ddd\neee"


def test_a_comment_breaks_the_group_it_stands_in_and_no_other() -> None:
    inner = d.cat(d.text("b"), d.Beside("// why"))
    parts = d.join(d.LINE, [items("a"), inner, d.text("c")])
    assert d.render(d.group(d.cat(parts, d.LINE, items("x", "y"))), 80) == (
        "(a,)\nb  // why\nc\n(x, y,)"
    )


def test_a_comment_at_the_edge_of_a_group_does_not_break_it() -> None:
    before, behind = d.Above("// before", False, False), d.Beside("// behind")
    doc = d.group(d.cat(before, d.text("a"), d.LINE, d.text("b"), behind))
    assert d.render(d.cat(doc, d.HARD, d.text("c")), 80) == "// before\na b  // behind\nc"


def test_nothing_stands_behind_a_comment_on_its_line() -> None:
    doc = d.cat(d.text("a"), d.Beside("// one"), d.Beside("// two"), d.SPACE, d.text("b"))
    assert d.render(doc, 80) == "a  // one\n  // two\n  b"


def test_no_line_ends_with_blanks_and_no_block_begins_with_a_blank_line() -> None:
    doc = d.cat(d.text("{"), d.SPACE, d.nest(2, d.cat(d.BLANK, d.text("a"))), d.BLANK, d.text("b"))
    assert d.render(doc, 80) == "{\n  a\n\nb"
