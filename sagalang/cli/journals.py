"""Journals of runs, read from their files and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagalang.cli.inputs import InputProblem
from sagalang.model.program import Ms
from sagalang.render.journal.told import moment
from sagalang.runtime import journal as j
from sagalang.runtime.journal_file import MEND, Definition, Journal, JournalError, Line, read

if TYPE_CHECKING:
    from sagalang.render.diagram import SequenceDiagram
    from sagalang.render.listing import Listing
    from sagalang.workspace import Loaded

MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A run as its journal tells it, with the definition that it went by. `began`: ms since
    the Unix epoch. `cut`: the last line was written in part and is missing."""

    loaded: Loaded
    saga: str
    saga_id: str
    began: Ms
    lines: tuple[Line, ...]
    fakes: bool
    cut: bool = False


def load_journal(path: str) -> JournalFile:
    """The journal in a file, or from standard input (`-`). Raises InputProblem."""
    try:
        journal = read(_bytes(path))
    except JournalError as error:
        where = path if error.line is None else f"{path}:{error.line}"
        raise InputProblem(f"{where}: {error}", _advice(path, error)) from None
    _in_order(path, journal)
    header = journal.header
    return JournalFile(
        _definition(path, journal),
        header.saga,
        header.saga_id,
        header.began,
        journal.lines,
        header.fakes,
        journal.cut,
    )


def _in_order(path: str, journal: Journal) -> None:
    """Nothing is told of a saga before it began. Raises InputProblem."""
    known = {journal.header.saga_id}
    for number, line in enumerate(journal.lines, 2):
        if isinstance(line, j.ChildStarted):
            known.add(line.child_id)
        if isinstance(line, j.Entry) and line.saga_id not in known:
            where = f"{path}:{number}"
            raise InputProblem(f"{where}: this line stands before the beginning of its saga", MEND)


def picture(found: JournalFile, *, values: bool = False) -> SequenceDiagram:
    """What happened in the run. `values`: those that are no secrets are shown.

    Raises InputProblem where there is nothing to draw.
    """
    from sagalang.render.journal import Shown, model

    where = ", on fakes of its services" if found.fakes else ""
    doc = f"What happened in a run that began at {moment(found.began)}{where}."
    shown = Shown(values=values, clock=True, cut=found.cut, doc=doc)
    try:
        return model(found.loaded.program, found.saga, found.lines, shown=shown)
    except ValueError:
        raise InputProblem(
            f"the journal of {found.saga} {found.saga_id} has nothing to draw",
            "that run was ended before it did anything",
        ) from None


def text_of(found: JournalFile) -> Listing:
    """The text of the saga, for pictures that lead to it."""
    from sagalang.render.listing import listing

    program = found.loaded.program
    saga = program.sagas[found.saga]
    return listing(program, saga, found.loaded.sources[saga.span.file])


def _bytes(path: str) -> bytes:
    try:
        if path == "-":
            import sys

            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputProblem(
            f"cannot read the journal {path}: {reason}",
            "`saga run FILE --journal NEW` writes one",
        ) from None
    if len(data) > MAX_BYTES:
        raise InputProblem(f"{path} is larger than {MAX_BYTES // 1024 // 1024} MB")
    return data


def _advice(path: str, error: JournalError) -> str | None:
    if error.line is None or error.line < 3:
        return error.advice
    return f"{error.advice}: head -n {error.line - 1} {path} > mended.jsonl"


def stored_program(definition: Definition) -> Loaded:
    """The checked program of stored texts."""
    from sagalang.workspace import load_text

    main = definition.main
    others = {name: text for name, text in definition.files.items() if name != main}
    return load_text(definition.files[main], main, others)


def _definition(path: str, journal: Journal) -> Loaded:
    """The program of the run, whatever became of its files. Raises InputProblem."""
    header = journal.header
    loaded = stored_program(header.definition)
    if not loaded.has_errors and header.saga in loaded.program.sagas:
        return loaded
    why = next((d.message for d in loaded.diagnostics if d.is_error), f"it has no {header.saga}")
    raise InputProblem(
        f"{path}: the definition stored in it cannot be used: {why}",
        f"it was written by sagalang {header.sagalang}: draw it with that version",
    )
