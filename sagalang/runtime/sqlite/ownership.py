"""One process owns a journal file at a time.

The lock is SQLite's own, held in an empty companion file (`journal.db.lock`) by a transaction that
never writes. Why so, and not `flock` or a lease with a time:

- The kernel frees it when the owner dies, however that happens; there is nothing to time out, so
  neither a jumping clock nor an owner that is stopped (SIGSTOP) and goes on can make two owners.
- POSIX record locks are not inherited: a child that was forked does not keep the file of a dead
  parent locked, as it would with `flock`. SQLite also keeps a second opening in the same process
  out, which bare record locks do not.
- It needs no package, and holds where SQLite's own locks hold: local disks. Over a network file
  system WAL itself does not work between two machines; put the file on a local disk.

As with any SQLite file, nobody may open and close the companion other than through SQLite.
Who owns the file stands in it, in `meta`, where everyone can read it.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Final

import msgspec
from msgspec import Struct

from sagalang.model.program import Ms
from sagalang.runtime.sqlite import connecting
from sagalang.runtime.sqlite.errors import InUseError, LostError, StoreError, translating

_PAUSE: Final = 0.02
_LOOKED_AT: Final = 0.1
"""Seconds for which whoever only looks (`locked`) may at most be in the way."""


class Owner(Struct, frozen=True):
    """`command`: what it runs, for people. `since`: wall time."""

    pid: int
    host: str
    command: str
    since: Ms

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        # A time for people, in their zone.
        since = datetime.fromtimestamp(self.since / 1000).astimezone()
        today = datetime.now().astimezone().date() == since.date()
        when = since.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
        where = "" if self.is_here else f" on {self.host}"
        return f"process {self.pid}{where} ({self.command}, since {when})"


def this_process(command: str, now: Ms) -> Owner:
    return Owner(os.getpid(), socket.gethostname(), command, now)


def lock_path(path: Path) -> Path:
    return Path(f"{path}.lock")


def lock(path: Path, wait: float) -> Connection:
    """The lock on a journal, held until this connection is closed or the process ends. Tries for
    `wait` seconds. Raises `InUseError`, `ReadOnlyError`, `MissingError`."""
    until = time.monotonic() + max(wait, _LOOKED_AT)
    with translating(lock_path(path)):
        found = sqlite3.connect(
            lock_path(path), timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            while not _locked(found):
                if time.monotonic() >= until:
                    raise in_use(path)
                time.sleep(_PAUSE)
        except BaseException:
            found.close()
            raise
    return found


def _locked(connection: Connection) -> bool:
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def locked(path: Path) -> bool:
    """Whether somebody has the lock on a journal at this moment; where that cannot be found out,
    it is believed. The process that owns it may be a zombie, or its number another's by now: the
    lock alone tells."""
    # The lock does not depend on the name under which the file is known.
    real = lock_path(Path(os.path.realpath(path)))
    try:
        # To read takes a shared lock for a moment, and never makes the file.
        uri = f"{real.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)) as found:
            found.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        return real.exists()
    return False


def in_use(path: Path) -> InUseError:
    owner = None
    # The owner may be about to make the file.
    with suppress(StoreError):
        connection = connecting.reading(path)
        try:
            owner = read_owner(connection)
        finally:
            connection.close()
    return InUseError(
        f"{path.name} is in use by {owner or 'another process'}",
        "wait for it or end it, or name another file with --db",
    )


def read_owner(connection: Connection) -> Owner | None:
    """Who owns the file, or owned it and died."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'owner'").fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Owner)


def write_owner(connection: Connection, owner: Owner | None) -> None:
    if owner is None:
        connection.execute("DELETE FROM meta WHERE key = 'owner'")
    else:
        told = msgspec.json.encode(owner).decode()
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('owner', ?)", (told,))


class Files:
    """The files as they were when the owner opened them: whoever writes into a file that was
    deleted or replaced loses it, and without the lock's file there is no lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        paths = (path, Path(f"{path}-wal"), Path(f"{path}-shm"), lock_path(path))
        self._known = tuple((os.fspath(each), _identity(os.fspath(each))) for each in paths)

    def check(self) -> None:
        """Raises `LostError`."""
        for path, known in self._known:
            try:
                found = _identity(path)
            except OSError:
                found = None
            if found != known:
                raise LostError(
                    f"{os.path.basename(path)} was deleted, moved or replaced while it was in use",
                    f"put {self._path.name} and what belongs to it (-wal, .lock) back, and "
                    "`saga resume`",
                )


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
