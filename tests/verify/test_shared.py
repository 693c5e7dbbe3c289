"""Compensations by inputs: what one undoes and keeps out beside its own step."""

from __future__ import annotations

import pytest

from sagalang.verify.inputs import shared
from sagalang.verify.verify import Settings, Verdict, verify
from sagalang.verify.world import Options
from sagalang.workspace import load_text

from .sagas import BY_INPUTS, BY_INPUTS_OPEN, CONTRACTS, FALLS, UNDO, contract, saga

SAGA = """
error Full
service A {{
  command hold(order: string, where: string) keyed compensate {undo}
  command unhold(of: {type}) idempotent, absent ok, fences late
  command bill(order: string) keyed, records rejections rejects Full compensate refund(key)
  command refund(of: key) idempotent, absent ok, fences late
  command close(order: string) keyed
}}
saga S(order: string) {{
  id order
  {before}
  attempt {{
    step A.hold(order, "hotel")
    step A.bill(order)
  }} on Full {{ {handler} }}
  pivot step A.close(order)
}}
"""


def verdict(
    undo: str, before: str = "", handler: str = "", settings: Settings | None = None
) -> Verdict:
    type_ = "key" if undo.endswith("(key)") else "string"
    loaded = load_text(SAGA.format(undo=undo, type=type_, before=before, handler=handler))
    assert not loaded.has_errors, [d.message for d in loaded.diagnostics]
    return verify(loaded.program, "S", settings=settings)


def rules(found: Verdict) -> set[str]:
    return {one.breach.rule for one in found.breaches}


def test_what_stands_beside_is_undone_too() -> None:
    assert rules(verdict("unhold(order)", before='step A.hold(order, "inn")')) == {"not-done"}


def test_a_key_is_about_one_step() -> None:
    assert verdict("unhold(key)", before='step A.hold(order, "inn")').holds


def test_other_inputs_are_left_alone() -> None:
    assert verdict("unhold(where)", before='step A.hold(order, "inn")').holds


def test_what_comes_after_the_fence_is_kept_out() -> None:
    """The second attempt has the inputs of the first, which is undone: it is always refused."""
    refused = Settings(Options(faults=frozenset({"rejects"}), cancel=False))
    by_inputs = verdict("unhold(order)", handler='step A.hold(order, "inn")', settings=refused)
    assert by_inputs.errors["ContractMismatch"].faults == 1
    by_key = verdict("unhold(key)", handler='step A.hold(order, "inn")', settings=refused)
    assert "ContractMismatch" not in by_key.errors


def found(text: str, *faults: str) -> set[tuple[str, str, str]]:
    """(rule, step, detail) of what is broken where only such faults happen."""
    settings = Settings(Options(faults=frozenset(faults), cancel=False))
    broken = verify(load_text(text).program, "Main", settings=settings).breaches
    return {(b.rule, str(b.at and b.at[1]), b.detail) for b in (one.breach for one in broken)}


NOT_DONE = ("not-done", "one", "")


def test_a_branch_undoes_what_another_did() -> None:
    """Though it is explored branch by branch where nothing is shared."""
    text = saga(f'parallel {{ step one = S.do("a") branch {{ {FALLS} }} }}', BY_INPUTS)
    assert found(text, "rejects") == {NOT_DONE}


def test_iterations_undo_what_others_did() -> None:
    body = 'attempt { step two = S.do("a") if x == "v" { abort Gone } } on Gone { }'
    text = saga(f"for x in xs, 2 at once {{ {body} }}", BY_INPUTS, params="xs: list<string>")
    assert {rule for rule, _, _ in found(text)} == {"not-done"}
    assert not found(text.replace('two = S.do("a")', "two = S.do(x)"))


def test_a_child_saga_is_not_told_from_its_parent() -> None:
    child = "saga Child(a: string) { step S.do(a) }"
    body = 'step one = S.do("a") attempt { step saga Child("a") step S.do("b") } on No { }'
    assert found(saga(body, BY_INPUTS) + child, "rejects") == {NOT_DONE}


def test_a_late_copy_of_the_compensation_undoes_what_came_after_it() -> None:
    body = f'{FALLS} step one = S.do("a")'
    faults = ("rejects", "late", "failing compensation")
    assert found(saga(body, BY_INPUTS_OPEN), *faults) == {("not-done", "one", "late")}
    assert not found(saga(body, BY_INPUTS_OPEN), "rejects", "failing compensation")
    assert not found(saga(body, CONTRACTS["lands within"]), *faults)


def test_a_compensation_finds_what_another_step_left() -> None:
    """The second did not happen, and its service does not take the undoing of nothing: but the
    first did."""
    strict = contract("keyed rejects No compensate undo(a)", "idempotent, fences late")
    body = 'step one = S.do("a") attempt { step two = S.do("a") } on Timeout { }'
    assert found(saga(body, strict), "request lost") == {NOT_DONE}


def test_branches_that_differ_in_what_they_undo_are_not_exchanged() -> None:
    body = 'attempt { parallel { step other = S.do("c") step two = S.do("a") } } on No { }'
    assert found(saga(f'step one = S.do("a") {body}', BY_INPUTS), "rejects") == {NOT_DONE}


@pytest.mark.parametrize(
    ("body", "is_shared"),
    [
        ('step S.do("a")', False),
        ('step one = S.do("a") step two = S.do("a")', True),
        ('step one = S.do("a") step two = S.do("b")', False),
        ('step one = S.do("a") step two = S.do(y)', True),
        ("for x in xs { step S.do(x) }", False),
        ("for x in xs { step S.do(y) }", True),
        ("for x in xs { for z in xs { step S.do(x) } }", True),
        ("for x in xs { step saga Child(x) }", True),
    ],
)
def test_what_may_have_the_same_inputs_is_seen_in_the_text(body: str, is_shared: bool) -> None:
    child = "saga Child(a: string) { step S.do(a) }"
    by_key = contract("keyed compensate undo(key)", UNDO)
    for services, expected in ((BY_INPUTS, is_shared), (by_key, False)):
        text = saga(body, services, params="xs: list<string>, y: string") + child
        assert bool(shared(load_text(text).program, "Main")) is expected
