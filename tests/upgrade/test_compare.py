"""What a change means for each position of a run."""

from __future__ import annotations

import pytest

from sagalang.upgrade import Kind, SagaUpgrade, Verdict, compare
from sagalang.workspace import load_text

TEXT = """
record Line { sku: string, qty: int }
error Declined { why: string }
error TooLate
event Review { verdict: string }
policy calm { timeout 2s retry 3 times backoff 1s jitter full }
policy endless { timeout 2s total 90s retry forever backoff 1s * 2 up to 1m jitter full }
service Bank {
  command charge(order: string, amount: int) -> { id: string }
    keyed, records rejections
    rejects Declined
    compensate refund(key)
  command refund(of: key) idempotent, absent ok, fences late
  command cancel(of: key) idempotent, absent ok, fences late
  command settle(order: string) keyed
}
service Stock {
  command reserve(order: string, line: Line) compensate free(order)
    lands within 5m
  command free(order: string) idempotent, absent ok
  query look(order: string) -> { state: string }
}
saga Prepare(order: string) -> string {
  step c = Bank.charge(order, 1)
  return c.id
}
saga Buy(order: string, lines: list<Line>) -> string {
  id order
  deadline 6h
  let fee = 3
  step pay = Bank.charge(order, fee) with calm
  attempt {
    step Stock.reserve(order, Line(sku: "s", qty: 1))
  } on Timeout, Unavailable { sleep 5m }
  if len(lines) > 2 {
    wait review: Review within 4h else abort TooLate
  } else {
    step other = Bank.charge(order, 7) with endless else escalate "bank" after 5m
  }
  parallel {
    step Bank.charge(order, 8)
    step kid = saga Prepare(order)
  }
  pivot step Bank.settle(order)
  poll state = Stock.look(order) until state.state == "done" every 5s within 2m else null
  return pay.id
}
"""


def upgraded(*changes: tuple[str, str]) -> dict[str, SagaUpgrade]:
    old = text = TEXT
    for was, is_ in changes:
        assert was in text
        text = text.replace(was, is_, 1)
    made = []
    for source, name in ((old, "old.saga"), (text, "new.saga")):
        loaded = load_text(source, name)
        assert not loaded.has_errors, [d.message for d in loaded.diagnostics]
        made.append(loaded.program)
    return {upgrade.saga: upgrade for upgrade in compare(*made)}


def unsafe(upgrade: SagaUpgrade) -> dict[str, str]:
    """By the path (and what it is) of a statement, the verdicts of before, in and undoing after:
    `s`, `d` or `b`, in this order."""
    found: dict[str, dict[Kind, Verdict]] = {}
    for position in upgrade.positions:
        found.setdefault(position.path or position.what, {})[position.kind] = position.verdict
    told = {
        what: "".join(verdicts[kind].word[0] for kind in Kind if kind in verdicts)
        for what, verdicts in found.items()
    }
    return {what: word for what, word in told.items() if set(word) != {"s"}}


KINDS = {
    "pay": "bbb", "Stock.reserve": "bbb", "sleep": "bbb", "review": "bbb", "other": "bbb",
    "Bank.charge": "bbb", "kid": "bbb", "Bank.settle": "bbb", "state": "bb", "return": "b",
}  # fmt: skip
"""The statements of `Buy` in their order, as if every position broke."""


def since(path: str, at_it: str, left_out: str = "") -> dict[str, str]:
    """`at_it` for this statement, and for all positions after it its worst."""
    worst = max(at_it, key="sdb".index)
    after = list(KINDS)[list(KINDS).index(path) + 1 :]
    told = {what: worst * len(KINDS[what]) for what in after if what != left_out}
    return {path: at_it, **told}


def undoing(*paths: str) -> dict[str, str]:
    return dict.fromkeys(paths, "ssb")


