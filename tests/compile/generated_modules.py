"""All the Python that we can make, in one folder: the examples, the corpora, hostile names, chance.

Every module has a name of its own there, so that one process of a tool reads them all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec.structs import replace
from verify.chance import random_saga

from sagalang.compile import compile_program
from sagalang.model.program import Program
from sagalang.workspace import load, load_text

from .hostile_names import text
from .test_corpus_runs import SAGAS

COUNT: Final = 300 if "SAGA_SLOW" in os.environ else 12
"""How many random sagas there are, and how many programs of hostile names."""


def hostile_programs(count: int) -> list[tuple[int, Program]]:
    """So many programs of hostile names, with their seeds."""
    found: list[tuple[int, Program]] = []
    seed = 0
    while len(found) < count:
        loaded = load_text(text(seed), f"hostile_{seed}.saga")
        if not loaded.has_errors:
            found.append((seed, loaded.program))
        seed += 1
    # Words that the language knows are drawn where it takes them for its own, but not often.
    assert seed < 2 * count + 20
    return found


def random_programs(count: int) -> list[Program]:
    """So many random sagas. What their contracts lack does not matter to the compiler."""
    found = []
    for seed in range(count):
        loaded = load_text(random_saga(seed), f"random_{seed}.saga")
        assert not [e for e in loaded.diagnostics if e.is_error and e.code < "SG300"]
        found.append(loaded.program)
    return found


def write_all(folder: Path, count: int = COUNT) -> int:
    """Write modules and their tests into a folder; how many files there are."""
    corpus = [
        replace(load(str(path)).program, main=f"{path.parent.name}_{path.stem}.saga")
        for path in SAGAS
    ]
    hostile = [program for _, program in hostile_programs(count)]
    written = 0
    for program in [*corpus, *hostile, *random_programs(count)]:
        compiled = compile_program(program, tests=True)
        assert compiled.problems == (), program.main
        for file in compiled.files:
            path = folder / file.path
            assert not path.exists()
            path.write_text(file.text, encoding="utf-8")
            written += 1
    return written
