"""A server that dies at any moment, again and again, and a client that asks until it is answered.

In one transaction with the business write, each key has exactly one effect, and its client hears
the answer of the run that made it. SAGALANG_KILLS: how many servers are killed (40; 200
with SAGA_SLOW).
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from idempotency.mortal import POINTS
from idempotency.servers import postgres_url

KILLS = int(os.environ.get("SAGALANG_KILLS", "200" if "SAGA_SLOW" in os.environ else "40"))
CREATE = "CREATE TABLE {}effects (key TEXT, run TEXT)"  # no key is unique: it would hide a double


@dataclass(frozen=True)
class Answer:
    status: int
    run: str
    replayed: bool


class Service:
    """The parent of the servers. One server lives at a time; `revive` starts the next."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._pool = ThreadPoolExecutor(1)
        self._port = self._server = 0

    def revive(self) -> None:
        if not self._server:
            self._process.stdin.write("\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
            word, port, server = self._line().split()
            assert word == "serving"
            self._port, self._server = int(port), int(server)

    def ask(self, key: str, die: str = "") -> Future[Answer | None]:
        """One request, which has arrived. Its answer; None if there is none, or half of one."""
        self.revive()
        asked = self._pool.submit(self._ask, key, die)
        assert self._line() == "arrived"
        return asked

    def kill(self) -> None:
        if self._server:
            os.kill(self._server, signal.SIGKILL)
            self.mourn()

    def mourn(self) -> None:
        assert self._line() == "gone"
        self._server = 0

    def _ask(self, key: str, die: str) -> Answer | None:
        headers = {"Idempotency-Key": key, "X-Die": die}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)) as client:
            try:
                client.request("POST", "/charges", headers=headers)
                answer = client.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                return None
        assert answer.status == 201, body
        replayed = answer.headers["Idempotent-Replayed"] == "true"
        return Answer(answer.status, json.loads(body)["run"], replayed)

    def _line(self) -> str:
        return self._process.stdout.readline().strip()  # type: ignore[union-attr]


@contextmanager
def serving(*arguments: str) -> Iterator[Service]:
    command = [sys.executable, "-m", "idempotency.mortal", *arguments]
    pipe, folder = subprocess.PIPE, Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True) as process:
        service = Service(process)
        try:
            yield service
        finally:
            service.kill()
            process.stdin.close()  # type: ignore[union-attr]


@dataclass(frozen=True)
class Stand:
    """`runs`: those whose effects of this key lasted."""

    service: Service
    runs: Callable[[str], list[str]]


@contextmanager
def in_sqlite(folder: Path, kind: str = "sqlite", suffix: str = "") -> Iterator[Stand]:
    path = str(folder / "service.db")
    with (
        closing(sqlite3.connect(f"{path}{suffix}", isolation_level=None)) as db,
        serving(kind, path) as service,
    ):
        db.execute(CREATE.format(""))

        def runs(key: str) -> list[str]:
            return [run for (run,) in db.execute("SELECT run FROM effects WHERE key = ?", (key,))]

        yield Stand(service, runs)


@contextmanager
def in_postgres(_: Path) -> Iterator[Stand]:
    url, schema = postgres_url(), f"killed_{uuid.uuid4().hex}"
    import psycopg

    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE SCHEMA {schema}")
        db.execute(CREATE.format(f"{schema}."))
        select = f"SELECT run FROM {schema}.effects WHERE key = %s"
        with serving("postgres", url, schema) as service:
            yield Stand(service, lambda key: [run for (run,) in db.execute(select, (key,))])
        db.execute("SET client_min_messages = warning")
        db.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture(params=[in_sqlite, in_postgres], ids=["sqlite", "postgres"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    with request.param(tmp_path) as found:
        yield found


def usual(service: Service) -> float:
    """Seconds from a request's arrival to its answer."""
    times = []
    for n in range(9):
        asked, began = service.ask(f"first {n}"), time.perf_counter()
        asked.result()
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


def killed(service: Service, key: str, where: str, after: float) -> Answer | None:
    """Ask, and have the server killed: at a point, or so many seconds after the arrival.

    An answer says that the request was quicker, or did not come by that point.
    """
    asked = service.ask(key, where)
    if not where:
        time.sleep(after)
        service.kill()
    elif asked.result() is None:
        service.mourn()
    return asked.result()


def test_each_key_has_one_effect_and_one_answer_whenever_the_server_dies(stand: Stand) -> None:
    service, rng = stand.service, random.Random(7)
    longest = usual(service) * 1.2
    kills = keys = undone = done = 0
    while kills < KILLS:
        keys += 1
        key, before = f"key {keys}", kills
        answer = None
        while answer is None and rng.random() < 0.6 + 0.4 * (kills == before):
            where = rng.choice(POINTS) if rng.random() < 0.5 else ""
            answer = killed(service, key, where, rng.uniform(0, longest))
            kills += answer is None
        heard = answer or service.ask(key).result()
        assert heard is not None
        assert stand.runs(key) == [heard.run]
        again = service.ask(key).result()
        assert again == Answer(201, heard.run, replayed=True)
        if kills > before:
            done, undone = done + heard.replayed, undone + (not heard.replayed)
        assert keys < 5 * KILLS, "hardly a kill comes before the answer"
    print(f"{kills} killed for {keys} keys: {undone} had to run again, {done} were done")
    assert min(done, undone) > keys / 10  # both sides of the commit were hit


def test_it_would_show_an_effect_that_is_doubled(tmp_path: Path) -> None:
    with in_sqlite(tmp_path, "careless", ".beside") as stand:
        assert killed(stand.service, "k", "before commit", 0) is None
        answer = stand.service.ask("k").result()
        assert answer is not None
        assert len(stand.runs("k")) == 2
