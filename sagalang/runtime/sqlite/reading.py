"""Reading a journal file, also while its owner writes; without a lock, and without waiting."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

from msgspec import Struct

from sagalang.model.program import Ms
from sagalang.runtime.sqlite import connecting, inbox, ownership
from sagalang.runtime.sqlite.batch import State
from sagalang.runtime.sqlite.errors import failure, translating


class Run(Struct, frozen=True):
    """`number`: its number in this file, by which entries name it. `definition`: a hash. `parent`:
    the id of the run whose step it is. Times are wall times in ms, as they were given. `ended`:
    None while something can still happen to it. `error`: as it was given, for lists."""

    number: int
    id: str
    saga: str
    parent: str | None
    definition: str
    state: State
    began: Ms
    changed: Ms
    ended: Ms | None
    error: str | None


_COLUMNS: Final = """
SELECT runs.number, runs.id, runs.saga, parents.id, hash, runs.state, runs.began, runs.changed,
       runs.ended, runs.error
FROM {found} JOIN definitions ON definitions.number = runs.definition
LEFT JOIN runs AS parents ON parents.number = runs.parent
"""
_BY_ID: Final = _COLUMNS.format(found="runs") + " WHERE runs.id = ?"
_BY_NUMBER: Final = _COLUMNS.format(found="runs") + " WHERE runs.number = ?"
# Each arm goes along an index that has the wanted order, and SQLite merges them; so a list costs
# what it shows, whatever the file holds.
_ARM: Final = "SELECT began, number FROM runs WHERE state = ? AND began >= ?"
_LEAST: Final = -(1 << 63)
_LAST: Final = chr(0x10FFFF)
# What pruning.py goes through slice by slice.
_PRUNABLE: Final = """
WITH RECURSIVE tree (root, number, ended) AS (
    SELECT number, number, ended FROM runs
    WHERE parent IS NULL AND ended < ? AND state <> 'running' AND began <= ?
    UNION ALL
    SELECT root, runs.number, runs.ended FROM runs JOIN tree ON parent = tree.number
)
SELECT count(*) FROM tree WHERE root NOT IN (SELECT root FROM tree WHERE ended IS NULL)
"""


class Reader:
    """Each method sees what was committed when it was called. All raise `StoreError`."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection, self._path = connection, path

    def close(self) -> None:
        self._connection.close()

    def runs(
        self,
        *,
        state: State | Collection[State] = tuple(State),
        saga: str | None = None,
        since: Ms | None = None,
        limit: int | None = 100,
        nested: bool = True,
    ) -> list[Run]:
        """Runs that are in one of these states, are of this saga, and began at `since` or later;
        the last to begin first, by the wall times that they were begun with. `limit` None: all.
        `nested`: also those that are steps of others."""
        states = [state] if isinstance(state, State) else list(dict.fromkeys(state))
        if not states:
            return []
        arm = _ARM + (" AND saga = ?" if saga is not None else "")
        arm += "" if nested else " AND parent IS NULL"
        found = " UNION ALL ".join([arm] * len(states)) + " ORDER BY 1 DESC, 2 DESC LIMIT ?"
        values: list[Any] = []
        for each in states:
            values += [each.value, _LEAST if since is None else since]
            values += [saga] if saga is not None else []
        # The rows only of those that are shown.
        sql = _COLUMNS.format(found=f"({found}) AS found JOIN runs USING (number)")
        sql += " ORDER BY runs.began DESC, runs.number DESC"
        values.append(-1 if limit is None else limit)
        return [_run(row) for row in self._all(sql, *values)]

    def run(self, run_id: str) -> Run | None:
        return self._one_run(_BY_ID, run_id)

    def holds(self, run_id: str) -> bool:
        """Whether there is a run of this id; cheaper than `run`."""
        return bool(self._all("SELECT 1 FROM runs WHERE id = ?", run_id))

    def ids(self, prefix: str, limit: int) -> list[str]:
        """The ids of runs that begin so, in their order."""
        found = self._all(
            "SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            prefix,
            prefix + _LAST,
            limit,
        )
        return [run_id for (run_id,) in found]

    def old(self, before: Ms) -> int:
        """How many runs `Store.prune` would delete now."""
        return int(self._all(_PRUNABLE, before, before)[0][0])

    def free(self) -> int:
        """The bytes inside the file that hold nothing and will be used again."""
        (pages,), (size,) = self._all("PRAGMA freelist_count") + self._all("PRAGMA page_size")
        return int(pages * size)

    def numbered(self, number: int) -> Run | None:
        return self._one_run(_BY_NUMBER, number)

    def children(self, number: int) -> list[Run]:
        """The runs that are steps of this one, in the order in which they began."""
        sql = _COLUMNS.format(found="runs") + " WHERE runs.parent = ? ORDER BY runs.number"
        return [_run(row) for row in self._all(sql, number)]

    def entries(self, number: int, *, after: int = 0) -> list[tuple[int, bytes]]:
        """Sequence numbers and bodies of a run's entries behind `after`, in order."""
        return self._all(
            "SELECT seq, body FROM entries WHERE run = ? AND seq > ? ORDER BY seq", number, after
        )

    def definition(self, hashed: str) -> str | None:
        """The text that was stored under this hash."""
        found = self._all("SELECT text FROM definitions WHERE hash = ?", hashed)
        return found[0][0] if found else None

    def message(self, number: int) -> inbox.Message | None:
        """A message in the inbox: its sender can see what became of it."""
        with translating(self._path):
            return inbox.message(self._connection, number)

    def messages(self, run: int) -> list[inbox.Message]:
        """All that was sent to a run, in order."""
        with translating(self._path):
            return inbox.messages(self._connection, run)

    def waiting_messages(self) -> list[inbox.Message]:
        """What was sent to runs and not dealt with yet, in order."""
        with translating(self._path):
            return inbox.waiting(self._connection)

    def owner(self) -> ownership.Owner | None:
        """Who has the file open for writing, or had and was killed."""
        with translating(self._path):
            return ownership.read_owner(self._connection)

    def present_owner(self) -> ownership.Owner | None:
        """Who has the file open for writing. Who runs on another machine is believed."""
        found = self.owner()
        if found is None or not found.is_here or ownership.locked(self._path):
            return found
        return None

    def _one_run(self, sql: str, value: Any) -> Run | None:
        found = self._all(sql, value)
        return _run(found[0]) if found else None

    def _all(self, sql: str, *values: Any) -> list[Any]:
        # All rows at once: a query that is left open keeps the log from being written back.
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise failure(error, self._path) from error


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a file read-only: also while a process owns it, and on a read-only file system.
    Raises `StoreError`."""
    reader = Reader(connecting.reading(path), path)
    try:
        yield reader
    finally:
        reader.close()


def _run(row: tuple[Any, ...]) -> Run:
    number, run_id, saga, parent, definition, state, *rest = row
    return Run(number, run_id, saga, parent, definition, State(state), *rest)
