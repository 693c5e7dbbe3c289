"""Many clients with one key: one runs, all hear the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from idempotency.service import Gates, calling, starlette
from idempotency.stores import Backend, Opened, sqlite

CLIENTS = 100


async def _insist(
    client: httpx.AsyncClient, key: str, how: str, path: str
) -> tuple[int, bytes, bool]:
    """Repeat after each 409, as a client does. Status, body, and whether it was replayed."""
    while True:
        answer = await client.post(path, json={"how": how}, headers={"Idempotency-Key": key})
        if answer.status_code != 409:
            replayed = "idempotent-replayed" in answer.headers
            return answer.status_code, answer.content, replayed
        assert answer.headers["retry-after"]
        await asyncio.sleep(0.1)


def at_once(
    url: str, keys: list[str], how: str = "slow", path: str = "/charges"
) -> list[tuple[int, bytes, bool]]:
    async def one(key: str) -> tuple[int, bytes, bool]:
        async with one_of_many(url) as client:
            return await _insist(client, key, how, path)

    async def all_of_them() -> list[tuple[int, bytes, bool]]:
        return await asyncio.gather(*map(one, keys))

    return asyncio.run(all_of_them())


def one_of_many(url: str | httpx.URL) -> httpx.AsyncClient:
    """A client of its own: one for all would look through all its connections for each request."""
    return httpx.AsyncClient(base_url=url, timeout=30, verify=False, trust_env=False)


@pytest.mark.parametrize("path", ["/charges", "/sync-charges"])
def test_of_a_hundred_clients_with_one_key_one_runs(
    opened: Opened, gates: Gates, path: str
) -> None:
    with calling(starlette(opened, gates)) as client:
        answers = at_once(str(client.base_url), ["k"] * CLIENTS, path=path)
    assert opened.effects() == ["charge k"]
    assert len({(status, body) for status, body, _ in answers}) == 1
    assert sorted(replayed for _, _, replayed in answers) == [False] + [True] * (CLIENTS - 1)


@pytest.mark.parametrize("path", ["/charges", "/sync-charges"])
def test_a_hundred_clients_with_a_key_each_all_run(opened: Opened, path: str) -> None:
    keys = [str(n) for n in range(CLIENTS)]
    with calling(starlette(opened)) as client:
        answers = at_once(str(client.base_url), keys, how="", path=path)
    assert {status for status, _, _ in answers} == {201}
    assert sorted(opened.effects()) == sorted(f"charge {key}" for key in keys)


def test_a_hundred_charges_race_a_hundred_refunds(opened: Opened) -> None:
    """Whatever comes first, no charge is in effect that a refund did not see."""

    async def race(url: str) -> list[int]:
        async def charge(n: int) -> int:
            async with one_of_many(url) as client:
                while True:
                    key = {"Idempotency-Key": str(n)}
                    answer = await client.post("/charges", json={}, headers=key)
                    if "in-progress" not in answer.text:
                        return answer.status_code
                    await asyncio.sleep(0.01)

        async def refund(n: int) -> int:
            async with one_of_many(url) as client:
                return (await client.post(f"/charges/{n}/refund")).status_code

        work = [c for n in range(100) for c in ((charge, refund), (refund, charge))[n % 2]]
        return await asyncio.gather(*(call(place // 2) for place, call in enumerate(work)))

    with calling(starlette(opened)) as client:
        assert set(asyncio.run(race(str(client.base_url)))) <= {200, 201, 409}
    effects = opened.effects()
    assert sum(name.startswith("refund") for name in effects) == 100
    if opened.transactional:
        for n in range(100):
            if f"charge {n}" in effects:
                assert effects.index(f"charge {n}") < effects.index(f"refund {n}")


def test_two_processes_worth_of_stores_on_one_file(tmp_path: Path, gates: Gates) -> None:
    """Two stores do not know of each other, as in two processes: SQLite's lock is between them."""
    with sqlite(tmp_path, 5.0) as one:
        from sagalang.idempotency import SQLiteStore

        first = starlette(one, gates)
        other_store = SQLiteStore(tmp_path / "service.db", patience=5.0)
        other = starlette(
            Opened(other_store, other_store, True, one.write, one.write_sync, one.effects), gates
        )
        turn = 0

        async def either(scope: object, receive: object, send: object) -> None:
            nonlocal turn
            turn += 1
            await (first, other)[turn % 2](scope, receive, send)  # type: ignore[arg-type]

        with calling(either) as client:
            answers = at_once(str(client.base_url), ["k"] * 20)
        other_store.close()
        assert one.effects() == ["charge k"]
        assert len({body for _, body, _ in answers}) == 1


def test_few_are_told_to_come_back_when_patience_suffices(backend: Backend, tmp_path: Path) -> None:
    if not backend.transactional:
        pytest.skip("a lease does not wait")
    with backend.open(tmp_path, 10.0) as opened, calling(starlette(opened)) as client:

        async def all_of_them() -> list[int]:
            async def one() -> int:
                async with one_of_many(client.base_url) as other:
                    headers = {"Idempotency-Key": "k"}
                    return (await other.post("/charges", json={}, headers=headers)).status_code

            return await asyncio.gather(*(one() for _ in range(50)))

        assert set(asyncio.run(all_of_them())) == {201}
