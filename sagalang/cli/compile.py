"""`saga compile`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sagalang.compile import GeneratedFile


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
    from sagalang.cli.terminal import (
        GREEN,
        coloured,
        paint,
        show_diagnostics,
        summary,
        usage_error,
    )
    from sagalang.compile import compile_program
    from sagalang.workspace import load

    loaded = load(file)
    if loaded.diagnostics:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
    if loaded.has_errors:
        click.echo(f"{summary(loaded.diagnostics)}; nothing was written", err=True)
        sys.exit(2 if any(d.name == "unreadable-file" for d in loaded.diagnostics) else 1)
    compiled = compile_program(loaded.program)
    for problem in compiled.problems:
        source = loaded.sources.get(problem.span.file)
        where = (
            f"{problem.span.file}:{source.position(problem.span.start).line}: " if source else ""
        )
        click.echo(f"error: {where}{problem.what} cannot be compiled yet", err=True)
    if compiled.problems:
        sys.exit(1)
    told = coloured(sys.stdout)
    for made in compiled.files:
        path = folder / made.path
        try:
            changed = _write(path, made)
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


def _write(path: Path, made: GeneratedFile) -> bool:
    """Write a file at once, unless it is there as it should be; whether it was written."""
    data = made.text.encode("utf-8")
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        # What `open` would have given; a temporary file is private.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return True
