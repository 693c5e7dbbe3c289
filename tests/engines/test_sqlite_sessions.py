"""How long sessions of the sqlite engine live, and what their file knows of them meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engines.definitions import defined
from engines.loaded import TEXT, Ledger, engine
from engines.stores import new, opened
from sagalang.machine.events import Compensated, Completed
from sagalang.runtime import journal
from sagalang.runtime.sqlite import RunExistsError, writer

ARGS = {fails: json.dumps({"name": "n", "fails": fails}) for fails in (False, True)}


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(("fails", "end"), [(False, Completed), (True, Compensated)])
def test_a_run_that_ended_is_freed_at_once(folder: Path, how: str, fails: bool, end: type) -> None:
    """Not when cycles are looked for: under load that took a third of the time."""
    definition = defined(TEXT, how)

    async def main() -> None:
        with engine(folder / "journal.db", definition, Ledger(folder / "ledger")) as found:

            async def run(saga_id: str) -> list[weakref.ref[Any]]:
                running = definition.begin(found, saga_id, ARGS[fails])
                assert isinstance((await running.result()).outcome, end)
                return [weakref.ref(running), weakref.ref(running.session)]

            await run("before")
            with no_collector():
                watched = await run("o")
                await asyncio.sleep(0)
                assert [each() for each in watched] == [None, None]

    asyncio.run(main())


def test_a_run_that_was_left_before_it_was_on_the_disk_goes_on(
    folder: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = defined(TEXT, how)
    writing, disk = writer.write, threading.Event()

    def write(connection: Any, batch: Any) -> None:
        assert disk.wait(60)
        writing(connection, batch)

    monkeypatch.setattr(writer, "write", write)

    async def main() -> None:
        with engine(folder / "journal.db", definition, Ledger(folder / "ledger")) as found:
            left = asyncio.ensure_future(definition.begin(found, "o", ARGS[False]).result())
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.wait([left])
            assert left.cancelled()
            del left
            assert found.store.reader.run("o") is None
            again = definition.begin(found, "o", ARGS[False])
            disk.set()
            assert isinstance((await again.result()).outcome, Completed)
            entries = found.history(found.store.reader.run("o"))
            assert sum(isinstance(entry, journal.SagaStarted) for entry in entries) == 1

    asyncio.run(main())


def test_two_who_looked_for_a_run_that_was_not_there_do_not_both_begin_it(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            assert store.run("o") is None
            assert store.run("o") is None
            _, seq = store.begin(new("o"), b"")
            with pytest.raises(RunExistsError):
                store.begin(new("o"), b"")
            await store.committed(seq)
            with pytest.raises(RunExistsError):
                store.begin(new("o"), b"")

    asyncio.run(main())


def test_who_looks_while_a_run_is_on_its_way_to_the_disk_cannot_begin_it_after(path: Path) -> None:
    async def main() -> None:
        with opened(path) as store:
            _, seq = store.begin(new("o"), b"")
            assert store.run("o") is None
            await store.committed(seq)
            with pytest.raises(RunExistsError):
                store.begin(new("o"), b"")

    asyncio.run(main())
