"""Each planted defect is found, and shown with few events; without it, the same saga keeps all.

The sagas are flawless by the checker, so nothing but the defect can be to blame.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from msgspec.structs import replace

from sagalang.machine import calls
from sagalang.machine.outcomes import Failure, NotSent, Rejected, Unknown
from sagalang.model.program import Operation
from sagalang.verify.explore import Bounds, Exploration, Path, explore
from sagalang.verify.model import Model
from sagalang.verify.service import Arrived, Reply, Rules, Unit, request, undo
from sagalang.verify.world import Options
from sagalang.workspace.load import load_text

from .sagas import AFTER, ONCE, STEP, contract, saga

SLOW = "SAGA_SLOW" in os.environ
"""Also in full, without the reductions."""

LONGEST = 10
EVER_AFTER = "timeout 10s retry forever backoff 1s * 2 up to 1m jitter full"


def timeout_is_failure(_: calls.CallState, outcome: object) -> object:
    return NotSent(outcome.error) if isinstance(outcome, Unknown) else outcome


def rejection_is_final(_: calls.CallState, outcome: object) -> object:
    match outcome:
        case Unknown(Failure("No") as error):
            return Rejected(error)
        case _:
            return outcome


def forgets_keys(operation: Operation, unit: Unit, *, keyed: bool) -> Arrived:
    return request(operation, unit, keyed=False)


def no_tombstone(operation: Operation, unit: Unit) -> Arrived:
    after, reply = undo(operation, unit)
    return replace(after, fenced=False), reply


def undoes_what_never_was(operation: Operation, unit: Unit) -> Arrived:
    if unit.effects == 0 and not unit.fenced:
        return replace(unit, effects=-1, fenced=True), Reply.OK
    return undo(operation, unit)


def alone(body: str, do: str = "keyed rejects No compensate undo(key)") -> str:
    return saga(body, contract(do), policy=ONCE, back=EVER_AFTER)


PARALLEL = 'parallel { step one = S.do("a") step two = S.do("b") }'

DEFECTS: dict[str, tuple[Rules, str, set[tuple[str, str]]]] = {
    "a timeout taken for a failure": (
        Rules(believes=timeout_is_failure),
        alone(f"{STEP} {AFTER}"),
        {("left", "S.do"), ("left", "After.confirm")},
    ),
    "a retry without a key": (
        Rules(keyed=lambda attempt, recovered: attempt == 1),
        alone(STEP),
        {("done-twice", "S.do")},
    ),
    "a fresh key after a crash": (
        Rules(keyed=lambda attempt, recovered: not recovered),
        alone(STEP),
        {("done-twice", "S.do")},
    ),
    "no record before the call": (
        Rules(recovers=False),
        alone(STEP, "rejects No compensate undo(a)"),
        {("done-twice", "S.do"), ("left", "S.do")},
    ),
    "a missing tombstone": (
        Rules(undo=no_tombstone),
        alone(STEP),
        {("left", "S.do")},
    ),
    "siblings abandoned at a failure": (
        Rules(awaits=False),
        alone(PARALLEL),
        {("left", "one"), ("left", "two")},
    ),
    "a compensation that is not a no-op on what never happened": (
        Rules(undo=undoes_what_never_was),
        alone(STEP),
        {("undone-before-done", "S.do"), ("left", "S.do")},
    ),
    "a rejection after doubt taken as final": (
        Rules(believes=rejection_is_final),
        alone(STEP),
        {("left", "S.do")},
    ),
    "a service that forgets its keys": (
        Rules(request=forgets_keys),
        alone(STEP),
        {("done-twice", "S.do")},
    ),
    "a service that does not keep the refusals it promised to keep": (
        Rules(refusal=lambda operation, unit: unit),
        alone(STEP, "keyed, records rejections rejects No compensate undo(key)"),
        {("left", "S.do")},
    ),
}


def explored(text: str, rules: Rules, **options: Any) -> Exploration:
    loaded = load_text(text)
    assert not [d.message for d in loaded.diagnostics if d.is_error]
    model = Model(loaded.program, "Main", options=Options(**options), rules=rules)
    found = explore(model, Bounds(states=50_000))
    assert found.complete
    return found


def events(path: Path) -> int:
    """What a reader has to follow: every happening inside a call, and every other edge."""
    return sum(max(1, len(edge.story)) for edge in path.edges)


def rules_broken(found: Exploration) -> dict[tuple[str, str], list[Path]]:
    broken: dict[tuple[str, str], list[Path]] = {}
    for breach, path in found.breaches.items():
        at = "" if breach.at is None else str(breach.at[1])
        broken.setdefault((breach.rule, at), []).append(path)
    return broken


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("reduced", [True, False] if SLOW else [True])
def test_the_defect_is_found_and_shown_with_few_events(defect: str, reduced: bool) -> None:
    rules, text, expected = DEFECTS[defect]
    broken = rules_broken(explored(text, rules, inert=reduced, normal=reduced))
    assert set(broken) == expected
    for paths in broken.values():
        assert min(map(events, paths)) <= LONGEST


@pytest.mark.parametrize("defect", DEFECTS)
def test_without_the_defect_the_same_saga_keeps_every_promise(defect: str) -> None:
    _, text, _ = DEFECTS[defect]
    found = explored(text, Rules())
    assert not found.breaches
    assert {"completed", "compensated"} <= set(found.outcomes)


def test_every_rule_that_can_be_replaced_has_its_defect() -> None:
    """A new field of `Rules` needs a defect planted by it, or nobody knows that it is used."""
    truth = Rules()
    planted = {
        field
        for rules, _, _ in DEFECTS.values()
        for field in Rules.__struct_fields__
        if getattr(rules, field) is not getattr(truth, field)
    }
    assert planted == set(Rules.__struct_fields__)
