"""The book of a journal file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from sagalang.host.book import Filter, Numbered, Pruned, RunInfo, Sent
from sagalang.model.program import Ms
from sagalang.runtime.sqlite import Message, Reader, Run

if TYPE_CHECKING:
    from sagalang.runtime.sqlite_history import Decoder


class SqliteBook:
    """A `Book`. `reader`: of the file at `path`; the owner of the file gives that of its store."""

    def __init__(self, reader: Reader, path: Path) -> None:
        self._reader, self._path = reader, path
        self._on_fakes: dict[str, bool] = {}

    def runs(self, wanted: Filter = Filter()) -> list[RunInfo]:  # noqa: B008 - it is frozen
        found = self._reader.runs(
            state=wanted.states,
            saga=wanted.saga,
            since=wanted.since,
            limit=wanted.limit,
            nested=wanted.children,
        )
        return [self._info(run) for run in found]

    def run(self, run_id: str) -> RunInfo | None:
        found = self._reader.run(run_id)
        return None if found is None else self._info(found)

    def children(self, run_id: str) -> list[RunInfo]:
        found = self._reader.run(run_id)
        return (
            []
            if found is None
            else [self._info(run) for run in self._reader.children(found.number)]
        )

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
        found = [
            (message, run.saga)
            for run in self._family(run_id)
            for message in self._reader.messages(run.number)
        ]
        return [_sent(*each) for each in sorted(found, key=lambda each: each[0].number)]

    def owner(self) -> str | None:
        found = self._reader.present_owner()
        return None if found is None else str(found)

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

    def _info(self, run: Run) -> RunInfo:
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
            self._fakes(run.definition),
        )

    def _fakes(self, definition: str) -> bool:
        found = self._on_fakes.get(definition)
        if found is None:
            found = self._on_fakes[definition] = _says_fakes(self._reader.definition(definition))
        return found


class _Services(Struct):
    """What `definitions.Text` says of services."""

    fakes: bool = False


def _says_fakes(text: str | None) -> bool:
    """That of a compiled saga says nothing."""
    try:
        return msgspec.json.decode(text or "{}", type=_Services).fakes
    except msgspec.DecodeError:
        return False


def _sent(message: Message, saga: str) -> Sent:
    return Sent(
        message.run_id,
        message.kind,
        message.event,
        message.at,
        message.taken is not None,
        message.refused,
        _about(message, saga),
    )


def _about(message: Message, saga: str) -> str | None:
    from sagalang.runtime.entry_codec import EntryError
    from sagalang.runtime.entry_outline import Outline
    from sagalang.runtime.journal import EventAccepted, Settlement

    if message.kind == "cancel":
        return None
    try:
        entry = Outline().decode(saga, message.run_id, message.body)
    except EntryError:
        return None
    match entry:
        case EventAccepted(event=event):
            return event
        case Settlement(place=place):
            return str(place)
    return None
