"""Bodies, answers and cancellation over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from sagalang.idempotency import problems
from sagalang.idempotency.answer import Answer
from sagalang.idempotency.context import Wait
from sagalang.idempotency.lease_run import LeaseRun
from sagalang.idempotency.log import logger
from sagalang.idempotency.problems import BodyError
from sagalang.idempotency.request import Request
from sagalang.idempotency.terms import Terms
from sagalang.idempotency.transaction_run import TransactionRun

T = TypeVar("T")
Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Body:
    """A `receive` that can read ahead what the client is still sending, within a bound."""

    def __init__(self, receive: Receive, request: Request, terms: Terms) -> None:
        self._receive = receive
        self._terms = terms
        self._declared = request.header("content-length") or ""
        self._whole = False
        self._ahead: list[Message] = []

    async def __call__(self) -> Message:
        return self._ahead.pop(0) if self._ahead else await self._next()

    async def read_ahead(self) -> None:
        """Have all of it here. Raises `BodyError`."""
        most, size = self._terms.max_body, 0
        if not self._whole and self._declared.isdigit():
            size = int(self._declared)
        while size <= most and not self._whole:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise BodyError(problems.body_broken(self._terms.problems))
            self._ahead.append(message)
            size = sum(len(message.get("body", b"")) for message in self._ahead)
        if size > most:
            raise BodyError(problems.body_too_large(self._terms.problems, most))

    async def whole(self) -> bytes:
        await self.read_ahead()
        return b"".join(message.get("body", b"") for message in self._ahead)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._whole = not message.get("more_body", False)
        return message


class Collected:
    """The messages of an answer, until it is whole."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._start: Message = {}
        self._body = bytearray()
        self.outgrown = False

    def add(self, message: Message) -> bool:
        """Whether the answer is whole now. Raises ValueError, each time, beyond the bound."""
        if message["type"] == "http.response.start":
            self._start = message
        if message["type"] != "http.response.body":
            return False
        self._body += message.get("body", b"")
        if self.outgrown or len(self._body) > self._most:
            self.outgrown = True
            self._body.clear()
            raise ValueError(f"The answer is larger than max_answer, {self._most} bytes.")
        return not message.get("more_body", False)

    def answer(self) -> Answer:
        headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in self._start.get("headers", ())
        )
        return Answer(self._start["status"], headers, bytes(self._body))


async def give(send: Send, answer: Answer) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def plain(scope: Scope) -> Scope:
    """Without the extensions by which an answer would go past us (trailers, files by path)."""
    known = scope.get("extensions") or {}
    kept = {name: value for name, value in known.items() if not name.startswith("http.response.")}
    return {**scope, "extensions": kept}


def waiter(loop: asyncio.AbstractEventLoop) -> Wait:
    """How a sync handler, in a thread of its own, waits for work on the event loop."""

    def wait(work: Coroutine[Any, Any, T], /) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(work, loop).result()
        work.close()
        raise RuntimeError(
            "This would block the event loop. In an `async def` handler use `await begin()`, "
            "`await fence(...)` and `await is_fenced(...)`; after `begin`, `connection()` works."
        )

    return wait


@asynccontextmanager
async def renewed(run: TransactionRun | LeaseRun, lease: int) -> AsyncIterator[Callable[[], None]]:
    """Keep the lease of a run alive, until the function that this gives is called."""
    if isinstance(run, TransactionRun):
        yield lambda: None
        return
    renewal = asyncio.create_task(_renew(run, lease / 3_000))
    try:
        yield lambda: (renewal.cancel(), None)[1]
    finally:
        renewal.cancel()


async def _renew(run: LeaseRun, every: float) -> None:
    renewed = True
    while renewed:
        await asyncio.sleep(every)
        try:
            renewed = await run.renew()
        except Exception as error:  # the store is away: the lease may last until it is back
            logger.warning("A lease could not be renewed: %s", type(error).__name__)


# The event loop itself holds tasks only weakly.
_tasks: Final[set[asyncio.Task[Any]]] = set()


async def to_the_end(
    work: Coroutine[Any, Any, T], cancelled: Callable[[], None] = lambda: None
) -> T:
    """Await work that goes on although its caller is cancelled."""
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancelled()
        task.add_done_callback(_report)
        raise


def _report(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("A request whose client had gone failed", exc_info=error)
