"""The one thread that writes: it takes all that is there, and commits it together."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from sqlite3 import Connection
from typing import Final

from sagalang.runtime.sqlite import pruning
from sagalang.runtime.sqlite.batch import Batch, write
from sagalang.runtime.sqlite.connecting import PATIENCE
from sagalang.runtime.sqlite.errors import StoreError, failure
from sagalang.runtime.sqlite.inbox import Message, Watch

POLL: Final = 0.1
"""Seconds between two looks at whether another process wrote."""
_LOG_PAGES: Final = 4000
"""About so many pages are in the log (16 MB) before they are written back to the file."""

Job = Batch | pruning.Pruning | None


class Writer:
    """Writes what is put into `jobs`; None ends it, when all before it is written. `written` is
    the last sequence number that a commit holds, `failed` why nothing is written any more;
    `tell` is called in this thread after either has changed, `deliver` with messages from others.
    """

    def __init__(
        self,
        connection: Connection,
        path: Path,
        written: int,
        tell: Callable[[], None],
        deliver: Callable[[list[Message]], None],
    ) -> None:
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.written = written
        self.failed: StoreError | None = None
        self.listening = False
        self._connection, self._path = connection, path
        self._tell, self._deliver = tell, deliver
        self._watch = Watch(connection)
        self._prunings: list[pruning.Pruning] = []
        self._unsaved_pages = 0
        self._thread = threading.Thread(
            target=self._run, name=f"writer of {path.name}", daemon=True
        )
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        except sqlite3.Error as error:
            self._fail(failure(error, self._path), error)
        except BaseException as error:
            self._fail(StoreError(f"the writer of {self._path.name} ended: {error!r}", ""), error)

    def _fail(self, told: StoreError, cause: BaseException) -> None:
        told.__cause__ = cause
        self.failed = told
        self._tell()

    def _work(self) -> None:
        going_on, due = True, 0.0
        while going_on:
            batch, going_on = self._take(due)
            if batch is not None:
                write(self._connection, batch)
                if batch.last:
                    self.written = batch.last
                self._tell()
                self._save(batch)
            self._prune()
            if time.monotonic() >= due:
                due = time.monotonic() + POLL
                if self.listening and (messages := self._watch.look()):
                    self._deliver(messages)

    def _take(self, due: float) -> tuple[Batch | None, bool]:
        """All batches that are there, as one; whether more may come. Waits for the first."""
        batch: Batch | None = None
        try:
            pause = 0.0 if self._prunings else max(0.0, due - time.monotonic())
            job = self.jobs.get(timeout=pause)
            while job is not None:
                if isinstance(job, pruning.Pruning):
                    self._prunings.append(job)
                elif batch is None:
                    batch = job
                else:
                    batch.add(job)
                job = self.jobs.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _save(self, batch: Batch) -> None:
        self._unsaved_pages += batch.pages
        if self._unsaved_pages >= _LOG_PAGES:
            self._unsaved_pages = 0
            # FULL, so that nobody commits meanwhile; who reads or writes now is not waited for.
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
            self._connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")

    def _prune(self) -> None:
        """One slice; entries go before the next."""
        if self._prunings:
            first = self._prunings[0]
            if first.slice(self._connection):
                self._unsaved_pages += pruning.PAGES
            else:
                self._prunings.pop(0)
                first.ended()
