"""`saga watch`."""

from __future__ import annotations

import sys
import time
from typing import Final

import click

from sagalang.cli.looking import as_text_or_json, in_journal, in_states, of_saga

_EVERY: Final = 0.3
"""Seconds between two looks."""


@click.command("watch")
@in_states
@of_saga
@click.option("--until-idle", is_flag=True, help="End when nothing is running any more.")
@in_journal
@as_text_or_json
def command(
    states: tuple[str, ...], saga: str | None, until_idle: bool, db: str | None, style: str
) -> None:
    """Show what happens to running sagas: on a terminal a list that changes in place, in a pipe a
    line for each thing that happens. Reads only; Ctrl-C ends it, and nothing else.

    \b
    saga watch
    saga watch --saga PlaceOrder --state running --state escalated
    saga watch --format json | jq .entry
    """
    from sagalang.cli.looking import journal, now, opened, states_of
    from sagalang.cli.terminal import coloured
    from sagalang.cli.watch_shown import JsonLines, Lines, Screen, Shown
    from sagalang.cli.watched import Watched
    from sagalang.host.book import Filter

    path = journal(db)
    with opened(path) as book:
        shown: Shown
        if style == "json":
            shown = JsonLines(sys.stdout)
        elif sys.stdout.isatty():
            shown = Screen(sys.stdout, coloured(sys.stdout))
        else:
            shown = Lines(sys.stdout)
        watched = Watched(book, Filter(states_of(states or ("running",)), saga), now())
        try:
            while True:
                shown.show(watched.look(now()), now())
                if until_idle and watched.idle:
                    break
                time.sleep(_EVERY)
        except KeyboardInterrupt:
            pass
