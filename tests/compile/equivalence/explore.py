"""Rolls sagas and cases of each, and shows every pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from .choices import Choices
from .pairs import MAIN, NotASaga, Subject
from .sagas import program
from .scripts import Case, CaseMaker

SCRIPTS: Final = 16
"""Runs of each saga."""

S = TypeVar("S", bound=Subject)


def explore(
    seed: int, count: int, begin: Callable[[str], S], pair: Callable[[S, Case], object]
) -> None:
    """Show `pair` so many sagas, each with its cases; the same `seed`, the same ones.

    `begin` makes of a text what the pairs of its saga share, and raises `NotASaga` for one that
    does not count. Raises what else either raises.
    """
    number = 0
    while count:
        choices = Choices(f"{seed}:{number}")
        number += 1
        try:
            subject = begin(program(choices))
        except NotASaga:
            continue
        people = Choices(f"{seed}:{number}:people")
        cases = CaseMaker(choices, subject.program, people)
        for _ in range(SCRIPTS):
            pair(subject, cases.case(subject.program.sagas[MAIN]))
        count -= 1
