"""Plays events to the saga machine and tells in short words what it wants done.

    play = Play('step a = S.do("a")  step b = S.do("b")')
    assert play.ok("a") == ["call b"]
    assert play.rejected("b") == ["abort No", "undo a"]

A place is written `a`, or `a[x]` inside a loop. A test cannot answer what was not asked: only
calls, child sagas and timers that are under way can be ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sagalang.interpret.run import build
from sagalang.machine import events as m
from sagalang.machine.definition import Definition
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.saga import State, advance, define, open_items, refusal, start
from sagalang.model.types import RecordRef
from sagalang.runtime.values import Values
from sagalang.workspace import load_text

WORLD = """
error No, Other, Gone { code: int }
event Go { n: int }
event Halt { n: int }
policy once { timeout 1s }
policy few { timeout 1s retry 2 times backoff 100ms * 2 jitter full }
policy always { timeout 1s retry forever backoff 1s * 2 up to 1m jitter full }
service S {
  with once
  command do(name: string) -> string
    keyed, records rejections
    rejects No, Other, Gone
    compensate undo(key)
  command undo(of: key)  idempotent, absent ok, fences late
  command sure(name: string) -> string  keyed
  command book(name: string) -> string
    keyed, records rejections
    rejects No
    compensate unbook(result)
  command unbook(booking: string)  idempotent, absent ok, fences late
  command fax(name: string) -> string
    compensate shred(name)
    lands within 1m
  command shred(name: string)  idempotent, absent ok
  command tell(name: string)
  query ask(name: string) -> int?
}
"""


@cache
def _defined(text: str, saga: str) -> tuple[Definition, Values]:
    loaded = load_text(text, "test.saga")
    assert not loaded.has_errors, [d.message for d in loaded.diagnostics if d.is_error]
    values = Values(loaded.program)
    return define(loaded.program, saga, build(values)), values


def short(place: m.Place, purpose: m.Purpose = m.Purpose.STEP) -> str:
    before = {m.Purpose.COMPENSATE: "undo ", m.Purpose.RESOLVE: "resolve "}.get(purpose, "")
    return f"{before}{place}"


def word(command: m.Command) -> str:
    match command:
        case m.RunCall(place=place, purpose=m.Purpose.STEP):
            return f"call {place}"
        case m.RunCall(place=place, purpose=m.Purpose.POLL):
            return f"poll {place}"
        case m.RunCall(place=place, purpose=purpose):
            return short(place, purpose)
        case m.Interrupt(place, purpose):
            return f"interrupt {short(place, purpose)}"
        case m.StartTimer(place, timer, at):
            return " ".join(filter(None, ["start", timer.value, str(place), str(at)]))
        case m.StopTimer(place, timer):
            return " ".join(filter(None, ["stop", timer.value, str(place)]))
        case m.RunChild(place=place):
            return f"run {place}"
        case m.CancelChild(place):
            return f"cancel {place}"
        case m.UndoChild(place=place):
            return f"undo {place}"
        case m.Escalate(item, retrying):
            team = f" to {item.team}" if item.team else ""
            told = f"{short(item.place, item.purpose)} {item.failure.name}{team}"
            return f"escalate {told}" + (", retrying" if retrying else "")
        case m.Settled(place, purpose):
            return f"settled {short(place, purpose)}"
        case m.AbortStarted(scope, failure):
            return f"abort {scope} {failure.name}".replace("  ", " ")
        case m.Alert(text=text):
            return f"alert: {text}"
        case m.Finished(outcome):
            return ended(outcome)


def ended(outcome: m.SagaOutcome) -> str:
    match outcome:
        case m.Completed(value):
            return "completed" if value is None else f"completed {value}"
        case m.Compensated(error):
            return f"compensated {error.name}"
        case m.Escalated(steps):
            written = {True: " (written off)", False: ""}
            named = [short(s.place, s.purpose) + written[s.written_off] for s in steps]
            return f"escalated {', '.join(named)}"


class Play:
    """One run of the saga `Main` with this body, started at 0. `first`: what it wanted first."""

    def __init__(
        self,
        body: str,
        *,
        head: str = "",
        params: str = "",
        result: str = "",
        world: str = WORLD,
        more: str = "",
        args: Mapping[str, Any] | None = None,
    ) -> None:
        arrow = f" -> {result}" if result else ""
        text = f'{world}{more}\nsaga Main({params}){arrow} {{ id "id-1" {head}\n{body}\n}}\n'
        self._begin(*_defined(text, "Main"), args or {})

    def _begin(self, definition: Definition, values: Values, args: Mapping[str, Any]) -> None:
        self.definition, self.values = definition, values
        self.now = 0
        self.calls: dict[str, m.RunCall] = {}
        self.timers: dict[tuple[str, m.Timer], m.StartTimer] = {}
        self.children: dict[str, m.RunChild | m.UndoChild] = {}
        self.commands: tuple[m.Command, ...] = ()
        self.state: State
        self.first = self._take(*start(definition, "id-1", args, 0))

    # --- What happens --------------------------------------------------------------------------

    def send(self, event: m.Event) -> list[str]:
        return self._take(*advance(self.definition, self.state, event))

    def _take(self, state: State, commands: tuple[m.Command, ...]) -> list[str]:
        self.state, self.commands = state, commands
        for command in commands:
            match command:
                case m.RunCall(place=place, purpose=purpose):
                    assert short(place, purpose) not in self.calls, "called while in flight"
                    self.calls[short(place, purpose)] = command
                case m.StartTimer(place=place, timer=timer):
                    self.timers[str(place), timer] = command
                case m.StopTimer(place, timer):
                    self.timers.pop((str(place), timer), None)
                case m.RunChild(place=place) | m.UndoChild(place=place):
                    self.children[str(place)] = command
        return [word(command) for command in commands]

    def ended(self, what: str, outcome: Outcome, unanswered: int | None = None) -> list[str]:
        """`what`: `a`, `undo a`, `resolve a`."""
        call = self.calls.pop(what)
        return self.send(m.CallEnded(self.now, call.place, call.purpose, outcome, unanswered))

    def ok(self, what: str, value: Any = None) -> list[str]:
        return self.ended(what, Ok(f"did {what}" if value is None else value))

    def rejected(self, what: str, error: str = "No") -> list[str]:
        return self.ended(what, Rejected(Failure(error)))

    def unknown(self, what: str, error: str = "Timeout") -> list[str]:
        return self.ended(what, Unknown(Failure(error)), self.now)

    def not_sent(self, what: str, error: str = "CircuitOpen") -> list[str]:
        return self.ended(what, NotSent(Failure(error)))

    def child(self, place: str, outcome: m.SagaOutcome) -> list[str]:
        """The child saga of `place`, or the undoing of it, comes to an end."""
        started = self.children[place]
        undone = isinstance(started, m.UndoChild)
        purpose = m.Purpose.COMPENSATE if undone else m.Purpose.STEP
        return self.send(m.ChildEnded(self.now, started.place, purpose, outcome))

    def fire(self, timer: m.Timer, place: str = "") -> list[str]:
        started = self.timers.pop((place, timer))
        self.now = max(self.now, started.at)
        return self.send(m.TimerFired(self.now, started.place, timer))

    def event(self, n: int, name: str = "Go", id_: str | None = None) -> list[str]:
        value = self.values.make(RecordRef(name), {"n": n})
        return self.send(m.EventReceived(self.now, name, id_ or f"{name}-{n}", value))

    def cancel(self) -> list[str]:
        return self.send(m.CancelRequested(self.now))

    def undo(self, error: str = "No") -> list[str]:
        return self.send(m.UndoRequested(self.now, Failure(error)))

    def settle(self, what: str, how: m.How, value: Any = None) -> list[str]:
        """Settle the open item of this name, which must not be refused."""
        event = self._settlement(what, how, value)
        assert refusal(self.definition, self.state, event) is None
        return self.send(event)

    def refused(self, what: str, how: m.How, value: Any = None) -> str:
        """Why a settlement is refused; it must be, and change nothing."""
        event = self._settlement(what, how, value)
        why = refusal(self.definition, self.state, event)
        assert why is not None
        before = self.state
        assert self.send(event) == [f"alert: {why}"]
        assert self.state == before
        return why

    def _settlement(self, what: str, how: m.How, value: Any) -> m.Settle:
        for item in open_items(self.definition, self.state):
            if short(item.place, item.purpose) == what:
                return m.Settle(self.now, item.place, item.purpose, how, value)
        return m.Settle(self.now, m.Place(what), m.Purpose.STEP, how, value)

    # --- How it stands -------------------------------------------------------------------------

    def call(self, what: str) -> m.RunCall:
        return self.calls[what]

    def open(self) -> list[str]:
        items = open_items(self.definition, self.state)
        return [short(item.place, item.purpose) for item in items]
