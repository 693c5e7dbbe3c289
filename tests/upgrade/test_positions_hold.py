"""Wherever `saga diff` says safe, a run goes on under the new definition and ends as it should."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from difflib import unified_diff
from random import Random
from typing import Any

import pytest
from compile.equivalence.choices import Choices
from compile.equivalence.sagas import program
from compile.test_corpus_runs import invented_input

from sagalang.machine.events import Compensated, Completed
from sagalang.runtime.clock import DeadlockError, SimulatedClock, simulated
from sagalang.runtime.engine import EngineError
from sagalang.runtime.entry_codec import EntryError
from sagalang.runtime.journal import Entry
from sagalang.upgrade import Verdict, compare
from sagalang.workspace import load_text

from .mutations import DECLARED, mutated
from .switched import Life, Side, TooLong, World, forgotten, rebuilt, translated, verdict
from .test_compare import SAFE, TEXT, UNSAFE

SLOW = "SAGA_SLOW" in os.environ
SAGAS = 40 if SLOW else 8
MUTANTS = 5 if SLOW else 4
WORLDS = 6 if SLOW else 2
CUTS = 20 if SLOW else 6
"""Deaths tried of each run."""
CHANGES = {**SAFE, **{what: change for what, (change, _) in UNSAFE.items()}}


def checked(text: str) -> Any:
    loaded = load_text(text, "random.saga")
    return None if loaded.has_errors else loaded.program


def pairs(seed: str) -> Any:
    """A program, and others made of it by one change each."""
    random, text = Random(seed), program(Choices(seed)) + DECLARED
    old = checked(text)
    if old is None:
        return
    made = 0
    for _ in range(MUTANTS * 12):
        changed = mutated(text, old, random)
        new = checked(changed) if changed != text else None
        if new is not None:
            yield text, changed, old, new
            made += 1
        if made == MUTANTS:
            return


def difference(text: str, changed: str) -> str:
    lines = unified_diff(text.splitlines(), changed.splitlines(), "old", "new", "", "", 400, "")
    return "\n".join(lines)


def explore(seed: str, counts: Counter[str]) -> None:
    for text, changed, old, new in pairs(seed):
        hold(Side(old), Side(new), "Main", range(2), counts, difference(text, changed))


def hold(
    old: Side, new: Side, saga: str, worlds: Iterable[int], counts: Counter[str], told: str
) -> None:
    """Let runs of the old definition die and go on under the new one."""
    upgrades = {upgrade.saga: upgrade for upgrade in compare(old.program, new.program)}
    for number in worlds:
        random = Random(f"{told} {number}")
        given = invented_input(old.program, old.program.sagas[saga], number)
        world = World.made(old, number, given)
        try:
            journal = lived(world, saga)
        except (TooLong, DeadlockError):
            continue
        cuts = range(1, len(journal) + 1)
        for cut in cuts if len(cuts) <= CUTS else random.sample(cuts, CUTS):
            prefix = journal[:cut]
            said = verdict(rebuilt(old, saga, prefix), prefix, upgrades)
            if said is None:
                continue
            went = goes_on(world, new, saga, cut)
            if went is None:
                counts["too long"] += 1
            elif said is not Verdict.SAFE:
                counts[f"{said.word}{' indeed' if went else ''}"] += 1
            elif went and went == goes_on(world, old, saga, cut):
                # Compensations by inputs may undo too much, and some worlds get no answer.
                counts["just so without a change"] += 1
            else:
                counts["safe"] += 1
                at = f"world {number}, died after entry {cut}: {prefix[-1]}"
                assert went == "", f"{went}\n{told}\n{at}"


def lived(world: World, saga: str) -> list[Entry]:
    """The journal of a run that nothing interrupts."""

    async def main(clock: SimulatedClock) -> list[Entry]:
        _, engine = await Life(world, clock, saga).lives(world.side, ())
        return engine.journal

    return simulated(main)


def goes_on(world: World, new: Side, saga: str, cut: int) -> str | None:
    """What goes wrong with a run that dies after so many entries and goes on under the new
    definition; empty: nothing. None: that would take too long to see."""

    async def main(clock: SimulatedClock) -> str:
        life = Life(world, clock, saga)
        _, first = await life.lives(world.side, (), cut)
        assert len(first.journal) == cut
        life.upgrade(new)
        found = translated(world.side, new, first.journal)
        result, engine = await life.lives(new, found)
        life.fakes.settle()
        match result.outcome:
            case Completed() | Compensated():
                if result.owed:
                    return "something is owed"
                left = forgotten(new, engine.journal, life.fakes)
                return f"{left[0]} is forgotten" if left else ""
            case _:
                return "" if result.owed else "nothing is owed"

    try:
        return simulated(main)
    except TooLong:
        return None
    except DeadlockError:
        return "it hangs"
    except (EngineError, EntryError) as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"it breaks: {error!r}"


@pytest.mark.parametrize("seed", range(SAGAS))
def test_where_it_says_safe_the_run_goes_on(seed: int) -> None:
    explore(f"upgrade {seed}", Counter())


@pytest.mark.parametrize("what", CHANGES)
def test_where_this_change_is_safe_the_run_goes_on(what: str) -> None:
    change = CHANGES[what]
    changed = TEXT.replace(*change, 1)
    old, new = checked(TEXT), checked(changed)
    hold(Side(old), Side(new), "Buy", range(WORLDS), Counter(), difference(TEXT, changed))
