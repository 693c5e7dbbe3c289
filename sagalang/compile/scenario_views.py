"""What the template of the tests prints, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TestView:
    """A scenario. `skip`: why it cannot be a test, as a string literal; empty where it can."""

    name: str
    doc: str
    where: str
    skip: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestsView:
    doc: str
    imports: tuple[str, ...]
    fakes: str
    helpers: tuple[str, ...]
    tests: tuple[TestView, ...]
