"""The open file, as its owner has it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from sagalang.model.program import Ms
from sagalang.runtime.sqlite import connecting, ownership
from sagalang.runtime.sqlite.batch import Batch, Change, NewRun, State
from sagalang.runtime.sqlite.errors import (
    ClosedError,
    RunExistsError,
    StoreError,
    translating,
)
from sagalang.runtime.sqlite.inbox import Message
from sagalang.runtime.sqlite.pruning import Pruning
from sagalang.runtime.sqlite.reading import Reader, Run
from sagalang.runtime.sqlite.writer import Writer

_MOST_ABSENT: Final = 10_000


class Store:
    """What `open_store` gives. All methods are called in the thread of one event loop, the one
    that runs when the first of them is called; `close` also when that loop has ended.

    What is written in one turn of the loop is committed together, and in the order given: after a
    crash there is a beginning of all that was given, and at least up to the last sequence number
    that `committed` returned for. After a failed commit every waiting and every later call raises
    the `StoreError` that says why; what was committed before is kept.

    `reader`: sees what was committed.
    """

    def __init__(
        self, path: Path, connection: Connection, reader: Reader, files: ownership.Files
    ) -> None:
        self.path, self.reader = path, reader
        self._files = files
        self._process = os.getpid()
        self._definitions: dict[str, int] = dict(
            connection.execute("SELECT hash, number FROM definitions")
        )
        self._last = self._durable = _highest(connection, "last_seq", "max(seq) FROM entries")
        self._last_run = _highest(connection, "last_run", "max(number) FROM runs")
        self._pending = Batch()
        self._flushing = False
        self._waiters: dict[int, list[asyncio.Future[None]]] = {}
        self._prunings: set[asyncio.Future[None]] = set()
        self._beginning: dict[str, int] = {}
        self._absent: set[str] = set()
        """Ids of which there is certainly no run: nobody else begins any."""
        self._failure: StoreError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: Callable[[Message], object] | None = None
        self._writer = Writer(connection, path, self._last, self._call_settle, self._call_deliver)

    def define(self, hashed: str, text: str) -> None:
        """Store a definition under its hash, unless it is there."""
        self._ready()
        if hashed not in self._definitions:
            number = self._definitions[hashed] = len(self._definitions) + 1
            self._soon().defined.append((number, hashed, text))

    def begin(self, run: NewRun, body: bytes) -> tuple[int, int]:
        """Begin a run with its first entry: its number in this file, by which everything else
        names it, and the entry's sequence number. Does not block. Raises `RunExistsError`."""
        self._ready()
        if run.id in self._absent:
            self._absent.discard(run.id)
        elif run.id in self._beginning or self.reader.holds(run.id):
            raise RunExistsError(f"there is a run {run.id} already", "give it another id")
        definition = self._definitions[run.definition]
        self._last_run += 1
        number, began = self._last_run, run.began
        row = (number, run.id, run.saga, run.parent, definition, began, began, State.RUNNING.value)
        self._soon().begun.append(row)
        seq = self._beginning[run.id] = self.append(number, body)
        return number, seq

    def run(self, run_id: str) -> Run | None:
        """As `reader.run`. A run that begins after it was looked for is not looked for again."""
        found = self.reader.run(run_id)
        if found is None and run_id not in self._beginning:
            if len(self._absent) >= _MOST_ABSENT:
                self._absent.clear()
            self._absent.add(run_id)
        return found

    def append(
        self, run: int, body: bytes, *, change: Change | None = None, took: int | None = None
    ) -> int:
        """Append an entry to a run's journal: its sequence number, which no other entry of the
        file ever has. Does not block, and makes nothing durable: await `committed`.

        In the same transaction: `change`, what lists say about the run from now on; `took`, the
        number of the message from the inbox that this entry holds.
        """
        # Every entry comes by here, so nothing is called that need not be.
        if self._failure is not None or os.getpid() != self._process:
            self._ready()
        pending = self._pending if self._flushing else self._soon()
        seq = self._last = pending.last = self._last + 1
        pending.entries.append((seq, run, body))
        if change is not None:
            state, error = change.state.value, _unicode(change.error)
            pending.changed[run] = (run, state, change.at, change.ended, error)
        if took is not None:
            pending.taken.append((took, seq))
        return seq

    @property
    def last(self) -> int:
        """The number of the entry that was appended last."""
        return self._last

    @property
    def durable(self) -> int:
        """The number of the last entry that is known to be on the disk."""
        return self._durable

    async def committed(self, seq: int) -> None:
        """Return when the entry of this number, and all before it, is on the disk. Those who wait
        go on in the order of their numbers."""
        if seq <= self._durable:
            return
        self._ready()
        if seq > self._last:
            raise ValueError(f"no entry {seq} was appended")
        assert self._loop is not None
        waiter = self._loop.create_future()
        self._waiters.setdefault(seq, []).append(waiter)
        await waiter

    async def all_committed(self) -> None:
        """Return when everything that was appended so far, to whichever run, is on the disk."""
        await self.committed(self._last)

    def listen(self, listener: Callable[[Message], object]) -> None:
        """From now on `listener` is called, in the loop, with each message of the inbox that was
        not dealt with: those that are there, and those to come, within about 100 ms. In order, and
        once in the life of this store; one that was not dealt with comes again after a restart.
        Deal with it by `append(took=...)` or `refuse`."""
        self._ready()
        self._loop = self._loop or asyncio.get_running_loop()
        self._listener = listener
        self._writer.listening = True

    def refuse(self, message: int, why: str) -> None:
        """A message will have no entry; its sender can read why."""
        self._ready()
        self._soon().refused.append((message, _unicode(why)))

    async def prune(self, before: Ms) -> int:
        """Delete the runs that ended before a time, and those that were their steps; how many.

        In small transactions, between those of other entries. Meanwhile nobody may append to a run
        that ended before that time. The file keeps its size; what is free is used again. Cancelled,
        it ends after the transaction under way.
        """
        self._ready()
        loop = self._loop = self._loop or asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not over.done():
                over.set_result(None)

        pruning = Pruning(before, lambda: _call(loop, tell))
        self._flush()
        self._writer.jobs.put(pruning)
        self._prunings.add(over)
        try:
            await over
        finally:
            pruning.stop = True
            self._prunings.discard(over)
        return pruning.runs

    def close(self) -> None:
        """Write what was appended and end the thread. Waits for both. Does not raise: whoever
        waits in `committed` is told."""
        self._flush()
        self._writer.jobs.put(None)
        self._writer.join()
        self._settle()
        if self._failure is None:
            self._end(ClosedError(f"{self.path.name} was closed", "open it again"))

    def _ready(self) -> None:
        if self._failure is not None:
            raise _again(self._failure)
        if os.getpid() != self._process:
            raise ClosedError(
                f"{self.path.name} belongs to the process that this one was forked from",
                "open it in one process only, and after the fork",
            )

    def _soon(self) -> Batch:
        """What is handed to the writer at the end of this turn of the loop."""
        if not self._flushing:
            self._loop = self._loop or asyncio.get_running_loop()
            self._loop.call_soon(self._flush)
            self._flushing = True
        return self._pending

    def _flush(self) -> None:
        if self._flushing:
            self._flushing = False
            batch, self._pending = self._pending, Batch()
            self._writer.jobs.put(batch)

    def _call_settle(self) -> None:
        _call(self._loop, self._settle)

    def _settle(self) -> None:
        """Wake those whose entries are on the disk; if writing failed, the others too."""
        written, failed = self._writer.written, self._writer.failed
        if written > self._durable and self._failure is None:
            try:
                self._files.check()
            except StoreError as lost:
                failed = lost
            else:
                for seq in range(self._durable + 1, written + 1):
                    for waiter in self._waiters.pop(seq, ()):
                        if not waiter.done():
                            waiter.set_result(None)
                self._durable = written
                if self._beginning:
                    self._beginning = {k: s for k, s in self._beginning.items() if s > written}
        if failed is not None and self._failure is None:
            self._end(failed)

    def _end(self, why: StoreError) -> None:
        self._failure = why
        waiters = [waiter for seq in sorted(self._waiters) for waiter in self._waiters[seq]]
        self._waiters.clear()
        for waiter in (*waiters, *self._prunings):
            if not waiter.done():
                waiter.set_exception(_again(why))

    def _call_deliver(self, messages: list[Message]) -> None:
        _call(self._loop, lambda: self._deliver(messages))

    def _deliver(self, messages: list[Message]) -> None:
        for message in messages:
            if self._listener is not None and self._failure is None:
                self._listener(message)


