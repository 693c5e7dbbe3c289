"""Idempotency keys for ASGI: Starlette, FastAPI, or any other. For asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Unpack

from sagalang.idempotency import problems
from sagalang.idempotency.adapt import for_async
from sagalang.idempotency.asgi_io import (
    Body,
    Collected,
    Message,
    Receive,
    Scope,
    Send,
    give,
    plain,
    renewed,
    to_the_end,
    waiter,
)
from sagalang.idempotency.context import current
from sagalang.idempotency.problems import BodyError
from sagalang.idempotency.request import HEADER, METHODS, BadKeyError, Caller, Request, key_of
from sagalang.idempotency.routes import asgi_route
from sagalang.idempotency.runs import keyed, unkeyed
from sagalang.idempotency.store import AsyncStore, Both
from sagalang.idempotency.terms import Options, terms

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class IdempotencyMiddleware:
    """Honours `Idempotency-Key` on POST, PUT, PATCH and DELETE; all else passes through.

    `store`: where the records are. `caller`: a function from a request to who sends it; the keys
    of different callers have nothing to do with each other. See `Options` for the rest.
    """

    def __init__(
        self, app: App, *, store: AsyncStore | Both, caller: Caller, **options: Unpack[Options]
    ) -> None:
        self._app = app
        self._store = for_async(store)
        self._terms = terms(caller, asgi_route, options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in METHODS:
            await self._app(scope, receive, send)
            return
        request = self._request(scope)
        given = [value for name, value in request.headers if name == HEADER]
        if not given and not self._terms.required(request):
            await self._unkeyed(request, scope, receive, send)
            return
        try:
            key = key_of(given)
            if key is None:
                await give(send, problems.key_missing(self._terms.problems))
                return
            body = await Body(receive, request, self._terms).whole()
        except BadKeyError as error:
            await give(send, problems.key_malformed(self._terms.problems, str(error)))
        except BodyError as error:
            await give(send, error.answer)
        else:
            await self._keyed(replace(request, body=body), key, scope, send)

    async def _keyed(self, request: Request, key: str, scope: Scope, send: Send) -> None:
        """What was begun is finished, even if the client is gone: its key must not stay "in
        progress", and the answer must be there when it asks again.
        """
        listening = True

        async def to_client(message: Message) -> None:
            if listening:
                await send(message)

        def cancelled() -> None:
            nonlocal listening
            listening = False

        await to_the_end(self._run(request, key, scope, to_client), cancelled)

    async def _run(self, request: Request, key: str, scope: Scope, send: Send) -> None:
        run = keyed(self._store, self._terms, request, key)
        refused = await run.start()
        if refused is not None:
            await give(send, refused)
            return
        collected = Collected(self._terms.max_answer)
        answered = asyncio.Event()
        answering: asyncio.Task[None] | None = None
        unread: list[Message] = [{"type": "http.request", "body": request.body}]

        async def receive() -> Message:
            if not unread:
                await answered.wait()
                return {"type": "http.disconnect"}
            return unread.pop()

        async def answer() -> None:
            end_renewal()
            try:
                await give(send, await run.finish(collected.answer()))
            finally:
                answered.set()

        async def take(message: Message) -> None:
            nonlocal answering
            if answering is None and collected.add(message):
                # A task, for many applications cancel whoever is sending when the client goes.
                answering = asyncio.create_task(answer())
                await asyncio.shield(answering)

        async with renewed(run, self._terms.lease) as end_renewal:
            try:
                with current(run, waiter(asyncio.get_running_loop())):
                    await self._app(plain(scope), receive, take)
                if answering is None:
                    raise RuntimeError("The application returned without a whole answer.")
                await answering
            except Exception as error:
                if answering is not None:
                    await answering
                    raise
                end_renewal()
                told = await (run.outgrown() if collected.outgrown else run.fail(error))
                if told is None:
                    raise
                await give(send, told)
            except asyncio.CancelledError:  # the server ends: as if it had crashed here
                await to_the_end(run.abandon())
                raise

    async def _unkeyed(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        body = Body(receive, request, self._terms)
        run = unkeyed(self._store, self._terms, request, body.read_ahead)
        collected = Collected(self._terms.max_answer)
        held_back = answered = False

        async def take(message: Message) -> None:
            nonlocal held_back, answered
            if message["type"] == "http.response.start":
                held_back = run.holds_back()
            if not held_back:
                answered = True
                await send(message)
            elif not answered and collected.add(message):
                answered = True
                await give(send, await to_the_end(run.finish(collected.answer())))

        try:
            with current(run, waiter(asyncio.get_running_loop())):
                await self._app(scope, body, take)
        except Exception as error:
            if answered:
                raise
            told = await to_the_end(run.outgrown() if collected.outgrown else run.fail(error))
            if told is None:
                raise
            await give(send, told)
        finally:
            await to_the_end(run.abandon())

    def _request(self, scope: Scope) -> Request:
        headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in scope["headers"]
        )
        query = scope.get("query_string", b"").decode("latin-1")
        request = Request(scope["method"], scope["path"], query, headers, scope)
        return replace(request, route=self._terms.route(request))
