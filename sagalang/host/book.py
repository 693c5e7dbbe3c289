"""The runs that an engine keeps, for whoever looks at them: lists, histories, what runs go by.

    with open_book(path) as book:
        for run in book.runs(Filter(states=(State.ESCALATED,))):
            status_of(book.history(run.id))             # host.status

Commands know an engine by its book only. Nothing here opens a secret: entries come without values
(`runtime.entry_outline`), or with values in which every secret is covered (`host.account`), and
neither needs a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sagalang.model.program import Ms
from sagalang.runtime.sqlite import State

if TYPE_CHECKING:
    from sagalang.runtime.journal import Entry
    from sagalang.runtime.sqlite_history import Decoder

__all__ = [
    "Book",
    "Filter",
    "Numbered",
    "Pruned",
    "RunInfo",
    "Sent",
    "State",
    "nearest_ids",
    "open_book",
    "root_of",
]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as lists show it. `parent`: the id of the run whose step it is. `definition`: the hash
    of what it goes by. `ended`: None while something can still happen to it. `error`: the name of
    that for which it was compensated. `fakes`: it goes on fakes of its services. Times are wall
    times in ms since the Unix epoch."""

    id: str
    saga: str
    state: State
    parent: str | None
    definition: str
    began: Ms
    changed: Ms
    ended: Ms | None
    error: str | None
    fakes: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """Runs in one of `states`, of this `saga`, that began at `since` or later; at most `limit`
    (None: all). `children`: also sagas that run as steps of others."""

    states: tuple[State, ...] = tuple(State)
    saga: str | None = None
    since: Ms | None = None
    limit: int | None = 100
    children: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent to a run. `event`: its id among those of a `kind` (signal, cancel, settle).
    `about`: the name of an event; the place of what is settled.
    `taken`: the run has it. `refused`: why it was not taken. Neither: it waits for a process that
    goes on with the run."""

    run_id: str
    kind: str
    event: str
    at: Ms
    taken: bool
    refused: str | None
    about: str | None = None

    @property
    def waiting(self) -> bool:
        return not self.taken and self.refused is None


class Numbered(NamedTuple):
    """An entry, and its number in the journal: later entries have higher ones."""

    seq: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Pruned:
    """`runs`: how many were deleted, child sagas too. `freed`: bytes that are used again now."""

    runs: int
    freed: int


class Book(Protocol):
    """Each method sees what is on record when it is called. All raise `EngineError`."""

    def runs(self, wanted: Filter = ...) -> list[RunInfo]:
        """The last to begin first."""
        ...

    def run(self, run_id: str) -> RunInfo | None: ...

    def children(self, run_id: str) -> list[RunInfo]:
        """The runs that are steps of this one, in the order in which they began."""
        ...

    def ids(self, prefix: str, limit: int) -> list[str]:
        """The ids of runs, children too, that begin so, in their order."""
        ...

    def history(
        self, run_id: str, *, after: int = 0, decoder: Decoder | None = None
    ) -> list[Numbered]:
        """The entries of a run and of its child sagas, at any depth, behind the number `after`, in
        order; none where there is no such run. `decoder`: by default entries come without values.
        Raises `EntryError`."""
        ...

    def definition(self, hashed: str) -> str | None:
        """The text that runs of this definition were stored with; see `host.definitions`."""
        ...

    def messages(self, run_id: str) -> list[Sent]:
        """All that was sent to a run and to its child sagas, in order."""
        ...

    def owner(self) -> str | None:
        """Who runs what stands here, in words; None: nobody does at the moment."""
        ...

    def old(self, before: Ms) -> int:
        """How many runs, child sagas too, `prune` would delete."""
        ...

    def prune(self, before: Ms) -> Pruned:
        """Delete the runs that ended before a time, with the sagas that they ran as steps. Runs
        under way and escalated ones stay. Raises `InUseError`."""
        ...


@contextmanager
def open_book(path: Path) -> Iterator[Book]:
    """The book of a journal file, also while its owner writes. Raises `StoreError`."""
    from sagalang.host.sqlite_book import SqliteBook
    from sagalang.runtime.sqlite import reading

    with reading(path) as reader:
        yield SqliteBook(reader, path)


def root_of(book: Book, run: RunInfo) -> RunInfo:
    """The run whose step, at any depth, this one is."""
    while run.parent is not None:
        above = book.run(run.parent)
        if above is None:
            break
        run = above
    return run


def nearest_ids(book: Book, run_id: str, most: int = 3) -> Sequence[str]:
    """Ids of runs that may have been meant."""
    from sagalang.diagnostics.suggest import nearest

    known = {run.id for run in book.runs(Filter(limit=200))}
    for length in range(len(run_id) - 1, 0, -1):
        found = book.ids(run_id[:length], 50)
        known.update(found)
        if len(found) > 1:
            break
    begun = sorted(each for each in known if each.startswith(run_id))[:most]
    closest = nearest(run_id, sorted(known))
    return begun or ([closest] if closest else [])