@contextmanager
def open_store(path: Path, *, command: str, now: Ms, wait: float = 0.0) -> Iterator[Store]:
    """Own a journal file for as long as the context lasts; it is made if there is none, in a folder
    that exists. `command`: what this process runs, and `now`: wall time, for the message that
    others get. Waits `wait` seconds for another owner to end.

    Raises `InUseError` (says who owns it), `MissingError`, `ReadOnlyError`, `ForeignFileError`,
    `FormatError`, `DamagedError`, `FullError`; then nothing was changed. Blocks, for some
    milliseconds.
    """
    # The lock must not depend on the name under which the file is known.
    path = Path(os.path.realpath(path))
    connecting.refuse_foreign(path)
    with ExitStack() as held:
        held.enter_context(closing(ownership.lock(path, wait)))
        connection = held.enter_context(closing(connecting.owning(path)))
        with translating(path):
            ownership.write_owner(connection, ownership.this_process(command, now))
            reader = Reader(connecting.reading(path), path)
            held.callback(reader.close)
            store = Store(path, connection, reader, ownership.Files(path))
        held.callback(_leave, connection, os.getpid())
        held.callback(store.close)
        yield store


def _leave(connection: Connection, process: int) -> None:
    # Whatever is wrong was told, and the lock is what counts.
    with suppress(sqlite3.Error):
        if os.getpid() == process:
            ownership.write_owner(connection, None)


def _highest(connection: Connection, kept: str, stored: str) -> int:
    """The highest number ever given: of what is there, or of what was and is deleted."""
    found: int = connection.execute(
        f"SELECT max(coalesce((SELECT {stored}), 0),"
        " coalesce((SELECT value FROM meta WHERE key = ?), 0))",
        (kept,),
    ).fetchone()[0]
    return found


def _call(loop: asyncio.AbstractEventLoop | None, what: Callable[[], object]) -> None:
    if loop is not None:
        with suppress(RuntimeError):  # The loop was closed: nobody waits any more.
            loop.call_soon_threadsafe(what)


def _unicode(text: str | None) -> str | None:
    """Half of a surrogate pair, which JSON may hold, would end the writer."""
    return None if text is None else text.encode(errors="replace").decode()


def _again(failure: StoreError) -> StoreError:
    """A copy: an exception that is raised in many places collects all their tracebacks."""
    copy = type(failure)(*failure.args)
    copy.__cause__ = failure.__cause__
    return copy
