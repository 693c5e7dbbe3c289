"""Names that mean something to Python, to a generated module, or to one another.

`sagas/hostile_names.saga` is one program of them; `hostile_names.py` makes any number by chance.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from sagalang.compile import compile_program
from sagalang.compile.naming import Names, module, safe
from sagalang.compile.package import whole
from sagalang.compile.views import name_everything
from sagalang.model.program import Program
from sagalang.runtime.data import attribute, field_name, member, member_name
from sagalang.scenario.run import run

from .generated_modules import COUNT, hostile_programs, write_all
from .hostile_names import WORDS
from .test_corpus_runs import copy, crashing, invented_input, random_faults, random_signals
from .test_generated_code import RULES
from .test_generated_tests import judged
from .twin import checked, compile_to_module, same

HOSTILE = hostile_programs(COUNT // 2)
IDS = [f"seed-{seed}" for seed, _ in HOSTILE]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("generated")
    assert write_all(made) > 3 * COUNT
    return made


def tool(folder: Path, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:5_000]


def test_ruff_has_nothing_to_format(folder: Path) -> None:
    tool(folder, "ruff", "format", "--isolated", "--line-length", "100", "--check", "--diff", ".")


def test_ruff_finds_nothing(folder: Path) -> None:
    tool(folder, "ruff", "check", *RULES, ".")


def test_mypy_finds_nothing(folder: Path) -> None:
    tool(folder, "mypy", "--strict", "--config-file=", *(p.name for p in folder.glob("*.py")))


@pytest.mark.parametrize(("seed", "program"), HOSTILE, ids=IDS)
def test_compiled_as_interpreted(seed: int, program: Program) -> None:
    made = with_events(program, compile_to_module(program))
    (main,) = (name for name, saga in program.sagas.items() if saga.id is not None)
    for number in range(3):
        random = Random(f"{seed} {number}")
        planned = random_faults(program, random)
        same(
            program,
            invented_input(program, program.sagas[main], number),
            saga=main,
            faults=lambda _, planned=planned: [copy(found) for found in planned],
            signals=random_signals(program, random, number),
            cancel_after=random.choice([None, None, 55, 3_000]),
            crash=crashing(random),
            module=made,
            seed=number,
        )


def with_events(program: Program, made: ModuleType) -> ModuleType:
    """The module with its events under the names that they have in the language."""
    names = whole(program)
    name_everything(names)
    seen = ModuleType("seen")
    events = {name: vars(made)[names.name("type", name)] for name in program.events}
    vars(seen).update({**vars(made), **events})
    return seen


@pytest.mark.parametrize(("seed", "program"), HOSTILE, ids=IDS)
def test_generated_tests_judge_like_scenarios(seed: int, program: Program) -> None:
    made, tests = compile_program(program, tests=True).files
    verdicts = judged(made.path.removesuffix(".py"), made.text, tests.text)
    tried = [error for name, error in verdicts.items() if f"def {name}() -> None" in tests.text]
    assert [error is None for error in tried] == [run(program, s).passed for s in program.scenarios]


NAMES = sorted({word for words in WORDS.values() for word in words.split()})
ODD = ["ﬁ", "fi", "x²", "x_ub2_", "_ub2_", "_u5f_ub2_", "²", "²²", "_u4²", "_u4_ub2_", "가", "가"]


def test_no_two_fields_share_an_attribute_and_each_can_be_told_from_it() -> None:
    names = {*NAMES, *ODD, *(f"{name}_" for name in NAMES), *(f"_{name}" for name in NAMES)}
    made = {attribute(name) for name in names}
    assert len(made) == len(names)
    assert {field_name(attr) for attr in made} == names
    assert all(attr.isidentifier() for attr in made)


def test_members_can_be_told_from_their_python_names() -> None:
    from enum import StrEnum

    for name in {*NAMES, *ODD, *(f"{name}_" for name in NAMES)}:
        enum = StrEnum("enum", {member(name): "x"})  # type: ignore[misc]
        assert [member_name(found) for found in enum] == [name]


@pytest.mark.parametrize("name", [*NAMES, *ODD])
def test_what_is_safe_is_one_identifier(name: str) -> None:
    import keyword

    made = safe(name)
    scope: dict[str, int] = {}
    exec(f"{made} = 1", {}, scope)
    assert list(scope) == [made]
    assert not keyword.issoftkeyword(made)


def test_a_name_that_is_claimed_late_is_hidden_nowhere() -> None:
    outer = Names()
    inner = outer.inner()
    assert inner.claim("as_price") == "as_price"
    assert outer.claim("as_price") == "as_price_2"
    assert inner.claim("as_price_2") == "as_price_2_2"


def test_a_module_hides_no_package_that_it_runs_on() -> None:
    shown = (
        "sagalang.saga",
        "msgspec.saga",
        "json.saga",
        "class.saga",
        "größe.saga",
        "my-app.saga",
    )
    assert [module(file) for file in shown] == [
        "sagalang_saga",
        "msgspec_saga",
        "json_saga",
        "class_",
        "größe",
        "my_app",
    ]


def test_only_a_field_that_hides_a_type_is_renamed() -> None:
    made = compile_to_module(
        checked("record date { on: datetime }\nrecord A { date: date, str: int, more: date? }")
    )
    assert list(made.A.__dataclass_fields__) == ["date_", "str", "more"]
    made = compile_to_module(checked("record date { on: datetime }\nrecord A { date: date }"))
    assert list(made.A.__dataclass_fields__) == ["date"]
