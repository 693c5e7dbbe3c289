"""`saga fmt`."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path

import click


@click.command("fmt")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--check", "how", flag_value="check", help="Write nothing, list what would change.")
@click.option("--diff", "how", flag_value="diff", help="Write nothing, show what would change.")
def command(paths: tuple[str, ...], how: str | None) -> None:
    """Lay out .saga files in the one canonical way.

    PATH is a file, a folder with all .saga files below it, or - for standard input, which is
    written to standard output. Comments stay, and the meaning does. A file with a syntax error is
    left alone. Exit status: 0 done, 1 something would change (--check, --diff), 2 a file that
    cannot be read, understood or written, or no file at all.
    """
    from sagalang.cli.scenario_files import NotThereError, find
    from sagalang.cli.terminal import usage_error

    if "-" in paths and len(paths) > 1:
        usage_error("- stands for standard input, and goes with no other path")
    if paths == ("-",):
        sys.exit(_stream(how))
    try:
        files = find(paths)
    except NotThereError as problem:
        usage_error(str(problem), "name .saga files, folders, or -")
    if not files:
        # As `saga test`: a wrong path must not look like success.
        where = " ".join(paths)
        usage_error(f"there is no .saga file in {where}", "`saga new DIR` makes a project with one")
    sys.exit(_files(files, how))


def _stream(how: str | None) -> int:
    """Standard input to standard output."""
    text, formatted = _formatted("-", "<stdin>")
    if formatted is None:
        return 2
    if how is None:
        sys.stdout.buffer.write(formatted.encode())
        sys.stdout.buffer.flush()
        return 0
    if text != formatted:
        _show("<stdin>", text, formatted, how)
    return int(text != formatted)


def _files(files: list[str], how: str | None) -> int:
    from sagalang.cli.files import write_text
    from sagalang.cli.terminal import progress

    changed = failed = 0
    for path in files:
        text, formatted = _formatted(path, path)
        if formatted is None:
            failed += 1
            continue
        try:
            if how is None:
                # A link stays one; the file it leads to is written.
                written = write_text(Path(path).resolve(), formatted)
                if written:
                    click.echo(f"reformatted {path}")
            else:
                written = Path(path).read_bytes() != formatted.encode()
                if written:
                    _show(path, text, formatted, how)
            changed += written
        except OSError as error:
            progress(f"error: cannot write {path}: {error.strerror or error}")
            failed += 1
    if how != "diff":
        click.echo(_count(changed, len(files) - changed - failed, failed, how))
    return 2 if failed else int(changed > 0 and how is not None)


def _formatted(path: str, name: str) -> tuple[str, str | None]:
    """The text of a file and its layout; None if that is impossible, which was told."""
    from sagalang.cli.terminal import progress, show_diagnostics
    from sagalang.format import format_text
    from sagalang.text import Source
    from sagalang.workspace.load import Unreadable, read_text

    try:
        source = Source(name, read_text(path))
    except Unreadable as error:
        progress(f"error: cannot read {name}: {error}")
        return "", None
    formatted = format_text(source)
    if formatted.diagnostics:
        show_diagnostics(formatted.diagnostics, {name: source}, "full", sys.stderr)
        return source.text, None
    return source.text, formatted.text


def _show(name: str, text: str, formatted: str, how: str) -> None:
    if how == "check":
        click.echo(f"would reformat {name}")
        return
    lines = unified_diff(_lines(text), _lines(formatted), name, f"{name} (formatted)")
    click.echo("".join(lines), nl=False)


def _lines(text: str) -> list[str]:
    """Lines as a difference shows them: each ends, and says where it had no end."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines


def _count(changed: int, kept: int, failed: int, how: str | None) -> str:
    verb = "would be reformatted" if how else "reformatted"
    parts = [f"{_number(changed)} {verb}"] if changed else []
    if kept:
        parts.append(f"{_number(kept)} left as {'it is' if kept == 1 else 'they are'}")
    if failed:
        parts.append(f"{_number(failed)} with errors left alone")
    return ", ".join(parts)


def _number(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
