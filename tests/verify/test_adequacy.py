"""The flows of sagas are as many as the theory of compensations says.

Bruni, Melgratti and Montanari ("Theoretical foundations for compensations in flow composition
languages", POPL 2005) show for sequential sagas that what can be seen of a run is the forward flow
up to the failure and the compensations backwards. With n steps these are n+1 flows if compensations
never fail, and n+1+n(n-1)/2 if they may.

A flow is a word over the successes of steps (`a`) and of compensations (`a-`), closed by the
saga's outcome. For parallel parts the order of everything counts, of compensations too: with
business rejections only and coordinated interruption (after the first rejection nothing new
starts, what is in flight is awaited, then everything done is undone, branches independently), two
steps have 2 flows that commit and 3 that abort (nothing done, or one of the two done and undone);
two branches of two steps 6 and 27; three branches of one step 6 and 16. The latter two are counted
by hand: for branches of which i and j steps succeeded there are C(i+j, i) orders forwards and as
many backwards, and all but the full ones abort.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from math import comb

import pytest

from sagalang.machine import events as m
from sagalang.machine.outcomes import Ok
from sagalang.machine.saga import Phase
from sagalang.verify.model import Model
from sagalang.verify.world import Edge, Options, Successor, World
from sagalang.workspace.load import load_text

from .sagas import UNDO, contract, saga

Word = tuple[str, ...]
BUSINESS = frozenset({"rejects"})
AND_UNDOING = BUSINESS | {"failing compensation"}


def step(name: str) -> str:
    return f'step {name} = S.do("{name}")'


def sequence(n: int) -> str:
    return " ".join(step(f"a{i}") for i in range(n))


def branches(*sizes: int) -> str:
    parts = (
        "branch { " + " ".join(step(f"{chr(97 + k)}{i}") for i in range(size)) + " }"
        for k, size in enumerate(sizes)
    )
    return f"parallel {{ {' '.join(parts)} }}"


def flows(body: str, faults: frozenset[str], *, normal: bool = True) -> set[Word]:
    """Every word that can be observed."""
    services = contract(
        "keyed, records rejections rejects No compensate undo(key)", f"{UNDO} rejects Gone"
    )
    loaded = load_text(saga(body, services))
    assert not [d.message for d in loaded.diagnostics if d.is_error]
    options = Options(crashes=0, cancel=False, faults=faults, normal=normal)
    model = Model(loaded.program, "Main", options=options)

    @cache
    def ways_on(world: World) -> frozenset[Word]:
        if world.root.phase is Phase.OVER:
            return frozenset({(type(world.root.outcome).__name__.lower(),)})
        return words(model.successors(world))

    def words(successors: Iterable[Successor]) -> frozenset[Word]:
        return frozenset(
            (*seen(successor.edge), *rest)
            for successor in successors
            for rest in ways_on(successor.world)
        )

    return set(words(model.begin()))


def seen(edge: Edge) -> Word:
    if edge.kind != "call" or not isinstance(edge.outcome, Ok):
        return ()
    return (f"{edge.place}{'-' if edge.purpose is m.Purpose.COMPENSATE else ''}",)


def by_outcome(found: set[Word]) -> dict[str, int]:
    return dict(Counter(word[-1] for word in found))


@pytest.mark.parametrize("normal", [True, False], ids=["reduced", "in full"])
@pytest.mark.parametrize("n", range(1, 7))
def test_n_steps_have_n_and_one_flows(n: int, normal: bool) -> None:
    found = flows(sequence(n), BUSINESS, normal=normal)
    assert len(found) == n + 1
    done = [f"a{i}" for i in range(n)]
    assert found == {
        (*done, "completed"),
        *((*done[:k], *(f"{a}-" for a in reversed(done[:k])), "compensated") for k in range(n)),
    }


@pytest.mark.parametrize("normal", [True, False], ids=["reduced", "in full"])
@pytest.mark.parametrize("n", range(1, 7))
def test_each_compensation_that_may_fail_adds_a_flow(n: int, normal: bool) -> None:
    found = flows(sequence(n), AND_UNDOING, normal=normal)
    assert len(found) == n + 1 + n * (n - 1) // 2
    assert by_outcome(found).get("escalated", 0) == n * (n - 1) // 2


def test_two_parallel_steps_have_five_flows() -> None:
    found = flows(branches(1, 1), BUSINESS)
    assert found == {
        ("a0", "b0", "completed"),
        ("b0", "a0", "completed"),
        ("a0", "a0-", "compensated"),
        ("b0", "b0-", "compensated"),
        ("compensated",),
    }


@pytest.mark.parametrize(
    ("sizes", "commit", "abort"), [((1, 1), 2, 3), ((2, 2), 6, 27), ((1, 1, 1), 6, 16)]
)
@pytest.mark.parametrize("normal", [True, False], ids=["reduced", "in full"])
def test_parallel_branches_interleave_forwards_and_backwards(
    sizes: tuple[int, ...], commit: int, abort: int, normal: bool
) -> None:
    found = by_outcome(flows(branches(*sizes), BUSINESS, normal=normal))
    assert found == {"completed": commit, "compensated": abort}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_two_branches_have_as_many_flows_as_there_are_orders(size: int) -> None:
    """The same count for any two branches, by the formula of the docstring above."""
    found = by_outcome(flows(branches(size, size), BUSINESS))
    orders = {(i, j): comb(i + j, i) for i in range(size + 1) for j in range(size + 1)}
    commit = orders.pop((size, size))
    assert found == {"completed": commit, "compensated": sum(k * k for k in orders.values())}
