"""The `sqlite` engine as the conformance suite sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from engines.definitions import Definition
from engines.simulated_disk import Disk, simulated
from sagalang.runtime import journal
from sagalang.runtime.clock import Clock
from sagalang.runtime.engine import Engine
from sagalang.runtime.entry_codec import EntryCodec
from sagalang.runtime.run_input import RunInput
from sagalang.runtime.sqlite import Reader, Store, open_store, reading, writer
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.sqlite_engine import SqliteEngine, Stored
from sagalang.runtime.transport import Transport

T = TypeVar("T")
Write = Callable[..., None]


class SqliteUnderTest:
    """A process owns the file; what it appended since the last commit dies with it."""

    durable: ClassVar[bool] = True
    quick: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.db"
        self._codec: Any = None
        self._process = ExitStack()
        self._store: Store | None = None

    def live(self, main: Callable[[Clock], Awaitable[T]], start: int) -> T:
        self._disk = Disk(self.quick, writer.write)
        patch = self._process.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(writer, "write", self._disk.write)
        return simulated(self._disk, main, start)

    def open(self, definition: Definition, clock: Clock, transport: Transport) -> Engine:
        sealing = self.sealing()
        self._codec = EntryCodec(definition.types, sealing.seal, sealing.open)
        own = open_store(self.path, command="test", now=clock.now())
        self._store = self._process.enter_context(own)
        self._disk.serve(self._store)
        stored = Stored(definition.hash, definition.text, self._codec, RunInput(definition.types))
        engine: Any = SqliteEngine(self._store, stored, clock, transport, lambda: 0.5)
        return engine

    def sealing(self) -> Any:
        return Sealing(self.path, {})

    def kill(self) -> None:
        self._disk.cut()

    def close(self) -> None:
        self._disk.at_rest()
        self._store = None
        self._process.close()

    def again(self) -> None:
        with open_store(self.path, command="test", now=0):
            pass

    def list(self) -> Sequence[str]:
        return self._read(lambda reader: [run.id for run in reader.runs(limit=None)])

    def inspect(self, saga_id: str) -> Sequence[journal.Entry]:
        def entries(reader: Reader) -> list[journal.Entry]:
            run = reader.run(saga_id)
            if run is None:
                return []
            found = reader.entries(run.number)
            return [self._codec.decode(run.saga, saga_id, body) for _, body in found]

        return self._read(entries)

    def octets(self) -> bytes:
        parts = [self.path, self.path.with_name("journal.db-wal")]
        return b"".join(part.read_bytes() for part in parts if part.exists())

    def _read(self, what: Callable[[Reader], T]) -> T:
        if self._store is not None:
            return what(self._store.reader)
        if not self.path.exists():
            return what(NOTHING)
        with reading(self.path) as reader:
            return what(reader)


class SqliteOnAQuickDisk(SqliteUnderTest):
    """Each turn of the loop is committed before the next."""

    quick: ClassVar[bool] = True


class _Nothing:
    def runs(self, **_: Any) -> list[Any]:
        return []

    def run(self, _: str) -> None:
        return None


NOTHING: Any = _Nothing()
