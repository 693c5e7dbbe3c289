"""`saga check`."""

from __future__ import annotations

import sys

import click

from sagalang.text import Source


@click.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--format",
    "style",
    type=click.Choice(["full", "concise", "json"]),
    default="full",
    help="How to print what is found.",
)
@click.option("--watch", is_flag=True, help="Check again whenever a file changes.")
def command(files: tuple[str, ...], style: str, watch: bool) -> None:
    """Read .saga files and tell what is wrong with them.

    FILE may be - for standard input. Exit status: 0 nothing found, 1 errors or warnings, 2 a
    file that cannot be read.
    """
    if not watch:
        sys.exit(_check(files, style)[0])
    from sagalang.cli.watching import again_and_again

    def once() -> set[str]:
        click.clear()
        return _check(files, style)[1]

    again_and_again(once)


def _check(files: tuple[str, ...], style: str) -> tuple[int, set[str]]:
    """Check all files; the exit status, and the names of all files that were read."""
    from sagalang.cli.terminal import GREEN, coloured, paint, show_diagnostics, summary
    from sagalang.workspace import load

    found = []
    sources: dict[str, Source] = {}
    names: list[str] = []
    for name in files:
        loaded = load(name)
        sources.update(loaded.sources)
        # A file that two others import is told about once.
        found += [d for d in loaded.diagnostics if d not in found]
        names += [f"{n}" for n in loaded.program.sagas]
    status = 1 if found else 0
    if any(d.name == "unreadable-file" for d in found):
        status = 2
    show_diagnostics(found, sources, style)
    if style != "full":
        return status, set(sources)
    if found:
        first = next((d for d in found if d.is_error), found[0])
        click.echo(f"{summary(found)}; more about the first: saga explain {first.code}")
    else:
        what = f"{len(names)} saga{'s' if len(names) != 1 else ''}: {', '.join(names)}"
        told = what if names else "no sagas in it"
        done = paint(GREEN, "ok", coloured(sys.stdout))
        click.echo(f"{done}  {' '.join(files)}  ({told})")
        if names and len(files) == 1 and files[0] != "-":
            click.echo(f"next: saga run {files[0]} --mock")
    return status, set(sources)
