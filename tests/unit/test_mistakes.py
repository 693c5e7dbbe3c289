"""What a newcomer writes: each is told in one sentence, with what to write instead."""

from __future__ import annotations

import pytest

from sagalang.syntax.mistakes import in_words
from sagalang.syntax.tables import load_parser
from sagalang.workspace import load_text

SERVICE = """service S {
  command op(a: string) keyed compensate undo(key)
  command undo(of: key) idempotent, absent ok, fences late
}
"""


def saga(body: str) -> str:
    return f"{SERVICE}saga A(x: string, xs: list<string>) {{\n  id x\n  {body}\n}}\n"


def told(text: str) -> list[tuple[str, str]]:
    return [(d.message, d.help or "") for d in load_text(text, "a.saga").diagnostics]


STATEMENTS = [
    ("try { step S.op(x) } catch (e) { }", "`attempt`", "on Error { … }"),
    ("attempt { step S.op(x) } catch E { }", "`on`", "on Error { … }"),
    ("attempt { step S.op(x) } except E { }", "`on`", "on Error { … }"),
    ("attempt { step S.op(x) } finally { }", "nothing runs at the end", "behind the `attempt`"),
    ("attempt { step S.op(x) } on error E { }", "the name of the error", "`on E { … }`"),
    ('if x == "a" { } elif x == "b" { }', "two words", "`else if`"),
    ('if x == "a" { } elseif x == "b" { }', "two words", "`else if`"),
    ('if x == "a" then { }', "no `then`", "leave it out"),
    ('if x == "a":\n    sleep 1s', "`{ }`", "write `{` here"),
    ('if x == "a" { } else:\n    sleep 1s', "`{ }`", "write `{` here"),
    ("for y in xs:\n    sleep 1s", "`{ }`", "write `{` here"),
    ("raise Full", "`abort`", "abort Error"),
    ('throw new Full("x")', "`abort`", "abort Error"),
    ("var a = 5", "`let`", "let x = …"),
    ("await S.op(x)", "a `step`", "step Service.operation(…)"),
    ("step y = await S.op(x)", "`await` is not needed", "step x = S.…(…)"),
    ("call S.op(x)", "a `step`", "step Service.operation(…)"),
    ("run S.op(x)", "a `step`", "step Service.operation(…)"),
    ("y = S.op(x)", "begins with a keyword", "`step y = …`"),
    ("y = 5", "begins with a keyword", "`let y = …`"),
    ("y += 5", "cannot be changed", "`let y = …`"),
    ("let y = S.op(x)", "cannot call a service", "`step y = S.op(…)`"),
    ("return S.op(x)", "cannot call a service", "`step x = S.op(…)`"),
    ("let n = x.len()", "no methods", "`len(x)`"),
    ("let y = xs.map(f)", "no methods", "the functions are"),
    ("let y: int = 5", "takes its type from its value", "`let y = …`"),
    ("let y := 5", "joined by `=`", "`let y = …`"),
    ('let y = x == "a" ? 1 : 2', "chosen by words", "if … then … else …"),
    ("foreach y in xs { }", "over the elements", "for x in xs"),
    ('switch x { case "a": }', "told apart by `if`", "else if"),
    ("let o = new Order(a: 1)", "without `new`", "`Order(…)`"),
    ("step pivot S.op(x)", "`pivot` stands before `step`", "pivot step"),
    ("step pivot y = S.op(x)", "`pivot` stands before `step`", "pivot step"),
    ("step S.op(x) besteffort", "two words", "`best effort`"),
    ("step S.op(x) best_effort", "two words", "`best effort`"),
    ("step S.op(x) best-effort", "two words", "`best effort`"),
    ("step S.op(x) compensate S.undo", "no arguments", "`compensate S.undo(key)`"),
    ("step S.op", "a call has `( )`", "`step S.op(…)`"),
    ('if x === "a" { }', "no `===`", "`==`"),
    ('if x !== "a" { }', "no `!==`", "`!=`"),
    ("if 5 > 1,200.00 { }", "without separators", "`1200.00`"),
    ("deadline 1 day", "number and a short unit", "`1d`"),
    ("sleep 24 hours", "number and a short unit", "`24h`"),
    ("sleep 24hours", "number and a short unit", "`24h`"),
    ("sleep 2 weeks", "`ms s m h d`", "`14d`"),
    ("sleep 1.5h", "whole numbers", "1h30m"),
    ("deadline 24", "needs a unit", "`24h`"),
    ("if now() > 2026-12-01 { }", "a date cannot be written", "parameter"),
    ("wait Review within 5m else null", "gets a name", "`wait answer: Review within …`"),
    ("step S.op(x) else abort Full", "by itself", "else escalate"),
    ("step S.op(x) on Full { }", "of an `attempt`", "attempt { step … }"),
    ("if x is null { }", "compared with `==`", "`==`"),
    ('if x in ["a"] { }', "by a function", "contains(list, value)"),
    ("def inner() { }", "inside another", "step saga Name(…)"),
]
DECLARATIONS = [
    ("def Book(a: string) -> string {\n  id a\n}\n", "is a `saga`", "saga Name(…) { … }"),
    ("fn Book(a: string) { }", "is a `saga`", "saga Name(…) { … }"),
    ("workflow Book { }", "is a `saga`", "saga Name(…) { … }"),
    ("class A { x: int }", "is a `record`", "record Name { … }"),
    ("record B { a: int }\nmessage A { x: int }", "is a `record`", "record Name { … }"),
    ("const A = 5", "by `let`", "let x = …"),
    ('from "a.saga" import B', "by its path", 'import "file.saga"'),
    ("from shop import B\nrecord A { x: int }", "by its path", 'import "file.saga"'),
    ("import shop", "by its path", 'import "shop.saga"'),
    ('use "a.saga"', "by its path", 'import "file.saga"'),
    ('let a = f"{b}"', "no `f` before it", '"${…}"'),
    ("let a = 1_000", "without separators", "`1000`"),
    ("let a = { b: 1,200.00 }", "without separators", "`1200.00`"),
    ("let d = 2026-12-01", "a date cannot be written", "parameter"),
    ("let d = 2026-12-01T10:00:00Z", "a date cannot be written", "parameter"),
    ("record A { string id }", "the name stands first", "`id: string`"),
    ("record A { str id }", "the name stands first", "`id: string`"),
    ("record A { Order order }", "the name stands first", "`order: Order`"),
    ("record A { secret pw: string }", "belongs to the type", "`pw: secret string`"),
    ("record A { pw: string secret }", "before the type", "`pw: secret string`"),
    ("record A { a: string | null }", "may be null", "`string?`"),
    ("record A { a: string[] }", "a list", "`list<string>`"),
    ("record A { a: list[str] }", "a list", "`list<string>`"),
    ("record A { a: List<string> }", "a list", "`list<string>`"),
    ("record A { a: Array<Item> }", "a list", "`list<Item>`"),
    ("record A { a: Map<string, int> }", "a map", "`map<int>`"),
    ("record A { a: map<string, int> }", "keys of a map", "`map<int>`"),
    ("record A { a: Optional[int] }", "may be null", "`int?`"),
    ("record A { a?: str }", "may be null", "`a: string?`"),
    ("record A { a: int = 5 }", "no default", "`??`"),
    ("enum A { B | C }", "separated by `,`", "`,`"),
    ("policy p { timeout 5 sec }", "number and a short unit", "`5s`"),
    ("service S { def a() }", "commands", "command name(…)"),
    ("service S { query a(x: string): string }", "behind `->`", "`-> …`"),
    ("service S { query a() returns string }", "behind `->`", "`-> …`"),
    ("saga A(x: string): string { id x }", "behind `->`", "`-> …`"),
    ("saga A(x: string) -> string:\n  id x\n", "`{ }`", "write `{` here"),
    ('error E\nservice S { command a() keyed rejects E "402" }', "a status", "`402`"),
    ("service S { command a() keyed compensate free\n }", "no arguments", "`compensate free(key)`"),
]
NAMES = [
    ("record A { a: str }", "type `str`", "`string`"),
    ("record A { a: boolean }", "type `boolean`", "`bool`"),
    ("record A { a: float }", "type `float`", "`decimal`"),
    ("record A { a: money }", "type `money`", "`decimal`"),
    ("record Money { b: int }\nrecord A { a: money }", "type `money`", "`Money`"),
    ("record A { a: integer }", "type `integer`", "`int`"),
    ("record A { a: timestamp }", "type `timestamp`", "`datetime`"),
    ("record A { a: array }", "type `array`", "`list<…>`"),
    ("record A { a: dict }", "type `dict`", "`map<…>` or `json`"),
    ("let a = True", "no `True`", "`true`"),
    ("let a = None", "no `None`", "`null`"),
    ("enum Answer { Yes, No }\nlet a = Answer.Yes == No", "no `No`", "`Answer.No`"),
    (
        "enum Answer { Yes, No }\nrecord R { a: Answer }\nlet c = R(a: Yes)",
        "no `Yes`",
        "`Answer.Yes`",
    ),
    (
        'enum Answer { Yes, No }\nlet a = Answer.Yes == "maybe"',
        "two values of one type",
        "`Answer.Yes`, `Answer.No`",
    ),
    (
        'enum Answer { Yes, No }\nrecord R { a: Answer }\nlet c = R(a: "no")',
        "needs an `Answer`",
        "write `Answer.No`",
    ),
]


