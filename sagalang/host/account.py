"""What happened in a run, with the values that people may see: every secret is covered.

No key is needed: a sealed secret is read as its cover and never opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from sagalang.host.book import Book, RunInfo
from sagalang.host.definitions import Covered, DefinitionError, covered
from sagalang.runtime.entry_codec import CoveredEntries
from sagalang.runtime.entry_types import ProgramTypes
from sagalang.runtime.journal import Entry
from sagalang.runtime.journal_values import covering
from sagalang.runtime.values import Values


@dataclass(frozen=True)
class Account:
    """`entries`: of the run and its child sagas, in order, their values as `Kept`."""

    run: RunInfo
    definition: Covered
    entries: tuple[Entry, ...]


def definition_of(book: Book, run: RunInfo) -> Covered:
    """What a run goes by. Raises `DefinitionError`."""
    stored = book.definition(run.definition)
    if stored is None:
        raise DefinitionError(
            f"the definition that {run.id} goes by is not in the journal",
            "restore the file from a copy",
        )
    return covered(stored)


def account(book: Book, run: RunInfo) -> Account:
    """Raises `DefinitionError`, `EntryError`, `EngineError`."""
    definition = definition_of(book, run)
    program = definition.loaded.program
    values = Values(program)
    read = book.history(run.id, decoder=CoveredEntries(ProgramTypes(program, values)))
    cover = covering(program, values)
    return Account(run, definition, tuple(cover(entry) for _, entry in read))
