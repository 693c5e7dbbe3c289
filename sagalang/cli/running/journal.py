"""`--journal` and `--trace`: what a run leaves to be read and drawn."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagalang.cli.inputs import InputProblem
from sagalang.runtime.journal_file import (
    Definition,
    Header,
    JournalError,
    Line,
    entry_line,
    header_line,
    read,
)

if TYPE_CHECKING:
    from sagalang.cli.running.plan import Plan
    from sagalang.cli.running.services import Fakes
    from sagalang.model.program import Ms
    from sagalang.runtime import journal as j
    from sagalang.workspace import Loaded


@dataclass(frozen=True, slots=True)
class Traces:
    """What is to be left: a journal, a picture, or both. `format`: of the picture, a name of
    `render.formats`. `values`: the picture shows values that are no secrets."""

    journal: str | None = None
    picture: str | None = None
    format: str = ""
    values: bool = False

    @property
    def wanted(self) -> bool:
        return self.journal is not None or self.picture is not None


def traces(journal: str | None, picture: str | None, values: bool) -> Traces:
    """The options, checked. Raises InputProblem."""
    from sagalang.render.formats import FORMATS, by_suffix, suffixes

    if journal == "-":
        raise InputProblem("a journal needs a file of its own", "name one: --journal run.jsonl")
    if values and picture is None:
        raise InputProblem(
            "--values is about the picture of the run, and none was asked for",
            "add --trace FILE.svg; a journal has the values anyway",
        )
    found = by_suffix(picture) if picture is not None else ""
    if found is None or (picture is not None and found not in FORMATS):
        raise InputProblem(
            f"{picture} does not say what kind of picture of a run it is to be",
            f"give it one of these suffixes: {suffixes(FORMATS)}",
        )
    if journal is not None and picture is not None and _same(journal, picture):
        raise InputProblem(
            f"--journal and --trace both name {picture}", "the picture needs a file of its own"
        )
    if found == "png":
        _can_draw_png()
    return Traces(journal, picture, found, values)


def _can_draw_png() -> None:
    """Better told now than when the run is over. Raises InputProblem."""
    from sagalang.render.diagram import Participant, ParticipantKind, SequenceDiagram
    from sagalang.render.formats import emit
    from sagalang.render.png import NoRenderer

    try:
        emit(SequenceDiagram("", (Participant("", ParticipantKind.ORCHESTRATOR),), ()), "png")
    except NoRenderer as missing:
        raise InputProblem(str(missing), "nothing was called") from None


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def header(plan: Plan, saga_id: str, began: int) -> Header:
    from sagalang import __version__

    return Header(
        sagalang=__version__,
        saga=plan.saga.name,
        saga_id=saga_id,
        began=began,
        fakes=plan.mock,
        definition=definition(plan.loaded),
    )


def definition(loaded: Loaded) -> Definition:
    """The texts of a program as a journal keeps them."""
    from sagalang.model.secret_literals import secret_literals, without_secrets

    literals = secret_literals(loaded.program)
    files = {
        name: without_secrets(source.text, [x for x in literals if x.span.file == name])
        for name, source in loaded.sources.items()
    }
    return Definition(main=loaded.program.main, files=files)


@contextlib.contextmanager
def keeping(plan: Plan, wanted: Traces, fakes: Fakes | None) -> Iterator[Keeping]:
    """Who keeps the entries of a run, if anything of it is wanted; its file is closed at the end,
    however the run ends."""
    kept = Keeping(plan, wanted, fakes)
    try:
        yield kept
    finally:
        kept.close()


class Keeping:
    """Takes the entries of a run, covers what is secret and keeps them: in memory for a picture,
    and in a file as they happen. The run goes on whatever becomes of the file."""

    def __init__(self, plan: Plan, wanted: Traces, fakes: Fakes | None) -> None:
        from sagalang.cli.running.faults import Faults
        from sagalang.runtime.journal_values import covering

        self.lines: list[Line] = []
        self.problem = ""
        """Why the file is not complete, if it is not."""
        self._wanted = wanted
        self._cover = covering(plan.loaded.program, plan.values)
        self._faults = None if fakes is None else Faults(plan, fakes)
        self._file: int | None = None

    def open(self, header: Header) -> None:
        """Begin the file. Raises InputProblem if there is one already, or it cannot be written."""
        path = self._wanted.journal
        if path is None:
            return
        made = False
        try:
            self._file, made = _create(path)
            _write(self._file, header_line(header))
        except (OSError, ValueError) as error:
            self.close()
            if made:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            raise InputProblem(
                f"cannot write the journal {path}: {_reason(error)}; nothing was called",
                "name a file that can be written",
            ) from None

    def __call__(self, entry: j.Entry) -> None:
        if not self._wanted.wanted:
            return
        try:
            for line in self._faults.before(entry) if self._faults is not None else ():
                self._keep(line)
            self._keep(self._cover(entry))
        except Exception:
            self._stop("an entry could not be kept")
            raise

    def rest(self, now: Ms) -> None:
        """The run is over; what arrives late at fakes has arrived."""
        if self._faults is not None and self._wanted.wanted:
            for line in self._faults.rest(now):
                self._keep(line)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _keep(self, line: Line) -> None:
        self.lines.append(line)
        if self._file is None:
            return
        try:
            _write(self._file, entry_line(line))
        except (OSError, ValueError) as error:
            self._stop(_reason(error))

    def _stop(self, problem: str) -> None:
        """No line after one that is missing: a gap would be a lie."""
        if self._file is not None:
            self.problem = problem
            self.close()


def _create(path: str) -> tuple[int, bool]:
    """The file to write, and whether it is new. It holds business data: only for its owner."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), True
    except FileExistsError:
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode) and found.st_size > 0:
            raise _taken(path) from None
        return os.open(path, os.O_WRONLY | os.O_APPEND), False


def _taken(path: str) -> InputProblem:
    """A journal tells of one run, and no other file is ever touched."""
    try:
        there = read(Path(path).read_bytes()).header
    except (OSError, JournalError):
        return InputProblem(
            f"{path} exists and is not a journal; it is left as it is, and nothing was called",
            "name a new file",
        )
    return InputProblem(
        f"{path} is the journal of another run already, of {there.saga} {there.saga_id};"
        " nothing was called",
        f"name a new file; that run is drawn by: saga render --journal {path}",
    )


def _write(file: int, text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(file, data) :]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def write_picture(wanted: Traces, header: Header, lines: list[Line]) -> str:
    """Write the picture of a run that is over; why it could not be written, or ''.

    It is drawn from what a journal holds, so that the same picture can be had from a journal.
    """
    from sagalang.cli.files import write_bytes
    from sagalang.cli.journals import JournalFile, picture, stored_program, text_of
    from sagalang.render.formats import emit
    from sagalang.render.png import NoRenderer

    assert wanted.picture is not None
    run = JournalFile(
        stored_program(header.definition),
        header.saga,
        header.saga_id,
        header.began,
        tuple(lines),
        header.fakes,
    )
    try:
        drawn = picture(run, values=wanted.values)
        content = emit(drawn, wanted.format, text_of=text_of(run))
        write_bytes(Path(wanted.picture), content.encode() if isinstance(content, str) else content)
    except (OSError, NoRenderer, InputProblem, ValueError) as error:
        return _reason(error)
    return ""
