"""`saga export`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from sagalang.cli.looking import in_journal, run_ids

if TYPE_CHECKING:
    from sagalang.host.account import Account


@click.command("export")
@click.argument("run_id", metavar="ID", shell_complete=run_ids)
@click.option("-o", "--output", metavar="FILE", help="A new file; standard output without it.")
@in_journal
def command(run_id: str, output: str | None, db: str | None) -> None:
    """Write the journal of a run, with its child sagas, as JSON lines.

    The same that `saga run --journal` keeps: `saga render --journal` draws it on any machine. It
    holds business data, and never a secret.

    \b
    saga export o-1 -o o-1.jsonl
    saga export o-1 | jq .entry
    """
    from sagalang.cli.looking import journal, opened, the_account, the_run

    path = journal(db)
    with opened(path) as book:
        found = the_account(book, the_run(book, run_id, path), path)
    if output is None or output == "-":
        for line in lines(found):
            click.echo(line, nl=False)
        return
    _write(output, "".join(lines(found)))
    click.echo(f"wrote {output}", err=True)
    click.echo(f"next: saga render --journal {quote(output)} --to text", err=True)


def lines(found: Account) -> Iterator[str]:
    """The journal as docs/journal.md describes it."""
    from sagalang import __version__
    from sagalang.runtime.journal_file import Definition, Header, entry_line, header_line

    run, definition = found.run, found.definition
    yield header_line(
        Header(
            sagalang=__version__,
            saga=run.saga,
            saga_id=run.id,
            began=run.began,
            fakes=definition.fakes,
            definition=Definition(main=definition.main, files=definition.files),
        )
    )
    for entry in found.entries:
        yield entry_line(entry)


def _write(output: str, text: str) -> None:
    """It holds business data: only for its owner. No other file is ever touched."""
    from sagalang.cli.terminal import usage_error

    try:
        made = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        usage_error(f"{output} exists, and is left as it is", "name a new file")
    except OSError as error:
        usage_error(f"cannot write {output}: {error.strerror}", "name a file that can be written")
    try:
        with os.fdopen(made, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        Path(output).unlink(missing_ok=True)
        usage_error(f"cannot write {output}: {error.strerror}")
