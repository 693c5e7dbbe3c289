"""The application: what stands under which path.

async with serving(path, programs, reach, rules, command="saga serve") as state:
    await serve(application(state), listener, stop)
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sagalang.runtime.codec import dump
from sagalang.runtime.engine import EngineError
from sagalang.runtime.entry_codec import EntryError
from sagalang.runtime.problems import ConnectProblem
from sagalang.serve import acting, metrics, openapi, starting, viewing
from sagalang.serve.guard import Guard
from sagalang.serve.problems import Problem, unavailable
from sagalang.serve.requests import json, location, part
from sagalang.serve.state import Serving

logger: Final = logging.getLogger("sagalang.serve")

Handler = Callable[[Serving, Request], Awaitable[Response]]


def application(serving: Serving) -> ASGIApp:
    """The API over what `serving` has opened."""

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        async def endpoint(request: Request) -> Response:
            return await _answered(handler, serving, request)

        return Route(path, endpoint, methods=[method])

    app = Starlette(
        routes=[
            route("/sagas/{saga}/runs", _start, "POST"),
            route("/runs", viewing.runs),
            route("/runs/{id}", viewing.run),
            route("/runs/{id}/journal", viewing.journal),
            route("/runs/{id}/events", viewing.events),
            route("/runs/{id}/signals/{event}", acting.signal, "POST"),
            route("/runs/{id}/cancel", acting.cancel, "POST"),
            route("/runs/{id}/settlements", acting.settle, "POST"),
            route("/metrics", _metrics),
            route("/healthz", _health),
            route("/openapi.json", _description(serving)),
        ],
        exception_handlers={HTTPException: _http_problem},
    )
    app.router.redirect_slashes = False
    return Guard(_undecoded(app), serving.rules)


# --- Handlers ----------------------------------------------------------------------------------


async def _start(serving: Serving, request: Request) -> Response:
    started = await starting.start(serving, request, part(request, "saga"))
    where = location(started.run)
    told = {"id": started.run, "saga": started.saga, "run": where}
    return json(told, 200 if started.found else 201, {"location": where})


async def _metrics(serving: Serving, _: Request) -> Response:
    going = dict.fromkeys(serving.definitions, 0)
    for handle in serving.host.handles.values():
        name = handle.run.definition.saga.name
        going[name] = going.get(name, 0) + (not handle.over)
    return Response(serving.metrics.text(going), media_type=metrics.MEDIA_TYPE)


async def _health(serving: Serving, _: Request) -> Response:
    # Raises where nothing can be written any more: the disk is full, the file is gone.
    for definition in serving.definitions.values():
        serving.host.store.define(definition.hash, definition.text)
    return json({"status": "ok"})


def _description(serving: Serving) -> Handler:
    @cache
    def made() -> bytes:
        return dump(openapi.document(serving.programs, token=serving.rules.token is not None))

    async def description(_: Serving, __: Request) -> Response:
        return Response(made(), media_type="application/json")

    return description


# --- Around them -------------------------------------------------------------------------------


async def _answered(handler: Handler, serving: Serving, request: Request) -> Response:
    """The handler's answer, or the problem in words."""
    try:
        return await handler(serving, request)
    except Problem as problem:
        return problem.answer()
    except (EngineError, EntryError, ConnectProblem) as problem:
        return unavailable(str(problem)).answer()
    except Exception as error:
        # Name and place only: its text may show what a saga works with.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}" if trace else ""
        logger.error("a mistake in sagalang: %s%s", type(error).__name__, where)
        return Problem(
            500, "mistake", "A mistake in sagalang", "the server's log says where"
        ).answer()


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    name, title, detail = {
        404: ("no-such-path", "There is no such thing", "nothing is served under this path"),
        405: ("no-such-method", "Not in this way", "this path is not asked by this method"),
    }.get(error.status_code, ("request", "The request is not right", str(error.detail)))
    return Problem(error.status_code, name, title, detail, error.headers).answer()


def _undecoded(app: ASGIApp) -> ASGIApp:
    """Routes are matched against the path as it was sent, so that %2F in an id is no slash."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path")
        if raw is not None:
            scope = {**scope, "path": raw.decode("latin-1")}
        await app(scope, receive, send)

    return routed
