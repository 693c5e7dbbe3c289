"""The examples of docs/idempotency.md are run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from idempotency import service, test_wsgi
from idempotency.service import kind, post

PAGE = (Path(__file__).parents[2] / "docs" / "idempotency.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"## (\w+)\n+```python\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def example(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx.Client]:
    pytest.importorskip(request.param.lower())
    monkeypatch.chdir(tmp_path)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # where FastAPI looks for types
    exec(compile(EXAMPLES[request.param], "docs/idempotency.md", "exec"), module.__dict__)
    calling = test_wsgi.calling if request.param == "Flask" else service.calling
    with calling(module.app) as client:
        yield client


def test_every_example_is_here() -> None:
    assert sorted(EXAMPLES) == ["FastAPI", "Flask", "Starlette"]
    assert PAGE.count("```python") == len(EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES, indirect=True)
def test_an_example_does_what_the_page_says(example: httpx.Client) -> None:
    first, again = post(example, "k"), post(example, "k")
    assert (first.status_code, first.json()) == (201, {"payment": "k"})
    assert again.headers["idempotent-replayed"] == "true"
    for key in ("k", "late"):
        assert example.post(f"/charges/{key}/refund").status_code < 300
        assert kind(post(example, key)) == "fenced"


def test_the_page_names_every_problem_and_every_option() -> None:
    from sagalang.idempotency import problems, terms

    source = Path(problems.__file__).read_text("utf-8")
    names = re.findall(r'problem\(\s*base, \d+, "([a-z-]+)"', source)
    assert len(names) >= 10
    assert [name for name in names if f"`idempotency/{name}`" not in PAGE] == []
    options = set(terms.Options.__annotations__) - {"clock"}
    assert {option for option in options if f"`{option}`" not in PAGE} == set()
