"""Events of a command line, as JSON: `Review {"verdict": "Approved", "by": "eve"} after 2s`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from sagalang.diagnostics.suggest import hint
from sagalang.model.program import Ms
from sagalang.runtime.codec import DecodeError, Mode, parse, read
from sagalang.runtime.saga import Send
from sagalang.runtime.saga_leaves import event_name
from sagalang.runtime.shapes import record_fields

_EVENT: Final = re.compile(r"\s*(?:send\s+)?(\w+)\s*(\{.*\})?\s*(?:after\s+(\S+))?\s*", re.DOTALL)
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def read_send(text: str, events: Iterable[type]) -> Send:
    """The event that a text names. Raises ValueError with a sentence that says what to write.

    Values are never told: they may be secret.
    """
    known = {event_name(event): event for event in events}
    if not known:
        raise ValueError("no saga of this module waits for an event")
    found = _EVENT.fullmatch(text)
    name = found[1] if found else text.split("(")[0].split("{")[0].strip()
    event = known.get(name)
    if event is None:
        advice = hint(name, known) or f"there are {', '.join(known)}"
        raise ValueError(f"there is no event `{name}`: {advice}")
    if found is None:
        raise ValueError(f"this event cannot be read; write it as {_example(name, event)}")
    after = 0 if found[3] is None else milliseconds_of(found[3])
    try:
        return Send(read(parse(found[2] or "{}"), event, Mode.INPUT), after)
    except DecodeError as error:
        error.hide_keys = True
        at = f".{error.shape}" if error.parts else ""
        raise ValueError(f"{name}{at}: {error.message}") from None


def milliseconds_of(text: str) -> Ms:
    """`500ms`, `2s`, `1h30m`. Raises ValueError."""
    if not re.fullmatch(r"(\d{1,9}(ms|s|m|h|d))+", text, re.ASCII):
        raise ValueError(f"`{text}` is not a duration; write it as 500ms, 2s or 1h30m")
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|s|m|h|d)", text))


def _example(name: str, event: type[Any]) -> str:
    fields = ", ".join(f'"{field.wire}": …' for field in record_fields(event))
    return f"{name} {{{fields}}} after 2s"
