"""Every expectation, broken on purpose: what is said then."""

from __future__ import annotations

import re

import pytest

from sagalang.scenario import Finding, Result, Stage, run
from sagalang.workspace import load_text

SAGAS = """
record Money { amount: decimal, currency: string }
record Receipt { id: string, total: Money, lines: list<int>, pin: secret string, note: string? }
error Declined { reason: string }
error Full, TooLate, Refused
enum Verdict { Good, Bad }
event Review { verdict: Verdict, by: string }
policy patient { timeout 2s retry 3 times backoff 200ms * 2 up to 2s jitter full }
policy once { timeout 2s }

service Payment {
  with patient
  command charge(order: string, card: secret string) -> { id: string }
    keyed, records rejections
    rejects Declined
    compensate refund(key)
  command refund(of: key) idempotent, absent ok, fences late rejects Refused
  command capture(order: string) keyed
}
service Hotel {
  with patient
  command book(night: int) keyed, records rejections rejects Full compensate free(key)
  command free(of: key) idempotent, absent ok, fences late
  command tell(order: string) keyed
  command close(order: string) idempotent compensate open(order)
  command open(order: string) idempotent, absent ok, fences late
  command hold(night: int) keyed, records rejections rejects Full compensate free(key)
  command print(order: string) probe printed(order) lands within 1m
  query printed(order: string) -> { at: datetime }?
}

saga Pay(order: string, card: secret string) -> Receipt {
  id order
  deadline 12h
  compensate with once else escalate "bank"
  step paid = Payment.charge(order, card)
  wait review: Review within 1h else abort TooLate
  if review.verdict == Verdict.Bad { abort Refused }
  for night in [1, 2] { step Hotel.book(night) }
  step Hotel.tell(order) best effort
  pivot step Payment.capture(order)
  return Receipt(id: paid.id, total: Money(amount: 5.00, currency: "EUR"), lines: [1, 2], pin: card)
}

saga Room(order: string) {
  attempt {
    step Hotel.book(1)
    step Hotel.book(2)
  } on Full {
    step Hotel.book(3)
  }
}

saga Shut(order: string, again: bool) {
  id order
  step Hotel.close(order)
  step Hotel.close(order)
  if again { abort Full }
}

saga Nights(order: string) {
  id order
  for night in [1, 2] {
    attempt {
      step Hotel.book(night)
      step Hotel.hold(night)
    } on Full {}
  }
}

saga Print(order: string) {
  id order
  pivot step Hotel.print(order)
}

saga Flyer(order: string) {
  id order
  step Hotel.print(order) best effort
}

saga Both(order: string) {
  id order
  step saga Room(order)
  step Payment.charge(order, "4711")
}

saga Trip(order: string) {
  id order
  compensate with once else escalate "bank"
  step saga Room(order)
  step Payment.charge(order, "4711")
  wait review: Review within 1h else abort TooLate
}
"""
PAY = 'Pay("o-1", "4711")'
GOOD = 'send Review(verdict: Verdict.Good, by: "eve")'


def results(saga: str, body: str) -> Result:
    loaded = load_text(f'{SAGAS}\nscenario "s" of {saga} {{\n{body}\n}}\n', "shop.saga")
    assert [d.message for d in loaded.diagnostics if d.is_error] == []
    stage = Stage(loaded.program)
    return run(loaded.program, loaded.program.scenarios[0], stage=stage)


def finding(saga: str, body: str) -> Finding:
    result = results(saga, body)
    assert result.problem == ""
    (found,) = result.findings
    return found


def line_of(text: str) -> int:
    return SAGAS[: SAGAS.index(text)].count("\n") + 1


PAYS = line_of("step paid")
WAITS = line_of("wait review")
REFUSES = line_of("abort Refused")
ROOM = line_of("step saga Room")
BOTH_PAYS = line_of('step Payment.charge(order, "4711")')
EXACT = 'Receipt(id: "p", total: Money(amount: 5.00, currency: "EUR"), lines: [1, 2], pin: "4711")'
ID = f'{GOOD} when Payment.charge returns {{ id: "p" }}'

