"""What a call carries for formats that show it on demand, and what --values adds."""

from __future__ import annotations

import pictured
from pictured import graph_in, graph_of

from sagalang.render.diagram import Message, MessageKind, SequenceDiagram, messages
from sagalang.render.mermaid import emit
from sagalang.render.paths import path_model
from sagalang.render.sequence import model
from sagalang.render.words import Shown

SHOP = graph_in(pictured.SHOP)
LITERALS = """
let fee = 3.50
service S {
  command pay(x: string, amount: decimal, times: int, on: bool, card: secret string)
    keyed compensate undo(key)
  command undo(of: key) idempotent, absent ok, fences late
}
saga Main(x: string) {
  id x
  step S.pay("to \\"me\\"", 100, -2, true, "s3cr3t")
  step S.pay("${x} s", fee, 1, false, "s3cr3t")
}
"""


def call(diagram: SequenceDiagram, path: str, kind: MessageKind = MessageKind.CALL) -> Message:
    return next(m for m in messages(diagram.items) if m.path == path and m.kind is kind)


def test_a_call_says_its_policy_its_key_and_what_undoes_it() -> None:
    assert call(model(SHOP), "pay").details == (
        "timeout 2s, up to 4 retries (back-off 200ms * 2 up to 5s),"
        " breaker opens at 50% of 20 calls in 30s, probes after 10s, bulkhead 16, queue 32",
        "keyed by header Idempotency-Key: the same key has the effect of once for 1d",
        "what it refused once it refuses again under the same key",
        "undone by Payment.release, which refuses the late original",
    )


def test_a_call_that_is_asked_about_says_so() -> None:
    details = call(model(SHOP), "ship").details
    assert "never repeated blindly: neither keyed nor idempotent" in details
    assert "without an answer, Shipping.find tells whether it happened" in details
    assert "a late call lands within 5m or never" in details
    assert "if refused, or not done after 1h, logistics takes over" in details


def test_a_compensation_has_details_too() -> None:
    details = call(model(SHOP), "pay", MessageKind.COMPENSATION).details
    assert "idempotent: the same input twice has the effect of once" in details
    assert "succeeds where there is nothing to undo" in details
    assert "after it, the late original is refused" in details
    assert details[-1] == "if refused, or not done after 1h, orders-oncall takes over"


def test_the_worst_case_is_what_is_handed_in() -> None:
    line = "at most 5 calls, 13s"
    assert call(model(SHOP, worst={"pay": line}), "pay").details[-1] == line
    path = path_model(SHOP, [], worst={"pay": line})
    assert isinstance(path, SequenceDiagram)
    assert call(path, "pay").details[-1] == line
    assert line not in call(model(SHOP), "pay").details


def test_details_hold_no_argument_and_no_secret() -> None:
    lines = "\n".join(line for m in messages(model(graph_of(LITERALS)).items) for line in m.details)
    assert "s3cr3t" not in lines
    assert "100" not in lines
    assert "PAYMENT_AUTH" not in "\n".join(
        line for m in messages(model(SHOP).items) for line in m.details
    )


def test_no_value_is_shown_unless_asked_for() -> None:
    text = emit(model(graph_of(LITERALS)))
    assert "pay(#34;#8230;#34;, #8230;, #8230;, #8230;, #34;#8230;#34;)" in text
    assert "100" not in text


def test_literals_are_shown_where_asked_for_and_secrets_never() -> None:
    diagram = model(graph_of(LITERALS), Shown(values=True))
    texts = [m.text for m in messages(diagram.items) if m.kind is MessageKind.CALL]
    assert texts == ['pay("to "me"", 100, -2, true, "…")', 'pay("${x} s", fee, 1, false, "…")']
    assert "s3cr3t" not in emit(diagram)


def test_an_interpolation_is_shown_as_it_is_written_and_a_secret_one_never() -> None:
    source = """
service S { command say(text: string, hidden: secret string) keyed }
record Trip { id: string, card: secret string }
saga Main(trip: Trip, n: int) {
  id trip.id
  step S.say("${trip.id}: inn instead, ${n + 1} nights", "card ${trip.card}") compensate none "x"
}
"""
    diagram = model(graph_of(source), Shown(values=True))
    texts = [m.text for m in messages(diagram.items) if m.kind is MessageKind.CALL]
    assert texts == ['say("${trip.id}: inn instead, ${…} nights", "…")']
