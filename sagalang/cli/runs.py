"""`saga runs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sagalang.cli.looking import as_text_or_json, in_journal, in_states, of_saga

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagalang.host.book import RunInfo


@click.command("runs")
@in_states
@of_saga
@click.option("--since", metavar="TIME", help="Only what began then or later: 2h, or 2026-11-01.")
@click.option("--limit", type=click.IntRange(1), default=50, help="At most so many; 50.")
@click.option("--all", "children", is_flag=True, help="Also sagas that run as steps of others.")
@in_journal
@as_text_or_json
def command(
    states: tuple[str, ...],
    saga: str | None,
    since: str | None,
    limit: int,
    children: bool,
    db: str | None,
    style: str,
) -> None:
    """List runs, the last to begin first.

    \b
    saga runs                                  the last 50
    saga runs --state escalated                what waits for a person
    saga runs --saga PlaceOrder --since 2h
    """
    from sagalang.cli.looking import as_json, info_data, journal, now, opened, states_of
    from sagalang.cli.terminal import coloured
    from sagalang.host.book import Filter

    path, at = journal(db), now()
    from_then = None if since is None else _since(since, at)
    with opened(path) as book:
        # One more than is shown tells whether there are more.
        wanted = Filter(states_of(states), saga, from_then, limit + 1, children)
        found = book.runs(wanted)
        more, found = len(found) > limit, found[:limit]
        owner = book.owner()
    if style == "json":
        made = {"format_version": 1, "runs": [info_data(run) for run in found], "more": more}
        click.echo(as_json(made))
        return
    for line in table(found, at, colour=coloured(sys.stdout)):
        click.echo(line)
    _say_next(found, more, limit, owner, path)


def table(runs: Sequence[RunInfo], at: int, *, colour: bool) -> list[str]:
    """A line for each run under a head; nothing for none. `at`: now."""
    from sagalang.cli.looking import ago
    from sagalang.cli.terminal import BLUE, DIM, GREEN, RED, YELLOW, paint
    from sagalang.runtime.words import duration, printable

    tints = {"running": BLUE, "completed": GREEN, "compensated": YELLOW, "escalated": RED}
    rows = [
        (
            printable(run.id),
            printable(run.saga),
            run.state.value,
            ago(run.began, at),
            "" if run.ended is None else duration(max(0, run.ended - run.began)),
            printable(run.error or ""),
            "fakes" if run.fakes else "",
        )
        for run in runs
    ]
    if not rows:
        return []
    # Most journals know no fakes, and need no column for them.
    services = "services" if any(run.fakes for run in runs) else ""
    rows.insert(0, ("id", "saga", "state", "began", "took", "error", services))
    widths = [max(len(row[i]) for row in rows) for i in range(7)]
    lines = []
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        if row is rows[0]:
            lines.append(paint(DIM, "  ".join(cells).rstrip(), colour))
            continue
        cells[2] = paint(tints[row[2]], cells[2], colour)
        lines.append("  ".join(cells).rstrip())
    return lines


def _since(text: str, at: int) -> int:
    """`2h` before now, or a date or time as people write it, in their zone; in ms."""
    from datetime import datetime

    from sagalang.cli.looking import milliseconds
    from sagalang.cli.terminal import usage_error

    if re.fullmatch(r"[\dsmhd]+", text):
        return at - milliseconds(text)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000)
    except (ValueError, OverflowError, OSError):
        usage_error(f"`{text}` is no time", "write it as 2h, 30d, 2026-11-01 or 2026-11-01T10:30")
        raise AssertionError from None


def _say_next(
    found: Sequence[RunInfo], more: bool, limit: int, owner: str | None, path: Path
) -> None:
    """On standard error: a list goes on into other programs."""
    from sagalang.cli.looking import named, typed

    if not found:
        click.echo("no run is on record that fits", err=True)
        return
    if more:
        click.echo(f"there are more: --limit {limit * 10} shows them", err=True)
    states = {run.state.value: run for run in reversed(found)}
    if "escalated" not in states and "running" in states and owner is None:
        click.echo(f"next: saga resume{named(path)}  # nobody runs what is running", err=True)
        return
    run = states.get("escalated") or found[0]
    click.echo(f"next: saga show {typed(run.id)}{named(path)}", err=True)
