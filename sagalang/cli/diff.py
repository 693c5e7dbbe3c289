"""`saga diff`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sagalang.upgrade import SagaUpgrade
    from sagalang.workspace import Loaded


@click.command("diff")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.argument("saga", required=False)
@click.option(
    "--format",
    "style",
    type=click.Choice(["full", "json"]),
    default="full",
    help="How to print what is found.",
)
def command(old: str, new: str, saga: str | None, style: str) -> None:
    """Say which running sagas can go on under a changed definition.

    OLD and NEW are .saga files. For every position that a run of OLD can be in: safe, it can go on
    under NEW; drain, let it end under OLD first; breaks, its journal does not fit NEW.

    \b
    saga diff shop-1.saga shop-2.saga               all sagas
    saga diff shop-1.saga shop-2.saga PlaceOrder    one of them

    Exit status: 0 every position is safe, 1 some are not, 2 usage or a file that does not check.
    """
    from sagalang.cli import diff_shown as shown
    from sagalang.cli.terminal import coloured, usage_error

    if "-" in (old, new):
        usage_error("`saga diff` reads two files, not standard input", "saga diff OLD NEW")
    was, is_ = _checked(old), _checked(new)
    found = _compared(was, is_, saga)
    if style == "json":
        click.echo(shown.as_json(was, is_, found))
    else:
        click.echo(shown.full(was, is_, found, colour=coloured(sys.stdout)))
    sys.exit(1 if any(upgrade.verdict for upgrade in found) else 0)


def _checked(path: str) -> Loaded:
    """Leaves with status 2 where there are errors."""
    from sagalang.cli.terminal import show_diagnostics, summary
    from sagalang.workspace import load

    loaded = load(path)
    if loaded.has_errors:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
        click.echo(f"{summary(loaded.diagnostics)}; nothing was compared", err=True)
        sys.exit(2)
    return loaded


def _compared(old: Loaded, new: Loaded, saga: str | None) -> tuple[SagaUpgrade, ...]:
    from sagalang.cli.terminal import usage_error
    from sagalang.diagnostics.suggest import hint
    from sagalang.upgrade import compare

    found = compare(old.program, new.program)
    if saga is None:
        if not found:
            usage_error(f"there is no saga in {old.program.main} and {new.program.main}")
        return found
    names = [upgrade.saga for upgrade in found]
    if saga not in names:
        advice = hint(saga, names) or (f"there is {', '.join(names)}" if names else None)
        usage_error(f"neither file has a saga `{saga}`", advice)
    return tuple(upgrade for upgrade in found if upgrade.saga == saga)
