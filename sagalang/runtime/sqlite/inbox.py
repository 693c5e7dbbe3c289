"""What other processes send to the runs of a file, and how its owner notices.

They write into one table and nowhere else. The owner looks every 100 ms whether another connection
has committed something (`PRAGMA data_version`, which reads no page of the file), and only then
into the table.
"""

from __future__ import annotations

from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

from msgspec import Struct

from sagalang.model.program import Ms
from sagalang.runtime.sqlite import connecting
from sagalang.runtime.sqlite.errors import NoSuchRunError, translating


class Message(Struct, frozen=True):
    """`number`: its place in the file, in the order in which the messages were committed. `run`:
    the number of the run. `event`: unique for this run and kind. `body`: opaque. `at`: wall time
    of the sender. `taken`: the sequence number of the entry that holds it; `refused`: why there is
    none. Both None while its owner has not dealt with it."""

    number: int
    run: int
    run_id: str
    kind: str
    event: str
    body: bytes
    at: Ms
    taken: int | None = None
    refused: str | None = None


_SELECT: Final = """
SELECT inbox.number, run, id, kind, event, body, at, taken, refused
FROM inbox JOIN runs ON runs.number = run
"""


def send(
    path: Path, run_id: str, kind: str, event: str, body: bytes, at: Ms, *, patience: float = 10.0
) -> Message:
    """Put a message for a run into the file, whether or not a process owns it; it is durable when
    this returns. `kind` (signal, cancel, settle, ...) and `body` are between sender and engine.

    Sent again with the same `kind` and `event` it is the message that is there already. Waits
    `patience` seconds for others who write. Raises `NoSuchRunError`, `StoreError`.
    """
    connection = connecting.sending(path, patience)
    try:
        with translating(path):
            connection.execute("BEGIN IMMEDIATE")
            run = connection.execute("SELECT number FROM runs WHERE id = ?", (run_id,)).fetchone()
            if run is None:
                raise NoSuchRunError(f"there is no run {run_id} in {path.name}")
            connection.execute(
                "INSERT OR IGNORE INTO inbox (run, kind, event, body, at) VALUES (?, ?, ?, ?, ?)",
                (run[0], kind, event, body, at),
            )
            found = connection.execute(
                f"{_SELECT} WHERE run = ? AND kind = ? AND event = ?", (run[0], kind, event)
            ).fetchone()
            connection.execute("COMMIT")
    finally:
        connection.close()
    return Message(*found)


def message(connection: Connection, number: int) -> Message | None:
    found = connection.execute(f"{_SELECT} WHERE inbox.number = ?", (number,)).fetchone()
    return None if found is None else Message(*found)


def messages(connection: Connection, run: int) -> list[Message]:
    rows = connection.execute(f"{_SELECT} WHERE run = ? ORDER BY inbox.number", (run,))
    return [Message(*row) for row in rows.fetchall()]


def waiting(connection: Connection, after: int = 0) -> list[Message]:
    """Messages behind `after` that were not dealt with, in order."""
    rows = connection.execute(
        f"{_SELECT} WHERE inbox.number > ? AND taken IS NULL AND refused IS NULL"
        " ORDER BY inbox.number",
        (after,),
    )
    return [Message(*row) for row in rows.fetchall()]


class Watch:
    """The owner's side, on the connection that writes: its own commits do not count as others'."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._version: Any = None
        self._last = 0

    def look(self) -> list[Message]:
        """Messages that were not dealt with, each once, in order."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return []
        self._version = version
        found = waiting(self._connection, self._last)
        if found:
            self._last = found[-1].number
        return found
