"""Many runs at once on one journal file, in real time, and services whose ledger is a file."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engines.definitions import Definition, main
from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.codec import decode
from sagalang.runtime.contract import Request
from sagalang.runtime.entry_codec import EntryCodec
from sagalang.runtime.run_input import RunInput
from sagalang.runtime.sqlite import State, open_store, reading
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.sqlite_engine import SqliteEngine, Stored

TEXT = main(
    'step S.do("${name}1") parallel { step S.do("${name}2") step S.do("${name}3") }'
    ' if fails { step S.do("z") } step S.do("${name}4")',
    params="name: string, fails: bool",
)
Heard = Callable[[str, str], None]
"""Told what happens: `left` and a key, `told` and the id of a run."""


class Ledger:
    """Services that refuse `z`. What they do is in the file, and survives everybody."""

    def __init__(self, path: Path, heard: Heard = lambda what, which: None) -> None:
        self._path, self._heard = path, heard

    async def call(self, request: Request) -> Outcome:
        key, subject = request.key, str(request.args[0])
        assert key is not None
        self._heard("left", key)
        await asyncio.sleep(0)
        if request.contract.label == "S.undo":
            self._write("undo", subject, "")
            return Ok(None)
        if subject == "z":
            return Rejected(Failure("No"))
        self._write("do", key, subject)
        return Ok(decode('{"at": "there"}', request.contract.result))

    def _write(self, *words: str) -> None:
        line = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(line, (" ".join(words) + "\n").encode())
        os.close(line)

    async def aclose(self) -> None:
        """Nothing to close."""

    def effects(self) -> Counter[str]:
        """What is there, by name: a key takes effect once, and not after it was undone."""
        there: dict[str, str] = {}
        fenced: set[str] = set()
        for line in self._path.read_text().splitlines() if self._path.exists() else ():
            word, key, name = line.split(" ")
            if word == "undo":
                fenced.add(key)
                there.pop(key, None)
            elif key not in fenced:
                there[key] = name
        return Counter(there.values())


@contextmanager
def engine(path: Path, definition: Definition, transport: Any, **options: Any) -> Iterator[Any]:
    """`options`: of `open_store`."""
    sealing = Sealing(path, {})
    codec = EntryCodec(definition.types, sealing.seal, sealing.open)
    stored = Stored(definition.hash, definition.text, codec, RunInput(definition.types))
    with open_store(path, **{"command": "test", "now": 0, **options}) as store:
        yield SqliteEngine(store, stored, SystemClock(), transport, lambda: 0.5)


def ids(count: int) -> list[str]:
    return [f"o-{number}" for number in range(count)]


def fails(saga_id: str) -> bool:
    """Every third run is undone."""
    return int(saga_id.removeprefix("o-")) % 3 == 2


async def run_all(
    found: SqliteEngine, definition: Definition, runs: Iterable[str], heard: Heard
) -> list[Any]:
    """Begin or go on with them all at once, each to its end; the outcomes, or what was raised."""

    async def one(saga_id: str) -> Any:
        args = json.dumps({"name": f"{saga_id}/", "fails": fails(saga_id)})
        result = await definition.begin(found, saga_id, args).result()
        heard("told", saga_id)
        return type(result.outcome).__name__

    return await asyncio.gather(*map(one, runs), return_exceptions=True)


def expected(runs: Iterable[str]) -> tuple[list[str], Counter[str]]:
    """The outcomes and the effects of these runs."""
    outcomes, effects = [], Counter[str]()
    for saga_id in runs:
        outcomes.append("Compensated" if fails(saga_id) else "Completed")
        if not fails(saga_id):
            effects.update(f"{saga_id}/{step}" for step in range(1, 5))
    return outcomes, effects


def intents(path: Path) -> dict[str, int]:
    """The numbers of the intents on the disk, by key."""
    return {plain["key"]: seq for seq, plain in _entries(path) if plain["is"] == "intent"}


def ends(path: Path) -> dict[str, int]:
    """The numbers of the last entries of runs that are over, by id."""
    with reading(path) as reader:
        over = reader.runs(state=(State.COMPLETED, State.COMPENSATED), limit=None)
        return {run.id: reader.entries(run.number)[-1][0] for run in over}


def last(path: Path) -> int:
    """The number of the last entry on the disk."""
    return max((seq for seq, _ in _entries(path)), default=0) if path.exists() else 0


def _entries(path: Path) -> Sequence[tuple[int, Any]]:
    with reading(path) as reader:
        found = [entry for run in reader.runs(limit=None) for entry in reader.entries(run.number)]
    return [(seq, json.loads(body)) for seq, body in found]
