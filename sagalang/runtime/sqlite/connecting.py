"""Connections to a journal file, for each of those who may use it, and what they check first.

No function here opens the file other than through SQLite: closing any descriptor of a file drops
all locks that the process has on it (POSIX), those of SQLite as well.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from sagalang.runtime.sqlite import schema
from sagalang.runtime.sqlite.errors import (
    FormatError,
    ReadOnlyError,
    StoreError,
    cannot_open,
    failure,
    not_a_journal,
    translating,
)

PATIENCE: Final = 30.0
"""Seconds that a commit waits for another process's transaction."""
_OLDEST: Final = (3, 37)
"""Of SQLite: the first with STRICT tables."""


def owning(path: Path) -> Connection:
    """For the owner, who alone may call this: reads and writes. Makes the file if there is none,
    and brings it up to this version. The connection may go to another thread."""
    if sqlite3.sqlite_version_info < _OLDEST:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old for the journal",
            "use a Python that has SQLite 3.37 or later",
        )
    _make(path)
    with translating(path):
        found = _connect(path, "rwc", PATIENCE)
        try:
            version = _version(found, path)
            if version > schema.VERSION:
                raise _newer(path)
            if version < schema.VERSION:
                # A file that is made gets its tables before WAL, so that they stand in the file
                # itself from the first moment and `refuse_foreign` can go by them.
                schema.migrate(found, schema.MIGRATIONS)
            _durably(found)
        except BaseException:
            found.close()
            raise
    return found


def sending(path: Path, patience: float) -> Connection:
    """For another process than the owner, to write into the inbox."""
    with translating(path):
        found = _connect(path, "rw", patience)
        try:
            _require_this_version(found, path)
            _durably(found)
        except BaseException:
            found.close()
            raise
    return found


def reading(path: Path) -> Connection:
    """Read-only, for anyone, at any time."""
    try:
        found = _readable(path, "ro")
    except sqlite3.Error as error:
        # SQLite has to write a -shm file, unless it is told that nobody writes. Then it does not
        # look into a -wal file either.
        wal = Path(f"{path}-wal")
        if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise failure(error, path) from error
        if not path.is_file() or not os.access(path, os.R_OK) or os.access(path.parent, os.W_OK):
            raise cannot_open(path) from error
        if wal.exists() and wal.stat().st_size:
            raise ReadOnlyError(
                f"{path} was not closed, and its folder cannot be written",
                "copy the file and its -wal file to another folder, and read it there",
            ) from error
        with translating(path):
            found = _readable(path, "ro&immutable=1")
    try:
        with translating(path):
            _require_this_version(found, path)
    except BaseException:
        found.close()
        raise
    return found


def refuse_foreign(path: Path) -> None:
    """Raises `ForeignFileError` if that is certain. Leaves no trace, and takes no lock."""
    if path.is_dir():
        raise cannot_open(path)
    if Path(f"{path}-journal").exists():
        return  # Whatever was interrupted is undone first, by who has the lock.
    try:
        with suppress(FileNotFoundError):
            if path.stat().st_size:
                found = _connect(path, "ro&immutable=1", 0)
                try:
                    _version(found, path)
                finally:
                    found.close()
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_NOTADB:
            raise not_a_journal(path) from error


def check(path: Path) -> tuple[str, ...]:
    """What SQLite finds wrong with the file, in its words; nothing if it is sound. Reads it all."""
    found = reading(path)
    try:
        told = [row[0] for row in found.execute("PRAGMA quick_check")]
    except sqlite3.DatabaseError as error:
        told = [str(error)]
    finally:
        found.close()
    return () if told == ["ok"] else tuple(told)


def _make(path: Path) -> None:
    """An empty file that only its owner can read; SQLite gives its -wal and -shm the same mode.
    Closing a file that is new drops nobody's locks. What cannot be made is told by SQLite."""
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _connect(path: Path, mode: str, patience: float) -> Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def _readable(path: Path, mode: str) -> Connection:
    found = _connect(path, mode, PATIENCE)
    try:
        found.execute("PRAGMA user_version").fetchone()  # opens it
        found.execute("PRAGMA query_only = ON")
    except BaseException:
        found.close()
        raise
    return found


def _durably(connection: Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves it in the drive
    # Only the owner writes the log back, between commits: after the waiters were woken, and never
    # while another connection commits, which before SQLite 3.51.3 could damage the file.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def _version(connection: Connection, path: Path) -> int:
    """Of the format; 0 for a file that holds nothing yet. Raises `ForeignFileError`."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != schema.APPLICATION_ID:
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application or version or objects:
            raise not_a_journal(path)
    found: int = version
    return found


def _require_this_version(connection: Connection, path: Path) -> None:
    version = _version(connection, path)
    if version > schema.VERSION:
        raise _newer(path)
    if version < schema.VERSION:
        raise FormatError(
            f"{path.name} has an older format, or is only being made",
            "`saga resume` brings it up to date",
        )


def _newer(path: Path) -> FormatError:
    return FormatError(
        f"{path.name} was written by a newer sagalang",
        "update sagalang, or name another file with --db",
    )


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
