"""The OpenAPI description: valid, true of every answer, and no request is answered by a 500."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from served import SAGAS, Bank, Server, order

from sagalang.serve.openapi import document
from sagalang.workspace import load, load_text

schemathesis = pytest.importorskip("schemathesis")
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
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
EXAMPLES = 1_000 if "SAGA_SLOW" in os.environ else 100

TYPES = """
record Tree { name: string as "the-name", twigs: list<Tree>, mark: Mark?, secret_leaf: secret int }
enum Mark { Good as "g", Bad }
event Grown {
  trees: list<string>?, mark: Mark, at: datetime, after: duration, by: uuid, note: json,
  all: map<decimal>
}
service Woods { command plant(tree: Tree) idempotent }
saga Plant(tree: Tree, Größe: int?) { id tree.name  deadline 1h
  wait grown: Grown within 5m else escalate "woods"
  pivot step Woods.plant(tree) }
"""


@pytest.fixture
def fresh(tmp_path: Path, own_bank: Bank) -> Iterator[Server]:
    with Server(tmp_path, own_bank, "--log-level", "error") as found:
        yield found


def test_it_is_valid_and_served(server: Server) -> None:
    served = server.get("/openapi.json").json()
    OpenAPIV31SpecValidator(served).validate()
    assert served == document([load(str(SAGAS)).program], token=False)
    assert {"/sagas/Pay/runs", "/runs/{id}/signals/Review", "/runs/{id}/events"} <= set(
        served["paths"]
    )


def test_all_types_have_a_schema() -> None:
    other = load_text(TYPES, "woods.saga")
    assert not other.has_errors, other.diagnostics
    made = document([load(str(SAGAS)).program, other.program], token=True)
    OpenAPIV31SpecValidator(made).validate()
    tree = made["components"]["schemas"]["file2.Tree"]
    assert tree["required"] == ["the-name", "twigs", "secret_leaf"]
    assert tree["properties"]["secret_leaf"]["writeOnly"]
    assert tree["properties"]["twigs"]["items"] == {"$ref": "#/components/schemas/file2.Tree"}
    assert made["components"]["schemas"]["file1.Order"] != tree


def test_no_request_is_answered_by_a_500_or_in_an_undescribed_way(fresh: Server) -> None:
    for name in ("known", "waits", "stuck-1"):
        fresh.start("Pay" if name == "known" else "Reviewed", order(name))
    schema = schemathesis.openapi.from_dict(fresh.get("/openapi.json").json())
    cases = [
        found.ok().as_strategy(mode, feedback=FeedbackSources())
        for found in schema.get_all_operations()
        for mode in GenerationMode
    ]
    seen: dict[str, set[int]] = {}

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # the server remembers: a smaller example may well do nothing
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(cases), st.sampled_from(["known", "waits", "stuck-1", "nobody", None]))
    def answered(case: Any, run_id: str | None) -> None:
        if run_id and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = run_id
        if case.path.endswith("/events") and run_id != "known":
            return  # it would go on as long as the run
        answer = case.call_and_validate(base_url=fresh.url, checks=CHECKS, timeout=60)
        seen.setdefault(case.operation.label, set()).add(answer.status_code)

    answered()
    statuses = set().union(*seen.values())
    assert statuses >= {200, 201, 202, 400, 404, 409, 422}, seen
    assert fresh.get("/healthz").is_success