SAFE = {
    "another policy": ("timeout 2s retry 3 times", "timeout 5s retry 9 times"),
    "how long a deadline is": ("deadline 6h", "deadline 7h"),
    "how long a wait is": ("within 4h", "within 5h"),
    "how long a sleep is": ("sleep 5m", "sleep 6m"),
    "how often it asks": ("every 5s", "every 9s"),
    "when people are told": ("after 5m", "after 9m"),
    "which people are told": ('escalate "bank"', 'escalate "desk"'),
    "an optional field of an event": ("{ verdict: string }", "{ verdict: string, by: string? }"),
    "an optional field of an answer": ("-> { id: string }\n", "-> { id: string, x: int? }\n"),
    "a value that cannot be missing": ("let fee = 3\n", "let fee = 3\n  let tax = fee * 2\n"),
    "a promise less": ("keyed, records rejections\n", "keyed\n"),
    "what is returned": ("return pay.id\n}", "return order\n}"),
    "layout and comments": ("  let fee = 3", "  // what it costs\n\n  let fee =\n 3"),
}


@pytest.mark.parametrize("what", SAFE)
def test_this_is_safe_for_every_run(what: str) -> None:
    found = upgraded(SAFE[what])
    assert {name: unsafe(upgrade) for name, upgrade in found.items()} == {"Prepare": {}, "Buy": {}}
    assert all(upgrade.changes == () for upgrade in found.values())


