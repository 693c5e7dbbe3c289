"""Cutting a file into declarations: what is spoiled, what is not, where a bracket was opened."""

from __future__ import annotations

import pytest

from sagalang.syntax.split import MAX_DEPTH, split
from sagalang.text import Source


def pieces_of(text: str) -> list[str]:
    return [text[start:end].strip() for start, end in split(Source("a", text)).pieces]


def told(text: str) -> list[tuple[str, str]]:
    return [(d.name, text[d.span.start : d.span.end]) for d in split(Source("a", text)).diagnostics]


def test_each_declaration_is_a_piece() -> None:
    text = "record A { x: int }\nerror B, C\nlet d = 1 policy e { }"
    assert pieces_of(text) == ["record A { x: int }", "error B, C", "let d = 1", "policy e { }"]


@pytest.mark.parametrize(
    "text",
    [
        "let event = 1",
        "let a = order.type",
        "record A { import: string, saga: int, let: int }",
        'scenario "x" of saga(event: 1) { }',
        'let a = "record B { }"',
        "let a = 1 // record B { }",
        "error import",
    ],
)
def test_words_of_declarations_used_as_names_begin_none(text: str) -> None:
    assert len(pieces_of(text)) == 1


def test_unclosed_brace_tells_where_it_was_opened_and_spoils_one_piece() -> None:
    text = "saga A(x: string) {\n  if x {\n    id x }\n\nrecord B { x: int }\n"
    found = split(Source("a", text)).diagnostics
    assert [d.name for d in found] == ["unclosed-brace"]
    assert found[0].span.start == text.index("{")
    assert text[found[0].secondary[0].span.start :].startswith("record B")
    assert pieces_of(text) == ["record B { x: int }"]


def test_indentation_shows_which_of_several_braces_is_not_closed() -> None:
    text = "saga A(x: string) {\n  if x {\n    id x\n}\n\nrecord B { x: int }\n"
    (found,) = split(Source("a", text)).diagnostics
    assert found.span.start == text.index("{", text.index("if x"))
    assert found.secondary[0].span.start == text.index("}")
    assert pieces_of(text) == ["record B { x: int }"]


def test_unclosed_brace_at_the_end_of_the_file() -> None:
    assert told("record A { x: list<int>") == [("unclosed-brace", "{")]


@pytest.mark.parametrize(
    "text",
    [
        "saga A(x: string) { step S.a(x)) }",
        "saga A(x: string) { step S.a(x }",
        "saga A(x: string) { step S.a([x) }",
        "saga A(x: string) { step S.a(x]) }",
        "saga A(x: string) { step S.a(x) } }",
        "let a = [1, 2)",
        "let a = [1, (2, 3]",
        "let a = (1",
        "let a = 1)",
    ],
)
def test_one_wrong_bracket_is_told_once(text: str) -> None:
    assert [name for name, _ in told(text + "\nrecord B { x: int }\n")] == ["unclosed-brace"]
    assert pieces_of(text + "\nrecord B { x: int }\n")[-1] == "record B { x: int }"


def test_unclosed_string_spoils_one_piece() -> None:
    text = 'let a = "x\nlet b = 2\n'
    assert told(text) == [("unclosed-string", '"x')]
    assert pieces_of(text) == ["let b = 2"]


@pytest.mark.parametrize(
    "text", ['let a = "x\\"', 'let a = "', 'let a = "x\\\\\\"', 'let a = "${b']
)
def test_odd_ends_of_strings_are_unclosed(text: str) -> None:
    assert [name for name, _ in told(text)] == ["unclosed-string"]


@pytest.mark.parametrize(
    "text", ['let a = ""', 'let a = "x\\\\"', 'let a = "${f("x")}"', 'let a = "{ ("']
)
def test_odd_strings_that_are_closed(text: str) -> None:
    assert told(text) == []


@pytest.mark.parametrize("bracket", ["(", "[", "{"])
def test_nesting_is_limited_for_each_bracket(bracket: str) -> None:
    closer = {"(": ")", "[": "]", "{": "}"}[bracket]
    inside = bracket * MAX_DEPTH + closer * MAX_DEPTH
    assert told("let a = " + inside) == []
    assert [name for name, _ in told(f"let a = {bracket}{inside}{closer}")] == ["nested-too-deeply"]


def test_text_before_the_first_declaration_is_a_piece() -> None:
    assert pieces_of("hello\nlet a = 1") == ["hello", "let a = 1"]


def test_comments_alone_are_no_piece() -> None:
    assert pieces_of("// one\n\n/// two\n") == []


def test_doc_comments_belong_to_what_follows() -> None:
    text = "/// One.\n// plain\n/// Two.\nrecord A {\n  /// Field.\n  x: int\n}\n"
    docs = split(Source("a", text)).docs
    assert docs[text.index("record")] == "One.\nTwo."
    assert docs[text.index("x:")] == "Field."


def test_many_interpolations_in_an_unclosed_string_are_read_in_one_pass() -> None:
    assert [name for name, _ in told('let a = "' + "${b}" * 5000)] == ["unclosed-string"]
