"""`saga compile`."""

from __future__ import annotations

import shlex
import sys
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from sagalang.cli.compiled_files import Found
    from sagalang.compile import Compiled
    from sagalang.model.program import Program


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
@click.option("--single-file", is_flag=True, help="Everything in one module, imports included.")
@click.option("--tests", is_flag=True, help="Also write a pytest file: one test per scenario.")
@click.option(
    "--templates",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of templates that replace parts of what is written; see docs/compile.md.",
)
@click.option("--check", "how", flag_value="check", help="Write nothing, list what is not current.")
@click.option("--diff", "how", flag_value="diff", help="Write nothing, show what would change.")
@click.option("--force", is_flag=True, help="Overwrite files that were edited by hand.")
def command(
    file: str,
    folder: Path,
    single_file: bool,
    tests: bool,
    templates: Path | None,
    how: str | None,
    force: bool,
) -> None:
    """Write the Python that does what the sagas of a .saga file say.

    A file that imports others becomes a package of modules, one for each file; one that does not,
    a plain module. Only what changed is written, each file at once and all of them or none. A file
    that was edited by hand is left alone. Exit status: 0 done, 1 the file has errors, a file is in
    the way, or something would change (--check, --diff), 2 something cannot be read or written.
    """
    from sagalang.cli.compiled_files import compare
    from sagalang.cli.terminal import show_diagnostics, summary, usage_error
    from sagalang.compile import (
        TemplateProblem,
        compile_package,
        compile_program,
        package_files,
    )
    from sagalang.workspace import load

    loaded = load(file)
    if loaded.diagnostics:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
    if loaded.has_errors:
        click.echo(f"{summary(loaded.diagnostics)}; nothing was written", err=True)
        sys.exit(2 if any(d.name == "unreadable-file" for d in loaded.diagnostics) else 1)
    try:
        compiler = compile_program if single_file else compile_package
        compiled = compiler(loaded.program, tests=tests, templates=templates)
    except TemplateProblem as problem:
        usage_error(str(problem), problem.advice)
        return
    if compiled.problems:
        _refuse(loaded.program, compiled)
    if compiled.is_package:
        _check_name(folder)
    try:
        others = package_files(loaded.program) if single_file else {}
        found = compare(folder, compiled.files, others, tests=tests)
    except OSError as error:
        usage_error(f"cannot read {error.filename}: {error.strerror or error}")
        return
    if how is not None:
        sys.exit(_tell(found, how))
    if not force:
        _stop_before_edits(found)
    _write(found)
    _say_next(loaded.program, compiled, folder, single_file=single_file)


def _check_name(folder: Path) -> None:
    """Python could not import a package of another name, and pytest would not see that it is
    one."""
    from sagalang.cli.terminal import usage_error
    from sagalang.compile.naming import safe

    name = folder.resolve().name
    if not _is_importable(name):
        usage_error(
            f"Python cannot import a package that is called `{name}`",
            f"name the folder otherwise, such as `-o {safe(name)}`,"
            " or write all into one module with --single-file",
        )


def _is_importable(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name)


def _say_next(program: Program, compiled: Compiled, folder: Path, *, single_file: bool) -> None:
    sagas = program.sagas.values()
    own = [saga for saga in sagas if single_file or saga.span.file == program.main]
    if own:
        saga = f"{own[0].name} " if len(own) > 1 else ""
        run = _run_command(folder, compiled)
        click.echo(f"next: {run} {saga}input.json")


def _run_command(folder: Path, compiled: Compiled) -> str:
    if not compiled.is_package:
        return f"python {shlex.quote(str(folder / compiled.main))}"
    module = compiled.main.removesuffix(".py").replace("/", ".")
    where = folder.resolve()
    try:
        inside = where.relative_to(Path.cwd()).parts
    except ValueError:
        inside = ()
    if inside and all(map(_is_importable, inside)):
        return f"python -m {'.'.join(inside)}.{module}"
    return f"cd {shlex.quote(str(where.parent))} && python -m {where.name}.{module}"


def _refuse(program: Program, compiled: Compiled) -> NoReturn:
    from sagalang.cli.terminal import show_diagnostics
    from sagalang.diagnostics import diagnose

    found = [
        diagnose(
            "not-compilable",
            problem.span,
            f"{problem.what} cannot be compiled yet",
            help="`saga run` can run it",
        )
        for problem in compiled.problems
    ]
    show_diagnostics(found, program.sources, "full")
    sys.exit(1)


def _tell(found: list[Found], how: str) -> int:
    """What would change; the exit status."""
    from sagalang.cli.compiled_files import difference

    if how == "diff":
        changes = [difference(one) for one in found]
        click.echo("".join(changes), nl=False)
        return int(any(changes))
    stale = [one for one in found if one.state != "same"]
    for one in stale:
        why = f" ({one.in_the_way})" if one.in_the_way else ""
        click.echo(f"{one.state}  {one.path}{why}")
    if stale:
        click.echo("`saga compile` with the same options writes what the source gives", err=True)
    return int(bool(stale))


def _stop_before_edits(found: list[Found]) -> None:
    blocked = [one for one in found if one.in_the_way]
    if not blocked:
        return
    for one in blocked:
        click.echo(f"error: {one.path} {one.in_the_way}", err=True)
    click.echo(
        "  = help: --diff shows what would change, --force overwrites; to change what is written,"
        " edit the .saga file or use --templates\nnothing was written",
        err=True,
    )
    sys.exit(1)


def _write(found: list[Found]) -> None:
    from sagalang.cli.files import write_text
    from sagalang.cli.terminal import GREEN, YELLOW, coloured, paint, usage_error

    told = coloured(sys.stdout)
    for one in found:
        if one.wanted is None:
            word = paint(YELLOW, one.state, told)
            click.echo(f"{word}  {one.path} (delete it if nothing needs it)")
            continue
        try:
            changed = one.state != "same" and write_text(one.path, one.wanted)
        except OSError as error:
            usage_error(f"cannot write {one.path}: {error.strerror or error}")
            return
        word = paint(GREEN, "wrote", told) if changed else "unchanged"
        click.echo(f"{word}  {one.path}")
