"""A search that the user stops: what it found so far is still true, and nothing more is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagalang.verify.explore import explore
from sagalang.verify.model import Model
from sagalang.verify.verify import verify
from sagalang.verify.world import Successor, World
from sagalang.workspace import load_text

from .sagas import CONTRACTS, TWO, saga

LEAKS = saga(TWO, CONTRACTS["not fenced"])
PARALLEL = saga('parallel { step one = S.do("a") step two = S.do("b") }', CONTRACTS["not fenced"])


def stop_at(monkeypatch: pytest.MonkeyPatch, count: int) -> list[World]:
    """Ctrl-C comes once, when so many worlds are followed. Returns the worlds that are."""
    followed: list[World] = []
    follow = Model.successors

    def successors(model: Model, world: World) -> Iterator[Successor]:
        followed.append(world)
        if len(followed) == count:
            raise KeyboardInterrupt
        return follow(model, world)

    monkeypatch.setattr(Model, "successors", successors)
    return followed


def test_what_was_found_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    program = load_text(LEAKS).program
    whole = explore(Model(program, "Main"))
    stop_at(monkeypatch, whole.worlds // 2)
    part = explore(Model(program, "Main"))
    assert (part.stopped, part.complete) == (True, False)
    assert 0 < part.worlds < whole.worlds
    assert part.breaches
    assert set(part.breaches) <= set(whole.breaches)


@pytest.mark.parametrize("count", [5, 60])
def test_nothing_more_is_explored_branch_by_branch(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    program = load_text(PARALLEL).program
    followed = stop_at(monkeypatch, count)
    part = verify(program, "Main")
    assert (part.stopped, part.complete) == (True, False)
    assert len(followed) == count
