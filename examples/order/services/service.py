"""What the three services share: reading a command, one transaction per request, answering."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection

import keys
from keys import Work
from problems import RETRY_SOON, Answer, Problem, malformed
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

MAX_BODY = 16 * 1024
MAX_AMOUNT = 10**12
MAX_QTY = 10**6
PATIENCE = 5.0  # seconds a write waits for the writes before it


@dataclass(frozen=True)
class Command:
    """A keyed request. The methods read one field each, and refuse what they cannot read."""

    key: str
    fingerprint: str
    fields: dict[str, object]

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        # isprintable also keeps out NULs and lone surrogates, which SQLite could not store.
        if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
            raise malformed(f"'{name}' must be a text of 1 to 200 printable characters.")
        return value

    def qty(self, name: str) -> int:
        value = self.fields.get(name)
        if type(value) is not int or not 1 <= value <= MAX_QTY:  # a bool is an int to isinstance
            raise malformed(f"'{name}' must be a whole number from 1 to {MAX_QTY}.")
        return value

    def amount(self, name: str) -> Decimal:
        value = self.fields.get(name)
        amount = Decimal(value) if type(value) is int else value
        if not isinstance(amount, Decimal) or amount.is_signed() or amount > MAX_AMOUNT:
            raise malformed(f"'{name}' must be a decimal number from 0 to {MAX_AMOUNT}.")
        return amount


async def read_command(request: Request) -> Command:
    key = _key(request)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise Problem(413, "TooLarge", f"The body is larger than {MAX_BODY} bytes")
        # Floats would round money: 0.1 must stay 0.1. And NaN is no JSON, whatever Python says.
        fields = json.loads(body.decode(), parse_float=Decimal, parse_constant=_no_constant)
    except ClientDisconnect:
        raise malformed("The body did not arrive whole.") from None
    except (ValueError, ArithmeticError, RecursionError):  # bad JSON; bad number; deep nesting
        raise malformed("The body must be JSON.") from None
    if not isinstance(fields, dict):
        raise malformed("The body must be a JSON object.")
    target = f"{request.method} {request.scope['path']}\n".encode()
    return Command(key, hashlib.sha256(target + body).hexdigest(), fields)


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _key(request: Request) -> str:
    given = request.headers.getlist("Idempotency-Key")
    key = bare(given[0]) if given else ""
    if not key:
        raise Problem(400, "idempotency/key-missing", "The Idempotency-Key header is missing")
    if len(given) > 1 or len(key) > 255 or not (key.isascii() and key.isprintable()):
        raise malformed("Send one Idempotency-Key of at most 255 printable ASCII characters.")
    return key


def bare(key: str) -> str:
    """The draft has keys as quoted strings, most clients send them bare: both mean the same key."""
    quoted = re.fullmatch(r'"((?:[^"\\]|\\["\\])*)"', key)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else key


def in_path(request: Request, name: str) -> str:
    """What a path names; routes take it as {name:path}, for an encoded slash is part of a name."""
    value = str(request.path_params[name])
    if not value:
        raise HTTPException(404)
    return value


class Store:
    """One service's SQLite file. Writes take turns: each is one BEGIN IMMEDIATE transaction."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        # This connection stays open and idle: whenever the last one to a WAL database closes,
        # SQLite tidies up under an exclusive lock, which requests would run into.
        self._keeper = self._connect()
        self._keeper.executescript(f"PRAGMA journal_mode = WAL; {keys.SCHEMA} {schema}")

    async def once(self, command: Command, fence: str, work: Work) -> Response:
        """Do a keyed command, at most once; never after a write has put up `fence`."""

        def keyed(db: Connection) -> Answer:
            return keys.once(db, command.key, command.fingerprint, fence, work)

        # A duplicate waits for its first and then replays it, so this is rarely seen. Should the
        # wait grow too long, the first may still be running: nothing is known, ask again.
        in_progress = Problem(
            409, "idempotency/in-progress", "An earlier request is still running", RETRY_SOON
        )
        return await self.write(keyed, in_progress)

    async def write(self, work: Work, busy: Problem | None = None) -> Response:
        busy = busy or Problem(503, "Busy", "Too many writes at once", RETRY_SOON)
        return respond(await run_in_threadpool(self._write, work, busy))

    def _write(self, work: Work, busy: Problem) -> Answer:
        try:
            with self.transaction() as db:
                return work(db)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise busy from None
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with closing(self._connect()) as db:  # closed without COMMIT, a transaction is undone
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    async def overview(self, **queries: str) -> Response:
        """The rows of each query, all seen at one moment."""

        def read() -> Answer:
            with closing(self._connect()) as db:
                db.row_factory = sqlite3.Row
                db.execute("BEGIN")
                return Answer(
                    body={name: [dict(row) for row in db.execute(q)] for name, q in queries.items()}
                )

        return respond(await run_in_threadpool(read))

    def _connect(self) -> Connection:
        return sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None)


def respond(answer: Answer) -> Response:
    kind = "application/problem+json" if answer.status >= 400 else "application/json"
    body = json.dumps(answer.body) + "\n"
    return Response(body, answer.status, answer.headers, media_type=kind)


def application(*routes: Route) -> Starlette:
    """The routes, with every error answered as a problem."""

    def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return respond(error.answer)

    def plain(_: Request, error: Exception) -> Response:  # no such path, or not with this method
        assert isinstance(error, HTTPException)
        body = {"type": "about:blank", "title": error.detail, "status": error.status_code}
        return respond(Answer(error.status_code, body, dict(error.headers or {})))

    def crashed(_: Request, __: Exception) -> Response:  # a bug: the log has the traceback
        return respond(
            Answer(500, {"type": "about:blank", "title": "Internal error", "status": 500})
        )

    handlers = {Problem: refused, HTTPException: plain, Exception: crashed}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False  # /orders/ is not /orders, and no redirect says it is
    return app
