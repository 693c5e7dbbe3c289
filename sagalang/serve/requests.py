"""What a request says, its body and the parts of its path, and answers in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sagalang.host.book import Filter, State
from sagalang.idempotency.request import BadKeyError, key_of
from sagalang.model.program import Ms
from sagalang.runtime.codec import dump
from sagalang.serve.openapi import MOST_RUNS
from sagalang.serve.problems import Problem, bad_request, not_found

_ASKED: Final = frozenset({"state", "saga", "since", "limit"})
_STATES: Final = {state.value: state for state in State}
_UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


async def json_body(request: Request) -> bytes:
    """Its bytes. JSON has to be said: a form, which any page can send, is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(
            415, "not-json", "The body is not JSON", "send it as Content-Type: application/json"
        )
    try:
        return await request.body()
    except ClientDisconnect:
        raise bad_request("the body did not arrive whole") from None


def key_header(request: Request) -> str | None:
    try:
        return key_of(request.headers.getlist("idempotency-key"))
    except BadKeyError as problem:
        raise bad_request(str(problem)) from None


def part(request: Request, name: str) -> str:
    """A part of the path: routes are matched before it is decoded, for a run's id may have any
    characters, slashes too."""
    try:
        return unquote_to_bytes(request.path_params[name]).decode()
    except UnicodeDecodeError:
        raise not_found("no-such-path", "the path is not UTF-8 text") from None


def wanted_runs(request: Request, now: Ms) -> Filter:
    """Raises `Problem`."""
    asked = request.query_params
    for name in asked:
        if name not in _ASKED:
            raise bad_request(f"there is no parameter `{name}`; there are {_listed(_ASKED)}")
    states = []
    for text in asked.getlist("state"):
        if text not in _STATES:
            raise bad_request(f"there is no such state; there are {_listed(_STATES)}")
        states.append(_STATES[text])
    return Filter(
        states=tuple(dict.fromkeys(states)) or tuple(State),
        saga=asked.get("saga"),
        since=_since(asked["since"], now) if "since" in asked else None,
        limit=_limit(asked.get("limit", "100")),
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= MOST_RUNS:
        raise bad_request(f"`limit` is a number from 1 to {MOST_RUNS}")
    return int(text)


def _since(text: str, now: Ms) -> Ms:
    ago = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if ago:
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise bad_request("`since` is a time such as 2030-01-31T12:00:00Z, or how long ago: 2h, 7d")
    return round(moment.timestamp() * 1_000)


def last_event_id(request: Request) -> int:
    """Of a stream that is asked for again; 0: from the beginning."""
    given = request.headers.getlist("last-event-id")
    if not given or given == [""]:
        return 0
    if len(given) > 1 or not re.fullmatch(r"[0-9]{1,18}", given[0]):
        raise bad_request("`Last-Event-ID` is the id of an event of this stream")
    return int(given[0])


def location(run_id: str) -> str:
    return f"/runs/{quote(run_id, safe='')}"


def json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(dump(content) + b"\n", status, headers, media_type="application/json")
