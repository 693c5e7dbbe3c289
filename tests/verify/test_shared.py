"""Compensations by inputs: what one undoes and keeps out beside its own step."""

from __future__ import annotations

from sagalang.verify.verify import Settings, Verdict, verify
from sagalang.verify.world import Options
from sagalang.workspace import load_text

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
