"""A replayed script as a `scenario` block: to paste into the file, and to see fail until the saga
is mended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from sagalang.model import program as p
from sagalang.model.types import (
    EnumRef,
    InlineRecord,
    ListOf,
    MapOf,
    Optional,
    Primitive,
    RecordRef,
    Secret,
    Type,
)
from sagalang.runtime.codec import decode, encode
from sagalang.runtime.fault_script import (
    Attempt,
    Kind,
    ScriptedEvent,
    ScriptedFault,
    by_attempt,
    event_value,
    saga_args,
)
from sagalang.runtime.values import Values
from sagalang.verify.replay import Replay, operation_of
from sagalang.verify.world import Breach

_WORDS: Final = {
    Kind.REQUEST_LOST: "times out before effect",
    Kind.ANSWER_LOST: "times out after effect",
    Kind.DUPLICATED: "duplicated",
    Kind.NOT_SENT: "is not sent",
    Kind.STRANGE_ANSWER: "answers nonsense",
}
_BEFORE_THE_SERVICE: Final = {
    Kind.CRASH_BEFORE: "crash before {}",
    Kind.CRASH_AFTER: "crash after {}",
}
"""What happens on the way, before any fault of the service."""
_LATE: Final = (60_000, 600_000, 3_600_000, 6 * 3_600_000, 23 * 3_600_000)

_MOST: Final = 900
"""A scenario is given up after 1,000 attempts of one call."""


class _UnsayableError(Exception):
    """Scenarios have no words for it."""


def scenario(
    replay: Replay, breach: Breach, values: Values, title: str, called: Mapping[str, str]
) -> str | None:
    """The block; None where scenarios have no words for the script. `called`: how arguments that
    are constants are called, by parameter."""
    try:
        return "\n".join(_lines(replay, breach, values, title, called)) + "\n"
    except _UnsayableError:
        return None


def _lines(
    replay: Replay, breach: Breach, values: Values, title: str, called: Mapping[str, str]
) -> Iterator[str]:
    program, script = replay.program, replay.script
    if script.latency:
        raise _UnsayableError
    saga = program.sagas[script.saga]
    args = saga_args(script, program, values) or {}
    given = ", ".join(
        called.get(param.name) or literal(args[param.name], param.type, values)
        for param in saga.params
    )
    yield f"scenario {_string(title)} of {script.saga}({given}) {{"
    for what in _whens(replay, values):
        yield f"  when {what}"
    for event in script.events:
        yield f"  send {_event(program, values, event)}{_after(event.after)}"
    if script.cancel is not None:
        yield f"  cancel{_after(script.cancel)}"
    for expect in _expects(replay, breach):
        yield f"  expect {expect}"
    yield "}"


def _after(ms: p.Ms) -> str:
    return f" after {duration(ms)}" if ms else ""


def _event(program: p.Program, values: Values, event: ScriptedEvent) -> str:
    fields = program.events[event.event].fields
    if not fields:
        return event.event
    value = event_value(values, event)
    given = ", ".join(
        f"{field.name}: {literal(values.get(value, field.name), field.type, values)}"
        for field in fields
    )
    return f"{event.event}({given})"


# --- What goes wrong ---------------------------------------------------------------------------

Struck = tuple[Attempt, ScriptedFault | None]


def _whens(replay: Replay, values: Values) -> Iterator[str]:
    struck = {at: replay.script.faults[i] for at, i in by_attempt(replay.script).items()}
    by_operation: dict[str, list[Struck]] = {}
    for attempt in replay.played.attempts:
        fault = struck.get((attempt.operation, attempt.call, attempt.attempt))
        by_operation.setdefault(attempt.operation, []).append((attempt, fault))
    for operation, made in by_operation.items():
        if not any(fault for _, fault in made):
            continue
        if _comes_first(made):
            yield from _in_a_row(replay, values, operation, made)
            continue
        # Not the first calls of the operation: then the first ones with their arguments, perhaps.
        for args, some in _by_arguments(replay, values, operation, made).items():
            if not any(fault for _, fault in some):
                continue
            if not _comes_first(some) or any(f and f.kind in _BEFORE_THE_SERVICE for _, f in some):
                raise _UnsayableError
            yield from _in_a_row(replay, values, f"{operation}({args})", some)


def _comes_first(struck: Sequence[Struck]) -> bool:
    """Whether a scenario would strike the same attempts: it strikes the first ones."""
    ranks = [2 if f is None else 0 if f.kind in _BEFORE_THE_SERVICE else 1 for _, f in struck]
    return ranks == sorted(ranks)


def _by_arguments(
    replay: Replay, values: Values, operation: str, struck: Sequence[Struck]
) -> dict[str, list[Struck]]:
    params = operation_of(replay.program, operation).params
    given = {}
    for arrival in (a for a in replay.steps if a.label == operation):
        texts = [
            literal(arg, param.type, values)
            for arg, param in zip(arrival.args, params, strict=True)
        ]
        given[arrival.key] = ", ".join(texts)
    found: dict[str, list[Struck]] = {}
    for attempt, fault in struck:
        if attempt.key not in given:
            raise _UnsayableError
        found.setdefault(given[attempt.key], []).append((attempt, fault))
    return found


def _in_a_row(
    replay: Replay, values: Values, target: str, struck: Sequence[Struck]
) -> Iterator[str]:
    told = [_fault(replay, values, target, attempt, fault) for attempt, fault in struck if fault]
    for text, group in groupby(told):
        times = len(list(group))
        if times > _MOST:
            raise _UnsayableError
        yield text if times == 1 else f"{text}, {times} times"


def _fault(
    replay: Replay, values: Values, target: str, attempt: Attempt, fault: ScriptedFault
) -> str:
    if fault.kind in _BEFORE_THE_SERVICE:
        return _BEFORE_THE_SERVICE[fault.kind].format(target)
    if fault.kind in _WORDS:
        return f"{target} {_WORDS[fault.kind]}"
    match fault.kind:
        case Kind.REJECTS:
            return f"{target} rejects {fault.error}"
        case Kind.LATE:
            return f"{target} arrives late after {duration(_lateness(replay, attempt, fault))}"
        case Kind.ANSWERS:
            operation = operation_of(replay.program, fault.operation)
            type_ = values.python_type(operation.result)
            value = decode(encode(fault.value, Any), type_)
            return f"{target} returns {literal(value, operation.result, values)}"
        case _:
            raise _UnsayableError


def _lateness(replay: Replay, attempt: Attempt, fault: ScriptedFault) -> p.Ms:
    if fault.after is not None:
        return fault.after
    promises = operation_of(replay.program, fault.operation).promises
    if promises.lands_within is not None:
        return promises.lands_within
    end = replay.journal[-1].at - attempt.at
    for ms in _LATE:
        # The jitter of another run may make it longer.
        if ms > 2 * end and (not promises.keyed or ms < promises.key_for):
            return ms
    return end + 1


# --- What should have been ---------------------------------------------------------------------


def _expects(replay: Replay, breach: Breach) -> Iterator[str]:
    path = "" if breach.at is None else breach.at[1].path
    steps = [did for did in replay.steps if did.place.path == path]
    match breach.rule:
        case "left" if any(did.effects for did in steps):
            yield "nothing left"
        case "left" | "forgotten":
            yield "escalated"
        case "done-twice" | "not-done" if steps:
            label = steps[0].label
            wanted = sum(d.label == label and d.belief == "done" for d in replay.steps)
            yield f"effect {label} {_times(wanted)}"
        case "stuck" | "endless":
            yield "compensated"
        case _:
            raise _UnsayableError


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


# --- Literals ----------------------------------------------------------------------------------


def literal(value: Any, type_: Type, values: Values) -> str:
    """The value as it is written in a `.saga` file. Raises where the language has no literal."""
    match type_:
        case Secret(item):
            return literal(value, item, values)
        case Optional() if value is None:
            return "null"
        case Optional(item):
            return literal(value, item, values)
        case ListOf(item):
            return "[" + ", ".join(literal(one, item, values) for one in value) + "]"
        case MapOf(item):
            pairs = (f"{_string(k)}: {literal(v, item, values)}" for k, v in value.items())
            return _braces(pairs)
        case RecordRef(name):
            return f"{name}({', '.join(_fields(value, type_, values))})"
        case InlineRecord():
            return _braces(_fields(value, type_, values))
        case EnumRef(name):
            return f"{name}.{value}"
        case Primitive():
            return _scalar(value)
        case _:
            raise _UnsayableError


def _fields(value: Any, type_: Type, values: Values) -> Iterator[str]:
    for name, field_type, _ in values.fields_of(type_):
        yield f"{name}: {literal(values.get(value, name), field_type, values)}"


def _braces(items: Iterator[str]) -> str:
    inside = ", ".join(items)
    return f"{{ {inside} }}" if inside else "{}"


def _scalar(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _string(value)
        case int():
            return str(value)
        case Decimal():
            text = f"{value:f}"
            return text if "." in text else f"{text}.0"
        case timedelta():
            return duration(round(value.total_seconds() * 1_000))
        case _:
            raise _UnsayableError


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "$": "\\$"}


def _string(text: str) -> str:
    inside = "".join(
        _ESCAPES.get(c) or (c if c.isprintable() else f"\\u{{{ord(c):X}}}") for c in text
    )
    return f'"{inside}"'


def duration(ms: p.Ms) -> str:
    """`1750ms`, `90s`, `1h`: exact, in one unit."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if ms >= size and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"
