"""A store with a definition in it, and what tests put there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sagalang.runtime.sqlite import Change, NewRun, State, Store, open_store


def owned(path: Path) -> AbstractContextManager[Store]:
    return open_store(path, command="test", now=0)


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    with owned(path) as store:
        store.define("hash", "saga Order {}")
        yield store


def new(identity: str, began: int = 0, saga: str = "Order", parent: int | None = None) -> NewRun:
    return NewRun(id=identity, saga=saga, definition="hash", began=began, parent=parent)


def ended(at: int, state: State = State.COMPLETED) -> Change:
    return Change(state=state, at=at, ended=at)
