"""The tables, and how a file of an earlier format becomes one of this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sqlite3 import Connection
from typing import Final

APPLICATION_ID: Final = 0x53414741
"""`SAGA`: says in the file's header whose file it is."""

_TABLES: Final = (
    """
CREATE TABLE definitions (
    number INTEGER PRIMARY KEY,
    hash   TEXT NOT NULL UNIQUE,
    text   TEXT NOT NULL
) STRICT
""",
    # What can be known from the entries, for lists: times are ms since the epoch.
    """
CREATE TABLE runs (
    number     INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    saga       TEXT NOT NULL,
    parent     INTEGER,             -- number of the run whose step this is
    definition INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('running', 'completed', 'compensated', 'escalated')),
    began      INTEGER NOT NULL,
    changed    INTEGER NOT NULL,
    ended      INTEGER,             -- NULL while something can still happen
    error      TEXT
) STRICT
""",
    # Lists go through these two, newest first; see reading.py.
    "CREATE INDEX runs_by_state ON runs (state, began)",
    "CREATE INDEX runs_by_saga ON runs (saga, state, began)",
    "CREATE INDEX runs_children ON runs (parent) WHERE parent IS NOT NULL",
    """
CREATE TABLE entries (
    seq  INTEGER PRIMARY KEY,
    run  INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT
""",
    "CREATE INDEX entries_by_run ON entries (run)",
    # AUTOINCREMENT: the owner asks for what is above the last number it saw.
    """
CREATE TABLE inbox (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    run     INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    event   TEXT NOT NULL,
    body    BLOB NOT NULL,
    at      INTEGER NOT NULL,
    taken   INTEGER,                -- seq of the entry that holds it
    refused TEXT,                   -- why there is none
    UNIQUE (run, kind, event)
) STRICT
""",
    "CREATE INDEX inbox_pending ON inbox (number) WHERE taken IS NULL AND refused IS NULL",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID",
)


def _create(connection: Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _TABLES:
        connection.execute(statement)


Migration = Callable[[Connection], None]

MIGRATIONS: Final[Sequence[Migration]] = (_create,)
"""The n-th makes version n + 1 of version n, in a transaction. Once released, none is changed."""

VERSION: Final = len(MIGRATIONS)


def migrate(connection: Connection, steps: Sequence[Migration] = MIGRATIONS) -> None:
    """All steps that the file needs, or none: killed in between, it is what it was."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < len(steps):
            for step in steps[version:]:
                step(connection)
            connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
