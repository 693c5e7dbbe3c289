"""`saga new`."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import click


@click.command("new")
@click.argument("directory", metavar="DIR")
def command(directory: str) -> None:
    """Make a project in DIR that passes `saga check` and runs.

    DIR must not exist yet, or be empty.
    """
    from sagalang.cli.terminal import usage_error

    target = Path(directory)
    name = target.resolve().name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        usage_error(f"`{name}` is no name for a project", "use letters, digits, `-`, `_` and `.`")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        usage_error(
            f"{directory} exists and is not empty", "choose another name; nothing was written"
        )
    try:
        _write(target, name)
    except OSError as error:
        usage_error(f"cannot write {directory}: {error.strerror or error}")
    click.echo(f"made {directory}: {name}.saga, README.md")
    click.echo(f"next: saga run {os.path.join(directory, name)}.saga --mock")
    sys.exit(0)


def _write(target: Path, name: str) -> None:
    """All files or none: they are made beside the target and moved there at once."""
    from importlib.resources import files

    template = files("sagalang.cli") / "template"
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{name}-"))
    try:
        made.chmod(0o755)
        for source, file in (("booking.saga", f"{name}.saga"), ("README.md", "README.md")):
            text = (template / source).read_text("utf-8").replace("NAME", name)
            (made / file).write_text(text, encoding="utf-8")
        if target.exists():
            target.rmdir()
        os.replace(made, target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
