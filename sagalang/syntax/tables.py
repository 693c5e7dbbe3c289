"""The parser's tables: shipped with the wheel, else from a private cache, else made anew.

The fingerprint covers the grammar, Lark's version and the options; the Python version does not
matter to the tables. Tables are unpickled only from the package's own folder or from a folder
that belongs to this user alone: a pickle from a shared, predictable place could be anybody's.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import lark

STARTS: Final = ["declaration", "expr", "planted", "sent_event"]
OPTIONS: Final[dict[str, Any]] = {
    "parser": "lalr",
    "start": STARTS,
    "propagate_positions": True,
    "maybe_placeholders": True,
}


class WholeWords:
    """Lets the lexer see a whole word everywhere.

    Without it a keyword that is the beginning of a longer word would match where names cannot
    stand: `in` of `int`, `full` of `fulll`.
    """

    always_accept = ("NAME",)

    def process(self, stream: Iterator[lark.Token]) -> Iterator[lark.Token]:
        return stream


_HERE: Final = Path(__file__).parent
_FINGERPRINT_BYTES: Final = 32


def grammar_path() -> Path:
    """`grammar/saga.lark` of the source tree, or its copy inside an installed package."""
    source_tree = _HERE.parent.parent / "grammar" / "saga.lark"
    packaged = _HERE / "saga.lark"
    return source_tree if source_tree.exists() else packaged


def fingerprint(grammar: str) -> bytes:
    text = repr((lark.__version__, sorted(OPTIONS.items()), grammar))
    return hashlib.sha256(text.encode()).digest()


def build(grammar: str) -> bytes:
    """Compile the grammar: fingerprint and tables, as one file holds them."""
    buffer = io.BytesIO()
    lark.Lark(grammar, **OPTIONS, postlex=WholeWords()).save(buffer)
    return fingerprint(grammar) + buffer.getvalue()


def load_parser() -> lark.Lark:
    """The parser, from the quickest source there is."""
    grammar = grammar_path().read_text(encoding="utf-8")
    wanted = fingerprint(grammar)
    tables = _read(_HERE / "saga.tables", wanted)
    cache = _cache_folder()
    if tables is None and cache is not None:
        tables = _read(cache / "saga.tables", wanted)
    if tables is None:
        data = build(grammar)
        tables = data[_FINGERPRINT_BYTES:]
        if cache is not None:
            _write(cache / "saga.tables", data)
    saved = pickle.loads(tables)
    # The call that Lark's generated stand-alone parsers make; `Lark.load` takes no postlex.
    parser: lark.Lark = lark.Lark._load_from_dict(  # type: ignore[no-untyped-call]
        saved["data"], saved["memo"], postlex=WholeWords()
    )
    return parser


def _read(path: Path, wanted: bytes) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[_FINGERPRINT_BYTES:] if data[:_FINGERPRINT_BYTES] == wanted else None


def _cache_folder() -> Path | None:
    """This user's own cache folder, or None where there is no safe one."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "sagalang"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.stat()
    except OSError:
        return None
    if hasattr(os, "getuid") and (
        info.st_uid != os.getuid() or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        return None
    return folder


def _write(path: Path, data: bytes) -> None:
    """Atomic, so that a reader never meets half a file. A cache that cannot be written is none."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
