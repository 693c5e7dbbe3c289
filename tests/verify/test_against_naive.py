"""The explorer and the naive enumeration of every execution come to the same verdict.

Compared are the outcomes and the broken promises (rule and step), each with the fewest faults that
lead there, up to the number of faults that the enumeration goes to. By default some sagas are
compared under some faults; SAGA_SLOW=1 compares all, and 500 random ones.
"""

from __future__ import annotations

import os
from dataclasses import fields, replace
from random import Random
from typing import Any, Final

import pytest

from sagalang.model import program as p
from sagalang.verify.explore import Bounds
from sagalang.verify.verify import Settings, verify
from sagalang.verify.world import Options
from sagalang.workspace.load import load_text

from .chance import random_saga
from .naive import TooMany, Verdict, verdict
from .sagas import BODIES, CONTRACTS, SHAPES, TWINS, every, saga

SLOW: Final = "SAGA_SLOW" in os.environ
MOST: Final = 30_000 if SLOW else 2_500
"""Worlds of one enumeration; beyond it, fewer faults are tried."""

REDUCTIONS: Final = tuple(
    option.name
    for option in fields(Options)
    if option.type in (bool, "bool") and option.name not in ("cancel", "late_events")
)

FAULTS: Final = (
    "rejects",
    "not sent",
    "request lost",
    "answer lost",
    "late",
    "duplicated",
    "strange answer",
    "no answer",
    "key expires",
    "time is up",
    "crash",
    "cancel",
    "deadline",
    "no end",
)
ALWAYS: Final = frozenset({"event", "early", "missing", "failing compensation"})

SOME: Final = {
    **SHAPES,
    **{name: saga(*BODIES["one step"][:1], services) for name, services in CONTRACTS.items()},
    **{name: TWINS[name] for name in ("the same inputs in a child", "the same inputs in a loop")},
}
HAND_MADE: Final = every() if SLOW else SOME
RANDOM: Final = range(500 if SLOW else 6)

Told = dict[Any, int]


def told(
    program: p.Program,
    kinds: frozenset[str] | None,
    *,
    branches: bool = False,
    without: tuple[str, ...] = (),
    most: int | None = None,
) -> tuple[Told, Told]:
    """What the explorer says: outcomes and breaches with the fewest faults of each. `without`:
    the reductions that are off. `most`: with so many faults; None for any number."""
    off: dict[str, Any] = dict.fromkeys(without, False)
    options = replace(Options(faults=kinds), **off)
    found = verify(
        program, "Main", settings=Settings(options, Bounds(most, states=100_000), branches=branches)
    )
    assert found.complete
    breaches: Told = {}
    for one in found.breaches:
        if one.whole:
            at = one.breach.at
            place = "" if at is None else "/".join(str(place) for place in (*at[0], at[1]))
            key = one.breach.rule, place
            breaches[key] = min(one.path.faults, breaches.get(key, one.path.faults))
    return {name: path.faults for name, path in found.outcomes.items()}, breaches


def enumerated(
    program: p.Program, chance: Random
) -> tuple[Verdict, int, frozenset[str] | None] | None:
    """Every execution with two faults of some kinds, or, where they are too many, with fewer;
    None where they are too many all the same."""
    some = frozenset(chance.sample(FAULTS, 5)) | ALWAYS
    few = frozenset(chance.sample(FAULTS, 2)) | ALWAYS
    for faults, kinds in ((2, None), (1, None), (2, some), (1, some), (2, few), (1, few)):
        try:
            found = verdict(program, "Main", faults=faults, kinds=kinds, most=MOST)
        except TooMany:
            continue
        return found, faults, kinds
    return None


def compare(text: str, seed: int) -> bool:
    """Fails where the two differ; False where there was too much to enumerate."""
    naive = enumerated(load_text(text).program, Random(seed))
    if naive is None:
        return False
    agree(text, *naive)
    return True


def agree(text: str, expected: Verdict, most: int, kinds: frozenset[str] | None) -> None:
    program = load_text(text).program
    assert not expected.stuck
    # A poll asks for ever, and only `normal` takes one question for the next.
    off = tuple(name for name in REDUCTIONS if not (name == "normal" and " poll " in text))
    reduced = told(program, kinds)
    outcomes, breaches = full = _up_to(reduced, most)
    if expected.cut:  # the enumeration does not see what goes on for ever
        breaches = {key: n for key, n in breaches.items() if key[0] not in ("stuck", "endless")}
    assert outcomes == expected.outcomes, sorted(kinds or ())
    assert breaches == expected.breaches, sorted(kinds or ())
    for without in (off, *((name,) for name in off if SLOW)):
        found = _up_to(told(program, kinds, without=without, most=most), most)
        assert _seen(found) == _seen(full), without
    if "parallel" in text or "at once" in text:
        by_branch = told(program, kinds, branches=True)
        assert [set(map(_bare, t)) for t in by_branch] == [set(map(_bare, t)) for t in reduced]


def _up_to(found: tuple[Told, Told], most: int) -> tuple[Told, Told]:
    outcomes, breaches = ({k: n for k, n in some.items() if n <= most} for some in found)
    return outcomes, breaches


def _seen(found: tuple[Told, Told]) -> tuple[Told, Told]:
    """Without what only a search to the end can tell."""
    outcomes, breaches = found
    return outcomes, {key: n for key, n in breaches.items() if key[0] != "endless"}


def _bare(key: Any) -> Any:
    """Without the iterations of loops, of which there is one where branches are explored alone."""
    return key if isinstance(key, str) else (key[0], key[1].split("[")[0])


@pytest.mark.parametrize("name", HAND_MADE)
def test_a_saga_made_for_this(name: str) -> None:
    assert compare(HAND_MADE[name], seed=len(name)), "too many executions to enumerate"


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize("fault", ["crash", "rejects"])
def test_a_crash_with_hardly_anything_else(name: str, fault: str) -> None:
    """What a crash leads to by itself, which other faults lead to as well."""
    kinds = ALWAYS | {"crash", fault}
    program = load_text(SOME[name]).program
    agree(SOME[name], verdict(program, "Main", faults=2, kinds=kinds), 2, kinds)


@pytest.mark.parametrize("start", RANDOM[::10])
def test_random_sagas(start: int) -> None:
    compared = 0
    for seed in range(start, start + 10):
        try:
            compared += compare(random_saga(seed), seed)
        except AssertionError as difference:
            raise AssertionError(f"saga {seed}:\n{random_saga(seed)}") from difference
    assert compared >= 7, "too many were too big to enumerate"
