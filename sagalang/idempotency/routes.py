"""The template of the route that a request will take, where the framework tells it beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sagalang.idempotency.request import Request


def asgi_route(request: Request) -> str:
    """From `scope["app"].routes`, as Starlette and FastAPI have them; else the path."""
    routes = getattr(request.raw.get("app"), "routes", None)
    return _template(routes, dict(request.raw)) or request.path if routes else request.path


def _template(routes: Iterable[Any], scope: dict[str, Any]) -> str | None:
    for route in routes:
        matches = getattr(route, "matches", None)
        if matches is None:
            continue
        match, child = matches(scope)
        if getattr(match, "name", "") != "FULL":
            continue
        path = getattr(route, "path", None)
        # Recent versions of FastAPI keep an included router as one route of its own.
        included = getattr(route, "effective_candidates", None)
        below = included() if included else getattr(route, "routes", None)
        if below:
            rest = _template(below, {**scope, **child})
            return None if rest is None else (path or "") + rest
        # A mounted application without routes knows its paths, we do not.
        return path if hasattr(route, "endpoint") else None
    return None


def wsgi_route(app: object) -> Any:
    """A function from requests to templates: from the `url_map` of Flask, else the path.

    `app`: the Flask application or its `wsgi_app`.
    """
    url_map = getattr(app, "url_map", None) or getattr(
        getattr(app, "__self__", None), "url_map", None
    )

    def route(request: Request) -> str:
        if url_map is None:
            return request.path
        try:
            rule, _ = url_map.bind_to_environ(request.raw).match(return_rule=True)
        except Exception:  # not found, or a redirect: what the framework will answer, not we
            return request.path
        return str(rule.rule)

    return route
