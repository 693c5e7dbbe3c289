"""The live view of a run: on a terminal a list that changes in place, in a pipe plain lines."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass

from sagalang.cli.terminal import BLUE, BOLD, DIM, GREEN, RED, YELLOW, coloured, paint
from sagalang.machine.events import SAGA, Place, Purpose, Timer
from sagalang.model.errors import OWN_REFUSALS
from sagalang.runtime import journal as j
from sagalang.runtime import words
from sagalang.runtime.words import duration, printable

__all__ = ["Live", "duration"]

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TINT = {
    "ok": GREEN,
    "undone": BLUE,
    "rejected": RED,
    "failed": RED,
    "unknown": YELLOW,
    "not sent": YELLOW,
    "waiting": YELLOW,
    "queued": YELLOW,
    "open": RED,
    "half-open": YELLOW,
    "closed": GREEN,
    "running": DIM,
    "escalated": RED,
    "event": BLUE,
    "abort": RED,
    "info": DIM,
    "ended": DIM,
}


@dataclass
class Row:
    """One line: what it is about, its state, since when, and what there is to say.

    `tried`: what the last attempt came to; `replayed`: whether its answer was a repeated one."""

    what: str
    state: str
    since: int
    until: int | None = None
    note: str = ""
    tried: str = ""
    replayed: bool = False

    def told(self, at: int, state: str, note: str) -> Row:
        """This row as it is now, for where lines are printed once and for all."""
        return Row(self.what, state, self.since, at, note)


class Live:
    """Told of every journal entry, it shows how a run goes. Writes to standard error."""

    def __init__(self, *, quiet: bool = False, waits: dict[str, str] | None = None) -> None:
        self._rows: dict[tuple[Place, Purpose, int], Row] = {}
        self._breakers: dict[str, Row] = {}
        self._order: list[Row] = []
        self._quiet = quiet
        self._stream = sys.stderr
        self._tty = self._stream.isatty() and not quiet
        self._colour = coloured(self._stream)
        self._drawn = 0
        self._tick = 0
        self._waits = waits or {}
        self._now = 0

    def __call__(self, entry: j.Entry) -> None:
        self._now = entry.at
        changed = self._take(entry)
        if self._tty:
            self._draw()
        elif changed is not None and not self._quiet:
            print(self._line(changed), file=self._stream, flush=True)

    def tick(self, now: int) -> None:
        """Called ten times a second, so that times and spinner move."""
        self._now = now
        self._tick += 1
        if self._tty:
            self._draw()

    def finish(self) -> None:
        if self._tty:
            self._draw()
            print(file=self._stream)

    def _take(self, entry: j.Entry) -> Row | None:
        """Update the rows; the row to print where only whole lines can be printed."""
        match entry:
            case j.Intent():
                self._row(entry, Row(_what(entry), "running", entry.at))
                return None
            case j.BreakerChanged():
                return self._breaker(entry)
            case j.CallEntry():
                row = self._rows.get((entry.place, entry.purpose, entry.number))
                return None if row is None else self._call(row, entry)
            case j.TimerStarted(timer=Timer.WAIT | Timer.SLEEP) if entry.place != SAGA:
                hint = self._waits.get(entry.place.path, "")
                left = duration(entry.until - entry.at)
                said = f"at most {left}" if entry.timer is Timer.WAIT else f"for {left}"
                row = Row(printable(str(entry.place)), "waiting", entry.at, None, f"{said}{hint}")
                self._rows[entry.place, Purpose.POLL, 0] = row
                self._order.append(row)
                return row
            case j.TimerEnded(timer=Timer.WAIT | Timer.SLEEP):
                row = self._rows.get((entry.place, Purpose.POLL, 0))
                if row is not None:
                    row.state, row.until, row.note = "ended", entry.at, ""
                return None
            case j.EventAccepted():
                return self._add(Row(entry.event, "event", entry.at, entry.at, "received"))
            case j.AbortBegan():
                where = f" in {entry.place}" if entry.place != SAGA else ""
                said = "undoing what was done"
                return self._add(Row(entry.error + where, "abort", entry.at, entry.at, said))
            case j.EscalationRaised():
                item = entry.item
                said = f"needs {item.team or 'a person'}: {item.failure.name}"
                return self._add(Row(f"{item.label}", "escalated", entry.at, entry.at, said))
            case j.CancelAsked():
                return self._add(Row("cancel", "info", entry.at, entry.at, "asked for"))
            case j.Restarted():
                said = "the orchestrator died and goes on from its journal"
                return self._add(Row("crash", "info", entry.at, entry.at, said))
            case j.Alerted():
                return self._add(Row(entry.error, "info", entry.at, entry.at, entry.text))
            case j.ChildStarted():
                what = f"{'undo ' if entry.undo else ''}saga {entry.saga}"
                return self._add(Row(what, "info", entry.at, entry.at, entry.child_id))
            case _:
                return None

    def _row(self, entry: j.CallEntry, row: Row) -> Row:
        if entry.purpose is not Purpose.POLL or entry.number == 1:
            self._order.append(row)
            self._rows[entry.place, entry.purpose, entry.number] = row
        return row

    def _add(self, row: Row) -> Row:
        self._order.append(row)
        return row

    def _call(self, row: Row, entry: j.CallEntry) -> Row | None:
        match entry:
            case j.AttemptStarted() | j.ProbeStarted():
                row.state = "running"
                return None
            case j.AttemptEnded():
                row.replayed = entry.replayed
                if entry.kind != "ok":
                    row.note = row.tried = f"attempt {entry.attempt}: {words.attempt(entry)}"
                return None
            case j.Waiting():
                row.state = "waiting"
                row.note = "; ".join(filter(None, (row.tried, words.waiting(entry))))
                return row.told(entry.at, "waiting", row.note)
            case j.Queued():
                row.state, row.note = "queued", words.queued(entry)
                return row.told(entry.at, "queued", row.note)
            case j.OutcomeRecorded():
                undone = entry.purpose is Purpose.COMPENSATE and entry.kind == "ok"
                row.until, row.state = entry.at, "undone" if undone else entry.kind
                knew = words.KNEW_KEY if row.replayed else ""
                why = row.tried if entry.error in OWN_REFUSALS else ""
                row.note = "; ".join(filter(None, (entry.error, why, knew)))
                return row
            case _:
                return None

    def _breaker(self, entry: j.BreakerChanged) -> Row:
        """One row for a breaker, whatever becomes of it."""
        row = self._breakers.get(entry.scope)
        if row is None:
            row = self._add(Row(f"breaker {entry.scope}", "", 0))
            self._breakers[entry.scope] = row
        row.since = row.until = entry.at
        row.state, row.note = entry.after, words.breaker(entry)
        return row

    def _line(self, row: Row) -> str:
        took = duration((row.until or self._now) - row.since) if row.until != row.since else ""
        state = paint(_TINT.get(row.state, ""), f"{row.state:<9}", self._colour)
        note = f"  {row.note}" if row.note else ""
        return f"  {state}  {row.what:<28} {paint(DIM, f'{took:>8}', self._colour)}{note}"

    def _draw(self) -> None:
        width, height = shutil.get_terminal_size((100, 30))
        rows = self._order[-(height - 3) :]
        out = [f"\x1b[{self._drawn}A"] if self._drawn else []
        for row in rows:
            mark = _SPINNER[self._tick % len(_SPINNER)] if row.until is None else " "
            line = f"{paint(BOLD, mark, self._colour)}{self._line(row)}"
            out.append("\x1b[2K" + cut(line, width) + "\n")
        self._stream.write("".join(out))
        self._stream.flush()
        self._drawn = len(rows)


def _what(entry: j.CallEntry) -> str:
    """`Payment.charge`, with the step's own name and iteration where they say more."""
    inside = "".join(f"[{printable(identity)}]" for _, identity in entry.place.loops)
    return f"{entry.label}{inside}"


def cut(line: str, width: int) -> str:
    """At most one terminal line, colour codes not counted."""
    out: list[str] = []
    shown = 0
    index = 0
    while index < len(line):
        if line[index] == "\x1b":
            end = line.find("m", index)
            out.append(line[index : end + 1])
            index = end + 1
            continue
        if shown >= width - 1:
            break
        out.append(line[index])
        shown += 1
        index += 1
    return "".join(out) + "\x1b[0m"
