"""`saga compile`."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("compile")
@click.argument("file", metavar="FILE")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder to write to; it is made if need be. Default: the current one.",
)
def command(file: str, folder: Path) -> None:
    """Write the Python that does what the sagas of a .saga file say.

    Only what changed is written, and each file at once: nobody ever sees half of one. Exit status:
    0 written, 1 the file has errors or cannot be compiled, 2 it cannot be read or written.
    """
    from sagalang.cli.files import write_text
    from sagalang.cli.terminal import (
        GREEN,
        coloured,
        paint,
        show_diagnostics,
        summary,
        usage_error,
    )
    from sagalang.compile import compile_program
    from sagalang.diagnostics import diagnose
    from sagalang.workspace import load

    loaded = load(file)
    if loaded.diagnostics:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
    if loaded.has_errors:
        click.echo(f"{summary(loaded.diagnostics)}; nothing was written", err=True)
        sys.exit(2 if any(d.name == "unreadable-file" for d in loaded.diagnostics) else 1)
    compiled = compile_program(loaded.program)
    if compiled.problems:
        found = [
            diagnose(
                "not-compilable",
                problem.span,
                f"{problem.what} cannot be compiled yet",
                help="`saga run` can run it",
            )
            for problem in compiled.problems
        ]
        show_diagnostics(found, loaded.sources, "full")
        sys.exit(1)
    told = coloured(sys.stdout)
    for made in compiled.files:
        path = folder / made.path
        try:
            changed = write_text(path, made.text)
        except OSError as error:
            usage_error(f"cannot write {path}: {error.strerror or error}")
            return
        word = paint(GREEN, "wrote", told) if changed else "unchanged"
        click.echo(f"{word}  {path}")
    main = folder / compiled.files[0].path
    if loaded.program.sagas:
        several = len(loaded.program.sagas) > 1
        saga = f"{next(iter(loaded.program.sagas))} " if several else ""
        click.echo(f"next: python {main} {saga}input.json")
