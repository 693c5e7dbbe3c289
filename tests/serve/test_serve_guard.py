"""Who may ask, how much, and how slowly: on real sockets."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import warm
from served import PATIENCE, SAGAS, Bank, Server, order, problem
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from sagalang.serve import server as listening
from sagalang.serve.guard import Guard, Rules, is_loopback
from sagalang.serve.problems import Problem
from sagalang.serve.server import LARGEST_HEAD

TOKEN = "a-token-that-nobody-guesses"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_with_a_token_nothing_but_its_health_is_told_without_it(
    tmp_path: Path, own_bank: Bank
) -> None:
    with Server(tmp_path, own_bank, token=TOKEN) as server:
        assert server.get("/runs").is_success
        assert server.start("Pay", order("o-1")).status_code == 201
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as stranger:
            for path in ("/runs", "/runs/o-1", "/metrics", "/openapi.json", "/nothing"):
                answer = stranger.get(path)
                problem(answer, 401, "unauthorized")
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            for wrong in ("Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xfc"):
                headers = {"Authorization": wrong.encode("latin-1")}
                assert stranger.get("/runs", headers=headers).status_code == 401  # type: ignore[arg-type]
            twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")]
            assert stranger.get("/runs", headers=twice).status_code == 401
            assert stranger.post("/sagas/Pay/runs", json=order("o-2")).status_code == 401
            assert stranger.get("/healthz").is_success
        assert server.get("/runs/o-2").status_code == 404
        assert "token" in server.get("/openapi.json").json()["components"]["securitySchemes"]


@pytest.mark.parametrize(
    ("options", "env", "told"),
    [
        (["--host", "0.0.0.0"], {}, "can be reached from other machines, and there is no token"),
        (["--host", "::"], {}, "can be reached from other machines"),
        (["--token-env", "MY_TOKEN"], {}, "MY_TOKEN is not set"),
        ([], {"SAGA_TOKEN": "short"}, "it needs 16 or more characters"),
        ([], {"SAGA_TOKEN": ""}, "it needs 16 or more characters"),
        (["--host", "192.0.2.1"], {"SAGA_TOKEN": TOKEN}, "cannot listen on 192.0.2.1"),
        (["--host", "no such host"], {"SAGA_TOKEN": TOKEN}, "cannot listen on no such host"),
        ([str(SAGAS.with_name("nothing.saga"))], {}, "nothing is served"),
    ],
)
def test_it_refuses_to_start_and_says_why(
    tmp_path: Path, options: list[str], env: dict[str, str], told: str
) -> None:
    where = ("--db", tmp_path / "journal.db", "--port", "0")
    ended = warm.run("saga", "serve", SAGAS, *where, *options, env=env)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert told in ended.stderr
    assert env.get("SAGA_TOKEN", "none") not in ended.stderr or not env.get("SAGA_TOKEN")
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_and_sagas_of_one_name_are_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = warm.run("saga", "serve", SAGAS, "--mock", "--port", port)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in ended.stderr
    other = tmp_path / "other.saga"
    other.write_text(SAGAS.read_text().replace("money", "cash"))
    ended = warm.run("saga", "serve", SAGAS, other, "--mock", "--port", "0")
    assert ended.returncode == 2
    assert "both have a saga `Pay`" in ended.stderr


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": "10.0.0.1:80"},
        {"Host": "[::1"},
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_are_refused(server: Server, headers: dict[str, str]) -> None:
    for answer in (
        server.client.get("/runs", headers=headers),
        server.client.post("/runs/o-1/cancel", headers=headers),
        server.client.post("/sagas/Pay/runs", json=order("foreign"), headers=headers),
    ):
        problem(answer, 403, "foreign")
    assert server.get("/runs/foreign").status_code == 404


def test_pages_of_its_own_and_programs_are_not(server: Server) -> None:
    port = urlsplit(server.url).port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "localhost"):
        own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert server.client.get("/runs", headers=own).is_success


def test_what_is_no_json_is_refused(server: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = server.client.post(
            "/sagas/Pay/runs", content=b'{"id": "form"}', headers={"Content-Type": kind}
        )
        problem(answer, 415, "not-json")
    nothing = server.client.post("/sagas/Pay/runs", headers={"Content-Type": "application/json"})
    problem(nothing, 422, "misfit")


def test_a_body_that_is_too_large_is_refused_however_it_comes(server: Server) -> None:
    headers = {"Content-Type": "application/json"}
    large = b'"' + b"x" * 1024 * 1024 + b'"'

    def parts() -> Iterator[bytes]:
        yield large[:1000]
        yield large[1000:]

    for content in (large, parts()):
        answer = server.client.post("/sagas/Pay/runs", content=content, headers=headers)
        problem(answer, 413, "body-too-large")
    assert server.get("/healthz").is_success


def connected(server: Server) -> socket.socket:
    url = urlsplit(server.url)
    assert url.hostname
    return socket.create_connection((url.hostname, url.port or 0), timeout=PATIENCE)


def test_a_head_that_is_too_large_is_refused(server: Server) -> None:
    with connected(server) as client:
        client.sendall(b"GET /runs HTTP/1.1\r\nHost: localhost\r\nX: ")
        with suppress(ConnectionError):  # it may hang up before all is sent
            client.sendall(b"x" * LARGEST_HEAD)
            assert client.recv(1000).startswith(b"HTTP/1.1 400")


def test_who_sends_no_request_is_hung_up_on_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "SLOWEST_HEAD", 0.3)
    monkeypatch.setattr(listening, "IDLE", 1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("ok")(scope, receive, send)

    async def hung_up() -> list[bytes]:
        async with asyncio.timeout(PATIENCE):
            return await asked()

    async def asked() -> list[bytes]:
        stop = asyncio.Event()
        listener = listening.listening("127.0.0.1", 0)
        serving = asyncio.create_task(listening.serve(app, listener, stop))
        silent = [await asyncio.open_connection(*listener.getsockname()) for _ in range(20)]
        for number, (_, writer) in enumerate(silent):
            writer.write(b"GET / HTTP/1.1\r\nHost: localh"[:number])
        url = listening.url(listener)
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE) as client:
            for _ in range(2):  # the same connection again, later than others are hung up on
                assert (await client.get(url)).text == "ok"
                await asyncio.sleep(0.5)
            read = await asyncio.gather(*(reader.read() for reader, _ in silent))
            late, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET ")
            assert (await late.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            read.append(await late.read())  # the half of a second request
        stop.set()
        await serving
        return read

    assert asyncio.run(hung_up()) == [b""] * 21


def test_a_body_that_never_ends_is_answered() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while (await receive()).get("more_body"):
                pass
        except Problem as found:
            await found.answer()(scope, receive, send)

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "path": "/", "method": "POST", "headers": headers}
    guard = Guard(app, Rules(loopback=True, slowest=0.1))

    async def asked() -> None:
        async with asyncio.timeout(PATIENCE):
            await guard(scope, receive, send)

    asyncio.run(asked())
    assert sent[0]["status"] == 408


def test_a_missing_extra_is_told(tmp_path: Path) -> None:
    missing = "raise ModuleNotFoundError(name='prometheus_client')"
    (tmp_path / "prometheus_client.py").write_text(missing)
    ended = subprocess.run(
        [sys.executable, "-m", "sagalang", "serve", str(SAGAS), "--mock"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: `saga serve` needs the package prometheus_client\n"
        "  = help: pip install 'sagalang[serve]'\n"
    )
