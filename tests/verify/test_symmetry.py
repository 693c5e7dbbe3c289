"""Worlds that differ by an exchange of like parts are one, and others are not."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any, Final

import pytest

from sagalang.machine.events import Place
from sagalang.verify.explore import Exploration, Path, explore
from sagalang.verify.model import Model
from sagalang.verify.symmetry import Symmetry, symmetry
from sagalang.verify.world import Options, World
from sagalang.workspace import load_text

from .sagas import CONTRACTS, FULL, contract, saga

SLOW: Final = bool(os.environ.get("SAGA_SLOW"))
XS: Final = "xs: list<string>"
TWO: Final = 'parallel { step one = S.do("a") step two = S.do("b") }'
THREE: Final = 'parallel { step one = S.do("a") step two = S.do("b") step three = S.do("c") }'
FELL: Final = contract("keyed, records rejections rejects Fell compensate undo(key)")
LISTS: Final = contract() + "service L { query list(a: string) -> { ns: list<string> } }"

ALIKE: Final[dict[str, str]] = {
    "two": saga(TWO),
    "two, not fenced": saga(TWO, CONTRACTS["not fenced"]),
    "two, by result and probed": saga(TWO, CONTRACTS["by result, probed"]),
    "two that land late": saga(TWO, CONTRACTS["lands within"]),
    "two and an unlike one": saga(
        'parallel { step one = S.do("a") step c = After.choose("b") step two = S.do("b") }'
    ),
    "two before the pivot": saga(f'{TWO} pivot step After.confirm("z")'),
    "two, and an event at any time": saga(f"{TWO} wait word: Word within 1h else abort Late"),
    "two under a deadline": saga(TWO, head="deadline 1h"),
    "two in sequences": saga(
        "parallel {"
        ' branch { step S.do("a") step one = S.do("b") }'
        ' branch { step S.do("c") step two = S.do("d") } }'
    ),
    "attempts in them": saga(
        'parallel { branch { attempt { step one = S.do("a") } on No { step x = S.do("b") } }'
        ' branch { attempt { step two = S.do("b") } on No { step y = S.do("b") } } }'
    ),
    "an attempt around them": saga(f'attempt {{ {TWO} }} on No {{ step z = S.do("c") }}'),
    "an error of which a field counts": saga(
        f"attempt {{ {TWO} }} on Fell as e {{ if e.why {{ abort Gone }} }}", FELL
    ),
    "conditions in them": saga(
        'parallel { branch { step c = After.choose("a") if c.yes { abort Gone } }'
        ' branch { step d = After.choose("b") if d.yes { abort Gone } } }'
    ),
    "names handed on": saga(
        'parallel { step c = After.choose("a") step d = After.choose("b") }'
        ' step S.do("${c.yes} ${d.yes}")'
    ),
    "polls": saga(
        'parallel { branch { poll p = After.ask("a") until p.yes every 1m within 1h else null }'
        ' branch { poll q = After.ask("b") until q.yes every 2m within 2h else null } }'
    ),
    "parallels in them": saga(
        'parallel { branch { parallel { step one = S.do("a") branch { sleep 1h } } }'
        ' branch { parallel { step two = S.do("a") branch { sleep 1h } } } }'
    ),
    "in a loop": saga(f"for x in xs {{ {TWO} }}", params=XS),
    "loops in them": saga(
        "parallel { branch { for x in xs { step one = S.do(x) } }"
        " branch { for y in xs { step two = S.do(y) } } }",
        params=XS,
    ),
    "lists in them": saga(
        'parallel { branch { step r = L.list("a") for x in r.ns by x { step one = S.do(x) } }'
        ' branch { step s = L.list("b") for y in s.ns by y { step two = S.do(y) } } }',
        LISTS,
    ),
    "iterations": saga("for x in xs, 2 at once { step S.do(x) }", params=XS),
    "iterations, not fenced": saga(
        "for x in xs, 2 at once { step S.do(x) }", CONTRACTS["not fenced"], params=XS
    ),
    "iterations, named by their items": saga(
        'for x in xs by x, 4 at once { if x == "a" { step S.do(x) } }', params=XS
    ),
    "conditions on the items": saga(
        'for x in xs, 4 at once { if x == "a" { step one = S.do(x) } else { abort Gone } }',
        params=XS,
    ),
    "conditions on what they answer": saga(
        "for x in xs, 4 at once { step c = After.choose(x) if c.yes { abort Gone } }", params=XS
    ),
}

UNLIKE: Final[dict[str, str]] = {
    "other promises": saga('parallel { step one = S.do("a") step two = After.choose("b") }'),
    "rejections that only one records": saga(
        'parallel { step one = S.do("a") step two = S.other("b") }',
        contract(more="command other(a: string) keyed rejects No compensate undo(key)"),
    ),
    "another undo": saga(
        'parallel { step one = S.do("a") step two = S.do("b") compensate none "seen" }'
    ),
    "other errors": saga(
        'parallel { step one = S.do("a") step two = S.other("b") }',
        contract(more=f"command other(a: string) {FULL}".replace("rejects No", "rejects Gone")),
    ),
    "another policy": saga(
        'parallel { step one = S.do("a") step two = S.do("b") with back }', back="timeout 5s"
    ),
    "best effort": saga(
        'parallel { step one = After.tell("a") best effort step two = After.tell("b") '
        'compensate none "x" }'
    ),
    "one more step": saga(
        'parallel { step one = S.do("a") branch { step two = S.do("b") step S.do("c") } }'
    ),
    "a condition on one of them later": saga(
        'parallel { step c = After.choose("a") step d = After.choose("b") } if c.yes { abort Gone }'
    ),
    "conditions on each of them later": saga(
        'parallel { step c = After.choose("a") step d = After.choose("b") } '
        "if c.yes { abort Gone } if d.yes { abort Late }"
    ),
    "a condition on one of them, by another name": saga(
        'parallel { step c = After.choose("a") step d = After.choose("b") } '
        "let e = c.yes if e { abort Gone }"
    ),
    "a wait that asks for one of them": saga(
        'parallel { step c = After.choose("a") step d = After.choose("b") } '
        "wait word: Word where word.yes == c.yes within 1h else abort Late"
    ),
    "other conditions in them": saga(
        'parallel { branch { step c = After.choose("a") if c.yes { abort Gone } }'
        ' branch { step d = After.choose("b") if not d.yes { abort Gone } } }'
    ),
    "the same event": saga(
        'parallel { branch { wait v: Word within 1h else abort Late step one = S.do("a") }'
        ' branch { wait w: Word within 1h else abort Late step two = S.do("b") } }'
    ),
    "an index that only one needs": saga(
        'parallel { step one = S.do(xs[0]) step two = S.do("b") }', params=XS
    ),
    "a name that means something else": saga(
        'parallel { step one = S.do("a") step two = S.do("b") } if word == "one" { abort Gone }',
        params="word: string",
    ),
    "sequential iterations": saga("for x in xs { step S.do(x) }", params=XS),
    "iterations over a known list": saga('for x in ["a", "b"], 2 at once { step S.do(x) }'),
    "another loop over the same items": saga(
        'for x in xs, 4 at once { if x == "a" { step one = S.do(x) } } '
        'for y in xs, 4 at once { if y == "a" { step two = S.do(y) } }',
        params=XS,
    ),
    "the first item": saga(
        'for x in xs, 2 at once { step S.do(x) } if xs[0] == "a" { abort Gone }', params=XS
    ),
}


def options(*, whole: bool = False) -> Options:
    return Options() if whole else Options(crashes=0, cancel=False)


@cache
def model(name: str) -> Model:
    loaded = load_text(ALIKE.get(name) or UNLIKE[name])
    assert loaded.program is not None
    assert not loaded.has_errors, [found.message for found in loaded.diagnostics]
    return Model(loaded.program, "Main", options=options(whole=SLOW))


@cache
def run(name: str, on: bool) -> Exploration:
    one = model(name)
    return explore(
        Model(one.program, one.saga, options=replace(one.options, symmetry=on)),
    )


@cache
def reachable(name: str) -> list[World]:
    one = model(name)
    found: dict[World, None] = {}
    left = [successor.world for successor in one.begin()]
    while left and len(found) < (4_000 if SLOW else 250):
        world = left.pop()
        if world not in found:
            found[world] = None
            left += [successor.world for successor in one.successors(world)]
    return list(found)


def like(name: str) -> Symmetry:
    found = symmetry(model(name))
    assert found is not None
    return found


def swaps(alike: Symmetry, world: World) -> list[tuple[World, World]]:
    """The world without what decides nothing; and the same, two like parts exchanged."""
    made = []
    for parts, one in zip(alike.parts, alike.likes, strict=True):
        same = list(range(len(one.positions)))
        for first, second in combinations(same, 2):
            to = list(same)
            to[first], to[second] = second, first
            pair = parts.renaming(tuple(same)), parts.renaming(tuple(to))
            made.append((pair[0].world(world), pair[1].world(world)))
    return made


def first(alike: Symmetry, place: Place | None) -> Any:
    """The place's kind: the same for places that like parts have in common."""
    if place is None:
        return None
    path, loops = place.path, place.loops
    for one in alike.likes:
        for paths in one.paths:
            if path in paths:
                path = one.paths[0][paths.index(path)]
        loops = tuple((q, "" if q == one.loop else identity) for q, identity in loops)
    return path, len(loops)


