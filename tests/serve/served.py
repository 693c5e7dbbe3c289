"""`saga serve` as a process of its own, and a bank over HTTP for its sagas, which tests hold up."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import warm

SAGAS = Path(__file__).with_name("bank.saga")
CARD = "4111-secret-1111"
PATIENCE = 30.0
"""Seconds for what takes some milliseconds on an idle machine."""


class Bank:
    """`effects`: how often each key had its effect. `open`: cleared, requests wait. `held`: orders
    whose requests wait, too."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.orders: dict[str, str] = {}
        self.refunded: set[str] = set()
        self.calls: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.held: set[str] = set()
        self.came = threading.Semaphore(0)
        self._lock = threading.Lock()
        bank = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                known = self.headers["Idempotency-Key"] in bank.orders
                status, answer = bank.answer(self.path, self.headers["Idempotency-Key"], body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if known:
                    self.send_header("Idempotent-Replayed", "true")
                self.end_headers()
                self.wfile.write(data)

            def handle(self) -> None:
                with suppress(ConnectionError):  # a server that is killed waits no more
                    super().handle()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, path: str, key: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        with self._lock:
            self.calls.append(path)
        self.came.release()
        self.open.wait(PATIENCE)
        while body.get("order") in self.held:
            time.sleep(0.01)
        with self._lock:
            if path.endswith("/refund"):
                of = path.split("/")[2]
                if self.orders.get(of, "").startswith("stuck"):
                    return 418, {}
                self.refunded.add(of)
                return 200, {}
            order = str(body.get("order"))
            if order.startswith("poor"):
                return 402, {"type": "urn:Declined", "title": "Declined", "reason": "no money"}
            if key not in self.orders:
                self.effects[key] += 1
                self.orders[key] = order
            return 200, {"payment": f"pay-{len(self.orders)}"}

    def close(self) -> None:
        self.open.set()
        self.held.clear()
        self._server.shutdown()
        self._server.server_close()


class Server:
    """`saga serve` on a free port; killed with the block unless it has ended."""

    def __init__(
        self,
        folder: Path,
        bank: Bank | None,
        *options: str,
        files: tuple[Path, ...] = (SAGAS,),
        token: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        given = {"BANK_URL": bank.url if bank else "http://127.0.0.1:1", **(env or {})}
        if token is not None:
            given["SAGA_TOKEN"] = token
        where = ("--db", str(folder / "journal.db"), "--port", "0")
        self.process = warm.Started(
            "saga", "serve", *map(str, files), *where, *options, cwd=folder, env=given
        )
        self.comments = 0
        """How often a stream said that nothing is new."""
        self.said = self.process.stdout.readline()
        found = re.search(r"at (http://\S+)$", self.said.strip())
        if found is None:
            _, err = self.process.communicate(PATIENCE)
            raise AssertionError(f"{self.said}{err}")
        self.url = found[1]
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(
            base_url=self.url, headers=headers, timeout=PATIENCE, trust_env=False, verify=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.__exit__(None, None, None)

    def start(self, saga: str, body: Any, key: str | None = None, **query: str) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.client.post(f"/sagas/{saga}/runs", json=body, headers=headers, params=query)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=headers)

    def post(self, path: str, body: Any = None) -> httpx.Response:
        if body is None:
            return self.client.post(path)
        return self.client.post(path, json=body)

    def run(self, run_id: str) -> Any:
        return self.get(f"/runs/{run_id}").json()

    def ended(self, run_id: str) -> Any:
        """How the run came to stand still: its events are awaited, not polled for."""
        for _ in self.events(run_id):
            pass
        return self.run(run_id)

    def until(self, run_id: str, entry: str) -> Any:
        """The first entry of this kind, which may still have to come."""
        return next(data for _, data in self.events(run_id) if data["entry"] == entry)

    def stops(self, run_id: str, why: str) -> None:
        """Return when it is told that the run stops for this reason."""
        until = time.monotonic() + PATIENCE
        while why not in (told := self.run(run_id)["stopped"] or ""):
            assert time.monotonic() < until, told
            time.sleep(0.02)

    def waiting(self, run_id: str) -> Any:
        """For what it waits, once it does."""
        for _, data in self.events(run_id):
            if data["entry"] == "timer started" and data["timer"] == "wait":
                (found,) = self.run(run_id)["waits"]
                return found
        raise AssertionError(f"{run_id} ended")

    def events(self, run_id: str, after: int | None = None) -> Iterator[tuple[int, Any]]:
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        with self.client.stream("GET", f"/runs/{run_id}/events", headers=headers) as answer:
            assert answer.status_code in (200, 204)
            number = 0
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    number = int(value)
                elif name == "data":
                    yield number, json.loads(value)
                self.comments += line.startswith(":")
                assert self.comments < 3, f"nothing happens in {run_id}"


@contextmanager
def bank() -> Iterator[Bank]:
    found = Bank()
    try:
        yield found
    finally:
        found.close()


def order(run_id: str, amount: float = 18.5) -> dict[str, Any]:
    return {"id": run_id, "amount": amount, "card": CARD}


def problem(answer: httpx.Response, status: int, name: str) -> str:
    """Its sentence."""
    found = answer.json()
    assert (answer.status_code, found["type"]) == (status, f"urn:saga:problem:{name}"), found
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert found["status"] == status
    assert found["title"]
    return str(found["detail"])
