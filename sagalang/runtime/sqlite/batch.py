"""What is written together, and how: one statement a table, however many rows.

Each statement that a thread runs gives up the interpreter's lock and must get it back from a busy
event loop; so a batch of entries alone is one statement, which is a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from sqlite3 import Connection
from typing import Any, Final

from msgspec import Struct

from sagalang.model.program import Ms

_MOST_ROWS: Final = 1024
_BODY: Final = itemgetter(2)
_Row = tuple[Any, ...]


class State(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    ESCALATED = "escalated"


class NewRun(Struct, frozen=True, kw_only=True):
    """A run that begins. `definition`: the hash of one that was given to `Store.define`.
    `parent`: the number of the run whose step this is."""

    id: str
    saga: str
    definition: str
    began: Ms
    parent: int | None = None


class Change(Struct, frozen=True, kw_only=True):
    """What lists say about a run from now on. `ended`: None while something can still happen to
    it, also where it was settled and goes on."""

    state: State
    at: Ms
    ended: Ms | None = None
    error: str | None = None


class Batch:
    """In the order in which it was given. `last`: the last sequence number in it."""

    __slots__ = ("begun", "changed", "defined", "entries", "last", "refused", "taken")

    def __init__(self) -> None:
        self.last = 0
        self.entries: list[tuple[int, int, bytes]] = []
        self.defined: list[tuple[int, str, str]] = []
        self.begun: list[_Row] = []
        self.changed: dict[int, _Row] = {}
        self.taken: list[tuple[int, int]] = []
        self.refused: list[tuple[int, str | None]] = []

    def add(self, later: Batch) -> None:
        self.last = later.last or self.last
        self.entries += later.entries
        self.defined += later.defined
        self.begun += later.begun
        self.changed.update(later.changed)
        self.taken += later.taken
        self.refused += later.refused

    @property
    def pages(self) -> int:
        """About how many pages the log grows by."""
        octets = sum(map(len, map(_BODY, self.entries))) + 24 * len(self.entries)
        return 4 + octets // 3000 + 2 * (len(self.begun) + len(self.changed) + len(self.taken))


_DEFINE: Final = "INSERT INTO definitions (number, hash, text) {rows}"
_BEGIN: Final = """
INSERT INTO runs (number, id, saga, parent, definition, began, changed, state) {rows}
"""
_ENTER: Final = "INSERT INTO entries (seq, run, body) {rows}"
_CHANGE: Final = """
UPDATE runs SET state = column2, changed = column3, ended = column4, error = column5
FROM ({rows}) WHERE number = column1
"""
_TAKE: Final = "UPDATE inbox SET taken = column2 FROM ({rows}) WHERE number = column1"
_REFUSE: Final = "UPDATE inbox SET refused = column2 FROM ({rows}) WHERE number = column1"


def write(connection: Connection, batch: Batch) -> None:
    """All of it in one transaction, which has been committed when this returns."""
    statements = [
        *_statements(_DEFINE, 3, batch.defined),
        *_statements(_BEGIN, 8, batch.begun),
        *_statements(_ENTER, 3, batch.entries),
        *_statements(_CHANGE, 5, list(batch.changed.values())),
        *_statements(_TAKE, 2, batch.taken),
        *_statements(_REFUSE, 2, batch.refused),
    ]
    if len(statements) == 1:
        connection.execute(*statements[0])
        return
    connection.execute("BEGIN IMMEDIATE")
    for sql, values in statements:
        connection.execute(sql, values)
    connection.execute("COMMIT")


def _statements(sql: str, columns: int, rows: Sequence[_Row]) -> Iterator[tuple[str, list[Any]]]:
    for at in range(0, len(rows), _MOST_ROWS):
        part = rows[at : at + _MOST_ROWS]
        # A power of two, filled up with NULLs that are left out: so that there are few statements,
        # and they stay prepared.
        size = 1 << (len(part) - 1).bit_length()
        missing = columns * (size - len(part))
        yield _for_rows(sql, columns, size), [*chain.from_iterable(part), *(None,) * missing]


@lru_cache(maxsize=128)
def _for_rows(sql: str, columns: int, size: int) -> str:
    row = f"({', '.join('?' * columns)})"
    values = f"VALUES {', '.join([row] * size)}"
    return sql.format(rows=f"SELECT * FROM ({values}) WHERE column1 IS NOT NULL")