MET = [
    (PAY, f"{GOOD} expect completed"),
    (PAY, f"{ID} expect completed with {EXACT}"),
    (PAY, "when Payment.charge rejects Declined expect compensated"),
    (PAY, "when Payment.charge rejects Declined expect compensated with Declined"),
    (PAY, "expect compensated with TooLate"),
    (PAY, "cancel after 1m expect compensated with Cancelled"),
    (PAY, "when Payment.refund rejects Refused expect escalated"),
    (PAY, "when Payment.refund rejects Refused expect escalated Payment.refund"),
    (PAY, f"{GOOD} expect Hotel.book 2 times"),
    (PAY, f"{GOOD} when crash before Hotel.book expect Hotel.book 2 times"),
    (PAY, f"{GOOD} expect Payment.charge before Hotel.book"),
    (PAY, f"{GOOD} expect effect Hotel.book 2 times"),
    (PAY, f"{GOOD} when Hotel.book(2) rejects Full expect effect Hotel.book never"),
    (PAY, f"{GOOD} when Hotel.book(2) rejects Full expect nothing left"),
    (PAY, f"{GOOD} when Hotel.book times out after effect expect nothing left"),
    (PAY, f"{GOOD} when Hotel.tell times out after effect, always expect nothing left"),
    (PAY, f"{GOOD} when crash after Payment.capture expect effect Payment.capture once"),
    (PAY, "expect within 1h"),
    ('Room("o-1")', "when Hotel.book(2) rejects Full expect nothing left"),
    ('Both("o-1")', "when Payment.charge rejects Declined expect nothing left"),
    ('Both("o-1")', "expect completed"),
    ('Shut("o-1", false)', "expect nothing left"),
    ('Nights("o-1")', "when Hotel.hold(2) rejects Full expect nothing left"),
    ('Print("o-1")', "expect nothing left"),
    ('Flyer("o-1")', "when Hotel.print duplicated expect nothing left"),
    ('Shut("o-1", true)', "expect nothing left"),
]


@pytest.mark.parametrize(("saga", "body"), MET)
def test_what_is_true_is_met(saga: str, body: str) -> None:
    found = finding(saga, body)
    assert (found.met, found.text) == (True, "")


