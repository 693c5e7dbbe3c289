"""A verdict as diagnostics: one for each promise that is missing."""

from __future__ import annotations

from collections.abc import Iterator

from sagalang.diagnostics import Diagnostic, diagnose
from sagalang.verify.account import account
from sagalang.verify.trace import faults
from sagalang.verify.verify import Found, Verdict


def distinct(verdict: Verdict) -> Iterator[Found]:
    """One breach for each promise that is missing: the one with the fewest faults."""
    seen: set[tuple[object, ...]] = set()
    for found in verdict.breaches:
        told = account(found)
        key: tuple[object, ...] = (told.sentence,)
        if told.promise:
            key = (told.at, told.promise)
        elif told.step:
            key = (told.name, told.step)
        if key not in seen:
            seen.add(key)
            yield found


def diagnostic(verdict: Verdict, found: Found) -> Diagnostic:
    """What is broken, where the missing promise would stand, and what leads there."""
    told = account(found)
    saga = found.model.program.sagas[verdict.saga]
    step = told.step or saga.span
    at = told.at or step
    count = found.path.faults
    needed = "without any fault" if count == 0 else f"by {count} fault{'s' if count > 1 else ''}"
    ways = "; ".join(faults(found.path))
    notes: tuple[str, ...] = (f"reached {needed}" + (f": {ways}" if ways else ""),)
    if not found.whole:
        notes = (*notes, "found branch by branch: other branches are stood in for")
    return diagnose(
        told.name,
        at,
        told.sentence,
        f"`{told.promise}` is missing here" if told.promise else "",
        other=(step, "the step") if step != at else None,
        notes=notes,
        help=told.advice,
    )


def diagnostics(verdict: Verdict) -> tuple[Diagnostic, ...]:
    return tuple(diagnostic(verdict, found) for found in distinct(verdict))
