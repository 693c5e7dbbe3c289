"""Clients that go away, requests that stall, runs that nobody finished."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from idempotency.service import CHARGE, Gates, calling, kind, post, starlette
from idempotency.stores import Opened, sqlite
from sagalang.idempotency.core import Id, Record, State, fingerprint

HOLD = {"how": "hold"}


def sent(client: httpx.Client, text: str) -> socket.socket:
    where = urlsplit(str(client.base_url))
    assert where.hostname
    connection = socket.create_connection((where.hostname, where.port or 80))
    connection.sendall(text.replace("\n", "\r\n").encode())
    return connection


def request(path: str, body: str, length: int | None = None, key: str = "") -> str:
    named = f"Idempotency-Key: {key}\n" if key else ""
    return (
        f"POST {path} HTTP/1.1\nHost: test\nContent-Type: application/json\n{named}"
        f"Content-Length: {length or len(body)}\n\n{body}"
    )


def until_answered(client: httpx.Client, body: object) -> httpx.Response:
    while (answer := post(client, "k", body)).status_code == 409:
        time.sleep(0.01)
    return answer


def test_a_client_that_goes_away_finds_its_answer(
    client: httpx.Client, opened: Opened, gates: Gates
) -> None:
    with sent(client, request("/charges", json.dumps(HOLD), key="k")):
        assert gates.entered.wait(5)
    time.sleep(0.05)  # the server has noticed
    gates.go.set()
    answer = until_answered(client, HOLD)
    assert answer.status_code == 201
    assert answer.headers["idempotent-replayed"] == "true"
    assert opened.effects() == ["charge k"]


def outer_timeout(app: Any, seconds: float) -> Any:
    async def within(scope: Any, receive: Any, send: Any) -> None:
        try:
            async with asyncio.timeout(seconds):
                await app(scope, receive, send)
        except TimeoutError:
            await send({"type": "http.response.start", "status": 504, "headers": []})
            await send({"type": "http.response.body"})

    return within


def test_a_cancelled_request_is_finished_all_the_same(opened: Opened, gates: Gates) -> None:
    with calling(outer_timeout(starlette(opened, gates), 0.2)) as client:
        assert post(client, "k", HOLD).status_code == 504
        gates.go.set()
        answer = until_answered(client, HOLD)
    assert answer.headers["idempotent-replayed"] == "true"
    assert opened.effects() == ["charge k"]


def test_a_cancelled_request_without_a_key_is_undone(opened: Opened, gates: Gates) -> None:
    if not opened.transactional:
        pytest.skip("on a lease the fence stands at once")
    with calling(outer_timeout(starlette(opened, gates), 0.2)) as client:
        held = client.post("/charges/k/refund", params={"how": "hold"})
        assert held.status_code == 504
        assert post(client, "k").status_code == 201
    assert opened.effects() == ["charge k"]


@pytest.mark.parametrize(("path", "key"), [("/charges", "slow"), ("/charges/x/refund", "")])
def test_a_request_that_still_arrives_holds_no_lock(
    client: httpx.Client, opened: Opened, path: str, key: str
) -> None:
    with sent(client, request(path, '{"amount": ', 13, key)) as slow:
        time.sleep(0.1)
        assert post(client, "k").status_code == 201
        assert opened.effects() == ["charge k"] if opened.transactional else True
        slow.sendall(b"1}")
        assert slow.recv(100).startswith(b"HTTP/1.1 20")


def test_a_request_that_breaks_off_does_not_use_up_its_key(
    client: httpx.Client, opened: Opened
) -> None:
    sent(client, request("/charges", '{"amount": ', 100, "k")).close()
    time.sleep(0.05)
    assert "idempotent-replayed" not in post(client, "k").headers
    assert opened.effects() == ["charge k"]


def left_behind(opened: Opened, lease_until: int, body: object) -> None:
    """The record of a run whose process died."""
    content = json.dumps(body).encode()
    print_ = fingerprint("POST", "/charges", "", "application/json", content)
    now = time.time_ns() // 1_000_000
    record = Record(
        State.IN_PROGRESS, now - 60_000, now + 600_000, print_, "a dead run", lease_until
    )
    assert opened.wsgi.swap(Id("", CHARGE, "k"), None, record)


@pytest.fixture
def on_lease(opened: Opened) -> Opened:
    if opened.transactional:
        pytest.skip("a transaction leaves nothing behind")
    return opened


def test_the_outcome_of_a_run_that_broke_off_is_unknown(on_lease: Opened) -> None:
    now = time.time_ns() // 1_000_000
    left_behind(on_lease, now + 300, {})
    with calling(starlette(on_lease)) as client:
        assert kind(post(client, "k", {})) == "in-progress"
        time.sleep(0.35)
        for _ in range(2):
            unknown = post(client, "k", {})
            assert (unknown.status_code, kind(unknown)) == (500, "outcome-unknown")
    assert on_lease.effects() == []


def test_a_run_that_broke_off_runs_again_where_it_may(on_lease: Opened) -> None:
    left_behind(on_lease, 0, {})
    with calling(starlette(on_lease, rerun={CHARGE})) as client:
        assert post(client, "k", {}).status_code == 201
        assert post(client, "k", {}).headers["idempotent-replayed"] == "true"
    assert on_lease.effects() == ["charge k"]


def test_a_long_run_keeps_its_lease(on_lease: Opened, gates: Gates) -> None:
    app = starlette(on_lease, gates, lease=0.15)
    with calling(app) as client, ThreadPoolExecutor() as pool:
        first = pool.submit(post, client, "k", HOLD)
        assert gates.entered.wait(5)
        time.sleep(0.5)
        assert kind(post(client, "k", HOLD)) == "in-progress"
        gates.go.set()
        assert first.result().status_code == 201


def test_a_run_whose_record_was_taken_over_does_not_overrule_it(
    on_lease: Opened, gates: Gates
) -> None:
    with calling(starlette(on_lease, gates)) as client, ThreadPoolExecutor() as pool:
        first = pool.submit(post, client, "k", HOLD)
        assert gates.entered.wait(5)
        identity = Id("", CHARGE, "k")
        mine = on_lease.wsgi.read(identity)
        now = time.time_ns() // 1_000_000
        other = Record(
            State.IN_PROGRESS, now, now + 60_000, mine.fingerprint, "other", now + 30_000
        )
        assert on_lease.wsgi.swap(identity, mine, other)
        gates.go.set()
        assert kind(first.result()) == "in-progress"
        assert on_lease.wsgi.read(identity) == other


SERVICE = """
import sys, threading
from pathlib import Path
import uvicorn
from idempotency import service, stores
gates = service.Gates()
threading.Thread(target=lambda: (gates.entered.wait(), print("holding", flush=True))).start()
with stores.sqlite(Path(sys.argv[1]), 5.0) as opened:
    config = uvicorn.Config(service.starlette(opened, gates), port=0, lifespan="off")
    uvicorn.Server(config).run()
"""


def test_a_process_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVICE, str(tmp_path)]
    where = Path(__file__).parents[1]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=where, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        assert process.stderr
        line = next(line for line in process.stderr if "running on" in line)
        url = line.split("running on ")[1].split()[0]
        with (
            httpx.Client(base_url=url, verify=False) as client,
            sent(client, request("/charges", json.dumps(HOLD), key="k")),
        ):
            assert process.stdout.readline() == "holding\n"  # its write made, not committed
            process.send_signal(signal.SIGKILL)
            process.wait()
    with sqlite(tmp_path, 5.0) as opened, calling(starlette(opened)) as client:
        assert opened.effects() == []
        assert post(client, "k", {"amount": 7}).status_code == 201
        assert opened.effects() == ["charge k"]