NOT_MET = [
    (
        PAY,
        'when Payment.charge rejects Declined(reason: "no") expect completed',
        'expected completed; it was compensated with Declined { reason: "no" },'
        f" raised by Payment.charge (line {PAYS})",
    ),
    (
        PAY,
        "expect completed",
        "expected completed; it was compensated with TooLate,"
        f" raised by `wait review`, which ran out (line {WAITS})",
    ),
    (
        PAY,
        'send Review(verdict: Verdict.Bad, by: "bob") expect compensated with Declined',
        "expected compensated with Declined; it was compensated with Refused,"
        f" raised by `abort` (line {REFUSES})",
    ),
    (
        PAY,
        "cancel after 10m expect completed",
        "expected completed; it was compensated with Cancelled, because it was cancelled at +10m",
    ),
    (
        PAY,
        "when Payment.charge times out before effect, always expect completed",
        "expected completed; it was compensated with Timeout,"
        f" raised by Payment.charge (line {PAYS})",
    ),
    (
        PAY,
        f"{ID} expect compensated",
        'expected compensated; it completed with { id: "p", total: { amount: 5.00,'
        ' currency: "EUR" }, lines: [1, 2], pin: "•••" }',
    ),
    (
        PAY,
        "when Payment.refund rejects Refused expect compensated with TooLate",
        "expected compensated with TooLate; it was escalated: Payment.refund (Refused, for bank)",
    ),
    (
        PAY,
        "when Payment.refund rejects Refused expect escalated Hotel.free",
        "expected escalated Hotel.free; it was escalated: Payment.refund (Refused, for bank)",
    ),
    (
        PAY,
        f"{ID} expect completed with {EXACT.replace('5.00', '6.50')}",
        "expected completed with another value; total.amount is 5.00, not 6.50",
    ),
    (
        PAY,
        f"{ID} expect completed with {EXACT.replace('[1, 2]', '[1, 3]')}",
        "expected completed with another value; lines[1] is 2, not 3",
    ),
    (
        PAY,
        f"{ID} expect completed with {EXACT.replace('[1, 2]', '[1]')}",
        "expected completed with another value; lines has 2 elements, not 1",
    ),
    (
        PAY,
        f"{ID} expect completed with {EXACT.replace('4711', '0815')}",
        "expected completed with another value; pin is another secret",
    ),
    (
        PAY,
        f'{ID} expect completed with {EXACT[:-1]}, note: "x")',
        'expected completed with another value; note is null, not "x"',
    ),
    (PAY, "expect Hotel.book once", "expected Hotel.book once; it was never called"),
    (
        PAY,
        "expect Payment.charge never",
        "expected Payment.charge never; it was called once, at +0s",
    ),
    (
        PAY,
        f"{GOOD} after 1500ms when Hotel.book(1) times out after effect expect Hotel.book 2 times",
        "expected Hotel.book 2 times; it was called 3 times: at +1.5s, +3.552s, +3.552s",
    ),
    (
        PAY,
        "expect Hotel.book before Payment.capture",
        "expected Hotel.book before Payment.capture;"
        " Hotel.book was never called and Payment.capture was never called",
    ),
    (
        PAY,
        f"{GOOD} after 90s expect Payment.capture before Payment.charge",
        "expected Payment.capture before Payment.charge;"
        " Payment.charge was called first, at +0s, and Payment.capture at +1m30s",
    ),
    (
        PAY,
        f"{GOOD} expect effect Payment.charge never",
        'expected effect Payment.charge never; it has 1 effect: Payment.charge("o-1", "•••") key …',
    ),
    (
        PAY,
        "expect effect Payment.charge once",
        "expected effect Payment.charge once; it has none: it was undone",
    ),
    (
        PAY,
        "when Payment.charge times out before effect, always expect effect Payment.charge once",
        "expected effect Payment.charge once; it has none: it was called 4 times, without effect",
    ),
    (
        PAY,
        "expect effect Hotel.book once",
        "expected effect Hotel.book once; it has none: it was never called",
    ),
    (
        PAY,
        "when Payment.refund rejects Refused expect nothing left",
        'expected nothing left; left: Payment.charge("o-1", "•••") key …',
    ),
    (
        'Print("o-1")',
        "when Hotel.print duplicated expect nothing left",
        'expected nothing left; left: Hotel.print("o-1") (done more than once)',
    ),
    (
        'Trip("o-1")',
        "when Payment.refund rejects Refused expect nothing left",
        "expected nothing left; left: Hotel.book(1) key …",
    ),
    (PAY, "expect within 59m", "expected within 59m; it took 1h"),
    (
        'Both("o-1")',
        "when Payment.charge rejects Declined expect completed",
        f'expected completed; it was compensated with Declined {{ reason: "reason-1" }},'
        f" raised by Payment.charge (line {BOTH_PAYS})",
    ),
    (
        'Both("o-1")',
        "when Hotel.book(2) rejects Full when Hotel.book(3) rejects Full expect completed",
        f"expected completed; it was compensated with Full, raised by saga Room (line {ROOM})",
    ),
]


@pytest.mark.parametrize(("saga", "body", "text"), NOT_MET, ids=[case[2][:70] for case in NOT_MET])
def test_what_is_not_true_is_told_with_the_nearest_that_was_found(
    saga: str, body: str, text: str
) -> None:
    found = finding(saga, body)
    assert not found.met
    told = re.sub(r"key [0-9a-f-]{36}.*", "key …", found.text)
    assert told == text


def test_an_effect_that_is_left_says_what_became_of_its_compensation() -> None:
    found = finding(PAY, "when Payment.refund rejects Refused expect nothing left")
    assert found.text.endswith("(its compensation Payment.refund was escalated)")
    assert found.other is not None
    assert found.other[1] == "done here"


@pytest.mark.parametrize("body", [case[1] for case in [*MET, *NOT_MET] if case[0] == PAY])
def test_no_secret_is_told(body: str) -> None:
    result = results(PAY, body)
    told = [found.text for found in result.findings] + [unused.text for unused in result.unused]
    assert not [text for text in told if "4711" in text or "0815" in text]
