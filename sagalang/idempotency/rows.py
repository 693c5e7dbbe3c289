"""A record as a row of an SQL table. Pure."""

from __future__ import annotations

from typing import Any, Final

from sagalang.idempotency.answer import Answer, dump_headers, load_headers
from sagalang.idempotency.core import Id, Record, State

KEY: Final = ("caller", "operation", "key")
VALUES: Final = (
    "state",
    "created",
    "expires",
    "fingerprint",
    "token",
    "lease_until",
    "status",
    "headers",
    "body",
)


def row_of(identity: Id, record: Record) -> tuple[Any, ...]:
    """The columns `KEY` and `VALUES`, in this order; without an answer its three are None."""
    answer = record.answer
    return (
        identity.caller,
        identity.operation,
        identity.key,
        record.state.value,
        record.created,
        record.expires,
        record.fingerprint,
        record.token,
        record.lease_until,
        answer and answer.status,
        answer and dump_headers(answer.headers),
        answer and answer.body,
    )


def record_of(
    state: str,
    created: int,
    expires: int,
    fingerprint: str,
    token: str,
    lease_until: int,
    status: int | None,
    headers: str,
    body: bytes,
) -> Record:
    """The record whose `VALUES` these are."""
    answer = None if status is None else Answer(status, load_headers(headers), body)
    return Record(State(state), created, expires, fingerprint, token, lease_until, answer)
