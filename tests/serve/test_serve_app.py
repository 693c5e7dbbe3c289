"""The application in this process, as another program would have it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from served import CARD, SAGAS, order, problem

from sagalang.host.definitions import Definition
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.transport import Transport
from sagalang.serve.app import application
from sagalang.serve.guard import Rules
from sagalang.serve.state import Serving, serving
from sagalang.workspace import load

Use = Callable[[httpx.AsyncClient, Serving], Awaitable[None]]


@asynccontextmanager
async def fakes(definition: Definition) -> AsyncIterator[Transport]:
    world = FakeWorld(definition.program, values=definition.values)
    yield FakeTransport(world, SystemClock())


def in_process(folder: Path, use: Use) -> None:
    async def used() -> None:
        opened = serving(
            folder / "journal.db",
            [load(str(SAGAS))],
            fakes,
            Rules(loopback=True),
            command="a test",
            fakes=True,
        )
        async with opened as state:
            transport = httpx.ASGITransport(application(state))
            client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
            async with client, asyncio.timeout(60):
                await use(client, state)

    asyncio.run(used())


def test_it_runs_without_a_socket(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, _: Serving) -> None:
        assert (await client.post("/sagas/Pay/runs", json=order("o-1"))).status_code == 201
        told = await client.get("/runs/o-1/events")
        assert told.text.count('"entry":"saga finished"') == 1
        assert (await client.get("/runs/o-1")).json()["state"] == "completed"

    in_process(tmp_path, use)


def test_two_requests_at_once_start_one_run(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, _: Serving) -> None:
        asked = [client.post("/sagas/Pay/runs", json=order("o-1")) for _ in range(20)]
        statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert sorted(statuses) == [200] * 19 + [201]
        told = (await client.get("/runs/o-1/events")).text
        assert told.count('"entry":"saga started"') == 1

    in_process(tmp_path, use)


def test_nothing_is_answered_for_that_is_not_on_the_disk(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, _: Serving) -> None:
        other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # nothing can be committed
        asked = asyncio.create_task(client.post("/sagas/Pay/runs", json=order("o-1")))
        await asyncio.wait({asked}, timeout=0.5)
        assert not asked.done()
        other.execute("ROLLBACK")
        other.close()
        assert (await asked).status_code == 201

    in_process(tmp_path, use)


def test_a_mistake_of_ours_is_told_by_its_place_and_not_by_its_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(client: httpx.AsyncClient, state: Serving) -> None:
        def mistaken(*_: object) -> None:
            raise KeyError(CARD)

        monkeypatch.setattr(state.host.store.reader, "run", mistaken)
        answer = await client.post("/sagas/Pay/runs", json=order("o-1"))
        assert CARD not in problem(answer, 500, "mistake")

    with caplog.at_level(logging.ERROR):
        in_process(tmp_path, use)
    assert "KeyError in " in caplog.text
    assert CARD not in caplog.text


def test_a_journal_that_is_lost_is_told(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, _: Serving) -> None:
        assert (await client.get("/healthz")).is_success
        (tmp_path / "journal.db").rename(tmp_path / "elsewhere.db")
        lost = await client.post("/sagas/Pay/runs", json=order("o-1"))
        assert "was deleted, moved or replaced" in problem(lost, 503, "unavailable")
        assert "was deleted" in problem(await client.get("/healthz"), 503, "unavailable")

    in_process(tmp_path, use)
