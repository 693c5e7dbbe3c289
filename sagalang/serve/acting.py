"""What people and other programs tell a run: signals, cancels, settlements.

All goes through the inbox of the journal, as `saga signal` and its like do: it is on the disk
before it is answered, and the run takes it in when it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from sagalang.host.sending import (
    About,
    Desk,
    MessageError,
    OtherEventError,
    RefusedError,
    Sent,
    UnknownRunError,
    event_value,
    settled_value,
)
from sagalang.machine import events as m
from sagalang.runtime.codec import DecodeError, dump, parse
from sagalang.serve.problems import conflict, key_reused, misfit, not_found
from sagalang.serve.requests import json, json_body, key_header, location, part
from sagalang.serve.state import Serving

_HOW: Final = {how.value.replace(" ", "-"): how for how in m.How}


class Settlement(Struct, frozen=True, forbid_unknown_fields=True):
    """`step`: the `place` of what is owed, or its `operation`."""

    step: str
    how: str
    by: str
    why: str
    value: Any = msgspec.UNSET


async def signal(serving: Serving, request: Request) -> Response:
    event, body, event_id = part(request, "event"), await json_body(request), key_header(request)

    def send(desk: Desk, to: About) -> Sent:
        return desk.signal(to, event, event_value(to, event, body), event_id)

    return await _sent(serving, request, send)


async def cancel(serving: Serving, request: Request) -> Response:
    return await _sent(serving, request, lambda desk, to: desk.cancel(to))


async def settle(serving: Serving, request: Request) -> Response:
    wanted = _settlement(await json_body(request))

    def send(desk: Desk, to: About) -> Sent:
        item, value = _item(to, wanted.step), None
        if wanted.value is not msgspec.UNSET:
            value = settled_value(to, item, dump(wanted.value))
        return desk.settle(to, item, _HOW[wanted.how], value, by=wanted.by, why=wanted.why)

    return await _sent(serving, request, send)


async def _sent(
    serving: Serving, request: Request, send: Callable[[Desk, About], Sent]
) -> Response:
    run_id, desk = part(request, "id"), serving.desk

    def sending() -> Sent:
        return send(desk, desk.look(run_id))

    try:
        # The desk waits for the run, which goes on in this thread.
        sent = await asyncio.to_thread(sending)
    except UnknownRunError as problem:
        raise not_found("no-such-run", str(problem)) from None
    except MessageError as problem:
        raise misfit(_advised(problem)) from None
    except OtherEventError:
        raise key_reused() from None
    except RefusedError as problem:
        raise conflict("refused", _advised(problem)) from None
    told = {"id": sent.event, "run": location(sent.run_id), "taken": sent.taken}
    return json(told, 202)


def _advised(problem: MessageError | RefusedError) -> str:
    return f"{problem} ({problem.advice})" if problem.advice else str(problem)


def _settlement(body: bytes) -> Settlement:
    try:
        # Numbers keep their digits: a decimal in `value` is exact.
        wanted = msgspec.convert(parse(body), Settlement)
    except DecodeError as problem:
        raise misfit(str(problem)) from None
    except msgspec.ValidationError as problem:
        raise misfit(f"this is no settlement: {problem}") from None
    if wanted.how not in _HOW:
        raise misfit(f"`how` is one of {', '.join(_HOW)}")
    return wanted


def _item(to: About, step: str) -> m.OpenItem:
    """The open item that is meant, by its place, or by its operation where that is open once."""
    items = to.stands.open_items()
    found = [item for item in items if str(item.place) == step]
    found = found or [item for item in items if item.label == step]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(str(item.place) for item in found or items)
    how = f"is open {len(found)} times" if found else f"is not open in {to.saga_id}"
    raise RefusedError(f"{step} {how}", f"open: {listed}" if listed else None)
