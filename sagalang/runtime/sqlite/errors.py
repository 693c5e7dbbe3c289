"""What can be wrong with a journal file, each with a plain sentence and what to do.

None of them says anything about what a saga did: they are `EngineError`s.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sagalang.runtime.engine import EngineError, NoSuchRunError

__all__ = ["EngineError", "NoSuchRunError", "StoreError", "failure", "translating"]

_NO_SPACE: Final = 64 * 1024


class StoreError(EngineError):
    """The message is a plain sentence, `advice` what to do about it."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message, advice)
        self.advice = advice

    def __str__(self) -> str:
        return str(self.args[0])


class MissingError(StoreError):
    """There is no such file, or no such folder."""


class ForeignFileError(StoreError):
    """The file is not a journal: no SQLite file, or one of another program."""


class FormatError(StoreError):
    """The file has another version of the format than this sagalang."""


class DamagedError(StoreError):
    """The file is not what was written to it."""


class ReadOnlyError(StoreError):
    """The file or its folder may not be read, or not be written."""


class FullError(StoreError):
    """The disk is full, or the file has reached a limit."""


class InUseError(StoreError):
    """Another process owns the file, or holds a lock on it for too long."""


class LostError(StoreError):
    """The file was deleted, moved or replaced while this process owned it."""


class DeviceError(StoreError):
    """The disk failed."""


class ClosedError(StoreError):
    """The store was closed, or belongs to the process that this one was forked from."""


class RunExistsError(StoreError):
    """A run of this id has begun already."""


def failure(error: sqlite3.Error, path: Path) -> StoreError:
    """What an error of SQLite means, in words."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    name = path.name
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN if path.is_dir():
            return cannot_open(path)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN if _no_space(path):
            return _full(path)
        case sqlite3.SQLITE_IOERR:
            return DeviceError(
                f"the disk failed on {name}: {error}",
                "look into the system's log; what was recorded before is kept",
            )
        case sqlite3.SQLITE_NOTADB:
            return not_a_journal(path)
        case sqlite3.SQLITE_CORRUPT:
            return DamagedError(
                f"{name} is damaged: {error}",
                "stop what uses it, keep a copy of it and of its -wal file, and restore a backup; "
                f"`sqlite3 {name} .recover` saves what can be read",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return read_only(path)
        case sqlite3.SQLITE_CANTOPEN:
            return cannot_open(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return InUseError(
                f"another process has kept {name} locked for too long",
                "end the program that holds a transaction on it (a database browser, a backup)",
            )
        case _:
            return StoreError(f"SQLite failed on {name}: {error}", "this is a mistake in sagalang")


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """Raises `StoreError` for what SQLite raises inside."""
    try:
        yield
    except sqlite3.Error as error:
        raise failure(error, path) from error


def cannot_open(path: Path) -> StoreError:
    folder = path.parent
    if not folder.is_dir():
        return MissingError(f"there is no folder {folder}", "create it, or name another with --db")
    if not path.exists() and os.access(folder, os.W_OK):
        return MissingError(f"there is no file {path}", "`saga run` makes it; --db names another")
    if path.is_dir():
        return ForeignFileError(f"{path} is a folder", "name a file with --db")
    return read_only(path)


def read_only(path: Path) -> ReadOnlyError:
    if path.exists() and not os.access(path, os.R_OK):
        return ReadOnlyError(f"{path} may not be read", "give yourself the right to read it")
    what = path if path.exists() and not os.access(path, os.W_OK) else f"the folder {path.parent}"
    return ReadOnlyError(
        f"{what} cannot be written",
        "give yourself the right to write the file and its folder, or name another with --db",
    )


def not_a_journal(path: Path) -> ForeignFileError:
    return ForeignFileError(
        f"{path.name} is not a journal of sagalang",
        "name another file with --db; it was not touched",
    )


def _full(path: Path) -> FullError:
    return FullError(
        f"the disk is full: {path.name} cannot grow",
        "free some space and `saga resume`: what was recorded is kept, and nothing else was done",
    )


def _no_space(path: Path) -> bool:
    with suppress(OSError, AttributeError):
        found = os.statvfs(path.parent)
        return found.f_bavail * found.f_frsize < _NO_SPACE
    return False
