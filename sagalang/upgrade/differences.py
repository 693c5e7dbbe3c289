"""A difference between two definitions, and which runs it concerns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sagalang.model import program as p
from sagalang.text import Span
from sagalang.upgrade.findings import Verdict
from sagalang.upgrade.reach import WHOLE, Reach, Reached, Slot

OLD_ONLY: Final = "let these runs end under the old definition"
KEEP: Final = "keep it as it was until these runs have ended; their journals do not fit otherwise"
LATER: Final = "switch over once these runs have ended"


@dataclass(frozen=True, slots=True)
class Difference:
    """Concerns a run in which the statement at `slot` is reached in one of the ways of `when`."""

    slot: Slot
    when: Reach
    verdict: Verdict
    text: str
    advice: str
    old: Span | None
    new: Span | None

    def concerns(self, reached: Reached) -> bool:
        return bool(reached.get(self.slot, Reach(0)) & self.when)


@dataclass(frozen=True, slots=True)
class Site:
    """A statement that both definitions have, and what is found there."""

    old: p.Program
    new: p.Program
    had: p.Saga
    has: p.Saga
    slot: Slot
    was: Span
    is_: Span
    name: str

    def breaks(self, when: Reach, text: str, advice: str = KEEP) -> Difference:
        return self._found(when, Verdict.BREAKS, text, advice)

    def drains(self, when: Reach, text: str, advice: str = LATER) -> Difference:
        return self._found(when, Verdict.DRAIN, text, advice)

    def _found(self, when: Reach, verdict: Verdict, text: str, advice: str) -> Difference:
        return Difference(self.slot, when, verdict, text, advice, self.was, self.is_)


def everywhere(
    verdict: Verdict, text: str, advice: str, old: Span | None, new: Span | None
) -> Difference:
    return Difference(WHOLE, Reach.BEGUN, verdict, text, advice, old, new)


def named(statement: p.Statement) -> str:
    """A statement as people call it."""
    match statement:
        case p.Step(call=call):
            return call.label
        case p.ChildStep(saga=saga):
            return f"saga {saga}"
        case p.Wait(event=event):
            return f"wait {event}"
        case p.Poll(call=call):
            return f"poll {call.label}"
        case p.Let(name=name):
            return f"let {name}"
        case p.Abort(error=error):
            return f"abort {error}"
        case _:
            return type(statement).__name__.lower()
