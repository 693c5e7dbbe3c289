"""`saga verify`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sagalang.model import program as p
    from sagalang.verify.explore import Watch
    from sagalang.verify.verify import Settings
    from sagalang.workspace import Loaded

SHOWN = 3
"""So many counterexamples are drawn; all are counted."""


@click.command("verify")
@click.argument("file", metavar="FILE")
@click.argument("saga", required=False)
@click.option("--faults", default="all", metavar="N|all", help="At most so many faults at once.")
@click.option("--crashes", default=1, metavar="N", help="How often the orchestrator may die.")
@click.option(
    "--max-states", "states", type=int, metavar="N", help="Give up beyond so many worlds."
)
@click.option(
    "--input", "given", metavar="FILE|JSON|-", help="Exact data; or a `let`'s name. Else: any data."
)
@click.option("--script", metavar="FILE", help="Write the first counterexample's fault script.")
@click.option("--no-inert", is_flag=True, help="Follow late copies that can do nothing any more.")
@click.option("--no-normal", is_flag=True, help="Keep in a world what decides nothing any more.")
@click.option("--no-symmetry", is_flag=True, help="Follow each of several like branches.")
@click.option("--no-branches", is_flag=True, help="Follow parallel branches all at once.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["full", "concise", "json"]),
    default="full",
    help="How to print what is found.",
)
def command(
    file: str,
    saga: str | None,
    faults: str,
    crashes: int,
    states: int | None,
    given: str | None,
    script: str | None,
    no_inert: bool,
    no_normal: bool,
    no_symmetry: bool,
    no_branches: bool,
    style: str,
) -> None:
    """Explore every failure of a saga that the contracts allow.

    Rejections, lost requests and answers, late and double arrivals, failing compensations, crashes,
    events that come early, late or never, cancellation at any point: in every combination. What is
    found is shown with the fewest faults that lead there.

    \b
    saga verify shop.saga                    every saga of the file
    saga verify shop.saga PlaceOrder --faults 2

    Exit status: 0 nothing found, 1 something found or not all could be explored, 2 usage.
    """
    from sagalang.cli.terminal import show_diagnostics, summary, usage_error
    from sagalang.verify.explore import MAX_STATES, Bounds
    from sagalang.verify.verify import Settings
    from sagalang.verify.world import Options
    from sagalang.workspace import load

    if faults != "all" and not faults.isdigit():
        usage_error(f"`{faults}` is not a number of faults", "for example --faults 2, or all")
    if crashes < 0:
        usage_error("a bound cannot be negative", "for example --crashes 1")
    if states is not None and states < 1:
        usage_error(f"--max-states {states} leaves no world", "for example --max-states 300000")
    if script == "-":
        usage_error("the script goes to a file, not to standard output", "--script faults.json")
    loaded = load(file)
    if loaded.has_errors:
        show_diagnostics(loaded.diagnostics, loaded.sources, style, sys.stderr)
        click.echo(f"{summary(loaded.diagnostics)}; nothing was explored", err=True)
        sys.exit(2)
    settings = Settings(
        options=Options(
            crashes=crashes, inert=not no_inert, normal=not no_normal, symmetry=not no_symmetry
        ),
        bounds=Bounds(None if faults == "all" else int(faults), states or MAX_STATES),
        branches=not no_branches,
    )
    names = _names(loaded, saga, given)
    sys.exit(_verify(loaded, names, given, settings, script, style))


def _names(loaded: Loaded, saga: str | None, given: str | None) -> list[str]:
    from sagalang.cli.inputs import InputProblem, choose_saga
    from sagalang.cli.terminal import usage_error

    program = loaded.program
    try:
        if saga is not None or given is not None:
            return [choose_saga(loaded, saga).name]
    except InputProblem as problem:
        usage_error(str(problem), problem.advice)
    own = [s.name for s in program.sagas.values() if s.span.file == program.main]
    if not own:
        usage_error(f"there is no saga in {program.main}", "a saga begins with `saga Name(…) {`")
    return own


def _verify(
    loaded: Loaded,
    names: Sequence[str],
    given: str | None,
    settings: Settings,
    script: str | None,
    style: str,
) -> int:
    from sagalang.cli import verify_shown as shown
    from sagalang.verify.verify import verify

    program = loaded.program
    verdicts = []
    for name in names:
        args = None if given is None else _exact(loaded, program.sagas[name], given)
        began = time.perf_counter()
        with _progress(name) as watch:
            verdict = verify(program, name, args, settings, watch)
        took = time.perf_counter() - began
        verdicts.append(verdict)
        if style == "full":
            click.echo(shown.full(loaded, verdict, settings, took, SHOWN))
        elif style == "concise":
            click.echo(shown.concise(loaded, verdict, settings))
        if verdict.stopped:
            break
    if style == "json":
        click.echo(shown.as_json(loaded, verdicts, settings))
    broken = [found for verdict in verdicts for found in verdict.breaches]
    if script is not None:
        shown.write_script(program, broken, script)
    if style == "full":
        click.echo(shown.next_command(program.main, verdicts))
    return 1 if broken or not all(verdict.complete for verdict in verdicts) else 0


def _exact(loaded: Loaded, saga: p.Saga, given: str) -> dict[str, Any]:
    """The arguments as the verifier reads them. Leaves with status 2 where they are not right."""
    from sagalang.cli.inputs import InputProblem, read_input
    from sagalang.cli.terminal import usage_error
    from sagalang.runtime.codec import DecodeError
    from sagalang.runtime.values import Values

    values = Values(loaded.program)
    try:
        read = read_input(loaded, saga, given, values, mock=False)
    except InputProblem as problem:
        usage_error(str(problem), problem.advice)
    except DecodeError as problem:
        usage_error(f"the input is not right: {problem}", "nothing was explored")
    return {q.name: _opened(values, read.args[q.name], q.type) for q in saga.params}


def _opened(values: Any, value: Any, type_: Any) -> Any:
    """Records as mappings, all the way down."""
    from sagalang.machine.frozen import FrozenMap
    from sagalang.model.types import ListOf, MapOf, required, reveal

    bare = required(reveal(type_))
    fields = values.fields_of(bare)
    if value is None:
        return None
    if fields:
        return FrozenMap(
            {name: _opened(values, values.get(value, name), inner) for name, inner, _ in fields}
        )
    if isinstance(bare, ListOf):
        return tuple(_opened(values, item, bare.item) for item in value)
    if isinstance(bare, MapOf):
        return FrozenMap({key: _opened(values, item, bare.item) for key, item in value.items()})
    return value


@contextmanager
def _progress(saga: str) -> Iterator[Watch | None]:
    """Says on a terminal how far it is; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        yield lambda worlds: click.echo(f"\r{saga}: {worlds + 1:,} worlds …", err=True, nl=False)
    finally:
        click.echo("\r\x1b[K", err=True, nl=False)
