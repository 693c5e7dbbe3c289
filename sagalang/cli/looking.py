"""What the commands that look at runs have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sagalang.cli.acting import in_journal, journal, named

if TYPE_CHECKING:
    from sagalang.host.account import Account
    from sagalang.host.book import Book, RunInfo, State

__all__ = ["in_journal", "journal", "named"]

F = TypeVar("F", bound=Callable[..., Any])

STATES = ("running", "completed", "compensated", "escalated")

in_states = click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="Only these; all."
)
of_saga = click.option("--saga", metavar="NAME", help="Only runs of this saga.")
as_text_or_json = click.option(
    "--format",
    "style",
    type=click.Choice(["full", "json"]),
    default="full",
    help="How to print it.",
)


def run_ids(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """For the completion of shells: ids of runs that begin so, else of the newest."""
    import os

    from sagalang.host.book import Filter, open_book
    from sagalang.runtime.engine import EngineError
    from sagalang.runtime.place import DEFAULT

    path = Path(ctx.params.get("db") or os.environ.get("SAGA_DB") or DEFAULT)
    try:
        with open_book(path) as book:
            if incomplete:
                return book.ids(incomplete, 50)
            return [run.id for run in book.runs(Filter(limit=50))]
    except EngineError:
        return []


@contextmanager
def problems() -> Iterator[None]:
    """Tells what goes wrong with the journal inside, and ends the program with status 2."""
    from sagalang.cli.terminal import usage_error
    from sagalang.runtime.engine import EngineError

    try:
        yield
    except EngineError as problem:
        usage_error(str(problem), getattr(problem, "advice", None))
    except ValueError as problem:
        from sagalang.runtime.entry_codec import EntryError

        if not isinstance(problem, EntryError):
            raise
        usage_error(str(problem), problem.advice)


@contextmanager
def opened(path: Path) -> Iterator[Book]:
    """The book of a journal file; ends the program where it cannot be read."""
    from sagalang.host.book import open_book

    with problems(), open_book(path) as book:
        yield book


def the_run(book: Book, run_id: str, path: Path) -> RunInfo:
    """The run of this id; ends the program if there is none."""
    from sagalang.cli.terminal import usage_error
    from sagalang.host.book import nearest_ids
    from sagalang.runtime.words import printable

    found = book.run(run_id)
    if found is None:
        near = [f"`{printable(each)}`" for each in nearest_ids(book, run_id)]
        advice = f"did you mean {' or '.join(near)}?" if near else None
        usage_error(
            f"there is no run {printable(run_id)} in {path}",
            advice or f"saga runs{named(path)} lists them",
        )
        raise AssertionError
    return found


def the_account(book: Book, run: RunInfo, path: Path) -> Account:
    """What happened in it, secrets covered; ends the program where its definition is of no use."""
    from sagalang.cli.terminal import usage_error
    from sagalang.host.account import account
    from sagalang.host.definitions import DefinitionError

    try:
        return account(book, run)
    except DefinitionError as problem:
        also = f"saga show {typed(run.id)} --journal{named(path)} shows it without values"
        usage_error(str(problem), also)
        raise AssertionError from None


def milliseconds(text: str) -> int:
    """`30d`, `1h30m`; ends the program where it is no duration."""
    from sagalang.cli.terminal import usage_error
    from sagalang.runtime.saga_sends import milliseconds_of

    try:
        return milliseconds_of(text)
    except ValueError:
        usage_error(f"`{text}` is not a duration", "write it as 90s, 2h, 30d or 1h30m")
        raise AssertionError from None


def states_of(names: tuple[str, ...]) -> tuple[State, ...]:
    from sagalang.host.book import State

    return tuple(map(State, names or STATES))


def now() -> int:
    """Ms since the Unix epoch."""
    return time.time_ns() // 1_000_000


def ago(moment: int, at: int) -> str:
    from sagalang.runtime.words import duration

    return f"{duration(max(0, at - moment))} ago"


def typed(word: str) -> str:
    """A word of a command line, for a shell; nothing in it steers a terminal."""
    if word.isprintable():
        return quote(word)
    special = {"'": "\\'", "\\": "\\\\"}
    told = (special.get(c, c) if c.isprintable() else f"\\U{ord(c):08x}" for c in word)
    return f"$'{''.join(told)}'"


def as_json(made: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode()


def info_data(run: RunInfo) -> dict[str, Any]:
    """A run as plain data; times in ms since the Unix epoch."""
    return {
        "id": run.id,
        "saga": run.saga,
        "state": run.state.value,
        "parent": run.parent,
        "began": run.began,
        "changed": run.changed,
        "ended": run.ended,
        "error": run.error,
        "fakes": run.fakes,
    }
