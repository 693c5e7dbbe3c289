"""Which run an `Idempotency-Key` started: a small SQLite file beside the journal.

That nothing happens twice does not rest on it: the id of a run does that. It tells a repeated
request from one that uses a key for something else, and which answer a request got.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from msgspec import Struct

from sagalang.model.program import Ms
from sagalang.runtime.sqlite.errors import translating

KEPT: Final[Ms] = 24 * 3_600_000
"""How long a key is known, as for a `keyed` command that says nothing else."""


class Known(Struct, frozen=True):
    """`found`: the run was on record when the key came."""

    run: str
    found: bool


class Keys:
    """All methods raise `StoreError`."""

    def __init__(self, journal: Path) -> None:
        self._path = Path(f"{journal}.keys")
        with translating(self._path):
            self._connection = _opened(self._path)

    def close(self) -> None:
        self._connection.close()

    def get(self, saga: str, key: str, now: Ms) -> Known | None:
        with translating(self._path):
            row = self._connection.execute(
                "SELECT run, found FROM keys WHERE saga = ? AND key = ? AND at > ?",
                (saga, key, now - KEPT),
            ).fetchone()
        return None if row is None else Known(row[0], bool(row[1]))

    def put(self, saga: str, key: str, known: Known, now: Ms) -> None:
        with translating(self._path):
            self._connection.execute("DELETE FROM keys WHERE at <= ?", (now - KEPT,))
            self._connection.execute(
                "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)",
                (saga, key, known.run, known.found, now),
            )

    def drop(self, saga: str, key: str) -> None:
        """What the key came for did not begin."""
        with translating(self._path):
            self._connection.execute("DELETE FROM keys WHERE saga = ? AND key = ?", (saga, key))


def _opened(path: Path) -> Connection:
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # Survives the death of the process, and in a power failure loses the last keys at most.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS keys (saga TEXT, key TEXT, run TEXT NOT NULL,"
            " found INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (saga, key)) WITHOUT ROWID"
        )
        connection.execute("CREATE INDEX IF NOT EXISTS keys_by_age ON keys (at)")
    except BaseException:
        connection.close()
        raise
    return connection
