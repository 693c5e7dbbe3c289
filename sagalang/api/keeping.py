"""Where runs are kept: in a journal file that survives the process, or in its memory."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from msgspec.structs import replace

from sagalang.host.definitions import Definition
from sagalang.host.handle import Handle
from sagalang.host.host import Host
from sagalang.interpret.run import RunResult, begin
from sagalang.machine.frozen import freeze
from sagalang.model.program import Ms
from sagalang.runtime import journal as j
from sagalang.runtime import words
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.earlier import Earlier
from sagalang.runtime.engine import Engine, MemoryEngine, NoSuchRunError, Observer, OtherInputError
from sagalang.runtime.observers import observers
from sagalang.runtime.sqlite import Run as Row
from sagalang.runtime.sqlite import State
from sagalang.runtime.transport import Transport

logger: Final = logging.getLogger("sagalang.api")


class Runs(Protocol):
    """The runs that are on record, and those that are being run here (`handles`). `Host` says what
    its methods mean and raise."""

    handles: dict[str, Handle]

    async def start(
        self, definition: Definition, saga: str, args: Mapping[str, Any], saga_id: str
    ) -> Handle: ...

    async def resume(self, saga_id: str) -> Handle: ...

    async def engine(self, row: Row) -> Engine:
        """What takes in events for this run, also while it is not under way."""
        ...

    def wake(self, handle: Handle) -> None:
        """Let a run that was given something go on."""
        ...

    async def committed(self) -> None:
        """Return when all that was recorded so far will be there after a crash."""
        ...

    def unfinished(self) -> list[Row]: ...

    def find(self, saga_id: str) -> Row | None: ...

    def listed(
        self,
        states: Collection[State],
        saga: str | None,
        since: Ms | None,
        limit: int | None,
        children: bool,
    ) -> list[Row]:
        """The last to begin first; with child sagas, or without."""
        ...

    def root(self, row: Row) -> Row: ...

    def definition(self, row: Row) -> Definition: ...

    def journal(self, saga_id: str) -> Sequence[j.Entry]:
        """What is on record of a run and its child sagas, in order."""
        ...

    def last(self, row: Row) -> Sequence[j.Entry]:
        """What is on record of a run that is over, from its end on."""
        ...


class FileRuns(Host):
    """Those of a journal file, which this process owns."""

    def know(self, definition: Definition) -> None:
        """A definition that needs not be read from the file."""
        self._definitions.setdefault(definition.hash, definition)

    async def engine(self, row: Row) -> Engine:
        return await self._engine(self.definition(row), over=False)

    def wake(self, handle: Handle) -> None:
        self._go(handle)

    async def committed(self) -> None:
        await self.store.committed(self.store.last)

    def find(self, saga_id: str) -> Row | None:
        return self.store.reader.run(saga_id)

    def listed(
        self,
        states: Collection[State],
        saga: str | None,
        since: Ms | None,
        limit: int | None,
        children: bool,
    ) -> list[Row]:
        return self.store.reader.runs(
            state=states, saga=saga, since=since, limit=limit, nested=children
        )

    def last(self, row: Row) -> Sequence[j.Entry]:
        codec = self.definition(row).stored.codec
        for _, body in reversed(self.store.reader.entries(row.number)):
            entry = codec.decode(row.saga, row.id, body)
            if isinstance(entry, j.SagaFinished):
                return [entry]
        return []


class MemoryRuns:
    """Those of this process, kept until its end."""

    def __init__(
        self,
        definition: Definition,
        transport: Transport,
        observer: Observer,
        earlier: Earlier | None,
    ) -> None:
        self.handles: dict[str, Handle] = {}
        self._definition = definition
        self._rows: dict[str, Row] = {}
        self._parents: dict[str, str] = {}
        """Of child sagas."""
        self._journals: dict[str, list[j.Entry]] = {}
        """Of each run and its child sagas."""
        told = observers(self._keep, observer)
        if earlier is not None:
            told = earlier.guarded(told)
        draw = random.SystemRandom().random
        self._engine = MemoryEngine(SystemClock(), transport, draw, told)

    async def start(
        self, definition: Definition, saga: str, args: Mapping[str, Any], saga_id: str
    ) -> Handle:
        handle = self.handles.get(saga_id)
        if handle is None:
            run = begin(
                definition.program,
                saga,
                args,
                engine=self._engine,
                saga_id=saga_id,
                values=definition.values,
            )
            handle = Handle(run, definition, None, lambda: self.journal(saga_id))
            self.handles[saga_id] = handle
            handle.go()
            handle.when_done(partial(_say_if_stopped, handle))
        elif handle.run.definition.saga.name != saga or handle.run.args != freeze(dict(args)):
            raise OtherInputError(f"{saga_id} is on record, with other input")
        return handle

    async def resume(self, saga_id: str) -> Handle:
        row = self.find(saga_id)
        if row is None:
            raise NoSuchRunError(f"there is no run {saga_id}")
        return self.handles[self.root(row).id]

    async def engine(self, row: Row) -> Engine:
        return self._engine

    def wake(self, handle: Handle) -> None:
        handle.go()

    async def committed(self) -> None:
        """Nothing is, ever."""

    def unfinished(self) -> list[Row]:
        return []

    def find(self, saga_id: str) -> Row | None:
        return self._rows.get(saga_id)

    def listed(
        self,
        states: Collection[State],
        saga: str | None,
        since: Ms | None,
        limit: int | None,
        children: bool,
    ) -> list[Row]:
        found = [
            row
            for row in reversed(self._rows.values())
            if row.state in states
            and (saga is None or row.saga == saga)
            and (since is None or row.began >= since)
            and (children or row.parent is None)
        ]
        return found[:limit]

    def root(self, row: Row) -> Row:
        return self._rows[self._root(row.id)]

    def definition(self, row: Row) -> Definition:
        return self._definition

    def journal(self, saga_id: str) -> Sequence[j.Entry]:
        return self._journals.get(self._root(saga_id), ())

    def last(self, row: Row) -> Sequence[j.Entry]:
        return self.journal(row.id)

    def left(self) -> list[str]:
        """The ids of the runs that are under way, and end with this process."""
        return [id_ for id_, handle in self.handles.items() if not handle.over]

    async def stop(self) -> None:
        for handle in self.handles.values():
            await handle.stop()

    def _root(self, saga_id: str) -> str:
        while (above := self._parents.get(saga_id)) is not None:
            saga_id = above
        return saga_id

    def _keep(self, entry: j.Entry) -> None:
        saga_id = entry.saga_id
        self._journals.setdefault(self._root(saga_id), []).append(entry)
        match entry:
            case j.SagaStarted(at=at, saga=saga) if saga_id not in self._rows:
                number, parent = len(self._rows) + 1, self._parents.get(saga_id)
                self._rows[saga_id] = Row(
                    number, saga_id, saga, parent, "", State.RUNNING, at, at, None, None
                )
            case j.ChildStarted(child_id=child):
                self._parents[child] = saga_id
            case j.SagaFinished(at=at, kind=kind, error=error):
                state = State(kind)
                ended = None if state is State.ESCALATED else at
                self._change(saga_id, state=state, changed=at, ended=ended, error=error)
            case j.Intent(at=at) | j.AbortBegan(at=at):
                if self._rows[saga_id].state is not State.RUNNING:
                    # It was settled, or its parent undoes it.
                    self._change(saga_id, state=State.RUNNING, changed=at, ended=None, error=None)
            case _:
                pass

    def _change(self, saga_id: str, **changes: Any) -> None:
        self._rows[saga_id] = replace(self._rows[saga_id], **changes)


def _say_if_stopped(handle: Handle, task: asyncio.Task[RunResult]) -> None:
    if not task.cancelled() and (problem := task.exception()) and not handle.awaited:
        logger.error("%s stopped: %s", words.printable(handle.saga_id), problem)
