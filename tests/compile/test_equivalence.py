"""Interpreted and compiled, any saga takes the same course, whatever goes wrong.

`make equivalence` runs the same at length.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .equivalence.batches import Counted
from .equivalence.explore import explore
from .equivalence.pairs import Difference, Subject
from .equivalence.reduction import comparing, smallest
from .equivalence.required import REQUIRED
from .equivalence.scripts import read_case

SEED = 1
"""Also that of the mutants: each has to be noticed within these pairs."""
SAGAS = 126
CORPUS = Path(__file__).parents[1] / "corpus" / "equivalence"
FILES = sorted(CORPUS.glob("*.saga"))


def test_two_thousand_pairs() -> None:
    """2,000 pairs of a random saga and a random script, and all of the language among them."""
    counted = Counted()
    try:
        explore(SEED, SAGAS, counted.begin, counted.pair)
    except Difference as found:
        raise smallest(found, comparing(Subject)) from None
    tally = counted.tally
    for name, count in sorted(tally.features.items()):
        print(f"{count:6,}  {name}")
    assert tally.pairs >= 2_000
    assert not sorted(REQUIRED - set(tally.features))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_what_once_differed(path: Path) -> None:
    """Each was found by such a run, or by hand, and is kept."""
    subject = Subject(path.read_text(encoding="utf-8"))
    subject.compare(read_case(path.with_suffix(".json").read_bytes()))
