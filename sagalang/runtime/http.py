"""Calls over HTTP: one attempt each, no redirects, no timeouts and no repeats of its own.

The caller imposes the timeout by cancelling; cancellation passes through untouched. Whether a
failed attempt was *not sent* or is *unknown* is not guessed from the kind of the exception: the
connection reports when the first byte of the request is about to be written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sagalang.machine.outcomes import NOT_SENT, Failure, NotSent, Ok, Outcome, Rejected
from sagalang.runtime.contract import Contract, Request
from sagalang.runtime.http_answer import (
    HttpAnswer,
    classify,
    mismatch,
    unavailable,
    where,
)
from sagalang.runtime.http_request import UnsendableError, Wire, valid_header, write
from sagalang.runtime.telemetry import sending

if TYPE_CHECKING:
    import httpx

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of an answer; a longer one is a contract mismatch."""
_IGNORED_BODY: Final = 64 * 1024
"""How much of a body nobody wants is read, to keep the connection for the next call."""
_KEEP_ALIVE: Final = 4.0
"""Seconds an idle connection is kept: below the 5 s after which many servers close theirs."""


@dataclass(frozen=True, slots=True)
class HttpService:
    """Where a service is: its base URL, and headers as (name, value, whether it is secret)."""

    url: str
    headers: tuple[tuple[str, str, bool], ...] = field(default=(), repr=False)


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000


class HttpTransport:
    """Calls the operations of HTTP services. `now` gives ms since the Unix epoch.

    Proxies and `.netrc` of the environment are not used: what is called is what is written down.
    """

    def __init__(
        self,
        services: Mapping[str, HttpService],
        *,
        now: Callable[[], int] = _wall_clock,
    ) -> None:
        for name, service in services.items():
            _check(name, service)
        self._services = dict(services)
        self._now = now
        self._client: httpx.AsyncClient | None = None

    async def call(self, request: Request) -> Outcome:
        """Sends the request once and says what came of it. Raises nothing but cancellation."""
        contract = request.contract
        try:
            wire = write(request)
        except UnsendableError as error:
            failure = Failure(NOT_SENT, None, f"{where(contract)} was not sent: {error}")
            return NotSent(failure, repeat=False)
        service = self._services[contract.service]
        with sending() as trace:
            if trace:
                traced = (*service.headers, *((name, value, False) for name, value in trace))
                service = replace(service, headers=traced)
            return await self._send(request, service, wire)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _send(self, request: Request, service: HttpService, wire: Wire) -> Outcome:
        import httpx

        contract, sent = request.contract, False

        async def trace(event: str, _info: Any) -> None:
            nonlocal sent
            if event.endswith("send_request_headers.started"):
                sent = True

        client = self._client = self._client or _client(self._services.values())
        base = httpx.URL(service.url)
        target = base.path.rstrip("/") + wire.target
        response = None
        try:
            prepared = client.build_request(
                wire.method,
                base,
                headers=[*((n, v) for n, v, _ in service.headers), *wire.headers],
                content=wire.body,
                # The target goes out as it was written: httpx would resolve dots in it.
                extensions={"trace": trace, "target": target.encode("ascii")},
            )
            response = await client.send(prepared, stream=True)
            answer = await _read(contract, response)
        except Exception as error:
            # Only the name: the text of an exception may hold a header or the URL.
            name = type(error).__name__
            if sent:
                return unavailable(contract, f"broke off after sending ({name})")
            return NotSent(
                Failure(NOT_SENT, None, f"{where(contract)} did not reach the service ({name})")
            )
        finally:
            if response is not None:
                await response.aclose()
        if answer is None:
            return mismatch(contract, f"answered with more than {MAX_BODY} bytes")
        outcome = classify(request, answer, self._now())
        replayed = "Idempotent-Replayed" in response.headers
        if replayed and isinstance(outcome, Ok | Rejected):
            outcome = msgspec.structs.replace(outcome, replayed=True)
        return outcome


async def _read(contract: Contract, response: httpx.Response) -> HttpAnswer | None:
    """The answer; None if it is too large."""
    import httpx

    ignored = response.is_success and contract.result is None
    limit = _IGNORED_BODY if ignored else MAX_BODY
    header = response.headers.get("Retry-After")
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                return HttpAnswer(response.status_code, header, b"") if ignored else None
    except httpx.DecodingError:
        # Complete, but not in the encoding it claims: an answer that fits no type.
        return HttpAnswer(response.status_code, header, b"?")
    except (httpx.TransportError, OSError):
        return HttpAnswer(response.status_code, header, None)
    return HttpAnswer(response.status_code, header, bytes(body))


def _check(name: str, service: HttpService) -> None:
    import httpx

    try:
        url = httpx.URL(service.url)
    except httpx.InvalidURL:
        raise ValueError(f"the URL of {name} is not valid") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"the URL of {name} must begin with http:// or https:// and name a host")
    for header, value, _ in service.headers:
        if not valid_header(value):
            raise ValueError(f"the header {header} of {name} holds characters that cannot be sent")


def _client(services: Iterable[HttpService]) -> httpx.AsyncClient:
    import ssl
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    # The system's certificates: a private authority that is installed there counts. To read them
    # takes 40 ms, for nothing where all services speak plain HTTP; then nobody is trusted.
    secure = any(httpx.URL(service.url).scheme == "https" for service in services)
    certificates = (
        ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    return httpx.AsyncClient(
        verify=certificates,
        timeout=None,
        follow_redirects=False,
        trust_env=False,
        limits=httpx.Limits(
            max_connections=None, max_keepalive_connections=256, keepalive_expiry=_KEEP_ALIVE
        ),
        # A cookie would carry something from one saga into another.
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        # An answer that is not compressed cannot grow behind the limit's back.
        headers={"Accept-Encoding": "identity", "User-Agent": "sagalang"},
    )
