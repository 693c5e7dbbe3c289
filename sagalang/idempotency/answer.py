"""An HTTP answer as it is kept, and what it says about the run that gave it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

Headers = tuple[tuple[str, str], ...]

_HOP_BY_HOP: Final = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
# These belong to the one exchange, not to the answer: a cookie of an old session must not come
# back, and the length is that of the body sent.
_NOT_KEPT: Final = _HOP_BY_HOP | {"content-length", "date", "server", "set-cookie", "traceresponse"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case, values as latin-1 text) and the body's bytes."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name), None)


class Ending(Enum):
    """What an answer says about its run."""

    DONE = auto()
    REFUSED = auto()  # a definite no: recorded, and its writes are undone
    NOTHING = auto()  # "come back later": nothing happened, nothing is recorded
    IN_DOUBT = auto()  # by the answer alone nobody knows what was done


def ending(answer: Answer) -> Ending:
    """By status. 429, and 503 with Retry-After, promise that nothing was done (RFC 6585, RFC 9110
    section 15.6.4); 408 and 425 speak of the exchange, not of the request.
    """
    status = answer.status
    if status == 429 or (status == 503 and answer.header("retry-after") is not None):
        return Ending.NOTHING
    if status < 400:
        return Ending.DONE
    if status in (408, 425) or status >= 500:
        return Ending.IN_DOUBT
    return Ending.REFUSED


def kept(answer: Answer) -> Answer:
    """The answer as it is stored: without what belongs to the one exchange only."""
    named = {
        name.strip().lower()
        for header, value in answer.headers
        if header == "connection"
        for name in value.split(",")
    }
    headers = tuple(pair for pair in answer.headers if pair[0] not in _NOT_KEPT | named)
    return Answer(answer.status, headers, answer.body)


def replayed(answer: Answer) -> Answer:
    """A stored answer as it is given again."""
    length = () if answer.status in (204, 304) else (("content-length", str(len(answer.body))),)
    headers = (*answer.headers, *length, ("idempotent-replayed", "true"))
    return Answer(answer.status, headers, answer.body)


def dump_headers(headers: Headers) -> str:
    """As JSON, for stores."""
    return json.dumps(headers)


def load_headers(text: str) -> Headers:
    """What `dump_headers` wrote."""
    return tuple((name, value) for name, value in json.loads(text))
