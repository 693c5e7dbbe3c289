"""`saga render`."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("render")
@click.argument("file", metavar="FILE")
@click.argument("saga", required=False)
@click.option(
    "--to", "target", type=click.Choice(["mermaid", "text"]), default="mermaid", help="Format."
)
@click.option("-o", "--output", metavar="FILE", help="Where to write; standard output without it.")
def command(file: str, saga: str | None, target: str, output: str | None) -> None:
    """Draw a saga as a sequence diagram: what happens, and what is undone when a step fails.

    Mermaid text can be pasted into pull requests and wikis that draw it; `--to text` draws with
    box characters, for a terminal or a log.
    """
    from sagalang.cli.files import write_text
    from sagalang.cli.inputs import InputProblem, choose_saga
    from sagalang.cli.terminal import show_diagnostics, summary, usage_error
    from sagalang.render import render
    from sagalang.workspace import load

    loaded = load(file)
    if loaded.has_errors:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
        click.echo(f"{summary(loaded.diagnostics)}; nothing was drawn", err=True)
        sys.exit(1)
    try:
        chosen = choose_saga(loaded, saga)
    except InputProblem as problem:
        usage_error(str(problem), problem.advice)
        return
    text = render(loaded.program, chosen.name, target)
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    try:
        changed = write_text(Path(output), text)
    except OSError as error:
        usage_error(f"cannot write {output}: {error.strerror or error}")
        return
    click.echo(f"{'wrote' if changed else 'unchanged:'} {output}", err=True)