UNSAFE = {
    "a step more": (
        ("  attempt {\n", "  step Stock.look(order)\n  attempt {\n"),
        since("Stock.reserve", "sbb", "other") | {"other": "bbb"},
    ),
    "a step less, in one arm": (
        ('step other = Bank.charge(order, 7) with endless else escalate "bank" after 5m', ""),
        since("other", "sbb"),
    ),
    "a value that may be missing": (
        ("let fee = 3\n", "let fee = 3\n  let first = lines[0]\n"),
        since("pay", "sbb"),
    ),
    "another value": (("let fee = 3", "let fee = 5"), since("pay", "sbb")),
    "other arguments": (("(order, fee)", "(order, 4)"), since("pay", "sdd")),
    "the order of branches": (
        (
            "step Bank.charge(order, 8)\n    step kid = saga Prepare(order)\n",
            "step kid = saga Prepare(order)\n    step Bank.charge(order, 8)\n",
        ),
        since("Bank.charge", "bbb"),
    ),
    "another branch": (
        ("step Bank.charge(order, 8)\n", "step Bank.charge(order, 8)\n    sleep 1s\n"),
        since("Bank.charge", "bbb"),
    ),
    "another compensation, also of the child saga": (
        ("compensate refund(key)", "compensate cancel(key)"),
        undoing(*list(KINDS)[:-2]),
    ),
    "other arguments of a compensation, in an attempt": (
        ("compensate free(order)", 'compensate free("${order}")'),
        since("Stock.reserve", "ssd"),
    ),
    "a compensation that waits for late calls no more": (
        ("idempotent, absent ok\n", "idempotent, absent ok, fences late\n"),
        since("Stock.reserve", "ssb"),
    ),
    "a call that lands sooner": (("within 5m", "within 3m"), since("Stock.reserve", "sdb")),
    "a key": (
        ("compensate free(order)\n", "keyed compensate free(order)\n"),
        {"Stock.reserve": "sdd"} | since("sleep", "ddd"),
    ),
    "people who are told no more": (("with endless", "with calm"), since("other", "sbb")),
    "people who decide": (
        ("(order, 8)", '(order, 8) else escalate "bank"'),
        undoing("Bank.charge", "kid", "Bank.settle"),
    ),
    "another answer": (
        ("-> { id: string }\n", "-> { id: string, at: datetime }\n"),
        since("pay", "sdb"),
    ),
    "another input": (
        ("line: Line)", "line: Line, more: string?)"),
        since("Stock.reserve", "sbb"),
    ),
    "another error": (("{ why: string }", "{ why: string, code: int }"), since("pay", "sbb")),
    "another event": (("{ verdict: string }", "{ verdict: int }"), since("pay", "bbb")),
    "other events": (
        ("wait review: Review within", 'wait review: Review where review.verdict != "" within'),
        since("review", "sbb", "other"),
    ),
    "another end of a wait": (
        ("else abort TooLate", "else null"),
        since("review", "ssb", "other"),
    ),
    "content with other answers": (('== "done"', '!= "new"'), {"state": "sb", "return": "b"}),
    "other errors handled": (
        ("on Timeout, Unavailable", "on Timeout"),
        since("Stock.reserve", "ssb"),
    ),
    "another condition": (
        ("len(lines) > 2", "len(lines) > 3"),
        since("review", "sbb") | {"other": "sbb"},
    ),
    "a child saga": (
        ("step c = Bank.charge(order, 1)", "step c = Bank.charge(order, 2)"),
        since("Bank.charge", "ddd") | {"kid": "ssd"},
    ),
    "another point of no return": (
        (
            "  pivot step Bank.settle(order)\n",
            '  step Bank.settle(order) compensate none "-"\n',
        ),
        since("Bank.settle", "sbb"),
    ),
    "best effort": (
        ("(order, 8)", "(order, 8) best effort"),
        since("kid", "bbb") | {"Bank.charge": "ssb"},
    ),
    "no sleep": (("sleep 5m", "sleep 0s"), since("sleep", "sbb")),
    "no deadline": (("  deadline 6h\n", ""), since("pay", "bbb")),
    "another id": (("id order", 'id "x${order}"'), since("pay", "ddd")),
    "another parameter": (
        ("Buy(order: string,", "Buy(order: string, more: int?,"),
        since("pay", "bbb"),
    ),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_from_where_on_it_is_not_safe(what: str) -> None:
    change, expected = UNSAFE[what]
    found = upgraded(change)["Buy"]
    assert unsafe(found) == expected, [change.text for change in found.changes]


def test_a_child_saga_that_ended_has_a_position_too() -> None:
    found = upgraded(("  return c.id", "  step Stock.look(order)\n  return c.id"))
    assert unsafe(found["Prepare"]) == {"the end": "b"}


def test_a_saga_that_is_gone_breaks_and_one_that_is_new_does_not() -> None:
    found = upgraded(("saga Buy(", "saga Get("))
    assert unsafe(found["Buy"]) == since("pay", "bbb")
    assert found["Get"].verdict is Verdict.SAFE
    assert found["Get"].old is None


def test_a_change_says_where_it_is_in_both() -> None:
    (change,) = upgraded(("(order, fee)", "(order, 4)"))["Buy"].changes
    assert change.old is not None
    assert change.new is not None
    assert (change.old.file, change.new.file) == ("old.saga", "new.saga")
    assert TEXT[change.old.start : change.old.end].startswith("step pay")


LOOP = """
service Stock {
  command reserve(item: string) keyed compensate free(key)
  command free(of: key) idempotent, absent ok, fences late
}
saga Pick(order: string, items: list<string>) {
  id order
  step Stock.reserve(order)
  for item in items by item, 2 at once { step each = Stock.reserve(item) }
}
"""


@pytest.mark.parametrize(
    "change",
    [("in items by", "in [order] by"), (" by item", ""), (", 2 at once", ""), ("2 at", "3 at")],
)
def test_a_loop_is_the_same_one_or_breaks(change: tuple[str, str]) -> None:
    assert change[0] in LOOP
    loaded = [load_text(text, "pick.saga") for text in (LOOP, LOOP.replace(*change))]
    assert not any(one.has_errors for one in loaded)
    (found,) = compare(*(one.program for one in loaded))
    # Before the first iteration is before any other, too.
    assert unsafe(found) == {"each": "bbb", "the end": "b"}
