"""What entries of the journal are called in short sentences: for the live view and the log.

Only fields that hold no payload are read. Names that come from input are made printable, so that
they can neither forge a line of a log nor steer a terminal.
"""

from __future__ import annotations

from typing import Final

from sagalang.machine.events import Purpose
from sagalang.model.errors import OWN_REFUSALS
from sagalang.model.program import Ms
from sagalang.runtime import journal as j

KNEW_KEY: Final = "the service knew the key"

_AGAIN: Final = {
    "backoff": "again in {}",
    "retry-after": "again in {}, as the service asks",
    "breaker": "again in {}",
    "retry-budget": "the retry budget is used up; looks again in {}",
    "lands-within": "waits {} until a late call can no longer land",
}
_PURPOSE: Final = {
    Purpose.STEP: "",
    Purpose.POLL: " (poll)",
    Purpose.RESOLVE: " (finding out)",
    Purpose.COMPENSATE: " (compensation)",
}


def duration(ms: Ms) -> str:
    """`340 ms`, `2.5 s`, `4 h`: two figures are enough for a person."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms >= size:
            return f"{ms / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{max(ms, 0)} ms"


def printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def call(entry: j.CallEntry) -> str:
    """`Payment.refund (compensation)`, with the iterations of loops."""
    inside = "".join(f"[{printable(identity)}]" for _, identity in entry.place.loops)
    return f"{entry.label}{inside}{_PURPOSE[entry.purpose]}"


def refused_here(entry: j.AttemptEnded | j.ProbeEnded) -> bool:
    """Whether one of our own protections kept the attempt back: it was never sent."""
    return entry.error in OWN_REFUSALS


def attempt(entry: j.AttemptEnded) -> str:
    """What an attempt that brought no answer came to: an error's name, or why it was not sent."""
    return entry.detail if refused_here(entry) else entry.error or entry.kind


def waiting(entry: j.Waiting) -> str:
    """What the call waits for, and how long."""
    return _AGAIN.get(entry.reason, f"{entry.reason}, {{}}").format(duration(entry.delay))


def settlement(entry: j.Settlement) -> str:
    """What a person said of an open item, and why."""
    who = printable(entry.by) or "somebody"
    return f"{who} settles it: {entry.how}" + (f" ({printable(entry.why)})" if entry.why else "")


def queued(entry: j.Queued) -> str:
    if entry.until is None:
        return "too many calls under way; waits for its turn"
    return f"too many calls under way; waits at most {duration(entry.until - entry.at)}"


def breaker(entry: j.BreakerChanged) -> str:
    """What the change means for the calls to come."""
    if entry.after == "open":
        why = "still failing" if entry.before == "half-open" else "calls are refused"
        if entry.until is None:
            return why
        return f"{why}; a probe after {duration(entry.until - entry.at)}"
    return "one probe" if entry.after == "half-open" else "calls pass again"
