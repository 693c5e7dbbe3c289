"""The book of a journal file."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sagalang.host.book import Filter, Numbered, Pruned, RunInfo, Sent
from sagalang.model.program import Ms
from sagalang.runtime.sqlite import Message, Owner, Reader, Run

if TYPE_CHECKING:
    from sagalang.runtime.sqlite_history import Decoder


class SqliteBook:
    """A `Book`. `reader`: of the file at `path`; the owner of the file gives that of its store."""

    def __init__(self, reader: Reader, path: Path) -> None:
        self._reader, self._path = reader, path

    def runs(self, wanted: Filter = Filter()) -> list[RunInfo]:  # noqa: B008 - it is frozen
        found = self._reader.runs(
            state=wanted.states,
            saga=wanted.saga,
            since=wanted.since,
            limit=wanted.limit,
            nested=wanted.children,
        )
        return [_info(run) for run in found]

    def run(self, run_id: str) -> RunInfo | None:
        found = self._reader.run(run_id)
        return None if found is None else _info(found)

    def children(self, run_id: str) -> list[RunInfo]:
        found = self._reader.run(run_id)
        return [] if found is None else [_info(run) for run in self._reader.children(found.number)]

    def ids(self, prefix: str, limit: int) -> list[str]:
        return self._reader.ids(prefix, limit)

    def history(
        self, run_id: str, *, after: int = 0, decoder: Decoder | None = None
    ) -> list[Numbered]:
        from sagalang.runtime.entry_outline import Outline

        decode = (decoder or Outline()).decode
        return sorted(
            Numbered(seq, decode(run.saga, run.id, body))
            for run in self._family(run_id)
            for seq, body in self._reader.entries(run.number, after=after)
        )

    def definition(self, hashed: str) -> str | None:
        return self._reader.definition(hashed)

    def messages(self, run_id: str) -> list[Sent]:
        found = [m for run in self._family(run_id) for m in self._reader.messages(run.number)]
        return [_sent(message) for message in sorted(found, key=lambda each: each.number)]

    def owner(self) -> str | None:
        found = self._reader.owner()
        return None if found is None or _dead(found) else str(found)

    def old(self, before: Ms) -> int:
        return self._reader.old(before)

    def prune(self, before: Ms) -> Pruned:
        from sagalang.runtime.sqlite import open_store

        async def pruned() -> int:
            now = time.time_ns() // 1_000_000
            with open_store(self._path, command="saga prune", now=now) as store:
                return await store.prune(before)

        free = self._reader.free()
        runs = asyncio.run(pruned())
        return Pruned(runs, max(0, self._reader.free() - free))

    def _family(self, run_id: str) -> Iterator[Run]:
        """A run and its child sagas, at any depth."""
        found = self._reader.run(run_id)
        left = [] if found is None else [found]
        while left:
            run = left.pop()
            yield run
            left += self._reader.children(run.number)


def _info(run: Run) -> RunInfo:
    return RunInfo(
        run.id,
        run.saga,
        run.state,
        run.parent,
        run.definition,
        run.began,
        run.changed,
        run.ended,
        run.error,
    )


def _sent(message: Message) -> Sent:
    taken = message.taken is not None
    return Sent(message.run_id, message.kind, message.event, message.at, taken, message.refused)


def _dead(owner: Owner) -> bool:
    """Whether the owner was killed; who runs on another machine is believed."""
    if owner.host != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(owner.pid, 0)  # tells whether there is such a process, and does nothing to it
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
