"""Plant a mistake in the shop example and see exactly that mistake reported.

One small replacement each; nothing else may be told, so that a user is shown one message for one
mistake.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sagalang.diagnostics import CODES
from sagalang.workspace import load_text

SHOP = Path(__file__).parents[2] / "examples" / "shop"
TEXT = (SHOP / "shop.saga").read_text(encoding="utf-8")
POLICIES = (SHOP / "policies.saga").read_text(encoding="utf-8")

FIRST_STEP = "  step Orders.create(order.id, order.lines)\n"
PIVOT = "  pivot step charge = Payment.capture(pay.auth) with stubborn\n"
CONFIRM = "  step Orders.confirm(order.id, ship.tracking) with stubborn\n"
RECEIPT = "  step Notification.receipt(order.id, ship.tracking) best effort\n"
RETURN = "  return Confirmation(order: order.id, tracking: ship.tracking)\n"
LINE = "record Line  { sku: string, qty: int }"

MISTAKES: list[tuple[str, str, str]] = [
    # syntax
    ("syntax-error", LINE, "record Line  { sku: string qty: int }"),
    ("syntax-error", "  step Orders.create(", "  Orders.create("),
    ("syntax-error", "verdict == Verdict.Denied", "verdict = Verdict.Denied"),
    ("syntax-error", "  pivot step charge", "  pivto step charge"),
    ("unclosed-brace", LINE, "record Line  { sku: string, qty: int"),
    ("unclosed-brace", RETURN + "}", RETURN),
    ("unclosed-brace", "(order.id, order.lines)", "(order.id, order.lines))"),
    ("unclosed-string", 'python "shop.orders"', 'python "shop.orders'),
    ("bad-literal", "deadline 6h", "deadline 5m1h"),
    ("bad-literal", '"https://pay.internal/v2"', '"pay.internal/v2"'),
    ("bad-literal", 'id: "o-1"', 'id: "o\\q1"'),
    ("nested-too-deeply", "amount: 90.00", "amount: " + "(" * 101 + "90" + ")" * 101),
    ("not-supported-yet", "  parallel {", "  race {"),
    ("bad-character", 'id: "o-1"', 'id: "o\x00-1"'),
    ("repeated-clause", "  deadline 6h\n", "  deadline 6h\n  deadline 7h\n"),
    (
        "repeated-clause",
        "    keyed\n    rejects OutOfStock",
        "    keyed\n    keyed\n    rejects OutOfStock",
    ),
    ("misplaced-clause", FIRST_STEP, FIRST_STEP + "  deadline 2h\n"),
    ("misplaced-clause", RECEIPT, RECEIPT.rstrip() + " compensate Orders.reject(order.id)\n"),
    ("misplaced-clause", CONFIRM, CONFIRM.rstrip() + " compensate Orders.reject(order.id)\n"),
    ("unused-allow", "error Declined,", '// saga: allow(unused-name) "old"\nerror Declined,'),
    # names
    ("unknown-name", "total: Money,", "total: Mony,"),
    ("unknown-name", "Inventory.reserve(line.sku", "Inventory.resreve(line.sku"),
    ("unknown-name", "ship.tracking) with", "ship.traking) with"),
    ("unknown-name", "with edge\n  command create", "with egde\n  command create"),
    ("unknown-name", "abort ReviewTimedOut", "abort ReviewTimeOut"),
    ("unknown-name", "order.lines by line.sku", "order.lines by lnie.sku"),
    ("duplicate-name", "error Declined,", "error Declined, Declined,"),
    ("unused-name", "error Declined,", "error Lost, Declined,"),
    ("unused-name", FIRST_STEP, FIRST_STEP + "  let half = order.total.amount / 2\n"),
    ("import-cycle", 'import "policies.saga"', 'import "policies.saga"\nimport "shop.saga"'),
    ("import-clash", "record Money", "policy edge { timeout 1s }\nrecord Money"),
    ("import-not-found", 'import "policies.saga"', 'import "polices.saga"'),
    # types
    (
        "type-mismatch",
        "Inventory.reserve(line.sku, line.qty)",
        "Inventory.reserve(line.sku, line.sku)",
    ),
    ("type-mismatch", "order.total.amount > 1000", 'order.total.amount > "1000"'),
    ("type-mismatch", "-> { tracking: string }?", "-> { tracking: string }"),
    ("missing-argument", "Inventory.reserve(line.sku, line.qty)", "Inventory.reserve(line.sku)"),
    ("unknown-argument", "(line.sku, line.qty)", "(line.sku, quantity: line.qty)"),
    ("unknown-argument", "(line.sku, line.qty)", "(line.sku, line.qty, 1)"),
    ("missing-field", ", tracking: ship.tracking)", ")"),
    (
        "possibly-unbound",
        PIVOT,
        '  if order.id == "x" { let extra = 1 }\n  sleep 1s * extra\n' + PIVOT,
    ),
    ("secret-leak", "Orders.confirm(order.id,", "Orders.confirm(order.card,"),
    ("secret-leak", "  id order.id", "  id order.card"),
    ("secret-leak", "if order.total.amount > 1000", 'if order.card == "tok"'),
    (
        "secret-leak",
        "event Review { verdict: Verdict, by: string }",
        "event Review { verdict: Verdict, by: secret string }",
    ),
    ("not-constant", "let sample =", "let start = now()\nlet sample ="),
    # structure
    ("missing-compensation", "    compensate reject(id)\n", ""),
    ("missing-compensation", "    compensate free(key)\n", ""),
    (
        "unresolvable-outcome",
        "confirm(id: string, tracking: string)   idempotent",
        "confirm(id: string, tracking: string)",
    ),
    (
        "compensation-not-repeatable",
        "idempotent, absent ok, fences late\n  command confirm",
        "absent ok, fences late\n  command confirm",
    ),
    (
        "compensation-not-absent-ok",
        "idempotent, absent ok, fences late\n  command confirm",
        "idempotent, fences late\n  command confirm",
    ),
    (
        "compensation-not-fenced",
        "idempotent, absent ok, fences late\n  command confirm",
        "idempotent, absent ok\n  command confirm",
    ),
    ("second-pivot", CONFIRM, "  pivot" + CONFIRM[1:]),
    ("misplaced-pivot", "    step pay = ", "    pivot step pay = "),
    ("pivot-not-repeatable", '"/auths/{auth}/capture"\n    keyed', '"/auths/{auth}/capture"'),
    (
        "pivot-not-repeatable",
        '"/auths/{auth}/capture"\n    keyed',
        '"/auths/{auth}/capture"\n    keyed\n    rejects CardExpired 410',
    ),
    ("rejectable-after-pivot", ' else escalate "logistics"', ""),
    ("abort-after-pivot", PIVOT, PIVOT + '  if order.id == "x" { abort Refused }\n'),
    (
        "abort-after-pivot",
        "Shipping.book(order.id, order.address)",
        "Shipping.book(order.lines[0].sku, order.address)",
    ),
    ("unreachable", RETURN, RETURN + CONFIRM),
    ("needless-handler", FIRST_STEP, "  attempt {" + FIRST_STEP + "  } on Declined { }\n"),
    ("best-effort-kept", FIRST_STEP, FIRST_STEP.rstrip() + " best effort\n"),
    ("bad-literal", '"/auths/{auth}/capture"', '"/auths/:auth/capture"'),
    ("unknown-name", '"/auths/{auth}/capture"', '"/auths/{id}/capture"'),
    ("unknown-name", "compensate free(key)", "compensate release(key)"),
    ("recursive-saga", FIRST_STEP, FIRST_STEP + "  step saga PlaceOrder(order)\n"),
    ("missing-id", "  id order.id\n", ""),
    ("missing-return", RETURN, ""),
    ("misplaced-return", "(order: Order) -> Confirmation {", "(order: Order) {"),
    ("unserved-operation", '    POST "/receipts"\n', ""),
    # policies
    ("duplicate-name", "step hold = ", "step pay = "),
    ("recursive-type", LINE, LINE + "\nrecord Node { next: Node }"),
    (
        "compensation-needs-result",
        "free(key)\n  command free(of: key)",
        "free(result.hold)\n  command free(of: string)",
    ),
    (
        "key-without-keyed",
        "    keyed\n    compensate reject(id)\n  command reject(id: string)",
        "    idempotent\n    compensate reject(key)\n  command reject(id: key)",
    ),
    ("misplaced-pivot", PIVOT, "  for line in order.lines {" + PIVOT + "  }\n"),
    ("policy-conflict", LINE, LINE + "\npolicy _narrow { timeout 5s total 2s }"),
    # scenarios
    ("retry-exceeds-deadline", "deadline 6h", "deadline 20s"),
    ("impossible-fault", "rejects OutOfStock(sku", "rejects BadAddress(sku"),
    ("impossible-expectation", "compensated with OutOfStock", "compensated with BadAddress"),
]
NOT_IN_REACH = {
    "not-compilable": "told by `saga compile`",
    "internal-error": "only a bug of ours gives it",
    "unreadable-file": "it is about the file itself",
    "too-many-participants": "told by `saga render --as choreography`; tests/render has it",
    "expectation-not-met": "told by `saga test`",
    "no-verdict": "told by `saga test`",
    "effect-left": "told by `saga verify`",
    "promise-broken": "told by `saga verify`",
    "undone-with-another": "told by `saga verify`",
}
IN_TWO_PLACES: list[tuple[str, tuple[tuple[str, str], ...]]] = [
    (
        "policy-conflict",
        (
            (LINE, LINE + "\npolicy narrow extends stubborn { bulkhead 1 }"),
            (CONFIRM, CONFIRM.replace("stubborn", "narrow")),
        ),
    ),
    (
        "endless-retry",
        (("  deadline 6h\n", ""), ("(line.sku, line.qty)", "(line.sku, line.qty) with stubborn")),
    ),
    (
        "type-mismatch",
        (
            ("else abort ReviewTimedOut", "else null"),
            ("compensated with ReviewTimedOut", "compensated"),
            (", ReviewTimedOut", ""),
        ),
    ),
]
IN_POLICIES = [
    ("fixed-interval-retry", "5m jitter full", "5m"),
    ("fixed-interval-retry", "5m jitter full", "5m jitter none"),
    ("policy-conflict", "up to 5s", "up to 100ms"),
    ("policy-conflict", "opens at 50%", "opens at 500%"),
    ("unknown-name", "extends edge", "extends egde"),
    ("syntax-error", "4 times", "4"),
]


def names_reported(text: str, policies: str = POLICIES) -> list[str]:
    found = load_text(text, "shop.saga", {"policies.saga": policies}).diagnostics
    return [diagnostic.name for diagnostic in found]


def test_the_shop_itself_is_clean() -> None:
    assert names_reported(TEXT) == []


@pytest.mark.parametrize(("name", "old", "new"), MISTAKES)
def test_the_mistake_is_told_once_and_alone(name: str, old: str, new: str) -> None:
    assert TEXT.count(old) >= 1
    assert names_reported(TEXT.replace(old, new, 1)) == [name]


@pytest.mark.parametrize(("name", "changes"), IN_TWO_PLACES)
def test_a_mistake_in_two_places_is_told_alone(
    name: str, changes: tuple[tuple[str, str], ...]
) -> None:
    text = TEXT
    for old, new in changes:
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    assert names_reported(text) == [name]


@pytest.mark.parametrize(("name", "old", "new"), IN_POLICIES)
def test_a_mistake_in_the_imported_file_is_told_alone(name: str, old: str, new: str) -> None:
    assert POLICIES.count(old) >= 1
    assert names_reported(TEXT, POLICIES.replace(old, new, 1)) == [name]


@pytest.mark.parametrize("name", [code.name for code in CODES if code.name not in NOT_IN_REACH])
def test_every_name_in_reach_is_planted(name: str) -> None:
    assert name in {mistake[0] for mistake in (*MISTAKES, *IN_TWO_PLACES, *IN_POLICIES)}
