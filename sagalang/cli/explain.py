"""`saga explain`."""

from __future__ import annotations

import sys

import click


@click.command("explain")
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Tell what a message means, why it matters and what to do.

    CODE is a code such as SG301 or a name such as missing-compensation; without it, all are
    listed.
    """
    from sagalang.cli.terminal import usage_error
    from sagalang.diagnostics import CODES, find, page
    from sagalang.diagnostics.suggest import hint

    if code is None:
        for item in CODES:
            click.echo(f"{item.code}  {item.name:<28} {item.severity.value:<8} {item.title}")
        return
    found = find(code)
    if found is None:
        known = [item.code for item in CODES] + [item.name for item in CODES]
        usage_error(
            f"there is no message `{code}`",
            hint(code, known) or "`saga explain` without a code lists all",
        )
        sys.exit(2)
    click.echo(page(found.name).rstrip())
