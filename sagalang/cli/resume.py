"""`saga resume`."""

from __future__ import annotations

import sys

import click

from sagalang.cli.acting import in_journal, in_style


@click.command("resume")
@click.argument("run_ids", metavar="[ID…]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that can go on; so it is without IDs.")
@click.option("--take-over", is_flag=True, help="Also undo what an earlier run of an id did.")
@in_journal
@in_style
def command(
    run_ids: tuple[str, ...], everything: bool, take_over: bool, db: str | None, style: str
) -> None:
    """Go on with runs that were left, each to its end or to where only a person can move it.

    They go by the definition that they began with, whatever became of their files. What other
    commands send to them meanwhile is taken in. Ctrl-C leaves them as they are.

    Exit status: 0 all completed, 1 otherwise, 2 could not begin.
    """
    from sagalang.cli.acting import journal, named, problems
    from sagalang.cli.resuming.drive import resume
    from sagalang.cli.resuming.told import tell
    from sagalang.cli.terminal import usage_error

    if everything and run_ids:
        usage_error("--all goes without ids", "leave one of them out")
    path = journal(db)
    with problems(path):
        came = resume(path, run_ids, take_over=take_over, quiet=style == "json")
    tell(came, named(path), style)
    sys.exit(came.status)
