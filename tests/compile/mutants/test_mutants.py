"""Every planted miscompilation is noticed by what the equivalence test runs by default."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from ..equivalence.explore import explore
from ..equivalence.pairs import Course, Difference, Subject
from ..equivalence.reduction import comparing, smallest
from ..equivalence.scripts import Case, read_case
from ..test_equivalence import FILES, SAGAS, SEED
from ..twin import Compile, compile_to_module, one_file
from .compiler import compiler
from .edits import MUTANTS, Mutant


class AllNoticed(Exception):  # noqa: N818 - no error
    """Nothing is left to look for."""


class Watched(Subject):
    """A saga, and what those mutants make of it that make something else of it."""

    def __init__(self, text: str, left: dict[Mutant, Compile]) -> None:
        super().__init__(text)
        right = one_file(self.program).text
        self.mutated = {}
        for mutant, compile_ in left.items():
            if one_file(self.program, compile_).text != right:
                self.mutated[mutant] = compile_to_module(self.program, compile_)

    def noticed(self, case: Case, among: dict[Mutant, Compile]) -> Iterator[Mutant]:
        """Those that take another course."""
        mutants = [mutant for mutant in self.mutated if mutant in among]
        if not mutants:
            return
        told = self.interpreted(case)
        for mutant in mutants:
            if self._differs(case, told, mutant):
                yield mutant

    def _differs(self, case: Case, told: Course, mutant: Mutant) -> bool:
        try:
            return self.compiled(case, self.mutated[mutant]) != told
        except Exception:
            return True


def noticed(mutants: Sequence[Mutant], sagas: int = SAGAS) -> dict[Mutant, int]:
    """After how many pairs of the default run each mutant is noticed: first those of the corpus."""
    left = {mutant: compiler(mutant) for mutant in mutants}
    found: dict[Mutant, int] = {}
    pairs = 0

    def begin(text: str) -> Watched:
        return Watched(text, left)

    def pair(subject: Watched, case: Case) -> None:
        nonlocal pairs
        pairs += 1
        for mutant in subject.noticed(case, left):
            found[mutant] = pairs
            del left[mutant]
        if not left:
            raise AllNoticed

    with contextlib.suppress(AllNoticed):
        for path in FILES:
            case = read_case(path.with_suffix(".json").read_bytes())
            pair(begin(path.read_text(encoding="utf-8")), case)
        explore(SEED, sagas, begin, pair)
    return found


def test_every_mutant_is_noticed() -> None:
    found = noticed(MUTANTS)
    for mutant, pairs in sorted(found.items(), key=lambda item: item[1]):
        print(f"{pairs:6,}  {mutant.name}")
    assert not [mutant.name for mutant in MUTANTS if mutant not in found]


def test_an_edit_without_meaning_is_not_noticed() -> None:
    """So nothing is noticed only because it went through an edited compiler."""
    doc = 'f"The saga {saga.name}."'
    assert noticed([Mutant("another docstring", "views", doc, '"A saga."')], sagas=8) == {}


def test_what_differs_shrinks_to_something_small() -> None:
    """A saga and a script that fit on a page, of one that fills three."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "`best effort` as a plain step")
    compile_ = partial(compile_to_module, compile_=compiler(mutant))

    def begin(text: str) -> Subject:
        return Subject(text, compile_)

    with pytest.raises(Difference) as found:
        explore(SEED, SAGAS, begin, Subject.compare)
    small = smallest(found.value, comparing(begin))
    print(small)
    assert len(found.value.text.splitlines()) > 60
    assert len(small.text.splitlines()) <= 30
