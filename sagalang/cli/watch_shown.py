"""Watched runs on a terminal, as lines of text, and as JSON lines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Protocol, TextIO

from sagalang.cli.live import cut
from sagalang.cli.show_told import TINTS, call_told, clock, entry_told, place_told
from sagalang.cli.terminal import DIM, paint
from sagalang.cli.watched import View
from sagalang.runtime.journal_file import entry_line
from sagalang.runtime.logs import told_by_default
from sagalang.runtime.words import duration, printable


class Shown(Protocol):
    def show(self, views: Sequence[View], now: int) -> None: ...


class JsonLines:
    """An entry a line, as docs/journal.md describes it, without values; `run`: the run that is
    watched, of which `saga_id` may be a child saga."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, views: Sequence[View], now: int) -> None:
        new = [(entry.at, view.run.id, entry) for view in views for entry in view.new]
        for _, run_id, entry in sorted(new, key=lambda each: each[0]):
            made = {"run": run_id, **json.loads(entry_line(entry))}
            print(json.dumps(made, ensure_ascii=False), file=self._stream, flush=True)


class Lines:
    """First a line for each run under way, then one for each thing of note that happens."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._known: set[str] = set()

    def show(self, views: Sequence[View], now: int) -> None:
        lines = []
        for view in views:
            run = view.run
            if run.id not in self._known and not view.new:
                since = f"{view.run.state.value} since {duration(max(0, now - run.began))}"
                said = f"{printable(run.saga)}: {since}, {about(view, now)}"
                lines.append((now, f"{clock(now, exact=True)}  {printable(run.id)}  {said}"))
            self._known.add(run.id)
            for entry in filter(told_by_default, view.new):
                child = "" if entry.saga_id == run.id else f"{printable(entry.saga_id)[:8]}…  "
                told = f"{printable(run.id)}  {child}{entry_told(entry)}"
                lines.append((entry.at, f"{clock(entry.at, exact=True)}  {told}"))
        # What happened in one ms stays in its order.
        for _, line in sorted(lines, key=lambda each: each[0]):
            print(line, file=self._stream, flush=True)


class Screen:
    """A list that changes in place."""

    def __init__(self, stream: TextIO, colour: bool) -> None:
        self._stream, self._colour = stream, colour
        self._drawn = 0

    def show(self, views: Sequence[View], now: int) -> None:
        width, height = shutil.get_terminal_size((100, 30))
        most = max(1, height - 4)
        rows = [self._row(view, now) for view in views[-most:]]
        if len(views) > most:
            rows.insert(0, paint(DIM, f"{len(views) - most} more began before", self._colour))
        if not rows:
            rows = [paint(DIM, "nothing is running; Ctrl-C ends", self._colour)]
        out = [f"\x1b[{self._drawn}A"] if self._drawn else []
        out += ["\x1b[2K" + cut(row, width) + "\n" for row in rows]
        # What is left of a longer list.
        out.append("\x1b[J")
        self._stream.write("".join(out))
        self._stream.flush()
        self._drawn = len(rows)

    def _row(self, view: View, now: int) -> str:
        run = view.run
        undoing = run.state == "running" and view.status.phase == "undoing"
        word = "undoing" if undoing else run.state.value
        state = paint(TINTS[run.state.value], f"{word:<11}", self._colour)
        took = duration(max(0, (run.ended or now) - run.began))
        name = f"{printable(run.saga)} {printable(run.id)}"
        return f"{state}  {name:<30}  {paint(DIM, f'{took:>8}', self._colour)}  {about(view, now)}"


def about(view: View, now: int) -> str:
    """What a run is at, in a few words."""
    status = view.status
    if view.run.ended is not None:
        return printable(view.run.error or "")
    told = [
        f"needs {printable(x.team) or 'a person'}: {x.operation}"
        for x in status.owed
        if not x.child
    ]
    told += [call_told(call, now) for call in status.under_way]
    told += [f"waits at {place_told(wait)}" for wait in status.waits]
    told += [f"sleeps, {duration(max(0, sleep.until - now))} left" for sleep in status.sleeps]
    return "; ".join(told) or "between two steps"
