"""Bodies, answers and leases over WSGI (PEP 3333)."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from sagalang.idempotency import problems
from sagalang.idempotency.adapt import finished
from sagalang.idempotency.answer import Answer
from sagalang.idempotency.lease_run import LeaseRun
from sagalang.idempotency.log import logger
from sagalang.idempotency.problems import BodyError
from sagalang.idempotency.terms import Terms
from sagalang.idempotency.transaction_run import TransactionRun

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Write = Callable[[bytes], object]


class Body(io.RawIOBase):
    """Stands in for `wsgi.input`, and can read ahead what the client still sends, in a bound."""

    def __init__(self, environ: Environ, terms: Terms) -> None:
        self._source = environ["wsgi.input"]
        self._terms = terms
        length = environ.get("CONTENT_LENGTH") or ""
        # Without a length, only a server that ends the input by itself can be read at all.
        endless = not length and environ.get("wsgi.input_terminated", False)
        self._left = None if endless else int(length) if length.isdigit() else 0
        environ["wsgi.input"] = io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        most = len(buffer) if self._left is None else min(len(buffer), self._left)
        data: bytes = self._source.read(most) if most else b""
        buffer[: len(data)] = data
        if self._left is not None:
            self._left -= len(data)
        return len(data)

    def read_ahead(self) -> bytes:
        """What has not been read yet; it is still there to be read. Raises `BodyError`."""
        most, base = self._terms.max_body, self._terms.problems
        if self._left is not None and self._left > most:
            raise BodyError(problems.body_too_large(base, most))
        wanted = most + 1 if self._left is None else self._left
        data = b""
        while len(data) < wanted and (more := self._source.read(wanted - len(data))):
            data += more
        if self._left is None and len(data) > most:
            raise BodyError(problems.body_too_large(base, most))
        if self._left is not None and len(data) < wanted:
            raise BodyError(problems.body_broken(base))
        self._source, self._left = io.BytesIO(data), len(data)
        return data


class Caught:
    """An application's answer. `passes`: asked as it begins, whether it need not be held back."""

    def __init__(
        self,
        most: int,
        start_response: StartResponse | None = None,
        passes: Callable[[], bool] = lambda: False,
    ) -> None:
        self._most = most
        self._start_response = start_response
        self._passes = passes
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()
        self.outgrown = False
        self.passed_on = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Write:
        if self._start_response and (self.passed_on or self._passes()):
            self.passed_on = True
            write: Write = self._start_response(status, headers, exc_info)
            return write
        self._status, self._headers = int(status[:3]), headers
        return self._add

    def all_of(self, given: Iterable[bytes]) -> None:
        """Raises ValueError beyond the bound."""
        self._start_response = None
        try:
            for part in given:
                self._add(part)
        finally:
            close = getattr(given, "close", None)
            if close is not None:
                close()

    def answer(self) -> Answer:
        if not self._status:
            raise RuntimeError("The application returned without start_response.")
        headers = tuple((name.lower(), value) for name, value in self._headers)
        return Answer(self._status, headers, bytes(self._body))

    def _add(self, part: bytes) -> None:
        self._body += part
        if len(self._body) > self._most:
            self.outgrown = True
            raise ValueError(f"The answer is larger than max_answer, {self._most} bytes.")


def give(start_response: StartResponse, answer: Answer) -> list[bytes]:
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Unknown"
    start_response(f"{answer.status} {phrase}", list(answer.headers))
    return [answer.body]


class Heart:
    """Keeps the leases of running requests alive: one thread, begun with the first of them."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._lock = threading.Lock()
        self._runs: set[LeaseRun] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def beating(self, run: TransactionRun | LeaseRun) -> Iterator[None]:
        if isinstance(run, TransactionRun):
            yield
            return
        with self._lock:
            self._runs.add(run)
            if self._thread is None or not self._thread.is_alive():  # also after a fork
                self._thread = threading.Thread(target=self._beat, daemon=True)
                self._thread.name = "idempotency-leases"
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._runs.discard(run)

    def _beat(self) -> None:
        while True:
            time.sleep(self._every)
            with self._lock:
                runs = list(self._runs)
            for run in runs:
                try:
                    if not finished(run.renew()):
                        with self._lock:
                            self._runs.discard(run)
                except Exception as error:  # the store is away: the lease may last until it is back
                    logger.warning("A lease could not be renewed: %s", type(error).__name__)
