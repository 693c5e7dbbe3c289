"""The API as an OpenAPI 3.1 document, made of the programs that are served. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from sagalang import __version__
from sagalang.model.program import Program, Record, Saga
from sagalang.serve.problems import MEDIA_TYPE as PROBLEM
from sagalang.serve.schemas import Schema, Schemas

STATES: Final = ("running", "completed", "compensated", "escalated")
HOWS: Final = ("retry", "done", "not-done")
MOST_RUNS: Final = 1_000
_JSON: Final = "application/json"
_TEXT: Final[Schema] = {"type": "string"}
_TIME: Final[Schema] = {"type": "integer", "description": "ms since the Unix epoch"}
_EVENTS: Final[Schema] = {"description": "`data` of each event: an entry of docs/journal.md."}
_OPEN: Final[Schema] = {"type": "object"}
"""What grows with the language is not described field by field."""


def document(programs: Iterable[Program], *, token: bool) -> dict[str, Any]:
    """`programs`: those whose sagas can be started. `token`: one is needed."""
    paths: dict[str, Any] = {}
    components: dict[str, Schema] = dict(_COMPONENTS)
    for number, program in enumerate(programs):
        schemas = Schemas(program, f"file{number + 1}.")
        for saga in program.sagas.values():
            paths[f"/sagas/{quote(saga.name)}/runs"] = {"post": _start(saga, schemas)}
        for event in program.events.values():
            path = f"/runs/{{id}}/signals/{quote(event.name)}"
            signal = _signal(event, schemas)
            paths.setdefault(path, {"parameters": [_RUN_ID], "post": signal})
        components |= schemas.components
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "saga serve",
            "version": __version__,
            "description": "Starts sagas, tells how they stand, and takes what people decide.",
        },
        "paths": paths | _paths(),
        "components": {"schemas": components},
    }
    if token:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
        made["paths"]["/healthz"]["get"]["security"] = []
    return made


# --- Operations --------------------------------------------------------------------------------


def _start(saga: Saga, schemas: Schemas) -> Schema:
    parameters = [
        _header(
            "Idempotency-Key",
            "The same key with the same request gets the same answer, and one run. Its first use"
            " is remembered for 24 hours.",
        )
    ]
    if saga.id is None:
        described = "The run's id, for this saga has none of its own. Or else send a key."
        parameters.append(_query("id", {**_TEXT, "minLength": 1}, described))
    whole = schemas.record([(param.wire, param.type) for param in saga.params])
    forms = [whole]
    if len(saga.params) == 1:
        # The value of the only parameter itself, as `saga run --input` takes it.
        forms.append(schemas.of(saga.params[0].type))
    started = _answer("The run.", _JSON, _ref("Started"))
    located = {**started, "headers": {"Location": {"schema": _TEXT}}}
    return {
        "operationId": f"start {saga.name}",
        "summary": f"Start {saga.name}",
        **({"description": saga.doc} if saga.doc else {}),
        "parameters": parameters,
        "requestBody": _body({"anyOf": forms} if len(forms) > 1 else whole),
        "responses": {
            "201": {**located, "description": "It began, and is on record."},
            "200": {**located, "description": "A run of this id and input was on record."},
            **_problems(400, 404, 408, 409, 413, 415, 422, 503),
        },
    }


def _signal(event: Record, schemas: Schemas) -> Schema:
    fields = [(field.wire, field.type) for field in event.fields]
    return {
        "operationId": f"signal {event.name}",
        "summary": f"Send {event.name} to a run",
        "parameters": [
            _header("Idempotency-Key", "The event's id. An event of an id counts once.")
        ],
        "requestBody": _body(schemas.record(fields, event.doc)),
        "responses": {
            "202": _answer("It is on record.", _JSON, _ref("Taken")),
            **_problems(400, 404, 408, 409, 413, 415, 422, 503),
        },
    }


def _paths() -> dict[str, Any]:
    seen = _answer("The run.", _JSON, _ref("Run"))
    after = _header("Last-Event-ID", "Only what came after the event of this id.")
    return {
        "/runs": {
            "get": {
                "operationId": "runs",
                "summary": "The runs on record, the last to begin first",
                "parameters": [
                    _query("state", {"type": "array", "items": {"enum": list(STATES)}}),
                    _query("saga", _TEXT),
                    _query("since", _TEXT, "A time (RFC 3339), or how long ago: 90s, 2h, 7d."),
                    _query("limit", {"type": "integer", "minimum": 1, "maximum": MOST_RUNS}),
                ],
                "responses": {
                    "200": _answer("The runs.", _JSON, _ref("Runs")),
                    **_problems(400, 503),
                },
            }
        },
        "/runs/{id}": {
            "parameters": [_RUN_ID],
            "get": {
                "operationId": "run",
                "summary": "How a run stands",
                "responses": {"200": seen, **_problems(400, 404, 503)},
            },
        },
        "/runs/{id}/journal": {
            "parameters": [_RUN_ID],
            "get": {
                "operationId": "journal",
                "summary": "The journal of a run, secrets covered (docs/journal.md)",
                "responses": {
                    "200": _answer("JSON lines.", "application/jsonl", _TEXT),
                    **_problems(400, 404, 503),
                },
            },
        },
        "/runs/{id}/events": {
            "parameters": [_RUN_ID, after],
            "get": {
                "operationId": "events",
                "summary": "What happens in a run, as it happens (server-sent events)",
                "responses": {
                    "200": _answer("A journal entry an event.", "text/event-stream", _EVENTS),
                    "204": {"description": "The run is over, and nothing came after that event."},
                    **_problems(400, 404, 503),
                },
            },
        },
        "/runs/{id}/cancel": {
            "parameters": [_RUN_ID],
            "post": {
                "operationId": "cancel",
                "summary": "Ask a run to abort and undo; past its point of no return it goes on",
                "responses": {
                    "202": _answer("It is on record.", _JSON, _ref("Taken")),
                    **_problems(400, 404, 409, 503),
                },
            },
        },
        "/runs/{id}/settlements": {
            "parameters": [_RUN_ID],
            "post": {
                "operationId": "settle",
                "summary": "Settle what only a person can move",
                "requestBody": _body(_ref("Settlement")),
                "responses": {
                    "202": _answer("It is on record.", _JSON, _ref("Taken")),
                    **_problems(400, 404, 408, 409, 413, 415, 422, 503),
                },
            },
        },
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "For Prometheus",
                "responses": {"200": _answer("The text format.", "text/plain", _TEXT)},
            }
        },
        "/healthz": {
            "get": {
                "operationId": "health",
                "summary": "Whether runs can go on",
                "responses": {
                    "200": _answer("They can.", _JSON, _OPEN),
                    **_problems(503),
                },
            }
        },
        "/openapi.json": {
            "get": {
                "operationId": "description",
                "summary": "This document",
                "responses": {"200": _answer("This document.", _JSON, _OPEN)},
            }
        },
    }


# --- Parts -------------------------------------------------------------------------------------


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _query(name: str, schema: Schema, described: str = "") -> Schema:
    made = {"name": name, "in": "query", "required": False, "schema": schema}
    return {**made, "description": described} if described else made


def _header(name: str, described: str) -> Schema:
    made = {"name": name, "in": "header", "required": False, "schema": _TEXT}
    return {**made, "description": described}


_RUN_ID: Final[Schema] = {"name": "id", "in": "path", "required": True, "schema": _TEXT}


def _body(schema: Schema) -> Schema:
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def _answer(described: str, media_type: str, schema: Schema) -> Schema:
    return {"description": described, "content": {media_type: {"schema": schema}}}


def _problems(*statuses: int) -> Mapping[str, Schema]:
    # 401 and 403 come before anything is looked at.
    return {
        str(status): _answer(_WHY[status], PROBLEM, _ref("Problem"))
        for status in sorted((*statuses, 401, 403))
    }


_WHY: Final = {
    400: "The request is not right.",
    401: "A token is needed.",
    403: "A browser asks for a page of another site.",
    404: "There is no such run, saga or event.",
    408: "The body did not arrive in time.",
    409: "It does not go with what is on record.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The value does not fit its type, or the key came with another request.",
    503: "The journal, or what the saga needs, cannot be reached.",
}


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required.split()}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_SUMMARY: Final = {
    "id": _TEXT,
    "saga": _TEXT,
    "state": {"enum": list(STATES)},
    "began": _TIME,
    "changed": _TIME,
    "ended": _nullable(_TIME),
    "error": _nullable(_TEXT),
    "parent": _nullable(_TEXT),
}
_COMPONENTS: Final[Mapping[str, Schema]] = {
    "Problem": _object(
        "type title status detail",
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer"},
        detail=_TEXT,
    ),
    "Started": _object("id saga run", id=_TEXT, saga=_TEXT, run=_TEXT),
    "Taken": _object("id run taken", id=_TEXT, run=_TEXT, taken={"type": "boolean"}),
    "Summary": _object("id saga state began changed ended error parent", **_SUMMARY),
    "Runs": _object("runs", runs=_list(_ref("Summary"))),
    "Run": _object(
        "id saga state began changed ended error parent phase root outcome owed waits",
        **_SUMMARY,
        phase=_TEXT,
        root=_TEXT,
        detail=_TEXT,
        cancel_asked=_nullable(_TIME),
        outcome=_nullable(_OPEN),
        steps=_list(_OPEN),
        owed=_list(_OPEN),
        waits=_list(_OPEN),
        sleeps=_list(_OPEN),
        under_way=_list(_OPEN),
        decisions=_list(_OPEN),
        alerts=_list(_TEXT),
        stopped=_nullable(_TEXT),
    ),
    "Settlement": {
        **_object(
            "step how by why",
            step={**_TEXT, "minLength": 1},
            how={"enum": list(HOWS)},
            by={**_TEXT, "minLength": 1},
            why={**_TEXT, "minLength": 1},
            value={},
        ),
        "additionalProperties": False,
    },
}
