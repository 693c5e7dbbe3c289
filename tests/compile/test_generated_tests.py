"""`saga compile --tests`: the pytest file of a source's scenarios."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from sagalang.compile import GeneratedFile, compile_program
from sagalang.model.program import Program
from sagalang.scenario.run import run
from sagalang.workspace import load

from .test_corpus_runs import SAGAS
from .twin import checked

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "python"
EXAMPLES = ["order", "shop"]


def example(name: str) -> Program:
    return load(str(ROOT / f"examples/{name}/{name}.saga")).program


def made(program: Program) -> tuple[GeneratedFile, GeneratedFile]:
    module, tests = compile_program(program, tests=True).files
    return module, tests


def write(folder: Path, program: Program) -> Path:
    for file in made(program):
        folder.joinpath(file.path).write_text(file.text, encoding="utf-8")
    return folder


def pytest_run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *options]
    return subprocess.run([*command, "."], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", EXAMPLES)
def test_golden(name: str, golden: Callable[[Path, str], None]) -> None:
    _, tests = made(example(name))
    assert tests.path == f"test_{name}.py"
    golden(GOLDEN / tests.path, tests.text)


def test_the_golden_tests_pass(tmp_path: Path) -> None:
    for name in EXAMPLES:
        for path in (f"{name}.py", f"test_{name}.py"):
            tmp_path.joinpath(path).write_bytes(GOLDEN.joinpath(path).read_bytes())
    done = pytest_run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "22 passed" in done.stdout


BREAKS = [
    (
        "order",
        'undo=Payment.refund(saga.key("Payment.charge"))',
        'undo=Payment.refund("x")',
        "nobody_knows",
    ),
    ("order", "keyed=True,\n        records_rejections=True,", "", "dies"),
    ("order", "Retry(retries=3,", "Retry(retries=1,", "lost_twice"),
    (
        "order",
        "Inventory.reserve(order.id, order.sku, order.qty),",
        "Payment.charge(order.id, order.amount),",
        "all_is_well",
    ),
    ("shop", "if review is None:\n            raise ReviewTimedOut()", "", "holiday"),
    ("shop", "raise Refused()", "pass", "denied"),
    ("shop", "probe=Shipping.find(order)", "", "legacy_carrier"),
    ("shop", "saga.best_effort(", "saga.step(", "no_receipt"),
    ("shop", "saga.pivot(", "saga.step(", "too_late_to_cancel"),
]


@pytest.mark.parametrize(("name", "old", "new", "fails"), BREAKS)
def test_a_broken_module_fails(name: str, old: str, new: str, fails: str) -> None:
    module, tests = made(example(name))
    broken = module.text.replace(old, new)
    assert broken != module.text
    verdicts = judged(name, broken, tests.text)
    assert any(fails in test for test, error in verdicts.items() if error), verdicts


def judged(name: str, module: str, tests: str) -> dict[str, Exception | None]:
    """How each test of the text fails, run against the text of the module; None: it passes."""
    with imported(name, module):
        scope = imported_text(f"test_{name}", tests)
        verdicts: dict[str, Exception | None] = {}
        for test, function in vars(scope).items():
            if test.startswith("test_"):
                try:
                    function()
                except Exception as error:
                    verdicts[test] = error
                else:
                    verdicts[test] = None
        return verdicts


def agree(program: Program) -> list[bool]:
    """Whether each scenario passes: as a generated test, and in `saga test`."""
    module, tests = made(program)
    assert "pytest.mark.skip" not in tests.text
    verdicts = judged(module.path.removesuffix(".py"), module.text, tests.text)
    for error in verdicts.values():
        if error is not None and not isinstance(error, AssertionError):
            raise error
    passed = [error is None for error in verdicts.values()]
    assert passed == [run(program, found).passed for found in program.scenarios]
    return passed


def imported_text(name: str, text: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(text, f"{name}.py", "exec"), module.__dict__)
    return module


@contextmanager
def imported(name: str, text: str) -> Iterator[None]:
    """The text as the module of this name, for as long as it is needed."""
    before = sys.modules.get(name)
    module = sys.modules[name] = ModuleType(name)
    try:
        exec(compile(text, f"{name}.py", "exec"), module.__dict__)
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


WITH_SCENARIOS = [path for path in SAGAS if load(str(path)).program.scenarios]


@pytest.mark.parametrize("path", WITH_SCENARIOS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_its_verdicts_are_those_of_saga_test(path: Path) -> None:
    assert agree(load(str(path)).program)


EVERYTHING = """
record Item { id: string, class: int }
record Basket { items: list<Item>, note: string?, tags: map<decimal> }
enum Size { Small as "s", Large }
error Full { left: int, size: Size }
event Go { item: Item, at: duration }
policy patient { timeout 1s  retry 3 times backoff 1s * 2 up to 10s jitter full }
service Store {
  python "store"
  with patient
  command put(basket: Basket, size: Size) -> { slot: string, size: Size }
    rejects Full
    probe find(basket, size)
    lands within 1m
    compensate drop(result.slot)
  query find(basket: Basket, size: Size) -> { slot: string, size: Size }?
  command drop(slot: string) idempotent, absent ok, fences late
  command ping(n: int) keyed
  command pong(n: int) idempotent, absent ok
  command close(n: int)
    idempotent
    rejects Full
}
saga Child(basket: Basket) -> string {
  step put = Store.put(basket, Size.Large)
  return put.slot
}
saga Parent(basket: Basket, n: int) -> string {
  id "p-${n}"
  step child = saga Child(basket)
  attempt {
    step one = Store.ping(n) compensate Store.pong(n)
    step two = Store.put(basket, Size.Small)
    step Store.close(n) compensate none "it may stay closed"
  } on Full as full {
    step three = Store.ping(full.left) compensate none "a ping is forgotten"
  } on Timeout {
    step four = Store.ping(0) compensate none "a ping is forgotten"
  }
  wait go: Go where go.item.id == "a" within 1h else abort Full(left: 1, size: Size.Small)
  return child
}
let things = [Item(id: "a", class: 1), Item(id: "b", class: 2)]
let basket = Basket(items: things, note: "n", tags: { a: 1 })

