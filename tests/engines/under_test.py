"""What the conformance suite asks of an engine; a new one joins by a class in `conftest.ENGINES`.

The suite is `test_conformance_*.py`. It begins processes, one after the other, and cuts them off at
every moment; the class says what a process of its engine is, and what it leaves behind. The world
around is `lives`, the sagas are `definitions`: neither knows which engine it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from engines.definitions import Definition
from sagalang.runtime import journal
from sagalang.runtime.clock import Clock, simulated
from sagalang.runtime.engine import Engine, MemoryEngine
from sagalang.runtime.transport import Transport

T = TypeVar("T")


class EngineUnderTest(Protocol):
    """Where runs are kept, and the process that has them; one lives at a time."""

    def __init__(self, folder: Path) -> None:
        """`folder`: empty, and its own."""

    durable: ClassVar[bool]
    """Whether it writes anything down: then secrets are sealed there, the definition is kept with a
    run, and a second process is kept out or takes part."""

    def live(self, main: Callable[[Clock], Awaitable[T]], start: int) -> T:
        """Run this as the main function of a process; in simulated time from `start` on, if the
        engine can be brought to that, else in real time."""
        ...

    def open(self, definition: Definition, clock: Clock, transport: Transport) -> Engine:
        """The engine of a process that begins, over what is on record; called inside of `live`."""
        ...

    def kill(self) -> None:
        """The process dies, here and now; called inside of `live`. What it recorded and was not
        told to be committed is lost, as far as the engine may lose it."""
        ...

    def close(self) -> None:
        """The process is over, in order if it was not killed."""
        ...

    def again(self) -> None:
        """A second process tries to use the place while the first lives. Raises what it is told."""
        ...

    def list(self) -> Sequence[str]:
        """The ids of the runs on record."""
        ...

    def inspect(self, saga_id: str) -> Sequence[journal.Entry]:
        """What is on record of a run (not of its child sagas) for whoever looks now: what is not
        committed is not there."""
        ...

    def octets(self) -> bytes:
        """All that it wrote down, as it stands there."""
        ...


class Bench:
    """Makes places of one engine, each with nothing on record."""

    def __init__(self, engine: type[EngineUnderTest], folder: Path) -> None:
        self.durable = engine.durable
        self._engine, self._folder, self._made = engine, folder, 0

    def fresh(self) -> EngineUnderTest:
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        return self._engine(folder)


class MemoryUnderTest:
    """Nothing survives: what a process recorded is handed to the next."""

    durable: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        self._found: Sequence[journal.Entry] = ()

    def live(self, main: Callable[[Clock], Awaitable[T]], start: int) -> T:
        return simulated(main, start=start)

    def open(self, definition: Definition, clock: Clock, transport: Transport) -> Engine:
        engine: Any = MemoryEngine(clock, transport, lambda: 0.5, found=self._found)
        self._found = engine.journal
        return engine

    def kill(self) -> None:
        """What is on record stays."""
        self._found = tuple(self._found)

    def close(self) -> None:
        self._found = tuple(self._found)

    def again(self) -> None:
        """There is no way to what another process has in memory."""

    def list(self) -> Sequence[str]:
        return tuple(dict.fromkeys(entry.saga_id for entry in self._found))

    def inspect(self, saga_id: str) -> Sequence[journal.Entry]:
        return [entry for entry in self._found if entry.saga_id == saga_id]

    def octets(self) -> bytes:
        return b""
