"""`saga test`."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sagalang.cli.scenario_files import Tested
    from sagalang.cli.scenario_shown import Session

_HOW = """a scenario stands in a .saga file, beside the saga:

    scenario "no stock means refund" of PlaceOrder(sample) {
      when Inventory.reserve rejects OutOfStock
      expect compensated with OutOfStock
      expect nothing left
    }"""


@click.command("test")
@click.argument("paths", nargs=-1, metavar="[PATH…]")
@click.option("-k", "wanted", metavar="TEXT", help="Only scenarios with this text in their title.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["full", "json", "junit"]),
    default="full",
    help="How to print what is found.",
)
@click.option("--seed", type=int, default=0, help="Of the values fakes make up, and of jitter.")
@click.option("--mutate", is_flag=True, help="Also break the sagas on purpose: who notices?")
def command(
    paths: tuple[str, ...], wanted: str | None, style: str, seed: int, mutate: bool
) -> None:
    """Run the scenarios of .saga files on a simulated clock, against fakes.

    PATH is a file or a folder; without one, all .saga files below the current folder. -k ignores
    case. The same seed gives the same run.

    --mutate drops a compensation, swaps two steps, takes away a key or a retry, one at a time, and
    lists the changes that no scenario noticed. It needs scenarios that pass.

    Exit status: 0 all passed, 1 a scenario failed or a change went unnoticed, 2 a file with errors,
    or nothing to run.
    """
    from sagalang.cli import scenario_shown as show
    from sagalang.cli.scenario_files import NotThereError, find
    from sagalang.cli.terminal import coloured, show_diagnostics, usage_error

    # Runs make many short-lived objects, few of them in circles: look for those less often.
    gc.set_threshold(50_000, 20, 20)
    try:
        files = find(paths or (".",))
    except NotThereError as problem:
        usage_error(str(problem), "name a .saga file, or a folder that has some")
    session = show.Session(seed)
    colour = coloured(sys.stdout)
    began = time.perf_counter()
    last = ""
    for tested in _run(session, files, wanted):
        if style != "full":
            continue
        if tested.file != last:
            click.echo(tested.file)
            last = tested.file
        click.echo(show.line(tested, colour=colour))
    if mutate and not session.failed:
        _mutate(session)
    if style == "json":
        click.echo(show.as_json(session))
    elif style == "junit":
        click.echo('<?xml version="1.0" encoding="utf-8"?>\n' + show.as_junit(session))
    else:
        for tested in session.failed:
            click.echo(show.failure(tested, colour=colour))
        if session.problems:
            click.echo()
            show_diagnostics(session.problems, session.sources, "full", sys.stderr)
        if session.tested:
            took = time.perf_counter() - began
            _summary(session, took, partly=wanted is not None, mutate=mutate)
    if not session.tested and not session.problems:
        _nothing(files, paths, wanted)
    if session.problems or not session.tested:
        sys.exit(2)
    sys.exit(1 if session.failed or session.unnoticed else 0)


def _run(session: Session, files: Sequence[str], wanted: str | None) -> Iterator[Tested]:
    """Run what is wanted, file by file. Files with errors are kept for later."""
    from sagalang.cli.scenario_files import load_file, own_scenarios, try_one
    from sagalang.scenario import Stage

    for file in files:
        loaded = load_file(file)
        if loaded.has_errors:
            session.sources.update(loaded.sources)
            errors = [d for d in loaded.diagnostics if d.is_error]
            session.problems += [d for d in errors if d not in session.problems]
            continue
        scenarios = own_scenarios(loaded.program)
        if not scenarios:
            continue
        stage = Stage(loaded.program)
        session.coverage.expect(loaded.program)
        for scenario in scenarios:
            if wanted is not None and wanted.casefold() not in scenario.title.casefold():
                continue
            tested = try_one(stage, scenario, session.seed)
            session.tested.append(tested)
            session.coverage.add(tested)
            yield tested


def _mutate(session: Session) -> None:
    """Run the scenarios of each file on every mutant of their sagas."""
    from sagalang.scenario.mutation import try_all

    session.mutants = []
    programs = {tested.file: tested.stage.program for tested in session.tested}
    for file, program in programs.items():
        scenarios = [t.result.scenario for t in session.tested if t.file == file]
        session.mutants += [
            (program, verdict) for verdict in try_all(program, scenarios, session.seed)
        ]


def _summary(session: Session, wall: float, *, partly: bool, mutate: bool) -> None:
    from sagalang.cli import scenario_shown as show
    from sagalang.cli.terminal import GREEN, RED, coloured, paint
    from sagalang.runtime.words import duration

    colour = coloured(sys.stdout)
    failed = session.failed
    counts = [paint(GREEN, f"{len(session.tested) - len(failed)} passed", colour)]
    if failed:
        counts.append(paint(RED, f"{len(failed)} failed", colour))
    broken = len({problem.span.file for problem in session.problems})
    if broken:
        counts.append(paint(RED, f"{broken} file{'s' * (broken > 1)} with errors", colour))
    simulated = sum(tested.result.took for tested in session.tested)
    took = f"{duration(simulated)} of simulated time in {duration(round(wall * 1_000))}"
    click.echo(f"\n{', '.join(counts)}; {took}")
    if not partly:
        for line in show.coverage_lines(session.coverage):
            click.echo(line)
    if mutate and session.mutants is None:
        click.echo("mutants: not tried, because a scenario fails as it is")
    for line in show.mutant_lines(session):
        click.echo(line)
    click.echo(f"next: {_next(session)}")


def _next(session: Session) -> str:
    failed = session.failed
    if failed:
        title = failed[0].title.replace('"', '\\"')
        return f'saga test {failed[0].file} -k "{title}"'
    if session.problems:
        return f"saga check {session.problems[0].span.file}"
    if session.mutants is None:
        return f"saga test {session.tested[0].file} --mutate"
    return f"saga run {session.tested[0].file} --mock"


def _nothing(files: Sequence[str], paths: Sequence[str], wanted: str | None) -> None:
    where = " ".join(paths) if paths else "the current folder"
    if not files:
        click.echo(f"error: there is no .saga file in {where}", err=True)
        click.echo("  = help: `saga new DIR` makes a project with one", err=True)
    elif wanted is not None:
        click.echo(f"error: no scenario has `{wanted}` in its title", err=True)
        click.echo("  = help: without -k, all are run and listed", err=True)
    else:
        click.echo(f"error: there is no scenario in {where}\n  = help: {_HOW}", err=True)