scenario "the attempt is undone, the child stands" of Parent(basket, 1 + 1) {
  when Store.put(basket, Size.Small) rejects Full(left: 7, size: Size.Large)
  send Go(item: things[0], at: 5m) after 30m
  expect completed
  expect nothing left
}
scenario "only what the attempt did is undone" of Parent(basket, 2) {
  when Store.close rejects Full(left: 7, size: Size.Large)
  send Go(item: Item(id: "a", class: 1), at: 5m)
  expect completed
  expect effect Store.put once
  expect nothing left
}
scenario "done twice, undone once" of Parent(basket, 2) {
  when Store.put(basket, Size.Small) duplicated
  when Store.close rejects Full(left: 7, size: Size.Large)
  send Go(item: Item(id: "a", class: 1), at: 5m)
  expect nothing left
}
scenario "a late call that nothing refuses" of Parent(basket, 2) {
  when Store.ping arrives late after 1d, 4 times
  send Go(item: Item(id: "a", class: 1), at: 5m)
  expect nothing left
}
scenario "an answer that is given" of Parent(basket with { note: null }, 3) {
  when Store.put returns { slot: "s-9", size: Size.Large }
  send Go(item: Item(id: "a", class: 1), at: 5m)
  expect completed with "s-9"
  expect effect Store.ping once
  expect Store.pong never
  expect nothing left
}
scenario "too late" of Parent(basket, 4) {
  when Store.drop unavailable, 2 times
  expect compensated with Full
  expect Store.drop before Store.pong
  expect nothing left
  expect within 2h
}
scenario "never" of Parent(basket, 5) {
  when Store.ping unavailable, always
  expect completed
}
scenario "wrong" of Parent(basket, 6) {
  cancel after 1s
  expect completed
  expect effect Store.put 2 times
}
"""


def test_every_kind_of_fault_value_and_expectation() -> None:
    program = checked(EVERYTHING.replace("things[0]", 'Item(id: "a", class: 1)'))
    assert agree(program) == [True, True, False, False, True, True, False, False]


def test_what_cannot_be_written_is_skipped_with_its_reason(tmp_path: Path) -> None:
    program = checked(EVERYTHING)
    _, tests = made(program)
    assert '@pytest.mark.skip(reason="a field of an event may have no value' in tests.text
    done = pytest_run(write(tmp_path, program), "-k", "attempt")
    assert "1 skipped" in done.stdout
    assert "may have no value (test.saga:" in done.stdout


def test_no_scenarios_no_test_file() -> None:
    files = compile_program(checked('saga A() { id "a" }'), tests=True).files
    assert [file.path for file in files] == ["test.py"]


def test_pythons_tools_find_nothing(tmp_path: Path) -> None:
    for name in EXAMPLES:
        write(tmp_path, example(name))
    write(tmp_path, checked(EVERYTHING))
    rules = "E,F,W,I,UP,B,C4,SIM,RUF,PIE,PT,RET,PERF,ASYNC,DTZ"
    options = ("--isolated", "--line-length", "100")
    for command in (
        ("ruff", "format", *options, "--check", "--diff", "."),
        ("ruff", "check", *options, "--target-version", "py311", "--select", rules, "."),
        ("mypy", "--strict", "--config-file=", *sorted(p.name for p in tmp_path.glob("*.py"))),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_needs_neither_parser_nor_templates(tmp_path: Path) -> None:
    write(tmp_path, example("order"))
    probe = "import sys, test_order; test_order.test_all_is_well(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not {"lark", "jinja2", "networkx", "click", "httpx"} & loaded
    assert "sagalang.syntax" not in done.stdout
