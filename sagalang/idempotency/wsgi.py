"""Idempotency keys for WSGI: Flask, Django, or any other. Safe among threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Unpack

from sagalang.idempotency import problems
from sagalang.idempotency.adapt import finished, for_sync
from sagalang.idempotency.answer import Answer
from sagalang.idempotency.context import current
from sagalang.idempotency.problems import BodyError
from sagalang.idempotency.request import HEADER, METHODS, BadKeyError, Caller, Request, key_of
from sagalang.idempotency.routes import wsgi_route
from sagalang.idempotency.runs import keyed, unkeyed
from sagalang.idempotency.store import SyncStore
from sagalang.idempotency.terms import Options, terms
from sagalang.idempotency.wsgi_io import Body, Caught, Environ, Heart, StartResponse, give

App = Callable[[Environ, StartResponse], Iterable[bytes]]


class WsgiIdempotencyMiddleware:
    """As `IdempotencyMiddleware`: `app.wsgi_app = WsgiIdempotencyMiddleware(app.wsgi_app, ...)`."""

    def __init__(
        self, app: App, *, store: SyncStore, caller: Caller, **options: Unpack[Options]
    ) -> None:
        self._app = app
        self._store = for_sync(store)
        self._terms = terms(caller, wsgi_route(app), options)
        self._heart = Heart(self._terms.lease / 3_000)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in METHODS:
            return self._app(environ, start_response)
        request = self._request(environ)
        body = Body(environ, self._terms)
        given = [value for name, value in request.headers if name == HEADER]
        if not given and not self._terms.required(request):
            return self._unkeyed(request, environ, body, start_response)
        try:
            key = key_of(given)
            if key is None:
                return give(start_response, problems.key_missing(self._terms.problems))
            request = replace(request, body=body.read_ahead())
        except BadKeyError as error:
            malformed = problems.key_malformed(self._terms.problems, str(error))
            return give(start_response, malformed)
        except BodyError as error:
            return give(start_response, error.answer)
        return give(start_response, self._keyed(request, key, environ))

    def _keyed(self, request: Request, key: str, environ: Environ) -> Answer:
        run = keyed(self._store, self._terms, request, key)
        refused = finished(run.start())
        if refused is not None:
            return refused
        caught = Caught(self._terms.max_answer)
        try:
            with current(run, finished), self._heart.beating(run):
                caught.all_of(self._app(environ, caught.start_response))
        except Exception as error:
            told = finished(run.outgrown() if caught.outgrown else run.fail(error))
            if told is None:
                raise
            return told
        except BaseException:
            finished(run.abandon())
            raise
        return finished(run.finish(caught.answer()))

    def _unkeyed(
        self, request: Request, environ: Environ, body: Body, start_response: StartResponse
    ) -> Iterable[bytes]:
        """An answer that nothing depends on goes to the server as it comes."""

        async def read_ahead() -> None:
            body.read_ahead()

        def passes() -> bool:
            return not run.holds_back()

        run = unkeyed(self._store, self._terms, request, read_ahead)
        caught = Caught(self._terms.max_answer, start_response, passes)
        try:
            with current(run, finished):
                given = self._app(environ, caught.start_response)
                if caught.passed_on:
                    return given
                caught.all_of(given)
            return give(start_response, finished(run.finish(caught.answer())))
        except Exception as error:
            told = finished(run.outgrown() if caught.outgrown else run.fail(error))
            if told is None:
                raise
            return give(start_response, told)
        finally:
            finished(run.abandon())

    def _request(self, environ: Environ) -> Request:
        headers = tuple(
            (name[5:].replace("_", "-").lower(), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        )
        kind = environ.get("CONTENT_TYPE")
        request = Request(
            environ["REQUEST_METHOD"],
            environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
            environ.get("QUERY_STRING", ""),
            (*headers, ("content-type", kind)) if kind else headers,
            environ,
        )
        return replace(request, route=self._terms.route(request))
