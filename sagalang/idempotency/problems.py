"""What the middleware itself answers (RFC 9457, application/problem+json). Pure.

The end of `type` is what a client tells them apart by; the titles are those of the IETF draft.
"""

from __future__ import annotations

import json
import math
from typing import Final

from sagalang.idempotency import core
from sagalang.idempotency.answer import Answer, replayed

BASE: Final = "https://sagalang.example/problems/"
_CORRECT: Final = "This operation is idempotent and it requires correct usage of Idempotency Key."


def problem(
    base: str, status: int, name: str, title: str, detail: str, retry_after: float | None = None
) -> Answer:
    body = {
        "type": f"{base}idempotency/{name}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    data = json.dumps(body).encode() + b"\n"
    wait = () if retry_after is None else (("retry-after", str(max(1, math.ceil(retry_after)))),)
    kind = (("content-type", "application/problem+json"), ("content-length", str(len(data))))
    return Answer(status, (*kind, *wait), data)


def key_missing(base: str) -> Answer:
    return problem(base, 400, "key-missing", "Idempotency-Key is missing", _CORRECT)


def key_malformed(base: str, detail: str) -> Answer:
    return problem(base, 400, "key-malformed", "Idempotency-Key is malformed", detail)


def key_reused(base: str) -> Answer:
    detail = (
        f"{_CORRECT} Idempotency Key MUST not be reused across different payloads of this operation"
    )
    return problem(base, 422, "key-reused", "Idempotency-Key is already used", detail)


def in_progress(base: str, retry_after: float) -> Answer:
    title = "A request is outstanding for this Idempotency-Key"
    detail = "A request with the same Idempotency-Key for the same operation is being processed."
    return problem(base, 409, "in-progress", title, detail, retry_after)


def fenced(base: str) -> Answer:
    title = "Undone already: this came too late"
    detail = "The operation of this Idempotency-Key has been undone; it will not be done any more."
    return problem(base, 409, "fenced", title, detail)


def outcome_unknown(base: str) -> Answer:
    """A 5xx, so that every client counts it as unknown."""
    title = "Nobody knows the outcome of this request"
    detail = (
        "A request with this Idempotency-Key was begun, and it broke off. It may have had its "
        "effect, and it will not be tried again."
    )
    return problem(base, 500, "outcome-unknown", title, detail)


def answer_too_large(base: str) -> Answer:
    title = "The answer is too large to be kept"
    detail = "The service cannot keep this answer for a repeated request, so it does not give it."
    return problem(base, 500, "answer-too-large", title, detail)


def body_too_large(base: str, most: int) -> Answer:
    detail = f"The body is larger than {most} bytes."
    return problem(base, 413, "body-too-large", "The body is too large", detail)


def body_broken(base: str) -> Answer:
    detail = "The body did not arrive whole."
    return problem(base, 400, "body-broken", "The body broke off", detail)


def busy(base: str, retry_after: float) -> Answer:
    """Says by its Retry-After that nothing was done."""
    detail = "Other requests held the database for too long. Nothing was done."
    return problem(base, 503, "busy", "Too many writes at once", detail, retry_after)


def told(base: str, decision: core.Standing | core.Mismatch, retry_after: float) -> Answer:
    """What a request hears that may not run. `retry_after`: seconds, at most, before a repeat."""
    match decision:
        case core.Replay(answer):
            return replayed(answer)
        case core.InFlight(left):
            return in_progress(base, min(retry_after, left / core.SECOND))
        case core.Mismatch():
            return key_reused(base)
        case core.Fenced():
            return fenced(base)
        case core.Abandoned():
            return outcome_unknown(base)


class BodyError(Exception):
    """The request's body is too large or did not arrive whole; `answer` says so."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("The body of the request is too large, or it broke off.")
        self.answer = answer