def verdict(name: str, on: bool) -> Any:
    """What a search found, without which of the like parts it was found for."""
    found, alike = run(name, on), like(name)
    escalations: dict[Any, int] = {}
    for items, path in found.escalations.items():
        kind = alike.kind(items)
        escalations[kind] = min(path.faults, escalations.get(kind, path.faults))
    breaches: dict[Any, int] = {}
    for breach, path in found.breaches.items():
        place = first(alike, None if breach.at is None else breach.at[1])
        breaches[breach.rule, place] = min(
            path.faults, breaches.get((breach.rule, place), path.faults)
        )
    return (
        found.complete,
        {outcome: path.faults for outcome, path in found.outcomes.items()},
        {error: path.faults for error, path in found.errors.items()},
        escalations,
        breaches,
        found.reached,
    )


SOME = list(ALIKE) if SLOW else list(ALIKE)[::3]


@pytest.mark.parametrize("name", SOME)
def test_the_verdict_is_that_of_the_search_without(name: str) -> None:
    assert verdict(name, on=True) == verdict(name, on=False)
    assert run(name, on=True).worlds < run(name, on=False).worlds


@pytest.mark.parametrize("name", SOME)
def test_worlds_with_like_parts_exchanged_are_one(name: str) -> None:
    alike = like(name)
    exchanged = 0
    for world in reachable(name):
        key = alike.canonical(world)
        assert alike.canonical(key) == key
        for same, other in swaps(alike, world):
            assert alike.canonical(same) == alike.canonical(other) == key
            exchanged += same != other
    assert exchanged


