"""Starting a run, so that asking twice starts one."""

from __future__ import annotations

from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct
from starlette.requests import Request

from sagalang.host.definitions import Definition
from sagalang.host.host import ENDED
from sagalang.interpret.run import defined
from sagalang.machine.evaluate import BadValueError
from sagalang.machine.frozen import freeze
from sagalang.machine.saga import saga_id as own_id
from sagalang.runtime.codec import DecodeError
from sagalang.runtime.engine import BadIdError, EmptyIdError, OtherInputError, named
from sagalang.runtime.values import decode_input
from sagalang.serve.keys import Known
from sagalang.serve.problems import bad_request, conflict, key_reused, misfit, not_found
from sagalang.serve.requests import json_body, key_header
from sagalang.serve.state import Serving

_KEYED: Final = uuid5(NAMESPACE_URL, "urn:saga:run:by-idempotency-key")


class Started(Struct, frozen=True):
    """`found`: a run of this id and input was on record."""

    saga: str
    run: str
    found: bool


async def start(serving: Serving, request: Request, saga: str) -> Started:
    """Raises `Problem`, and what `Host.start` raises but `OtherInputError`."""
    definition = serving.definitions.get(saga)
    if definition is None:
        raise not_found("no-such-saga", f"this server has no saga `{saga}`")
    key = key_header(request)
    args = _input(definition, saga, await json_body(request))
    run_id, derived = _id(serving, definition, saga, args, request.query_params.getlist("id"), key)
    return await _once(serving, definition, saga, args, run_id, key, derived)


def _input(definition: Definition, saga: str, body: bytes) -> dict[str, Any]:
    try:
        return decode_input(definition.values, definition.program.sagas[saga], body)
    except DecodeError as problem:
        raise misfit(f"the input is not right: {problem}") from None


def _id(
    serving: Serving,
    definition: Definition,
    saga: str,
    args: dict[str, Any],
    asked: list[str],
    key: str | None,
) -> tuple[str, bool]:
    """The id of the run, and whether it comes from the key. It is known before anything happens,
    so that whoever got no answer can ask again."""
    own = definition.program.sagas[saga].id is not None
    if len(asked) > 1:
        raise bad_request("give one `id`")
    if own and asked:
        raise bad_request(f"{saga} has an id of its own in its input: leave `id` out")
    try:
        if own:
            ready = defined(definition.program, saga, definition.values)
            made = own_id(ready, dict(freeze(args)), serving.host.clock.now())
            return named(made), False
        if asked:
            return named(asked[0]), False
    except (BadValueError, EmptyIdError, BadIdError) as problem:
        raise misfit(f"the run cannot have this id: {problem}") from None
    if key is None:
        raise bad_request(
            f"{saga} has no id of its own: give the run one with ?id=…, or send an Idempotency-Key"
        )
    return str(uuid5(_KEYED, f"{saga}\0{key}")), True


async def _once(
    serving: Serving,
    definition: Definition,
    saga: str,
    args: dict[str, Any],
    run_id: str,
    key: str | None,
    derived: bool,
) -> Started:
    host, keys, fresh = serving.host, serving.keys, False
    try:
        async with serving.starting:  # of two requests the second finds what the first began
            row, now = host.store.reader.run(run_id), host.clock.now()
            if row is not None and row.parent is not None:
                raise conflict("other-input", f"{run_id} is on record, as a step of {row.parent}")
            known = None if key is None else keys.get(saga, key, now)
            if known is not None and known.run != run_id:
                raise key_reused()
            fresh = known is None
            known = known or Known(run_id, row is not None or run_id in host.handles)
            if key is not None and fresh:
                keys.put(saga, key, known, now)
            handle = await host.start(definition, saga, args, run_id)
            serving.follow(handle)
        if row is None or row.state not in ENDED:
            await handle.stands()
            await host.store.all_committed()
    except BaseException as problem:
        if key is not None and fresh:
            keys.drop(saga, key)
        if not isinstance(problem, OtherInputError):
            raise
        if key is not None and (derived or not fresh):
            raise key_reused() from None
        raise conflict("other-input", f"{problem}; nothing was called") from None
    return Started(saga, run_id, known.found)
