"""`saga prune`."""

from __future__ import annotations

import click

from sagalang.cli.looking import as_text_or_json, in_journal


@click.command("prune")
@click.option(
    "--older-than", "age", metavar="DURATION", required=True, help="How long ago they ended: 30d."
)
@click.option("--dry-run", is_flag=True, help="Only say how many that are.")
@in_journal
@as_text_or_json
def command(age: str, dry_run: bool, db: str | None, style: str) -> None:
    """Delete runs that ended long ago, with the sagas that they ran as steps.

    Runs under way and escalated ones always stay. The file keeps its size, and what becomes free
    in it is used again. An id that was deleted can be run again, and services that forgot its keys
    do it again.

    \b
    saga prune --older-than 30d --dry-run
    saga prune --older-than 30d
    """
    from sagalang.cli.looking import as_json, journal, milliseconds, named, now, opened
    from sagalang.cli.show_told import clock

    path, before = journal(db), now() - milliseconds(age)
    with opened(path) as book:
        runs = book.old(before)
        freed = 0
        if not dry_run:
            pruned = book.prune(before)
            runs, freed = pruned.runs, pruned.freed
    if style == "json":
        made = {"format_version": 1, "before": before, "runs": runs, "freed": freed}
        click.echo(as_json({**made, "dry_run": dry_run}))
        return
    what = f"{runs} run{'' if runs == 1 else 's'} that ended before {clock(before)}"
    if dry_run:
        click.echo(f"would delete {what}, child sagas counted")
        if runs:
            click.echo(f"next: saga prune --older-than {age}{named(path)}", err=True)
        return
    click.echo(f"deleted {what}, child sagas counted; {_size(freed)} in the file are free again")


def _size(count: int) -> str:
    for unit, size in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
