"""What the log says, and what it must not say."""

from __future__ import annotations

import logging

import pytest

from idempotency.service import CHARGE, Gates, calling, post, starlette
from idempotency.stores import Opened
from sagalang.idempotency import Request

SECRETS = ["Bearer s3cret", "4111-1111", "pay-"]


def test_events_are_logged_with_names_and_keys_only(
    opened: Opened, gates: Gates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sagalang.idempotency")

    def careless(request: Request) -> str:
        return request.header("Authorization") or ""

    with calling(starlette(opened, gates, caller=careless)) as client:

        def charge(body: object) -> None:
            post(client, "key-1", body, Authorization=SECRETS[0])

        charge({"card": SECRETS[1]})
        charge({"card": SECRETS[1]})
        charge({"card": "other"})
        client.post("/charges/key-1/refund", headers={"Authorization": SECRETS[0]})
        charge({"card": SECRETS[1]})
    records = [record for record in caplog.records if record.name == "sagalang.idempotency"]
    events = [(record.event, record.operation, record.key) for record in records]  # type: ignore[attr-defined]
    assert events == [
        (event, CHARGE, "key-1") for event in ("replayed", "key-reused", "fence", "fenced")
    ]
    assert records[1].levelno == logging.WARNING
    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in records)
    assert not any(secret in text for secret in SECRETS)
