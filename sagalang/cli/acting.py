"""What `saga signal`, `cancel` and `settle` have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sagalang.host.sending import Sending, Sent

F = TypeVar("F", bound=Callable[..., Any])

in_journal = click.option(
    "--db",
    metavar="FILE",
    envvar="SAGA_DB",
    help="The journal file, by default .saga/journal.db. Also: SAGA_DB.",
)
in_style = click.option(
    "--format",
    "style",
    type=click.Choice(["full", "json"]),
    default="full",
    help="How to print what became of it.",
)


def journal(db: str | None) -> Path:
    """The journal file to work on, which must be there."""
    from sagalang.cli.terminal import usage_error
    from sagalang.runtime.place import DEFAULT

    if db == ":memory:":
        usage_error("what runs in memory cannot be reached from here", "name a file with --db")
    path = DEFAULT if db is None else Path(db)
    if not path.exists():
        usage_error(f"there is no journal {path}", "`saga run` makes it; --db FILE names another")
    return path


def named(path: Path) -> str:
    """How a command names this journal file: ` --db FILE`, or nothing for the usual one."""
    from sagalang.runtime.place import DEFAULT

    return "" if path == DEFAULT else f" --db {quote(str(path))}"


def desk(path: Path) -> Sending:
    from sagalang.host.sending import Desk

    return Desk(path)


@contextmanager
def problems(path: Path) -> Iterator[None]:
    """Tells what goes wrong inside, and ends the program: 1 if the run does not take it. `path`:
    of the journal."""
    from sagalang.cli.inputs import TextProblem
    from sagalang.cli.terminal import show_diagnostics, usage_error
    from sagalang.host.sending import RefusedError, UnderWayError
    from sagalang.runtime.engine import EngineError
    from sagalang.runtime.entry_codec import EntryError

    try:
        yield
    except UnderWayError as problem:
        click.echo(f"refused: {problem}", err=True)
        if problem.owner is None:
            click.echo(f"next: {resuming(problem.root, path)}", err=True)
        sys.exit(1)
    except RefusedError as problem:
        text = f"refused: {problem}" + (f"\n  = help: {problem.advice}" if problem.advice else "")
        click.echo(text, err=True)
        sys.exit(1)
    except TextProblem as problem:
        show_diagnostics(problem.diagnostics, problem.sources, "full", sys.stderr)
        sys.exit(2)
    except (EngineError, EntryError) as problem:
        usage_error(str(problem), getattr(problem, "advice", None))


def resuming(root: str, path: Path) -> str:
    """The command that goes on with a run."""
    return f"saga resume {quote(root)}{named(path)}"


def given_json(text: str) -> str:
    """JSON as it stands on the command line, or `-` for standard input."""
    return sys.stdin.read() if text == "-" else text


def tell(done: str, sent: Sent, path: Path, style: str) -> None:
    """Say what became of it. `done`: what was asked for, as a sentence begins."""
    resumable = not (sent.taken or sent.compiled)
    follows = resuming(sent.root, path) if resumable else None
    if style == "json":
        from sagalang.cli.report import as_json

        made = {
            "format_version": 1,
            "run": sent.run_id,
            "event_id": sent.event,
            "taken": sent.taken,
            "again": sent.again,
            "owner": None if sent.owner is None else str(sent.owner),
            "next": follows,
        }
        click.echo(as_json(made))
        return
    if sent.taken:
        became = "it has that already" if sent.again else "taken"
    elif sent.owner is not None:
        became = f"it waits: {sent.owner} has the journal, and has not taken it yet"
    elif sent.compiled:
        became = f"it is taken when the module of {sent.root} is started again"
    else:
        became = f"it is taken when {sent.root} goes on"
    click.echo(f"{done}; {became}")
    if follows is not None:
        click.echo(f"next: {follows}")
