"""`saga cancel`."""

from __future__ import annotations

import click

from sagalang.cli.acting import in_journal, in_style


@click.command("cancel")
@click.argument("run_id", metavar="ID")
@in_journal
@in_style
def command(run_id: str, db: str | None, style: str) -> None:
    """Ask a run to abort and undo what it did; past its point of no return it cannot.

    Exit status: 0 sent, 1 refused, 2 could not be sent.
    """
    from sagalang.cli.acting import desk, journal, problems, tell
    from sagalang.host.definitions import CompiledError

    path = journal(db)
    with problems(path):
        sender = desk(path)
        try:
            sent = sender.cancel(sender.look(run_id))
        except CompiledError:
            sent = sender.cancel_compiled(run_id)
        tell(f"asked {run_id} to cancel", sent, path, style)
