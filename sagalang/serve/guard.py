"""Who may ask, and how much, and how slowly: an ASGI layer around the whole application."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagalang.serve.problems import Problem

MOST: Final = 1024 * 1024
"""Bytes of a body."""
SLOWEST: Final = 10.0
"""Seconds for a body to arrive."""
OPEN: Final = frozenset({"/healthz"})
"""What needs no token."""


@dataclass(frozen=True)
class Rules:
    """`token`: None lets everybody in, which is for loopback. `loopback`: only programs of this
    machine reach the server, browsers with foreign pages among them."""

    loopback: bool
    token: str | None = None
    most: int = MOST
    slowest: float = SLOWEST


def is_loopback(host: str) -> bool:
    """Whether this name, or address with or without brackets, is one of the machine itself."""
    bare = host.strip("[]").lower()
    if bare == "localhost":
        return True
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return False


class Guard:
    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules
        self._token = None if rules.token is None else _digest(rules.token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        try:
            if self._rules.loopback:
                _refuse_foreign(headers)
            if self._token is not None and scope["path"] not in OPEN:
                self._check_token(headers.getlist("authorization"))
            if _said_length(headers) > self._rules.most:
                raise too_large(self._rules.most)
        except Problem as problem:
            await problem.answer()(scope, receive, send)
            return
        await self._app(scope, _Limited(receive, self._rules).receive, send)

    def _check_token(self, given: Sequence[str]) -> None:
        assert self._token is not None
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        # Digests have one length, so that not even the token's is told by the time this takes.
        right = compare_digest(_digest(token.strip().encode("latin-1")), self._token)
        if scheme.lower() != "bearer" or not right:
            raise Problem(
                401,
                "unauthorized",
                "A token is needed",
                "send the server's token: Authorization: Bearer …",
                {"www-authenticate": "Bearer"},
            )


def too_large(most: int) -> Problem:
    detail = f"a body has at most {most} bytes"
    return Problem(413, "body-too-large", "The body is too large", detail)


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()


def _said_length(headers: Headers) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _refuse_foreign(headers: Headers) -> None:
    """A page of another site may make a browser ask this machine: by a name that it lets point
    here (DNS rebinding: the Host is the page's), or across sites (the Origin is the page's)."""
    host = headers.get("host", "")
    try:
        named = urlsplit(f"//{host}").hostname
    except ValueError:
        named = None
    if named is None or not is_loopback(named):
        raise _foreign("this server is localhost and 127.0.0.1, and the Host is another")
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        raise _foreign("the request comes from a page of another site (Origin)")
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise _foreign("the request comes from a page of another site (Sec-Fetch-Site)")


def _foreign(detail: str) -> Problem:
    return Problem(403, "foreign", "Not from here", detail)


class _Limited:
    """Counts a body as it comes, and its time."""

    def __init__(self, receive: Receive, rules: Rules) -> None:
        self._receive, self._rules = receive, rules
        self._left = rules.most
        self._over = False
        self._until = asyncio.get_running_loop().time() + rules.slowest

    async def receive(self) -> Message:
        if self._over:  # only whether the client is gone is asked now, for as long as that takes
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise Problem(
                408,
                "body-too-slow",
                "The body did not arrive",
                f"a body has to arrive within {self._rules.slowest:g} seconds",
                {"connection": "close"},
            ) from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise too_large(self._rules.most)
        self._over = not message.get("more_body", False)
        return message
