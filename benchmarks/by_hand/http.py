"""What the answers of HTTP services mean: it happened, it did not, or nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from .calls import Guard, Mismatch, NotSent, Rejected, Unknown

_JSON = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True)
class Http:
    """A service behind HTTP: one attempt each, and what its answer means."""

    client: httpx.AsyncClient
    guard: Guard = field(default_factory=Guard)

    async def send(
        self,
        key: str | None,
        number: int,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        answer: Any = None,
        rejects: Mapping[int, type[Rejected]] | None = None,
        absent: bool = False,
    ) -> Any:
        """`absent`: 404 and 410 are an answer, null."""
        headers = {"Accept": "application/json, application/problem+json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else _JSON.encode(body)
        try:
            response = await self.client.request(method, path, headers=headers, content=content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise NotSent("NotSent") from None
        except httpx.HTTPError:
            raise Unknown("Unavailable") from None
        if response.is_success:
            return _decoded(response.content, answer)
        _raise_for(response, key, number, rejects or {}, absent)
        return None


def _decoded(content: bytes, answer: Any) -> Any:
    if answer is None:
        return None
    try:
        return msgspec.json.decode(content or b"null", type=answer)
    except msgspec.MsgspecError:
        raise Mismatch() from None


def _raise_for(
    response: httpx.Response,
    key: str | None,
    number: int,
    rejects: Mapping[int, type[Rejected]],
    absent: bool,
) -> None:
    """What an answer that is no success means: raised, or nothing where absence is fine."""
    status, wait = response.status_code, _retry_after(response)
    problem = _problem(response)
    kind = str(problem.get("type", ""))
    if kind.endswith("idempotency/in-progress"):
        raise Unknown("Unavailable", wait)
    if "idempotency/" in kind:
        raise Mismatch()
    named = [
        error
        for error in rejects.values()
        if any(_ends_in(str(problem.get(m, "")), error.__name__) for m in ("type", "title"))
    ]
    if status == 409 and key is not None and number > 1 and not named:
        raise Unknown("Unavailable", wait)  # a repeat: the first attempt may still be running
    error = named[0] if named else rejects.get(status)
    if error is not None:
        raise error.of(problem)
    if absent and status in (404, 410):
        return
    if status == 429 or (status == 503 and wait is not None):
        raise NotSent("Throttled", wait)
    if status in (408, 425) or status >= 500:
        raise Unknown("Unavailable", wait)
    raise Mismatch()


def _ends_in(kind: str, name: str) -> bool:
    before = kind.removesuffix(name)
    return before != kind and not (before and (before[-1].isalnum() or before[-1] == "_"))


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.content or b"{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; a date is not understood."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None
