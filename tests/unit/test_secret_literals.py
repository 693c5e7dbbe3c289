"""Literals that are secrets are found, whatever stands around them, and nothing else is touched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sagalang.model.secret_literals import secret_literals, without_secrets
from sagalang.workspace import load, load_text

ROOT = Path(__file__).parents[2]
TEXT = """
record Card { number: secret string, pin: secret int, name: string }
record Order { id: string, card: Card, more: list<Card> }
service S {
  python "x"
  command a(id: string, token: secret string, card: Card, all: list<secret string>) keyed
    compensate b(key)
  command b(of: key) idempotent, absent ok, fences late
  query q() -> secret string
}
saga Child(t: secret string) {
  step S.a("kept-1", t, Card(number: "hush-1", pin: 9171, name: "kept-2"), [])
    compensate none "kept-3"
}
saga Go(order: Order) {
  id order.id
  step q = S.q()
  step S.a("kept-4 ${order.id}", "hush-2 ${order.id}", Card(number: q, pin: 9172, name: "n"), [])
  step S.a(order.id, if order.id == "x" then "hush-3" else "hush-4", order.card, ["hush-5"])
  step S.a(order.id, q, order.card with { number: "hush-6", name: "kept-5" }, [q, "hush-7"])
  step saga Child("hush-8")
}
let sample = Order(
  id: "kept-6", card: Card(number: "hush-9", pin: 9173, name: "kept-7"),
  more: [Card(number: "hush-10", pin: 9174, name: "kept-8")]
)
scenario "kept-9" of Go(sample with { card: Card(number: "hush-11", pin: 9175, name: "kept-10") }) {
  when S.a("kept-11", "hush-12", Card(number: "hush-13", pin: 9176, name: "n"), []) unavailable
  expect completed
}
"""


def test_every_secret_literal_is_found_and_no_other() -> None:
    loaded = load_text(TEXT)
    assert not loaded.diagnostics
    covered = without_secrets(TEXT, secret_literals(loaded.program))
    assert set(re.findall("hush-\\d+", TEXT)) == {f"hush-{n}" for n in range(1, 14)}
    assert not re.findall("hush|917", covered)
    assert re.findall("kept-\\d+", covered) == re.findall("kept-\\d+", TEXT)
    assert covered.count("\n") == TEXT.count("\n")
    assert not load_text(covered).has_errors


@pytest.mark.parametrize("name", ["order/order.saga", "shop/shop.saga"])
def test_the_examples_without_their_secrets_are_still_right(name: str) -> None:
    loaded = load(str(ROOT / "examples" / name))
    literals = secret_literals(loaded.program)
    texts = {
        file: without_secrets(source.text, (x for x in literals if x.span.file == file))
        for file, source in loaded.sources.items()
    }
    main = loaded.program.main
    assert not load_text(texts[main], main, texts).diagnostics


def test_a_literal_that_becomes_a_secret_by_way_of_a_name_is_covered_where_it_stands() -> None:
    text = (
        'let tok = "ONE"\nlet again = tok\nlet free = "seen"\n'
        "service S { command a(x: secret string, y: string) keyed compensate b(key)\n"
        "  command b(of: key) idempotent, absent ok, fences late }\n"
        'saga T(id: string) {\n  id id\n  let inner = "TWO"\n'
        "  step S.a(again, free)\n  step S.a(inner, free)\n"
        '  step S.a("THREE-${tok}", "seen as well")\n}\n'
    )
    loaded = load_text(text)
    assert not loaded.has_errors, loaded.diagnostics
    kept = without_secrets(text, secret_literals(loaded.program))
    for secret in ("ONE", "TWO", "THREE"):
        assert secret not in kept
    assert kept.count("seen") == 2
    assert not load_text(kept).has_errors


def test_the_texts_of_headers_are_covered() -> None:
    text = (
        'service S {\n  http "http://x"\n  header "X-Key" "Bearer ONE"\n'
        '  query q() -> int GET "/"\n}\n'
    )
    loaded = load_text(text)
    assert not loaded.has_errors, loaded.diagnostics
    assert "ONE" not in without_secrets(text, secret_literals(loaded.program))
