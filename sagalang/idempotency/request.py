"""What the middleware knows of a request, and the functions that users give it. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sagalang.idempotency.core import fingerprint

HEADER: Final = "idempotency-key"
METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LONGEST_KEY: Final = 255


@dataclass(frozen=True, slots=True)
class Request:
    """`route`: the template of the matched route (`/charges/{id}/refund`), else the path.

    `raw`: the ASGI scope or the WSGI environ. `body` is empty for a request without a key.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]  # names in lower case
    raw: Mapping[str, Any] = field(repr=False)
    route: str = ""
    body: bytes = b""

    @property
    def operation(self) -> str:
        """Method and route, as in `POST /charges`: how options and fences name an operation."""
        if storable(self.route):
            return f"{self.method} {self.route}"
        # A path that no route matches may hold anything; a NUL, for one, no database keeps.
        return f"{self.method} {self.route.encode('unicode_escape').decode('ascii')}"

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for known, value in self.headers if known == name.lower()), None)

    def fingerprint(self) -> str:
        kind = self.header("content-type") or ""
        return fingerprint(self.method, self.path, self.query, kind, self.body)


Caller = Callable[[Request], str]
Naming = Callable[[Request], str | None]


def one_caller(_: Request) -> str:
    """All requests come from one caller: for services that only your own services can reach."""
    return ""


def by_header(name: str) -> Caller:
    """The caller is who sends this header: its SHA-256, so no credential is stored.

    A token that changes between two attempts makes the second one another caller's, and it runs
    again. Use this for long-lived API keys; for short-lived tokens give a function that finds the
    account behind the token.
    """

    def caller(request: Request) -> str:
        return hashlib.sha256((request.header(name) or "").encode()).hexdigest()

    return caller


def body_field(name: str) -> Naming:
    """For `fenced_by`: the text that a JSON body has under `name`; None where it has none."""

    def naming(request: Request) -> str | None:
        try:
            found = json.loads(request.body)
        except (ValueError, RecursionError):
            return None
        value = found.get(name) if isinstance(found, dict) else None
        return value if isinstance(value, str) and storable(value) else None

    return naming


class BadKeyError(ValueError):
    """The header is there, but is not one key. The text says why."""


def key_of(values: Sequence[str]) -> str | None:
    """The key that the `Idempotency-Key` headers of a request give; None where there is none.

    Raises `BadKeyError`. Two headers, or two bare values in one, are no key: which one would count?
    """
    if not values:
        return None
    if len(values) > 1:
        raise BadKeyError("Send one Idempotency-Key header.")
    given = values[0].strip()
    key = bare(given)
    if not key:
        return None
    if key == given and "," in key:  # two headers may have been joined on the way
        raise BadKeyError("Put an Idempotency-Key that holds a comma into double quotes.")
    if len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise BadKeyError(
            f"An Idempotency-Key has at most {LONGEST_KEY} characters, all of them printable ASCII."
        )
    return key


def bare(key: str) -> str:
    """The draft has keys as quoted strings (RFC 8941), most clients send them bare: both mean
    the same key.
    """
    quoted = re.fullmatch(r'"((?:[^"\\]|\\["\\])*)"', key)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else key


def storable(text: str) -> bool:
    """Whether every store can keep this text: no NUL, no lone surrogate."""
    return "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)
