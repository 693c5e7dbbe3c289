"""What the API answers where it cannot do what was asked (RFC 9457, application/problem+json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

BASE: Final = "urn:saga:problem:"
MEDIA_TYPE: Final = "application/problem+json"


class Problem(Exception):  # noqa: N818 - an answer
    """`name` ends the problem's `type`, by which programs tell problems apart; `detail` is a plain
    sentence without any secret."""

    def __init__(
        self,
        status: int,
        name: str,
        title: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.name, self.title, self.detail = status, name, title, detail
        self.headers = dict(headers or {})

    def answer(self) -> Response:
        body = {
            "type": BASE + self.name,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        content = json.dumps(body, ensure_ascii=True).encode() + b"\n"
        return Response(content, self.status, self.headers, media_type=MEDIA_TYPE)


def bad_request(detail: str) -> Problem:
    return Problem(400, "bad-request", "The request is not right", detail)


def not_found(name: str, detail: str) -> Problem:
    return Problem(404, name, "There is no such thing", detail)


def misfit(detail: str) -> Problem:
    return Problem(422, "misfit", "The value does not fit its type", detail)


def conflict(name: str, detail: str) -> Problem:
    return Problem(409, name, "This does not go with what is on record", detail)


def key_reused() -> Problem:
    return Problem(
        422,
        "idempotency/key-reused",
        "Idempotency-Key is already used",
        "this Idempotency-Key came with another request before: a new request needs a new key",
    )


def unavailable(detail: str) -> Problem:
    return Problem(503, "unavailable", "The server cannot do this now", detail)
