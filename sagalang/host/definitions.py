"""Definitions as they are stored with their runs: editing a `.saga` file changes no run.

The text is JSON: the file that was run, its imports, and whether its services were fakes. Literals
that are secrets are covered in it; where there are any, the true texts stand beside it, sealed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from sagalang.model.program import Program
from sagalang.model.secret_literals import secret_literals, without_secrets
from sagalang.runtime.engine import EngineError
from sagalang.runtime.entry_codec import EntryCodec
from sagalang.runtime.entry_types import ProgramTypes
from sagalang.runtime.run_input import RunInput
from sagalang.runtime.sqlite_engine import Stored
from sagalang.runtime.values import Values
from sagalang.workspace import Loaded, load_text

if TYPE_CHECKING:
    from sagalang.runtime.sqlite.sealing import Sealing


class DefinitionError(EngineError):
    """A definition that is stored in a journal cannot be used. `advice`: what to do."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message, advice)
        self.advice = advice

    def __str__(self) -> str:
        return str(self.args[0])


class CompiledError(DefinitionError):
    """The run is of a compiled saga: what it goes by stands in its module, not in the journal."""


class Text(msgspec.Struct, frozen=True, omit_defaults=True):
    """`main`, and the keys of `files`: paths from the folder of the file that was run. `sealed`:
    the true `files`, where those hold secrets. `sagalang`: the version that stored it."""

    main: str
    files: dict[str, str]
    sagalang: str = ""
    fakes: bool = False
    sealed: str | None = None


@dataclass(frozen=True)
class Definition:
    """A program as runs go by it. `fakes`: on fakes of its services."""

    hash: str
    text: str
    loaded: Loaded
    values: Values
    fakes: bool
    sealing: Sealing

    @property
    def program(self) -> Program:
        return self.loaded.program

    @cached_property
    def stored(self) -> Stored:
        types = ProgramTypes(self.program, self.values)
        codec = EntryCodec(types, self.sealing.seal, self.sealing.open)
        return Stored(self.hash, self.text, codec, RunInput(types))


def definition_of(
    loaded: Loaded,
    values: Values,
    sealing: Sealing,
    known: Callable[[str], str | None],
    *,
    fakes: bool = False,
) -> Definition:
    """The definition of a checked program. `known`: the text that is stored under a hash.
    Raises `SealingError`."""
    from sagalang import __version__

    files = {_path(loaded, name): source.text for name, source in loaded.sources.items()}
    literals = secret_literals(loaded.program)
    covered = {
        _path(loaded, name): without_secrets(
            source.text, [each for each in literals if each.span.file == name]
        )
        for name, source in loaded.sources.items()
    }
    main = _path(loaded, loaded.program.main)
    content = msgspec.json.encode([main, sorted(covered.items()), fakes])
    first = sha256(content).hexdigest()
    if not literals:
        text = Text(main, files, __version__, fakes)
        return Definition(first, _dump(text), loaded, values, fakes, sealing)
    # A hash of the secrets could be guessed: definitions that differ in nothing else are counted.
    number, hashed = 1, first
    while (stored := known(hashed)) is not None:
        if _true_files(_parse(stored), sealing) == files:
            return Definition(hashed, stored, loaded, values, fakes, sealing)
        number += 1
        hashed = f"{first}-{number}"
    text = Text(main, covered, __version__, fakes, sealing.seal(msgspec.json.encode(files)))
    return Definition(hashed, _dump(text), loaded, values, fakes, sealing)


def restored(hashed: str, stored: str, sealing: Sealing) -> Definition:
    """A definition from its stored text. Raises `DefinitionError`, `SealingError`."""
    text = _parse(stored)
    loaded = _loaded(text, _true_files(text, sealing))
    return Definition(hashed, stored, loaded, Values(loaded.program), text.fakes, sealing)


@dataclass(frozen=True)
class Covered:
    """A definition to look at: its literals that are secrets are covered. `files`: by their paths
    from the folder of the file that was run."""

    main: str
    files: Mapping[str, str]
    fakes: bool
    loaded: Loaded


def covered(stored: str) -> Covered:
    """A definition from its stored text, for which no key is needed. Raises `DefinitionError`."""
    text = _parse(stored)
    return Covered(text.main, text.files, text.fakes, _loaded(text, text.files))


def _loaded(text: Text, files: dict[str, str]) -> Loaded:
    others = {name: each for name, each in files.items() if name != text.main}
    loaded = load_text(files[text.main], text.main, others)
    if loaded.has_errors:
        why = next(d.message for d in loaded.diagnostics if d.is_error)
        raise DefinitionError(
            f"the definition stored with the run cannot be used: {why}",
            f"it was stored by sagalang {text.sagalang}: go on with that version",
        )
    return loaded


def _true_files(text: Text, sealing: Sealing) -> dict[str, str]:
    if text.sealed is None:
        return text.files
    return msgspec.json.decode(sealing.open(text.sealed), type=dict[str, str])


def _parse(stored: str) -> Text:
    try:
        return msgspec.json.decode(stored, type=Text)
    except msgspec.DecodeError:
        raise CompiledError(
            "it is a run of a compiled saga: what it goes by stands in its module",
            "start that again: there it goes on, and there it takes events and settlements",
        ) from None


def _dump(text: Text) -> str:
    return msgspec.json.encode(text).decode()


_ABSOLUTE = re.compile(r'^\s*import\s+"/', re.MULTILINE)


def _path(loaded: Loaded, name: str) -> str:
    """A file's path from the folder of the main file: the same wherever it is run from."""
    folder = os.path.dirname(loaded.program.main)
    if not folder or any(_ABSOLUTE.search(source.text) for source in loaded.sources.values()):
        return name
    return os.path.relpath(name, folder)
