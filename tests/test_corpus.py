"""Sagas filed by what the check makes of them.

`corpus/correct` checks clean. Each file of `corpus/rejected` begins with `// expect: name1, name2`:
exactly these names are reported, each as often as it stands there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sagalang.diagnostics.render import full
from sagalang.workspace import load

CORPUS = Path(__file__).parent / "corpus"
CORRECT = sorted(CORPUS.joinpath("correct").rglob("*.saga"))
REJECTED = sorted(CORPUS.joinpath("rejected").rglob("*.saga"))


def test_the_corpus_is_there() -> None:
    assert len(CORRECT) >= 15
    assert len(REJECTED) >= 25


@pytest.mark.parametrize("path", CORRECT, ids=[path.stem for path in CORRECT])
def test_correct_saga_checks_clean(path: Path) -> None:
    loaded = load(str(path))
    assert [full(d, loaded.sources) for d in loaded.diagnostics] == []


@pytest.mark.parametrize("path", REJECTED, ids=[path.stem for path in REJECTED])
def test_rejected_saga_gives_the_expected_names(path: Path) -> None:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    assert first.startswith("// expect: ")
    expected = sorted(first.removeprefix("// expect: ").split(", "))
    loaded = load(str(path))
    found = sorted(d.name for d in loaded.diagnostics)
    assert found == expected, "\n".join(full(d, loaded.sources) for d in loaded.diagnostics)
