"""Every saga of the corpora, under random faults: interpreted and compiled, the same course."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from sagalang.model import program as p
from sagalang.model.program import Program
from sagalang.model.types import RecordRef
from sagalang.runtime.codec import encode
from sagalang.runtime.fake_values import Inventor
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.values import Values
from sagalang.workspace import load

from .twin import Signal, compile_to_module, same

HERE = Path(__file__).parent
SAGAS = [
    *sorted(HERE.joinpath("sagas").glob("*.saga")),
    *sorted(HERE.parent.joinpath("corpus", "correct").glob("*.saga")),
    *sorted(HERE.parents[1].joinpath("examples").glob("*/*.saga")),
]
SEEDS = 40

_loaded: dict[Path, tuple[Program, ModuleType]] = {}


def made(path: Path) -> tuple[Program, ModuleType]:
    if path not in _loaded:
        loaded = load(str(path))
        assert not loaded.has_errors
        _loaded[path] = loaded.program, compile_to_module(loaded.program)
    return _loaded[path]


def invented_input(program: Program, saga: p.Saga, seed: int) -> str:
    values = Values(program)
    inventor = Inventor(program, values, seed)
    fields = {
        param.wire: json.loads(
            encode(inventor.value(param.type, param.name, seed), values.python_type(param.type))
        )
        for param in saga.params
    }
    return json.dumps(varied(fields, Random(seed)))


def varied(value: Any, random: Random) -> Any:
    """The same input with lists of other lengths, and other bools and numbers."""
    match value:
        case dict():
            return {name: varied(item, random) for name, item in value.items()}
        case [item]:
            return [renamed(item, index, random) for index in range(random.choice([0, 1, 2, 3]))]
        case bool():
            return random.random() < 0.5
        case _:
            return value


def renamed(value: Any, index: int, random: Random) -> Any:
    match value:
        case dict():
            return {name: renamed(item, index, random) for name, item in value.items()}
        case list():
            return varied(value, random)
        case bool():
            return random.random() < 0.5
        case int():
            return random.choice([1, 13, value])
        case str() if value.endswith("-" + value.rsplit("-", 1)[-1]) and value[-1:].isdigit():
            return f"{value}{random.choice(['', f'.{index}'])}"
        case _:
            return value


KINDS = [
    "rejects",
    "rejects",
    "times out before effect",
    "times out after effect",
    "unavailable",
    "arrives late",
]


def random_faults(program: Program, random: Random) -> list[PlannedFault]:
    operations = [o for s in program.services.values() for o in s.operations.values()]
    found = []
    for _ in range(random.choice([0, 1, 1, 2, 3])):
        operation = random.choice(operations)
        kind = random.choice(KINDS)
        error = random.choice(operation.rejects).error if operation.rejects else None
        if kind == "rejects" and error is None:
            kind = "unavailable"
        found.append(
            PlannedFault(
                kind,
                operation.label,
                error=error if kind == "rejects" else None,
                after=random.choice([500, 5_000, 70_000]),
                remaining=random.choice([1, 1, 2, 5, 60]),
            )
        )
    return found


def random_signals(program: Program, random: Random, seed: int) -> list[Signal]:
    values = Values(program)
    found = []
    for name in program.events:
        for number in range(random.choice([0, 1, 2])):
            inventor = Inventor(program, values, seed + number)
            value = inventor.value(RecordRef(name), name, number)
            text = encode(value, values.python_type(RecordRef(name))).decode()
            found.append(Signal(name, text, random.choice([0, 10, 1_000, 100_000])))
    return found


def crashing(random: Random) -> Any:
    """How the orchestrator dies; the same for both runs."""
    if random.random() < 0.7:
        return lambda: lambda request: None
    seed = random.random()

    def make() -> Any:
        chance, left = Random(seed), [2]

        def strikes(request: Any) -> str | None:
            if left[0] and chance.random() < 0.2:
                left[0] -= 1
                return chance.choice(["before", "after"])
            return None

        return strikes

    return make


@pytest.mark.parametrize("path", SAGAS, ids=[f"{p.parent.name}-{p.stem}" for p in SAGAS])
def test_compiled_as_interpreted(path: Path) -> None:
    program, module = made(path)
    for name, saga in program.sagas.items():
        if saga.id is None:
            continue
        for seed in range(SEEDS):
            random = Random(f"{path.stem} {name} {seed}")
            planned = random_faults(program, random)
            try:
                same(
                    program,
                    invented_input(program, saga, seed % 5),
                    saga=name,
                    faults=lambda values, planned=planned: [copy(found) for found in planned],
                    signals=random_signals(program, random, seed),
                    cancel_after=random.choice([None, None, None, 10, 55, 130, 3_000]),
                    crash=crashing(random),
                    module=module,
                    seed=seed,
                )
            except AssertionError as error:
                raise AssertionError(f"{name}, seed {seed}, {planned}\n{error}") from None


def copy(found: PlannedFault) -> PlannedFault:
    from dataclasses import replace

    return replace(found)
