"""The examples of docs/resilience.md are run."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "resilience.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_page_runs(example: str) -> None:
    names: dict[str, object] = {}
    exec(compile(example, "docs/resilience.md", "exec"), names)
    if "show" in names:
        assert asyncio.run(names["show"]("a-1")) == "a-1: 100"  # type: ignore[operator]


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) == 5
