"""Where the journal is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sagalang.runtime.sqlite import ReadOnlyError

FOLDER: Final = ".saga"
DEFAULT: Final = Path(FOLDER, "journal.db")
IN_MEMORY: Final = ":memory:"
"""In place of a file: nothing is kept."""


def journal_file(given: str | None) -> Path:
    """The file to run on: the one that is named, else `.saga/journal.db` of the working directory,
    whose folder is made, for its owner only. Raises `ReadOnlyError`."""
    if given is not None:
        return Path(given)
    folder = DEFAULT.parent
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise ReadOnlyError(
            f"the folder {folder} for the journal cannot be made: {error.strerror}",
            "name a file that can be written with --db FILE",
        ) from None
    return DEFAULT
