"""The services of the campaign: one process, real HTTP, a ledger in SQLite. It is killed, too.

    python service.py PORT LEDGER SEED [forgetful]

Each request is one transaction: the key, the answer and the effect stand together or not at all.
Some requests are answered with 503, some lose their answer, some arrive late. What should never
happen is written down in `violations`.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, operation TEXT, args TEXT, status INTEGER, answer TEXT);
CREATE TABLE IF NOT EXISTS fences (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS effects (
    number INTEGER PRIMARY KEY, operation TEXT, run TEXT, name TEXT, undone INTEGER DEFAULT 0,
    amount REAL DEFAULT 0);
CREATE INDEX IF NOT EXISTS effects_by_name ON effects (name);
CREATE TABLE IF NOT EXISTS violations (what TEXT);
"""

DOING = {
    "/orders": "Orders.create",
    "/auths": "Payment.authorize",
    "/captures": "Payment.capture",
    "/holds": "Inventory.reserve",
    "/bookings": "Shipping.book",
    "/rooms": "Rooms.take",
}
KEYED = set(DOING.values()) - {"Shipping.book"}
REFUSALS = {
    "Payment.authorize": ("card", "bad", 402, "Declined"),
    "Inventory.reserve": ("sku", "none", 409, "OutOfStock"),
    "Shipping.book": ("address", "nowhere", 422, "BadAddress"),
    "Rooms.take": ("city", "full", 409, "Full"),
}

Answer = tuple[int, Any]
FENCED: Answer = (409, {"type": "https://example.com/idempotency/fenced", "title": "fenced"})
REUSED: Answer = (422, {"type": "https://example.com/idempotency/key-reused", "title": "reused"})


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def answer(db: sqlite3.Connection, method: str, target: str, key: str | None, body: Any) -> Answer:
    """Do it, in the transaction that is open."""
    url = urlsplit(target)
    if method == "GET":
        (order,) = parse_qs(url.query)["order"]
        query = "SELECT number FROM effects WHERE operation = 'Shipping.book' AND run = ?"
        found = db.execute(query, (order,)).fetchone()
        return 200, None if found is None else {"tracking": f"t{found[0]}"}
    if undo := re.fullmatch(r"/(auths|holds|rooms)/(.+)", url.path):
        return _undone(db, unquote(undo[2]))
    if undo := re.fullmatch(r"/orders/(.+)/reject", url.path):
        return _undone(db, f"order {unquote(undo[1])}")
    if confirm := re.fullmatch(r"/orders/(.+)/confirm", url.path):
        name = f"order {unquote(confirm[1])}"
        if not db.execute(
            "SELECT 1 FROM effects WHERE name = ? AND NOT undone", (name,)
        ).fetchone():
            db.execute("INSERT INTO violations VALUES (?)", (f"confirmed, but not there: {name}",))
        return 204, None
    return _done(db, DOING[url.path], key, body)


def _done(db: sqlite3.Connection, operation: str, key: str | None, body: dict[str, Any]) -> Answer:
    run = body.get("order") or body["id"]
    # An order is undone by its id, everything else by its key.
    name = f"order {run}" if operation == "Orders.create" else key or ""
    args = json.dumps(body, sort_keys=True)
    if operation in KEYED:
        if key is None:
            db.execute("INSERT INTO violations VALUES (?)", (f"{operation} came without a key",))
        known = db.execute(
            "SELECT operation, args, status, answer FROM keys WHERE key = ?", (key,)
        ).fetchone()
        if known is not None and known[:2] != (operation, args):
            what = f"{key} of {known[0]} came again for {operation} of {run}"
            db.execute("INSERT INTO violations VALUES (?)", (what,))
            return REUSED
        if db.execute("SELECT 1 FROM fences WHERE name = ?", (name,)).fetchone():
            return FENCED
        if known is not None:
            return known[2], json.loads(known[3])
    given = _refused(operation, body)
    if given is None:
        row = (operation, run, name, float(body.get("amount", 0)))
        number = db.execute(
            "INSERT INTO effects (operation, run, name, amount) VALUES (?, ?, ?, ?)", row
        ).lastrowid
        names = {"Payment.authorize": "auth", "Inventory.reserve": "hold", "Rooms.take": "room"}
        names |= {"Payment.capture": "id", "Shipping.book": "tracking"}
        given = (201, {names[operation]: f"t{number}"} if operation in names else None)
    if operation in KEYED and not Handler.forgetful:
        stored = (key, operation, args, given[0], json.dumps(given[1]))
        db.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", stored)
    return given


def _refused(operation: str, body: dict[str, Any]) -> Answer | None:
    if operation not in REFUSALS:
        return None
    field, bad, status, error = REFUSALS[operation]
    if not str(body.get(field, "")).startswith(bad):
        return None
    fields = {"sku": body["sku"]} if error == "OutOfStock" else {}
    return status, {"type": error, "title": error, **fields}


def _undone(db: sqlite3.Connection, name: str) -> Answer:
    db.execute("UPDATE effects SET undone = 1 WHERE name = ?", (name,))
    db.execute("INSERT OR IGNORE INTO fences VALUES (?)", (name,))
    return 204, None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    path_of_ledger: Path
    chance: random.Random
    forgetful = False
    """Whether it forgets the keys: a campaign must find out."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionError("its caller was killed")
        body = json.loads(data) if length else None
        luck = self.chance.random()
        if luck < 0.06:
            return self._send(503, None)
        if luck < 0.09:
            time.sleep(self.chance.uniform(0.01, 1.4))
        db = connect(self.path_of_ledger)
        try:
            db.execute("BEGIN IMMEDIATE")
            status, made = answer(
                db, self.command, self.path, self.headers.get("Idempotency-Key"), body
            )
            db.execute("COMMIT")
        finally:
            db.close()
        if luck > 0.93:
            self.close_connection = True  # the answer is lost
            return None
        return self._send(status, made)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815

    def _send(self, status: int, made: Any) -> None:
        data = b"" if status == 204 else json.dumps(made).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Its caller was killed, or gave up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main(port: int, ledger: Path, seed: int, forgetful: bool) -> None:
    db = connect(ledger)
    db.executescript(SCHEMA)
    db.close()
    Handler.path_of_ledger, Handler.chance = ledger, random.Random(seed)
    Handler.forgetful = forgetful
    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["forgetful"])