@pytest.mark.parametrize(
    ("text", "message", "advice"),
    [
        *((saga(body), message, advice) for body, message, advice in STATEMENTS),
        *DECLARATIONS,
        *NAMES,
    ],
)
def test_foreign_word_is_told_alone_and_with_ours(text: str, message: str, advice: str) -> None:
    found = told(text)
    assert len(found) == 1, found
    assert message in found[0][0]
    assert advice in found[0][1]


TERMINALS = [t for t in load_parser().terminals if t.name not in ("COMMENT", "WHITESPACE")]


@pytest.mark.parametrize("terminal", TERMINALS, ids=[t.name for t in TERMINALS])
def test_no_name_of_the_grammar_is_ever_shown(terminal: object) -> None:
    name, pattern = terminal.name, terminal.pattern  # type: ignore[attr-defined]
    shown = in_words(name)
    assert shown
    if pattern.type == "str":
        assert shown == f"`{pattern.value}`"


def test_syntax_error_is_told_without_the_warnings_that_follow_from_it() -> None:
    text = "error E\nservice T { command a( }\nsaga A(x: string) {\n  id x\n  let y = 1\n}\n"
    found = load_text(text, "a.saga").diagnostics
    assert found
    assert all(d.is_error for d in found)


def test_allow_of_a_warning_that_was_left_out_is_not_told() -> None:
    text = 'record A { x int }\n// saga: allow(unused-name) "later"\nrecord B { x: int }\n'
    assert [d.name for d in load_text(text, "a.saga").diagnostics] == ["syntax-error"]