@pytest.mark.parametrize("name", SOME)
def test_worlds_that_are_one_go_on_alike(name: str) -> None:
    """What the reduction stands on: else it would leave something out."""
    alike, one = like(name), model(name)
    same: dict[World, list[World]] = defaultdict(list)
    for world in reachable(name):
        same[alike.canonical(world)].append(world)

    def next_(world: World) -> set[Any]:
        return {
            (found.faults, alike.canonical(found.world), tuple(b.rule for b in found.breaches))
            for found in one.successors(world)
        }

    for worlds in same.values():
        assert len({(world.root.phase, frozenset(next_(world))) for world in worlds}) == 1


@pytest.mark.parametrize("name", SOME)
def test_what_is_shown_is_a_run_of_the_saga(name: str) -> None:
    """Each thing that happens can happen in the world before: no exchange on the way."""
    found = run(name, on=True)
    for path in (*found.outcomes.values(), *found.escalations.values()):
        assert leads_somewhere(model(name), path)


def leads_somewhere(one: Model, path: Path) -> bool:
    successors = list(one.begin())
    for edge in path.edges:
        matching = [found.world for found in successors if found.edge == edge]
        if not matching:
            return False
        successors = list(one.successors(matching[0]))
    return True


@pytest.mark.parametrize("name", UNLIKE)
def test_parts_that_differ_are_not_exchanged(name: str) -> None:
    assert symmetry(model(name)) is None


def test_the_worlds_become_fewer_by_the_orders_of_the_parts() -> None:
    loaded = load_text(saga(THREE))
    assert loaded.program is not None
    counts = [
        explore(Model(loaded.program, "Main", options=Options(0, cancel=False, symmetry=on))).worlds
        for on in (False, True)
    ]
    assert 4 < counts[0] / counts[1] <= 6


def test_what_one_part_reaches_its_like_reaches_too() -> None:
    """Else a step would be told to be unreached that only nobody followed."""
    reached = {("Main", "compensate one"), ("Main", "abort two No"), ("Main", "step z")}
    assert like("two").mirrored(reached, "Main") - reached == {
        ("Main", "compensate two"),
        ("Main", "abort one No"),
    }


def test_it_can_be_switched_off() -> None:
    one = model("two")
    off = Model(one.program, one.saga, options=replace(one.options, symmetry=False))
    assert symmetry(one) is not None
    assert symmetry(off) is None


def test_names_are_not_mistaken_for_parts_of_other_names() -> None:
    text = saga(
        "parallel {"
        ' branch { step c = After.choose("a") if c.yes { abort Gone } }'
        ' branch { step c2 = After.choose("b") if c2.yes { abort Gone } } }'
    )
    loaded = load_text(text)
    assert loaded.program is not None
    alike = symmetry(Model(loaded.program, "Main"))
    assert alike is not None
    swapped = alike.parts[0].renaming((1, 0)).text
    assert swapped("c.yes") == "c2.yes"
    assert swapped("c2.yes") == "c.yes"
    assert swapped("x.c.yes == c2") == "x.c.yes == c"
