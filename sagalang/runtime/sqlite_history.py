"""The journal of a run, read from its file: by its engine, and by whoever looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sagalang.runtime import journal
from sagalang.runtime.sqlite import Reader, Run


class Decoder(Protocol):
    """`entry_codec.EntryCodec`."""

    def decode(self, saga: str, saga_id: str, data: bytes) -> journal.Entry: ...


def entries(reader: Reader, codec: Decoder, run: Run) -> Iterator[tuple[int, journal.Entry]]:
    """The entries of a run alone, with their numbers in the file. Raises `EntryError`."""
    for seq, body in reader.entries(run.number):
        yield seq, codec.decode(run.saga, run.id, body)


def history(reader: Reader, codec: Decoder, run: Run) -> list[tuple[int, journal.Entry]]:
    """The entries of a run and of its child sagas, in order. Raises `EntryError`."""
    found = list(entries(reader, codec, run))
    for child in reader.children(run.number):
        found += history(reader, codec, child)
    return sorted(found, key=lambda numbered: numbered[0])
