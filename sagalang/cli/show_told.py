"""Where a run stands, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sagalang.cli.looking import ago, info_data, typed
from sagalang.cli.terminal import BLUE, BOLD, GREEN, RED, YELLOW, paint
from sagalang.host.book import RunInfo, Sent
from sagalang.host.status import Owed, Status, Step, Timed, UnderWay
from sagalang.machine.events import Purpose
from sagalang.runtime import journal as j
from sagalang.runtime.words import duration, printable

HOWS = ("retry", "done", "not-done")
TINTS = {"completed": GREEN, "compensated": YELLOW, "escalated": RED, "running": BLUE}
_FATES = {
    "done": GREEN,
    "undone": BLUE,
    "rejected": RED,
    "not sent": RED,
    "unknown": YELLOW,
    "written off": RED,
}
_PURPOSES = {
    Purpose.STEP: "",
    Purpose.POLL: ", asked again and again",
    Purpose.RESOLVE: ", to find out what became of it",
    Purpose.COMPENSATE: ", to undo {}",
}


Events = Mapping[tuple[str, str], tuple[str, str]]
"""By saga and path of a wait: its event, and one as JSON."""
Results = Mapping[tuple[str, str, Purpose], str]
"""By saga, path and purpose of what is owed: the value that `done` needs, as JSON."""


@dataclass(frozen=True)
class Seen:
    """A run, with all that is told of it. `root`: the run whose step it is, or its own id.
    `kept_in`: how commands name the journal file: ` --db FILE`, or nothing. `entries`: of the
    journal, where they are shown."""

    run: RunInfo
    root: str
    status: Status
    events: Events
    results: Results
    messages: tuple[Sent, ...]
    owner: str | None
    kept_in: str
    entries: tuple[j.Entry, ...] = ()

    @property
    def phase(self) -> str:
        """`running`, `undoing`, or what it came to."""
        undoing = self.run.state == "running" and self.status.phase == "undoing"
        return "undoing" if undoing else self.run.state.value

    @property
    def left(self) -> bool:
        """Whether it could go on, and nobody runs it."""
        waiting = any(message.waiting for message in self.messages)
        return self.owner is None and (self.run.state == "running" or waiting)

    def sent(self, run_id: str, kind: str, about: str | None) -> str | None:
        """What waits to be taken, and leaves nothing to be sent of this kind; None: nothing."""
        for message in filter(lambda each: each.waiting, self.messages):
            if message.kind == "cancel":
                return "a cancel"
            if (message.run_id, message.kind, message.about) == (run_id, kind, about):
                return "an event" if kind == "signal" else "an answer"
        return None


# --- Commands to type --------------------------------------------------------------------------


def settle_command(item: Owed, seen: Seen, how: str = "retry") -> str:
    value = given_value(item, seen) if how == "done" else ""
    said = f"{how}{value} --by NAME --why TEXT{seen.kept_in}"
    return f"saga settle {typed(item.run_id)} {typed(item.place)} {said}"


def given_value(item: Owed, seen: Seen) -> str:
    """The option for what a step gave, with a value to be edited, where one is needed."""
    value = seen.results.get((item.saga, item.path, item.purpose))
    return "" if value is None else f" --value {typed(value)}"


def signal_command(wait: Timed, seen: Seen) -> str | None:
    """None: it waits for no event, or nobody knows for which."""
    found = seen.events.get((wait.saga, wait.path))
    if found is None:
        return None
    event, value = found
    return f"saga signal {typed(wait.run_id)} {event} {typed(value)}{seen.kept_in}"


def resume_command(seen: Seen) -> str:
    return f"saga resume {typed(seen.root)}{seen.kept_in}"


# --- For programs ------------------------------------------------------------------------------


def data(seen: Seen, *, with_journal: bool) -> dict[str, Any]:
    """Times in ms since the Unix epoch."""
    status = seen.status
    made: dict[str, Any] = {
        "format_version": 1,
        **info_data(seen.run),
        "phase": seen.phase,
        "root": seen.root,
        "error": status.error,
        "detail": status.detail,
        "cancel_asked": status.cancel_asked,
        "steps": [asdict(step) for step in status.steps],
        "owed": [
            {
                **asdict(item),
                "settle": None
                if item.child is not None or _answered(item, seen)
                else {how: settle_command(item, seen, how) for how in HOWS},
            }
            for item in status.owed
        ],
        "waits": [
            {
                **asdict(wait),
                "event": seen.events.get((wait.saga, wait.path), (None,))[0],
                "signal": None if _heard(wait, seen) else signal_command(wait, seen),
            }
            for wait in status.waits
        ],
        "sleeps": [asdict(sleep) for sleep in status.sleeps],
        "under_way": [asdict(call) for call in status.under_way],
        "decisions": [asdict(decision) for decision in status.decisions],
        "alerts": list(status.alerts),
        "messages": [asdict(message) for message in seen.messages],
        "owner": seen.owner,
    }
    if with_journal:
        from sagalang.runtime.journal_file import entry_line

        made["journal"] = [json.loads(entry_line(entry)) for entry in seen.entries]
    return made


# --- For people --------------------------------------------------------------------------------


def full(seen: Seen, at: int, *, colour: bool) -> list[str]:
    """`at`: now."""
    run, status = seen.run, seen.status
    lines = [_head(seen, at, colour)]
    if run.fakes:
        lines.append("  services  on fakes")
    if run.parent is not None:
        lines.append(f"  step of   {printable(seen.root)}")
    if status.error is not None:
        why = f": {printable(status.detail)}" if status.detail else ""
        lines.append(f"  because   {printable(status.error)}{why}")
    if status.cancel_asked is not None:
        lines.append(f"  cancel    asked for {ago(status.cancel_asked, at)}")
    lines += [f"  alert     {printable(alert)}" for alert in status.alerts]
    lines += _steps(status.steps, colour)
    lines += _section("under way", [call_told(call, at) for call in status.under_way], colour)
    lines += _section("waits", [x for wait in status.waits for x in _wait(wait, seen, at)], colour)
    lines += _section("sleeps", [f"{place_told(x)}, {_left(x, at)}" for x in status.sleeps], colour)
    lines += _section("owed", [x for item in status.owed for x in _owed(item, seen, at)], colour)
    lines += _section("decided", _decisions(status, at), colour)
    lines += _section("inbox", [_message(m, at) for m in seen.messages if not m.taken], colour)
    if seen.left:
        lines += ["", f"nobody runs it: {resume_command(seen)}"]
    elif run.state == "running" and seen.owner is not None:
        lines += ["", f"the journal is in use by {seen.owner}"]
    return lines


def _head(seen: Seen, at: int, colour: bool) -> str:
    run = seen.run
    word = paint(BOLD, paint(TINTS[run.state.value], seen.phase, colour), colour)
    took = "" if run.ended is None else f", took {duration(max(0, run.ended - run.began))}"
    since = f", since {ago(run.changed, at)}" if run.state == "escalated" else ""
    began = f"began {clock(run.began)} ({ago(run.began, at)})"
    return f"{word}  {printable(run.saga)} {printable(run.id)}{since}, {began}{took}"


def _section(name: str, lines: list[str], colour: bool) -> list[str]:
    if not lines:
        return []
    return ["", paint(BOLD, name, colour), *(f"  {line}" for line in lines)]


def _steps(steps: tuple[Step, ...], colour: bool) -> list[str]:
    if not steps:
        return []
    rows = [(where(step.within, step.place), step.operation, _fate(step)) for step in steps]
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    told = [
        f"{place:<{first}}  {operation:<{second}}  {paint(_FATES.get(step.fate, ''), fate, colour)}"
        for step, (place, operation, fate) in zip(steps, rows, strict=True)
    ]
    return _section("steps", told, colour)


def _fate(step: Step) -> str:
    shown = step.error is not None and step.fate in ("rejected", "not sent", "unknown", "not done")
    return f"{step.fate} ({step.error})" if shown else step.fate


def where(within: tuple[str, ...], place: str) -> str:
    """`night[Rome] › room`: a step of a child saga behind the steps that lead to it."""
    return " › ".join(map(printable, (*within, place)))


def place_told(timed: Timed) -> str:
    return printable(timed.place) + (f" of {printable(timed.saga)}" if timed.saga else "")


def _left(timed: Timed, at: int) -> str:
    if timed.until <= at:
        return f"until {clock(timed.until)}, {duration(at - timed.until)} ago"
    return f"{duration(timed.until - at)} left"


def call_told(call: UnderWay, at: int) -> str:
    purpose = _PURPOSES[call.purpose].format(printable(call.place))
    attempt = f"attempt {call.attempt}, " if call.attempt else ""
    note = f"; {printable(call.note)}" if call.note else ""
    at_step = "" if call.purpose is Purpose.COMPENSATE else f" at {printable(call.place)}"
    told = f"{call.operation}{at_step if call.operation != call.place else ''}{purpose}"
    return f"{told}: {attempt}since {duration(max(0, at - call.since))}{note}"


def _wait(wait: Timed, seen: Seen, at: int) -> list[str]:
    found = seen.events.get((wait.saga, wait.path))
    what = f"for {found[0]} at {place_told(wait)}" if found else f"at {place_told(wait)}"
    sent = _heard(wait, seen)
    command = _on_its_way(sent, seen) if sent else signal_command(wait, seen)
    return [f"{what}, {_left(wait, at)}", *([f"  {command}"] if command else [])]


def _heard(wait: Timed, seen: Seen) -> str | None:
    """What waits in the inbox and ends the wait."""
    return seen.sent(wait.run_id, "signal", seen.events.get((wait.saga, wait.path), (None,))[0])


def _answered(item: Owed, seen: Seen) -> str | None:
    """What waits in the inbox and settles it."""
    return seen.sent(item.run_id, "settle", item.place)


def _on_its_way(sent: str, seen: Seen) -> str:
    return f"{sent} waits for it" + (f": {resume_command(seen)}" if seen.owner is None else "")


def _owed(item: Owed, seen: Seen, at: int) -> list[str]:
    place = f"{printable(item.place)} of {printable(item.saga)}"
    what = f"{item.operation}, which undoes {place}"
    if item.purpose is not Purpose.COMPENSATE:
        what = f"{item.operation} at {place}"
    if item.child is not None:
        return [f"{what}: settled with its own run {printable(item.child)}"]
    team = f", for {printable(item.team)}" if item.team else ""
    still = ", and still being tried" if item.retrying else ""
    lines = [f"{what}: {printable(item.error)}{team}, since {ago(item.since, at)}{still}"]
    if item.detail:
        lines.append(f"  because {printable(item.detail)}")
    keys = [("key", item.key), ("key of what it undoes", item.undoes)]
    lines += [f"  {name} {key}" for name, key in keys if key is not None]
    sent = _answered(item, seen)
    if sent is not None:
        return [*lines, f"  {_on_its_way(sent, seen)}"]
    lines.append(f"  {settle_command(item, seen)}")
    lines.append(f"  or `done{given_value(item, seen)}`, or `not-done`, in the place of `retry`")
    return lines


def _decisions(status: Status, at: int) -> list[str]:
    return [
        f"{printable(each.place)}: {each.how}, by {printable(each.by)} {ago(each.at, at)}"
        + (f" ({printable(each.why)})" if each.why else "")
        for each in status.decisions
    ]


def _message(message: Sent, at: int) -> str:
    what = message.kind if message.about is None else f"{message.kind} {printable(message.about)}"
    told = f"{what} to {printable(message.run_id)}, sent {ago(message.at, at)}"
    if message.refused is not None:
        return f"{told}: refused, {printable(message.refused)}"
    return f"{told}: waits to be taken"


# --- The journal -------------------------------------------------------------------------------


def journal_lines(seen: Seen) -> list[str]:
    """A line for each entry, with its time of day; the values of those that were covered."""
    lines = []
    for entry in seen.entries:
        run = "" if entry.saga_id == seen.run.id else f"{printable(entry.saga_id)[:8]}…  "
        lines.append(f"{clock(entry.at, exact=True)}  {run}{entry_told(entry)}{_values(entry)}")
    return lines


def entry_told(entry: j.Entry) -> str:
    """As in logs, and with the words of a person who settled something."""
    from sagalang.runtime.logs import sentence
    from sagalang.runtime.words import settlement

    return settlement(entry) if isinstance(entry, j.Settlement) else sentence(entry)


def _values(entry: j.Entry) -> str:
    """What the entry holds, covered (`Kept`); nothing of a value that was not."""
    from sagalang.render.journal.told import LONG, arguments, held, holding

    match entry:
        case j.Intent(args=args) if args:
            return " " + arguments(args, LONG)
        case j.OutcomeRecorded(value=outcome):
            return holding(held(outcome), LONG)
        case j.SagaStarted(args=value) | j.EventAccepted(value=value) | j.Settlement(value=value):
            return holding(value, LONG)
        case j.SagaFinished(kind="completed", value=outcome):
            return holding(getattr(outcome, "value", None), LONG)
        case _:
            return ""


def clock(moment: int, *, exact: bool = False) -> str:
    """`2026-11-23 06:05:23`, in the zone of whoever looks."""
    from datetime import datetime

    try:
        found = datetime.fromtimestamp(moment / 1_000)  # noqa: DTZ006 - people's own zone
    except (OverflowError, ValueError, OSError):
        return f"{moment} ms after 1970"
    return f"{found:%Y-%m-%d %H:%M:%S}" + (f".{moment % 1_000:03}" if exact else "")
