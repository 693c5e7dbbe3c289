"""The summary of `saga resume`."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Final

import click

from sagalang.cli.resuming.came import KINDS
from sagalang.runtime.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagalang.cli.resuming.came import Came, Ended

_MOST: Final = 20
"""So many of a kind are listed; `--format json` has all."""


def tell(came: Came, db: str, style: str) -> None:
    """`db`: how commands name the journal file."""
    if style == "json":
        from sagalang.cli.report import as_json

        click.echo(as_json(_data(came)))
    else:
        click.echo("\n".join(_lines(came, db)))
    if came.broken is not None:
        click.echo(f"error: {came.broken}\n  = help: {came.broken.advice}", err=True)
    if came.stopped:
        left = f"{came.left} run{'s' if came.left != 1 else ''} left under way"
        click.echo(f"{left}\nnext: saga resume{db}", err=True)


def _data(came: Came) -> dict[str, object]:
    return {
        "format_version": 1,
        "counts": {kind: len(came.of(kind)) for kind in KINDS},
        "left": came.left,
        "runs": [
            {
                "run": each.run_id,
                "saga": each.saga,
                "outcome": each.kind,
                "error": each.error or None,
                "owed": [
                    {
                        "step": str(item.place),
                        "operation": item.label,
                        "purpose": item.purpose.value,
                        "error": item.failure.name,
                    }
                    for item in each.owed
                ],
                "problem": each.problem or None,
            }
            for each in came.ended.values()
        ],
    }


def _lines(came: Came, db: str) -> Iterator[str]:
    counts = [f"{len(came.of(kind)):,} {kind}" for kind in KINDS if came.of(kind)]
    nothing = "none has ended" if came.status else "nothing to go on with"
    yield ", ".join(counts) or nothing
    for each in _first(compensated := came.of("compensated")):
        yield f"  compensated  {printable(each.run_id)}  {each.saga} with {each.error}"
    yield from _more(compensated, "saga runs --state compensated" + db)
    for each in _first(escalated := came.of("escalated")):
        owed = ", ".join(f"{item.label} ({item.failure.name})" for item in each.owed)
        yield f"  escalated    {printable(each.run_id)}  {each.saga}" + (
            f" owes {owed}" if owed else ", and nothing in it can be settled any more"
        )
    yield from _more(escalated, "saga runs --state escalated" + db)
    problems: dict[tuple[str, str | None], list[Ended]] = {}
    for each in came.of("failed"):
        problems.setdefault((each.problem, each.advice), []).append(each)
    for (problem, advice), runs in problems.items():
        ids = ", ".join(printable(each.run_id) for each in runs[:5])
        ids += f" and {len(runs) - 5:,} more" if len(runs) > 5 else ""
        yield f"  failed       {ids}: {problem}"
        if advice:
            yield f"               {advice}"
    owing = [each for each in escalated if each.owed]
    if owing:
        yield f"\nnext: saga show {quote(owing[0].run_id)}{db}"


def _first(runs: list[Ended]) -> list[Ended]:
    return runs[:_MOST]


def _more(runs: list[Ended], command: str) -> Iterator[str]:
    if len(runs) > _MOST:
        yield f"  … and {len(runs) - _MOST:,} more: {command}"
