"""`saga render`: what is asked for, and where the picture goes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sagalang.cli.looking import in_journal
from sagalang.render.formats import ALL_FORMATS, VIEWS
from sagalang.render.themes import THEMES

if TYPE_CHECKING:
    from sagalang.cli.drawing import Wanted
    from sagalang.cli.journals import JournalFile


@click.command("render")
@click.argument("paths", nargs=-1, metavar="FILE [SAGA]")
@click.option("--to", "target", type=click.Choice(ALL_FORMATS), help="Format; else by -o's suffix.")
@click.option("-o", "--output", metavar="FILE", help="Where to write; standard output without it.")
@click.option("--as", "view", type=click.Choice(list(VIEWS)), help="Which picture; a sequence.")
@click.option("--when", "whens", metavar="FAULT", multiple=True, help="Only what happens then.")
@click.option("--atlas", metavar="DIR", help="Every way to fail, with an index page.")
@click.option("--journal", metavar="FILE", help="What a run really did: its --journal.")
@click.option("--run", "run_id", metavar="ID", help="What a run in the journal file really did.")
@in_journal
@click.option("--theme", type=click.Choice(THEMES), help="Colours; light.")
@click.option("--direction", type=click.Choice(["TB", "LR"]), help="Of graphs: down, or right.")
@click.option("--values", is_flag=True, help="Show values too, but never secrets.")
@click.option("--watch", is_flag=True, help="Draw again whenever a file changes; needs -o.")
def command(
    paths: tuple[str, ...],
    target: str | None,
    output: str | None,
    view: str | None,
    whens: tuple[str, ...],
    atlas: str | None,
    journal: str | None,
    run_id: str | None,
    db: str | None,
    theme: str | None,
    direction: str | None,
    values: bool,
    watch: bool,
) -> None:
    """Draw a saga: what happens, and what is undone when a step fails.

    \b
    saga render shop.saga                               Mermaid, for pull requests and wikis
    saga render shop.saga --to text                     for a terminal or a log
    saga render shop.saga -o shop.svg                   or .png, .html, .puml
    saga render shop.saga --when "Inventory.reserve rejects OutOfStock" -o stock.svg
    saga render shop.saga --atlas failures              every way to fail, one page
    saga render shop.saga --as choreography             the same without an orchestrator
    saga render shop.saga --as flow -o shop.pdf         its steps as a graph
    saga render orders/ --as map -o services.svg        who calls whom, of a whole folder
    saga render --journal run.jsonl -o incident.svg     what a run really did
    saga render --run o-1 -o incident.svg               the same, from the journal file (--db)
    """
    from sagalang.cli import drawing
    from sagalang.cli.inputs import InputProblem
    from sagalang.cli.terminal import usage_error

    try:
        request = drawing.wanted(view, target, output, theme or "light", direction, values, whens)
        if journal is not None:
            _refuse_beside("--journal", FILE=paths, **{"--as": view, "--when": whens})
            _refuse_beside("--journal", **{"--atlas": atlas, "--watch": watch, "--run": run_id})
            _draw_journal(journal, request, output)
            return
        if run_id is not None:
            _refuse_beside("--run", FILE=paths, **{"--as": view, "--when": whens})
            _refuse_beside("--run", **{"--atlas": atlas, "--watch": watch})
            _draw_run(run_id, db, request, output)
            return
        if watch and "-" in paths:
            raise InputProblem("--watch needs a file to look at, not standard input")
        if not paths:
            raise InputProblem("nothing to draw", "saga render FILE, or saga render --journal FILE")
        if atlas is not None:
            _refuse_beside("--atlas", **{"--as": view, "--when": whens, "-o": output})
            _refuse_beside("--atlas", **{"--to": target, "--watch": watch})
            from sagalang.cli.atlas_files import write_atlas

            file, name = _one(paths)
            write_atlas(file, name, atlas, theme or "auto", values)
            return
        if watch:
            _watch(paths, request, output)
        _draw(paths, request, output)
        if output is not None and request.view == "sequence" and not whens:
            click.echo(f"next: saga render {shlex.join(paths)} --atlas failures", err=True)
    except InputProblem as problem:
        usage_error(str(problem), problem.advice)


def _refuse_beside(option: str, **others: object) -> None:
    """Options that cannot stand beside another one. Raises InputProblem."""
    from sagalang.cli.inputs import InputProblem

    for other, given in others.items():
        if given:
            raise InputProblem(f"{other} does not go with {option}", f"leave out {other}")


def _one(paths: tuple[str, ...]) -> tuple[str, str | None]:
    from sagalang.cli.inputs import InputProblem

    if len(paths) > 2:
        raise InputProblem(
            f"one file at a time, not also {paths[2]}",
            "a whole folder, or several files, can be drawn with --as map",
        )
    return paths[0], paths[1] if len(paths) > 1 else None


def _draw(paths: tuple[str, ...], request: Wanted, output: str | None) -> None:
    from sagalang.cli import drawing
    from sagalang.cli.inputs import choose_saga
    from sagalang.cli.terminal import show_diagnostics

    if request.view == "map":
        loaded = [drawing.load(file) for file in _files(paths)]
        put(drawing.draw_map(loaded, request).content, output)
        return
    file, name = _one(paths)
    one = drawing.load(file)
    picture = drawing.draw(one, choose_saga(one, name).name, request)
    show_diagnostics(picture.warnings, one.sources, "full", sys.stderr)
    put(picture.content, output)


def _files(paths: tuple[str, ...]) -> list[str]:
    """The files of a map. Raises InputProblem."""
    from sagalang.cli.inputs import InputProblem
    from sagalang.cli.scenario_files import NotThereError, find

    try:
        found = find(paths)
    except NotThereError as error:
        advice = "a map shows all sagas of the files and folders that are named"
        raise InputProblem(str(error), advice) from None
    if not found:
        raise InputProblem(f"there is no .saga file in {' '.join(paths)}")
    return found


def _draw_journal(path: str, request: Wanted, output: str | None) -> None:
    from sagalang.cli.journals import load_journal

    _put_picture(load_journal(path), request, output)


def _draw_run(run_id: str, db: str | None, request: Wanted, output: str | None) -> None:
    from sagalang.cli.journals import JournalFile
    from sagalang.cli.looking import journal, opened, the_account, the_run

    path = journal(db)
    with opened(path) as book:
        run = the_run(book, run_id, path)
        found = the_account(book, run, path)
    by = found.definition
    _put_picture(
        JournalFile(by.loaded, run.saga, run.id, run.began, found.entries, by.fakes),
        request,
        output,
    )


def _put_picture(found: JournalFile, request: Wanted, output: str | None) -> None:
    from sagalang.cli import drawing
    from sagalang.cli.journals import picture, text_of

    drawn = picture(found, values=request.values)
    put(drawing.emit(drawn, request, text_of(found)), output)


def _watch(paths: tuple[str, ...], request: Wanted, output: str | None) -> None:
    """Draw again and again; what is wrong with a file in the meantime is only told."""
    from sagalang.cli.inputs import InputProblem
    from sagalang.cli.watching import again_and_again
    from sagalang.workspace import load

    if output is None:
        raise InputProblem("--watch needs a file to draw into", "add -o FILE")

    def once() -> set[str]:
        try:
            _draw(paths, request, output)
        except InputProblem as problem:
            click.echo(f"error: {problem}", err=True)
        except SystemExit:
            pass  # the file has errors, which have been shown
        files = _files(paths) if request.view == "map" else paths[:1]
        return {name for file in files for name in load(file).sources} | set(files)

    again_and_again(once)


def _print(content: str | bytes) -> None:
    from sagalang.cli.inputs import InputProblem

    if isinstance(content, bytes) and sys.stdout.isatty():
        raise InputProblem("this format is not for a terminal", "add -o FILE")
    try:
        if isinstance(content, str):
            click.echo(content, nl=not content.endswith("\n"))
        else:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read has read enough
    except OSError as error:
        raise InputProblem(f"cannot write the picture: {error.strerror or error}") from None


def put(content: str | bytes, output: str | None) -> None:
    """Onto standard output or, as a whole, into a file. Raises InputProblem."""
    from sagalang.cli.files import write_bytes
    from sagalang.cli.inputs import InputProblem

    if output is None or output == "-":
        _print(content)
        return
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        changed = write_bytes(Path(output), data)
    except OSError as error:
        raise InputProblem(f"cannot write {output}: {error.strerror or error}") from None
    click.echo(f"{'wrote' if changed else 'unchanged:'} {output}", err=True)
