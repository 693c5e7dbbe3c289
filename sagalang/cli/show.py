"""`saga show`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sagalang.cli.looking import as_text_or_json, in_journal, run_ids

if TYPE_CHECKING:
    from sagalang.cli.show_told import Events, Results, Seen
    from sagalang.host.book import Book, RunInfo
    from sagalang.host.status import Status


@click.command("show")
@click.argument("run_id", metavar="ID", shell_complete=run_ids)
@click.option("--journal", "with_journal", is_flag=True, help="Also all that is on record.")
@click.option("--values", is_flag=True, help="With the values of the journal, but never secrets.")
@in_journal
@as_text_or_json
def command(run_id: str, with_journal: bool, values: bool, db: str | None, style: str) -> None:
    """Say where a run stands: what was done, what was undone, what is owed.

    With the commands to type where it waits for a person or an event. The journal alone is read,
    so the services are not asked, and no key is needed.

    \b
    saga show o-1
    saga show o-1 --journal             each call, attempt and wait, with its time
    saga show o-1 --journal --values    with what was sent and answered
    """
    from sagalang.cli import show_told
    from sagalang.cli.looking import as_json, journal, now, opened, the_run
    from sagalang.cli.terminal import coloured, usage_error

    if values and not with_journal:
        usage_error("--values is about what --journal shows", "add --journal")
    path = journal(db)
    with opened(path) as book:
        seen = _seen(book, the_run(book, run_id, path), path, with_journal, values)
    if style == "json":
        click.echo(as_json(show_told.data(seen, with_journal=with_journal)))
        return
    lines = show_told.full(seen, now(), colour=coloured(sys.stdout))
    if with_journal:
        lines += ["", *show_told.journal_lines(seen)]
    click.echo("\n".join(lines))


def _seen(book: Book, run: RunInfo, path: Path, with_journal: bool, values: bool) -> Seen:
    """All that is told of a run. Raises `EngineError`, `EntryError`."""
    from sagalang.cli.looking import named
    from sagalang.cli.show_told import Seen
    from sagalang.host.book import root_of
    from sagalang.host.status import status_of

    entries = tuple(entry for _, entry in book.history(run.id))
    status = status_of(entries)
    if values:
        from sagalang.cli.looking import the_account

        entries = the_account(book, run, path).entries
    return Seen(
        run,
        root_of(book, run).id,
        status,
        *_events_and_results(book, run, status),
        tuple(book.messages(run.id)),
        book.owner(),
        named(path),
        entries if with_journal else (),
    )


def _events_and_results(book: Book, run: RunInfo, status: Status) -> tuple[Events, Results]:
    """What is waited for, and what is to be given for what is owed (`show_waits`). Of a definition
    that cannot be read, as that of a compiled saga, nothing is known."""
    if not status.waits and not status.owed:
        return {}, {}
    from sagalang.cli.show_waits import events, results
    from sagalang.host.account import definition_of
    from sagalang.host.definitions import DefinitionError

    try:
        program = definition_of(book, run).loaded.program
    except DefinitionError:
        return {}, {}
    waits = {(wait.saga, wait.path) for wait in status.waits}
    owed = {(item.saga, item.path, item.purpose) for item in status.owed}
    return events(program, waits), results(program, owed)
