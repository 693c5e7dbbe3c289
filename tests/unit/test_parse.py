"""Parsing: mistakes as sentences, at the right place, one for each; nesting without end."""

from __future__ import annotations

import pytest

from sagalang.diagnostics import Diagnostic
from sagalang.syntax import ast
from sagalang.syntax.parse import parse, parse_fault, parse_send
from sagalang.text import Source
from sagalang.workspace import load_text


def problems(text: str) -> list[Diagnostic]:
    return list(parse(Source("a", text)).diagnostics)


def saga(body: str) -> str:
    return "saga A(x: string) {\n  id x\n  " + body + "\n}\n"


def test_two_mistakes_in_different_declarations_are_both_told() -> None:
    text = "record A { x int }\nrecord B { y: int }\nenum C { D E }\n"
    found = problems(text)
    assert [text[d.span.start : d.span.end] for d in found] == ["int", "E"]
    assert len(parse(Source("a", text)).module.declarations) == 1


def test_what_follows_a_complete_declaration_does_not_spoil_it() -> None:
    parsed = parse(Source("a", "record A { x: int }\nrecrod B { x: int }\n"))
    assert len(parsed.diagnostics) == 1
    (only,) = parsed.module.declarations
    assert isinstance(only, ast.RecordDecl)
    assert only.name.text == "A"


MESSAGES = [
    ("record A { x: int };", "semicolons", "remove it"),
    ("let a = 1 & 2", "`and` is written as a word", "`a and b`"),
    ("let a = 1 | 2", "`or` is written as a word", "`a or b`"),
    ("let a = !b", "`not` is written as a word", "`not a`"),
    ("let a = 'x'", "double quotes", '"'),
    ("# hello", "comment", "//"),
    ("/* hello */ let a = 1", "comment", "//"),
    ("let a = b ? 1 : 2", "", ""),
    (saga("Payment.charge(x)"), "keyword", "step Payment"),
    (saga("if x = 1 { }"), "`=` does not compare", "`==`"),
    (saga("step S.a(x: 1, y = 2)"), "`:`", "name: …"),
    (saga("deadline 5s\n  sleep 1s\n  id x"), "top of a saga", "order"),
    (saga("stpe S.a(x)"), "`stpe` means nothing here", "`step`"),
    (saga("retry 3 times"), "policy", "with"),
    ("policy p { retry 3 backoff 1s jitter full }", "`times` is missing", "times"),
    ("policy p { retyr 3 times }", "`retyr` means nothing here", "`retry`"),
    ("service S { comand a() }", "`comand` means nothing here", "`command`"),
    ("service S { command a() idempotnet }", "`idempotnet` means nothing here", "`idempotent`"),
    ("enum E { A B }", "`,` is missing before `B`", "add"),
    ("record A x: int }", "", ""),
    ("let = 5", "", ""),
    ("let a =", "the text ends", "a value"),
]


@pytest.mark.parametrize(("text", "message", "advice"), MESSAGES)
def test_mistake_is_one_sentence_with_a_fix(text: str, message: str, advice: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert message in found[0].message
    assert found[0].help
    assert advice in found[0].help
    for terminal in ("LPAR", "RBRACE", "NAME", "__ANON", "$END", "Token("):
        assert terminal not in found[0].message + found[0].help


def test_mistake_inside_a_text_is_told_inside_it() -> None:
    text = 'let a = "one ${1 +} two"\nlet b = 2\n'
    (found,) = problems(text)
    assert text[found.span.start : found.span.end] == "${1 +}"


def test_comment_cannot_hide_in_a_text() -> None:
    (found,) = problems('let a = "one ${b // two}"')
    assert "comment" in found.message


@pytest.mark.parametrize(
    "text", ['let a = "${"http://x"}"', 'let a = "${b}//${b}"', 'let a = "//"']
)
def test_slashes_in_a_text_are_no_comment(text: str) -> None:
    assert problems(text) == []


DEEP = 1000
NESTED = {
    "parentheses": "let a = " + "(" * DEEP + "1" + ")" * DEEP,
    "lists": "let a = " + "[" * DEEP + "1" + "]" * DEEP,
    "braces": "let a = " + "{x: " * DEEP + "1" + "}" * DEEP,
    "calls": "let a = " + "len(" * DEEP + "1" + ")" * DEEP,
    "indexes": "let a = b" + "[1" * DEEP + "]" * DEEP,
    "index chain": "let a = b" + "[1]" * DEEP,
    "members": "let a = b" + ".c" * DEEP,
    "updates": "let a = b" + " with { c: 1 }" * DEEP,
    "additions": "let a = 1" + " + 1" * DEEP,
    "ands": "let a = true" + " and true" * DEEP,
    "defaults": "let a = null" + " ?? null" * DEEP,
    "nots": "let a = " + "not " * DEEP + "true",
    "minuses": "let a = " + "-" * DEEP + "1",
    "conditionals": "let a = " + "if true then 1 else " * DEEP + "2",
    "comprehensions": "let a = " + "[" * DEEP + "x" + " for x in y]" * DEEP,
    "calls and nots": "let a = " + ("not " * 90 + "contains(") * 90 + "1" + ")" * 90,
    "optionals": "record A { x: int" + "?" * DEEP + " }",
    "list types": "record A { x: " + "list<" * DEEP + "int" + ">" * DEEP + " }",
    "record types": "record A { x: " + "{ x: " * DEEP + "int" + " }" * DEEP + " }",
    "secrets": "record A { x: " + "secret " * DEEP + "int }",
    "else ifs": saga("if true { }" + " else if true { }" * DEEP),
    "ifs": saga("if true { " * DEEP + "}" * DEEP),
    "loops": saga("for y in z { " * DEEP + "}" * DEEP),
    "parallels": saga("parallel { " * DEEP + "}" * DEEP),
    "attempts": saga("attempt { " * DEEP + "} on E { }" * DEEP),
    "unclosed": "let a = " + "([{" * DEEP,
    "closed only": "let a = " + ")]}" * DEEP,
}


@pytest.mark.parametrize("kind", NESTED)
def test_nesting_a_thousand_deep_is_refused_or_read_but_never_raises(kind: str) -> None:
    found = load_text(NESTED[kind]).diagnostics
    assert found
    assert all(d.name != "internal-error" for d in found)
    if kind not in ("optionals", "unclosed", "closed only"):
        assert "nested-too-deeply" in {d.name for d in found}
    assert len(found) <= 3


def test_nesting_just_below_the_limit_is_read() -> None:
    assert load_text("let a = " + "(" * 95 + "1" + ")" * 95).diagnostics == ()
    assert load_text("let a = 1" + " + 1" * 95).diagnostics == ()
    assert load_text("let a = " + "[" * 95 + "1" + "]" * 95).diagnostics == ()


def test_fault_of_a_command_line() -> None:
    fault, found = parse_fault(Source("--fault", "Payment.charge times out after effect, 2 times"))
    assert found == ()
    assert fault is not None
    assert fault.count == 2


@pytest.mark.parametrize(
    "text", ["", "Payment", "Payment.charge explodes", 'S.a rejects E("', "\x00"]
)
def test_wrong_fault_of_a_command_line_is_told(text: str) -> None:
    fault, found = parse_fault(Source("--fault", text))
    assert fault is None
    assert found


def test_event_of_a_command_line() -> None:
    event, found = parse_send(Source("--send", 'Review(by: "eve") after 5m'))
    assert found == ()
    assert event is not None
    assert event.after is not None
    assert event.after.value == 300_000
