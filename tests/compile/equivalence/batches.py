"""The long run: many batches of sagas, in several processes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from . import features
from .explore import SCRIPTS, explore
from .pairs import Difference, NotASaga, Subject
from .reduction import comparing, smallest
from .scripts import Case, write_case

SAGAS: Final = 50
"""Sagas in a batch: enough to vary, few enough to forget."""


@dataclass
class Tally:
    """What was run. `features`: in how many sagas and runs each occurred."""

    pairs: int = 0
    sagas: int = 0
    refused: int = 0
    """Texts that the checker did not take."""
    features: Counter[str] = field(default_factory=Counter)
    failed: Difference | None = None

    def add(self, other: Tally) -> None:
        self.pairs += other.pairs
        self.sagas += other.sagas
        self.refused += other.refused
        self.features += other.features


class Counted:
    """Counts what it compares."""

    def __init__(self) -> None:
        self.tally = Tally()

    def begin(self, text: str) -> Subject:
        try:
            subject = Subject(text)
        except NotASaga:
            self.tally.refused += 1
            raise
        self.tally.sagas += 1
        self.tally.features.update(features.of_program(subject.program))
        return subject

    def pair(self, subject: Subject, case: Case) -> None:
        course = subject.compare(case)
        self.tally.pairs += 1
        self.tally.features.update(features.of_run(case, course))


def run_batch(seed: int) -> Tally:
    counted = Counted()
    try:
        explore(seed, SAGAS, counted.begin, counted.pair)
    except Difference as found:
        counted.tally.failed = smallest(found, comparing(Subject))
    return counted.tally


def seeds(start: int, count: int) -> Iterator[int]:
    """One seed for each batch of a run of `count` pairs."""
    batches = -(-count // (SAGAS * SCRIPTS))
    return (start * 1_000_003 + number for number in range(batches))


def run(start: int, count: int, jobs: int, tell: Callable[[str], None]) -> Tally:
    """At least `count` pairs, or all up to the first that differs."""
    began, total = time.monotonic(), Tally()
    with ProcessPoolExecutor(jobs) as pool:
        for made in pool.map(run_batch, seeds(start, count)):
            total.add(made)
            if made.failed is not None:
                total.failed = made.failed
                pool.shutdown(cancel_futures=True)
                break
            took = time.monotonic() - began
            tell(f"{total.pairs:,} pairs, {total.pairs / took:.0f}/s")
    return total


def keep(failed: Difference, folder: Path) -> Path:
    """Write the saga and its case as files; the saga's path."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + len(list(folder.glob("*.saga")))
    path = folder / f"difference-{number}.saga"
    path.write_text(failed.text, encoding="utf-8")
    if failed.case is not None:
        path.with_suffix(".json").write_text(write_case(failed.case), encoding="utf-8")
    return path
