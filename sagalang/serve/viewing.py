"""How runs stand, for whoever asks: lists, single runs, journals and streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sagalang import __version__
from sagalang.host.book import Numbered, RunInfo, State, root_of
from sagalang.host.definitions import Definition, DefinitionError, Text
from sagalang.host.status import Timed, status_of
from sagalang.interpret.run import defined
from sagalang.machine import events as m
from sagalang.model.program import Wait
from sagalang.runtime import journal as j
from sagalang.runtime.codec import plain
from sagalang.runtime.journal_file import Definition as Texts
from sagalang.runtime.journal_file import Header, entry_line, header_line
from sagalang.runtime.journal_values import Kept
from sagalang.serve.feed import Covered, Journal, told
from sagalang.serve.problems import not_found
from sagalang.serve.requests import json, last_event_id, location, part, wanted_runs
from sagalang.serve.state import Serving


async def runs(serving: Serving, request: Request) -> Response:
    wanted = wanted_runs(request, serving.host.clock.now())
    return json({"runs": [_summary(run) for run in serving.book.runs(wanted)]})


async def run(serving: Serving, request: Request) -> Response:
    """The names are those of `saga show --format json`."""
    run = _found(serving, request)
    definition, entries = _account(serving, run)
    status = status_of(entries)
    ends = (e for e in reversed(entries) if isinstance(e, j.SagaFinished) and e.saga_id == run.id)
    end = next(ends, None)
    root = root_of(serving.book, run).id
    told = {
        **_summary(run),
        "phase": status.phase,
        "root": root,
        "error": status.error,
        "detail": status.detail,
        "cancel_asked": status.cancel_asked,
        "outcome": None if end is None or run.state is State.RUNNING else _outcome(end.value),
        "steps": [asdict(step) for step in status.steps],
        "owed": [
            {**asdict(item), "settle": f"{location(item.child or item.run_id)}/settlements"}
            for item in status.owed
        ],
        "waits": [_wait(definition, each) for each in status.waits],
        "sleeps": [asdict(each) for each in status.sleeps],
        "under_way": [asdict(call) for call in status.under_way],
        "decisions": [asdict(decision) for decision in status.decisions],
        "alerts": status.alerts,
        "stopped": _stopped(serving, run, root),
    }
    return json(told)


def _account(serving: Serving, run: RunInfo) -> tuple[Definition | None, Sequence[j.Entry]]:
    """What a run goes by, and its journal; of one that a compiled saga left, without values."""
    try:
        definition = serving.definition(run)
    except DefinitionError:
        return None, [entry for _, entry in serving.book.history(run.id)]
    return definition, [entry for _, entry in Covered(definition).history(serving.book, run.id)]


async def journal(serving: Serving, request: Request) -> Response:
    """As `saga run --journal` writes it: docs/journal.md."""
    run = _found(serving, request)
    definition = serving.definition(run)
    text = msgspec.json.decode(definition.text, type=Text)
    header = Header(
        sagalang=__version__,
        saga=run.saga,
        saga_id=run.id,
        began=run.began,
        fakes=definition.fakes,
        definition=Texts(main=text.main, files=text.files),
    )
    entries = Covered(definition).history(serving.book, run.id)
    lines = [header_line(header), *(entry_line(entry) for _, entry in entries)]
    return Response("".join(lines), media_type="application/jsonl")


async def events(serving: Serving, request: Request) -> Response:
    """Server-sent events. Who comes again for a run that is over is told so by a 204, which ends
    the asking of browsers."""
    run, after = _found(serving, request), last_event_id(request)
    journal = Journal(serving.host.store, serving.book, Covered(serving.definition(run)), run.id)
    watch = serving.feed.watch(run.id)
    try:
        behind = [numbered for numbered in await journal.news() if numbered.seq > after]
    except BaseException:
        watch.end()
        raise
    if journal.over and not behind:
        watch.end()
        return Response(status_code=204)

    async def text() -> AsyncIterator[bytes]:
        try:
            async with aclosing(told(journal, behind, watch, serving.stopping)) as stream:
                async for numbered in stream:
                    yield _event(numbered)
        finally:
            watch.end()

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(text(), media_type="text/event-stream", headers=headers)


def _event(numbered: Numbered | None) -> bytes:
    if numbered is None:
        return b": nothing new\n\n"
    return f"id: {numbered.seq}\ndata: {entry_line(numbered.entry)}\n".encode()


# --- A run -------------------------------------------------------------------------------------


def _found(serving: Serving, request: Request) -> RunInfo:
    """The run that the path names. Raises `Problem`."""
    run_id = part(request, "id")
    run = serving.book.run(run_id)
    if run is None:
        raise not_found("no-such-run", f"there is no run {run_id}")
    return run


def _summary(run: RunInfo) -> dict[str, Any]:
    return {
        "id": run.id,
        "saga": run.saga,
        "state": run.state.value,
        "began": run.began,
        "changed": run.changed,
        "ended": run.ended,
        "error": run.error,
        "parent": run.parent,
    }


def _outcome(outcome: m.SagaOutcome) -> dict[str, Any]:
    """Its values are covered."""
    match outcome:
        case m.Completed(value):
            return {"kind": "completed", "value": _shown(value)}
        case m.Compensated(error):
            fields = _shown(error.value)
            detail = error.detail
            return {"kind": "compensated", "error": error.name, "fields": fields, "detail": detail}
        case m.Escalated():
            return {"kind": "escalated"}


def _shown(value: Any) -> Any:
    return plain(value.plain, Any) if isinstance(value, Kept) else None


def _wait(definition: Definition | None, waits: Timed) -> dict[str, Any]:
    """`event`: none where an answer is polled for."""
    event = None
    if definition is not None:
        saga = defined(definition.program, waits.saga, definition.values)
        statement = saga.statements.get(waits.path)
        event = statement.event if isinstance(statement, Wait) else None
    signal = None if event is None else f"{location(waits.run_id)}/signals/{quote(event)}"
    return {**asdict(waits), "event": event, "signal": signal}


def _stopped(serving: Serving, run: RunInfo, root: str) -> str | None:
    """Why nothing happens in a run that could go on."""
    if run.state is not State.RUNNING or root in serving.host.handles:
        return None
    return serving.stopped.get(root, "it is about to be gone on with")
