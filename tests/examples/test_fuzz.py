"""Requests that nobody would write by hand, to the order example's services: no answer is a 500.

Schemathesis makes them from an OpenAPI description, half of them against it: hostile keys, bodies
and headers, in one mixed sequence for each service, so that undos meet what they undo. The same
requests each time.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import test_order_services
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from test_order_services import changed, running

schemathesis = pytest.importorskip("schemathesis")
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.core.failures import FailureGroup, ServerError  # noqa: E402
from schemathesis.generation.feedback import FeedbackSources  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 400 if "SAGA_SLOW" in os.environ else 200  # for each service

# A few names come again and again, so that undos, repeats and what they are about meet.
KNOWN = ['"k"', "k/k", *(f"k{n}" for n in range(0, EXAMPLES, 50))]
NAME = {"anyOf": [{"enum": KNOWN}, {"type": "string"}]}
TEXT = {"anyOf": [{"enum": ["tea", "ü"]}, {"type": "string", "minLength": 1, "maxLength": 200}]}
AMOUNT = {"anyOf": [{"enum": [0, 0.1, 1000.5]}, {"type": "number", "minimum": 0}]}
QUANTITY = {"anyOf": [{"enum": [1, 2**63, 2**64]}, {"type": "integer", "minimum": 1}]}


def record(**fields: object) -> dict[str, object]:
    return {"type": "object", "properties": fields, "required": list(fields)}


PROBLEM = record(type={"type": "string"}, title={"type": "string"}, status={"type": "integer"})


def operation(
    answers: str, path: str | None = None, body: dict[str, object] | None = None
) -> dict[str, object]:
    """`path`: the name of its path parameter. All take a key; with a body they need one."""
    key = {"name": "Idempotency-Key", "in": "header", "required": bool(body), "schema": NAME}
    parameters = [key, {"name": "Traceparent", "in": "header", "schema": {"type": "string"}}]
    if path:
        parameters.append({"name": path, "in": "path", "required": True, "schema": NAME})
    said: dict[str, object] = {}
    for status in f"{answers} 400 404 405 409 422".split():
        kind = "application/json" if status < "400" else "application/problem+json"
        schema = {"type": "object"} if status < "400" else PROBLEM
        said[status] = {"description": "", "content": {kind: {"schema": schema}}}
    made: dict[str, object] = {"parameters": parameters, "responses": said}
    if body:
        content = {"application/json": body, "application/octet-stream": {"type": "string"}}
        kinds = {kind: {"schema": schema} for kind, schema in content.items()}
        made["requestBody"] = {"required": True, "content": kinds}
    return made


ORDER = record(id=NAME, sku=TEXT, qty=QUANTITY, amount=AMOUNT)
CHARGE = record(order=TEXT, amount=AMOUNT)
RESERVATION = record(order=TEXT, sku={"enum": ["tea", "cup", "gold"]}, qty=QUANTITY)

PATHS: dict[str, dict[str, Any]] = {
    "orders": {
        "/orders": {"post": operation("201", body=ORDER)},
        "/orders/{id}/fail": {"post": operation("200", "id")},
        "/orders/{id}/confirm": {"post": operation("200", "id")},
    },
    "payment": {
        "/charges": {"post": operation("201 402", body=CHARGE)},
        "/charges/{of}/refund": {"post": operation("200", "of")},
    },
    "inventory": {
        "/reservations": {"post": operation("201", body=RESERVATION)},
        "/reservations/{of}": {"delete": operation("200", "of")},
    },
}


def fuzz(url: str, service: str) -> set[int]:
    """The statuses that were answered."""
    seen = set()
    document = {
        "openapi": "3.0.3",
        "info": {"title": service, "version": "1"},
        "paths": PATHS[service],
    }
    schema = schemathesis.openapi.from_dict(document)
    cases = [
        found.ok().as_strategy(mode, feedback=FeedbackSources())
        for found in schema.get_all_operations()
        for mode in GenerationMode
    ]
    new = (f"k{n}" for n in itertools.count())
    # Most invented keys are none, or were used for another request: no way into the service.
    keys = st.sampled_from(["new", "new", "new", "new", None, *KNOWN[:2]])

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # the services remember: a smaller example may well do nothing
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(cases), keys)
    def answered(case: Any, key: str | None) -> None:
        if key and case.operation.body:
            case.headers["Idempotency-Key"] = next(new) if key == "new" else key
        answer = case.call_and_validate(base_url=url, checks=CHECKS, timeout=20)
        seen.add(answer.status_code)

    answered()
    return seen


@pytest.mark.parametrize("service", PATHS)
def test_no_request_is_answered_by_a_500_or_in_an_unknown_way(tmp_path: Path, service: str) -> None:
    with running(tmp_path / "data", "--stock", "tea=1000,cup=5") as services:
        seen = fuzz(getattr(services, service), service)
    assert seen >= {200, 201, 400, 422}  # it came as far as the service, and had keys again


@pytest.mark.parametrize(
    ("service", "file", "right", "wrong"),
    [
        ("inventory", "service.py", "Meta(ge=1, le=10**6)", "Meta(ge=1)"),  # too large for SQLite
        ("orders", "orders.py", 'found == ("CONFIRMED",)', 'found[0] == "CONFIRMED"'),  # or None
        ("payment", "payment.py", "bare(request.path_params", "str(request.query_params"),  # none
    ],
)
def test_it_finds_a_planted_bug(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    file: str,
    right: str,
    wrong: str,
) -> None:
    copy = changed(tmp_path / "services", file, right, wrong)
    monkeypatch.setattr(test_order_services, "SERVICES", copy)
    with running(tmp_path / "data") as services, pytest.raises(FailureGroup) as found:
        fuzz(getattr(services, service), service)
    assert any(isinstance(failure, ServerError) for failure in found.value.exceptions)