def test_unknown_compensation_is_told_once() -> None:
    text = saga("step S.op(xs[0] ?? x)").replace("compensate undo(key)", "compensate release(key)")
    ((message, _),) = told(text)
    assert message == "the service `S` has no operation `release`"


def test_mistake_before_a_stray_brace_is_told_instead_of_the_brace() -> None:
    body = "  id a\n  let x = 5\n  step S.op(x)\n  if a { sleep 1s }\n"
    text = f"{SERVICE}def Book(a: string) -> string:\n{body}}}\nrecord Q {{ a: int }}\n"
    ((message, advice),) = told(text)
    assert message == "what runs step by step is a `saga`"
    assert "saga Name" in advice


def test_stray_brace_behind_a_sound_declaration_is_told_itself() -> None:
    ((message, _),) = told("record A { x: int } }\n")
    assert message == "this `}` closes nothing"


def test_indentation_shows_which_brace_was_never_closed() -> None:
    text = saga('for y in xs {\n    if y == "a" {\n      sleep 1s\n    sleep 2s\n  }\n  sleep 3s')
    (found,) = load_text(text, "a.saga").diagnostics
    assert found.message == "this `{` is never closed"
    assert found.span.start == text.index("{", text.index("if y"))
    assert [label.span.start for label in found.secondary] == [text.index("  }\n  sleep") + 2]


def test_parameter_of_a_path_is_named() -> None:
    text = (
        'service S {\n  http "http://a.b"\n  command free(of: key) idempotent DELETE "/by/{key}"\n}'
    )
    assert told(text) == [("`S.free` has no parameter `key`", "its parameter is `of`")]


def test_segment_with_a_colon_is_no_parameter() -> None:
    text = 'service S {\n  http "http://a.b"\n  query b(room: string) -> string GET "/x/:room"\n}'
    ((message, advice),) = told(text)
    assert "stand in braces" in message
    assert advice == "write `{room}`"
