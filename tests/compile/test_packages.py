"""One module for each file: they import each other as the files do, and do the same as one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sagalang.cli.compile import command
from sagalang.compile import Compiled, compile_package, compile_program
from sagalang.scenario.run import run
from sagalang.workspace import load, load_text

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "python"
SHOP = ROOT / "examples/shop/shop.saga"

FILES = {
    "shop/main.saga": """
import "../common/base.saga"
import "lib/money.saga"
import "lib/stock.saga"

/// Everything at once.
saga Main(order: Order) -> Receipt {
  id order.id
  deadline 6h
  compensate with stubborn
  step paid = saga Pay(order)
  parallel {
    for line in [order.id] { step one = Money.take(line, order.price) }
    step two = Stock.take(order.id)
  }
  if order.size == Size.Large {
    wait go: Go where go.by == order.id within 1h else abort Full(left: 0)
    if go.by == "nobody" { abort Full(left: 1) }
  }
  let found = if order.size == Size.Large then one[0] else two
  return Receipt(id: found.id, price: paid)
}
/// Named as what `common/base.saga` has already.
let pay = 7

scenario "all is well" of Main(sample) {
  send Go(by: "o-1") after 5m
  expect completed with Receipt(id: "m-1", price: price)
  when Money.take returns { id: "m-1" }, always
  when Stock.take returns { id: "s-1" }
  expect effect Stock.take once
}
scenario "nobody answers" of Main(sample) {
  expect compensated with Full
  expect Money.give 2 times
  expect nothing left
}
scenario "small" of Main(sample with { size: Size.Small }) {
  when Stock.take("o-1") rejects Full(left: 3)
  expect compensated with Full
  expect nothing left
}
""",
    "shop/lib/money.saga": """
import "../../common/base.saga"
service Money {
  http "http://127.0.0.1:1" env MONEY_URL
  with edge
  /// Takes it.
  command take(order: string, price: decimal) -> { id: string } keyed compensate give(key) POST "/t"
  command give(of: key) idempotent, absent ok, fences late DELETE "/t/{of}"
}
saga Pay(order: Order) -> decimal {
  id order.id
  deadline 1h
  step Money.take(order.id, order.price) with stubborn
  return order.price + pay_fee
}
let pay_fee = 0.0
""",
    "shop/lib/stock.saga": """
import "../../common/base.saga"
service Stock {
  python "stock"
  with edge
  command take(order: string) -> { id: string } keyed, records rejections rejects Full
    compensate give(key)
  command give(of: key) idempotent, absent ok, fences late
}
""",
    "common/base.saga": """
record Order { id: string, size: Size, price: decimal }
record Receipt { id: string, price: decimal }
enum Size { Small, Large }
event Go { by: string }
error Full { left: int }
policy edge { timeout 1s  retry 3 times backoff 100ms * 2 up to 1s jitter full }
policy stubborn extends edge { retry forever backoff 1s * 2 up to 5m jitter full }
let price = 18.50
let sample = Order(id: "o-1", size: Size.Large, price: price)
""",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "shop/main.saga"


@pytest.fixture
def folder(source: Path) -> Path:
    made = source.parents[1] / "out" / "app"
    done = compiled(source, made, "--tests")
    assert done.exit_code == 0, done.output
    return made


def compiled(source: Path, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(command, [str(source), "-o", str(folder), *options])


def python(folder: Path, *options: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options]
    return subprocess.run(
        command, cwd=folder, input=given, capture_output=True, text=True, check=False, timeout=120
    )


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))


# --- The worked case ---------------------------------------------------------------------------


def test_golden(golden: Callable[[Path, str], None]) -> None:
    made = compile_package(load(str(SHOP)).program, tests=True)
    assert sorted(file.path for file in made.files) == [
        "__init__.py",
        "policies.py",
        "shop.py",
        "test_shop.py",
    ]
    for file in made.files:
        golden(GOLDEN / "app" / file.path, file.text)


def test_a_file_without_imports_stays_a_plain_module() -> None:
    program = load(str(ROOT / "examples/order/order.saga")).program
    assert compile_package(program, tests=True) == compile_program(program, tests=True)
    assert not compile_package(program).is_package


def test_the_golden_package_passes_its_tests(tmp_path: Path) -> None:
    made = tmp_path / "app"
    made.mkdir()
    for path in (GOLDEN / "app").glob("*.py"):
        (made / path.name).write_bytes(path.read_bytes())
    done = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "app")
    assert "15 passed" in done.stdout, done.stdout


# --- Folders and names -------------------------------------------------------------------------


def test_folders_keep_their_shape(folder: Path) -> None:
    assert written(folder) == [
        "__init__.py",
        "common/__init__.py",
        "common/base.py",
        "shop/__init__.py",
        "shop/lib/__init__.py",
        "shop/lib/money.py",
        "shop/lib/stock.py",
        "shop/main.py",
        "shop/test_main.py",
    ]
    text = (folder / "shop/lib/money.py").read_text()
    assert "from ...common.base import EDGE, STUBBORN, Order\n" in text


def test_a_module_imports_only_what_it_reads(folder: Path) -> None:
    main = (folder / "shop/main.py").read_text()
    assert "from ..common.base import STUBBORN, Full, Go, Order, Receipt, Size\n" in main
    assert "from .lib.money import MONEY_SERVICE, PAY as PAY_2" not in main  # one by one, as isort
    assert "from .lib.money import PAY as PAY_2\n" in main
    assert "PAY = 7\n" in main


def test_only_what_has_sagas_has_a_main(folder: Path) -> None:
    mains = {name for name in written(folder) if "def main()" in (folder / name).read_text()}
    assert mains == {"shop/main.py", "shop/lib/money.py"}


def test_pythons_tools_find_nothing(folder: Path) -> None:
    nothing_is_found_in(folder)


def nothing_is_found_in(folder: Path) -> None:
    rules = "E,F,W,I,UP,B,C4,SIM,RUF,PIE,PT,RET,PERF,ASYNC,DTZ"
    options = ("--isolated", "--line-length", "100")
    for tool in (
        ("ruff", "format", *options, "--check", "--diff", folder.name),
        ("ruff", "check", *options, "--target-version", "py311", "--select", rules, folder.name),
        ("mypy", "--strict", "--config-file=", "-p", "app"),
    ):
        done = python(folder.parent, "-m", *tool)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_passes_its_tests(folder: Path) -> None:
    done = python(folder.parent, "-m", "pytest", "-q", "-p", "no:cacheprovider", "app")
    assert "3 passed" in done.stdout, done.stdout


def test_a_broken_imported_module_fails_them(folder: Path) -> None:
    base = folder / "common/base.py"
    base.write_text(base.read_text().replace('Decimal("18.50")', 'Decimal("18.51")'))
    money = folder / "shop/lib/money.py"
    broken = money.read_text().replace("    return order.price", "    return -order.price")
    assert broken != money.read_text()
    money.write_text(broken)
    done = python(folder.parent, "-m", "pytest", "-q", "-p", "no:cacheprovider", "app")
    assert "1 failed, 2 passed" in done.stdout, done.stdout


def test_it_runs_as_a_module(folder: Path) -> None:
    order = {"id": "o-1", "size": "Small", "price": "many"}
    done = python(folder.parent, "-m", "app.shop.main", "-", given=json.dumps(order))
    assert (done.returncode, done.stderr) == (
        2,
        "error: order.price: expected a decimal, got a string that is not a number\n",
    )


def test_the_next_command_is_named(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parents[1])
    made = compiled(source, Path("out/app"))
    assert made.stdout.splitlines()[-1] == "next: python -m out.app.shop.main input.json"
    made = compiled(source, Path())
    here = source.parents[1]
    assert made.stdout.splitlines()[-1] == (
        f"next: cd {here.parent} && python -m {here.name}.shop.main input.json"
    )


def test_folders_that_python_cannot_import_are_left_above_the_package(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = source.parents[1]
    monkeypatch.chdir(above)
    made = compiled(source, Path("my-shop/app"))
    assert made.stdout.splitlines()[-1] == (
        f"next: cd {above / 'my-shop'} && python -m app.shop.main input.json"
    )


@pytest.mark.parametrize(("name", "better"), [("ou-t", "ou_t"), ("v1.2", "v1_2"), ("in", "in_")])
def test_a_package_that_python_cannot_import_is_refused(
    source: Path, name: str, better: str
) -> None:
    folder = source.parents[1] / name
    done = compiled(source, folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"error: Python cannot import a package that is called `{name}`\n" in done.stderr
    assert f"`-o {better}`" in done.stderr
    assert not folder.exists()
    assert compiled(source, folder, "--single-file").exit_code == 0
    assert compiled(source, folder.with_name(better)).exit_code == 0


def test_a_module_never_lies_where_a_folder_does() -> None:
    others = {"lib.saga": "let a = 1", "lib/b.saga": "let b = 2"}
    loaded = load_text('import "lib.saga"\nimport "lib/b.saga"\nlet c = a + b', "c.saga", others)
    made = compile_package(loaded.program)
    assert {file.path for file in made.files} == {
        "__init__.py",
        "c.py",
        "lib/__init__.py",
        "lib/b.py",
        "lib_saga.py",
    }


def test_what_a_module_is_does_not_depend_on_who_imports_it() -> None:
    policies = (SHOP.parent / "policies.saga").read_text()
    one, other = (
        {
            file.path: file
            for file in compile_package(load_text(text, name, {"p.saga": policies}).program).files
        }
        for name, text in (
            ("a.saga", 'import "p.saga"\nlet edge_of = 1'),
            (
                "b.saga",
                'import "p.saga"\nservice S { with edge\n query q() -> int }\n'
                'saga B() { id "b" step S.q() with stubborn }',
            ),
        )
    )
    assert one["p.py"] == other["p.py"]
    assert '__all__ = ["EDGE", "STUBBORN"]' in one["p.py"].text


# --- Shapes that several files describe ---------------------------------------------------------

ALIKE = {
    "a.saga": """
service A { python "svc"  query one() -> { id: string } }
saga Kid(given: { id: string }, more: map<{ id: string }>?) -> list<{ id: string }> {
  id given.id
  step x = A.one()
  return if more == null then [given] else [x, given]
}
let known = [A_of(what: { id: "1" })]
record A_of { what: { id: string } }
""",
    "b.saga": """
error Odd { seen: { id: string } }
event Go { what: { id: string }? }
service B {
  python "svc"
  query two() -> { id: string }
  query both(x: { id: string }, y: { id: string }?) -> { id: string }
  query deep() -> { in: { id: string }, all: list<{ id: string }> }
}
record B_of { what: { id: string }, more: list<{ id: string }>, by: map<{ id: string }> }
""",
    "main.saga": """
import "a.saga"
import "b.saga"
let same = B_of(what: { id: "1" }, more: [{ id: "1" }], by: { a: { id: "1" } })
saga Main(given: { id: string }) -> A_of {
  id "r-1"
  step x = A.one()
  step y = B.two()
  step u = B.both(x, given)
  step d = B.deep()
  step k = saga Kid(y, { a: x })
  let b = B_of(what: x, more: [x, y, given], by: { a: x })
  if x != y or [x] != [y] or b.what != known[0].what or A_of(what: y) != A_of(what: x) {
    abort Odd(seen: x)
  }
  if not contains([x], u) or not contains(d.all, x) or d.in != given or k[0] != y {
    abort Odd(seen: y)
  }
  if b with { more: [u], what: given } != same { abort Odd(seen: given) }
  wait go: Go where go.what == x within 1h else abort Odd(seen: k[1])
  return A_of(what: if go.what == given then y else given)
}
scenario "all are the same" of Main({ id: "1" }) {
  when A.one returns { id: "1" }, always
  when B.two returns { id: "1" }, always
  when B.both({ id: "1" }, { id: "1" }) returns { id: "1" }
  when B.deep returns { in: { id: "1" }, all: [{ id: "1" }] }
  send Go(what: { id: "1" }) after 1m
  expect completed with A_of(what: { id: "1" })
}
scenario "one differs" of Main({ id: "1" }) {
  when A.one returns { id: "2" }, always
  expect compensated with Odd
}
""",
    "svc.py": """
def one(): return {"id": "1"}
def two(): return {"id": "1"}
def both(x, y): assert (x.id, y.id) == ("1", "1"); return {"id": "1"}
def deep(): return {"in": {"id": "1"}, "all": [{"id": "1"}]}
""",
}


@pytest.fixture
def alike(tmp_path: Path) -> Path:
    for name, text in ALIKE.items():
        (tmp_path / name).write_text(text)
    done = compiled(tmp_path / "main.saga", tmp_path / "app", "--tests")
    assert done.exit_code == 0, done.output
    return tmp_path / "app"


def test_values_of_one_shape_are_equal_whichever_module_has_their_class(alike: Path) -> None:
    program = load(alike.parent / "main.saga").program
    assert [run(program, found).passed for found in program.scenarios] == [True, True]
    done = python(alike.parent, "-m", "pytest", "-q", "-p", "no:cacheprovider", "app")
    assert "2 passed" in done.stdout, done.stdout
    sent = ("--send", 'Go {"what": {"id": "1"}} after 1ms')
    done = python(alike.parent, "-m", "app.main", "-", *sent, given='{"given": {"id": "1"}}')
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["value"] == {"what": {"id": "1"}}


def test_each_module_takes_them_as_its_own(alike: Path) -> None:
    text = (alike / "main.py").read_text()
    assert 'await saga.child("k", KID(as_one_result(y), ' in text
    nothing_is_found_in(alike)


# --- In version control ------------------------------------------------------------------------


def test_check_diff_and_edits_know_all_files(source: Path, folder: Path) -> None:
    assert compiled(source, folder, "--tests", "--check").output == ""
    base = source.parents[1] / "common/base.saga"
    base.write_text(base.read_text().replace("3 times", "4 times"))
    done = compiled(source, folder, "--tests", "--check")
    # The sagas that go by the policy have another version now.
    differs = [folder / name for name in ("common/base.py", "shop/lib/money.py", "shop/main.py")]
    assert done.exit_code == 1
    assert done.stdout == "".join(f"differs  {each}\n" for each in differs)
    assert "retry=Retry(retries=4" in compiled(source, folder, "--diff").stdout
    edited = folder / "common/base.py"
    edited.write_text(edited.read_text().replace("EDGE", "RIM"))
    done = compiled(source, folder)
    assert done.exit_code == 1
    assert f"{edited} was edited by hand" in done.stderr
    assert compiled(source, folder, "--force").exit_code == 0
    assert compiled(source, folder, "--tests", "--check").exit_code == 0


def test_what_is_no_longer_made_is_found_in_every_folder(source: Path, folder: Path) -> None:
    lib = folder / "shop/lib"
    (lib / "old.py").write_bytes((lib / "money.py").read_bytes())
    done = compiled(source, folder, "--check")
    assert (done.exit_code, done.stdout) == (1, f"no longer made  {lib / 'old.py'}\n")


def test_what_is_in_the_packages_init_is_yours(source: Path, folder: Path) -> None:
    init = folder / "__init__.py"
    init.write_text('"""Ours."""\n')
    assert compiled(source, folder, "--tests", "--check").exit_code == 0
    assert compiled(source, folder).exit_code == 0
    assert init.read_text() == '"""Ours."""\n'
    init.unlink()
    done = compiled(source, folder, "--tests", "--check")
    assert (done.exit_code, done.stdout) == (1, f"missing  {init}\n")


def test_single_file_has_it_all(source: Path, folder: Path) -> None:
    made = folder.parent / "single"
    assert compiled(source, made, "--tests", "--single-file").exit_code == 0
    assert written(made) == ["main.py", "test_main.py"]
    done = python(made, "-m", "pytest", "-q", "-p", "no:cacheprovider", ".")
    assert "3 passed" in done.stdout, done.stdout


def test_a_single_file_leaves_no_package_behind_unnamed(source: Path, folder: Path) -> None:
    left = written(folder)
    (folder / "shop/__init__.py").write_text('"""Ours."""\n')
    done = compiled(source, folder, "--single-file", "--tests")
    yours = ("main.py", "shop/__init__.py")
    assert [line.split()[-1] for line in done.stdout.splitlines()[:2]] == [
        str(folder / "main.py"),
        str(folder / "test_main.py"),
    ]
    named = [f"no longer made  {folder / name}" for name in left if name not in yours]
    done = compiled(source, folder, "--single-file", "--tests", "--check")
    assert (done.exit_code, done.stdout.splitlines()) == (1, named)
    for name in left:
        (folder / name).unlink()
    assert compiled(source, folder, "--single-file", "--tests", "--check").exit_code == 0


def test_templates_are_used_for_every_module(source: Path, folder: Path) -> None:
    own = folder.parent / "templates"
    own.mkdir()
    (own / "module.py.jinja").write_text(
        '{% extends "sagalang/module.py.jinja" %}\n{% block exports %}{% endblock %}\n'
    )
    assert compiled(source, folder, "--templates", str(own)).exit_code == 0
    texts = [(folder / name).read_text() for name in written(folder)]
    assert not any("__all__" in text for text in texts)
    assert sum("from ...common.base import" in text for text in texts) == 2


def test_what_cannot_be_compiled_in_an_imported_file_is_told() -> None:
    loaded = load_text('import "b.saga"\nlet c = 1', "a.saga", {"b.saga": "let first = [1, 2][0]"})
    made: Compiled = compile_package(loaded.program)
    assert made.files == ()
    assert made.problems[0].span.file == "b.saga"


def texts(made: Compiled) -> Iterator[str]:
    return (file.text for file in made.files)


def test_the_same_program_gives_the_same_bytes(source: Path) -> None:
    one, other = (compile_package(load(str(source)).program, tests=True) for _ in range(2))
    assert list(texts(one)) == list(texts(other))


def test_a_package_finds_python_services_where_it_was_found_itself(tmp_path: Path) -> None:
    """Not beside its modules: one of them may have the name of the service's module."""
    (tmp_path / "p.saga").write_text("policy quick { timeout 1s }")
    (tmp_path / "svc.saga").write_text(
        'import "p.saga"\nservice S { python "svc" with quick\n'
        "command do(n: string) -> string keyed compensate undo(n)\n"
        "command undo(n: string) idempotent, absent ok, fences late }\n"
        "saga A(n: string) -> string { id n step done = S.do(n) return done }\n"
    )
    (tmp_path / "svc.py").write_text("def do(n): return n + '!'\ndef undo(n): pass\n")
    assert compiled(tmp_path / "svc.saga", tmp_path / "app").exit_code == 0
    done = python(tmp_path, "-m", "app.svc", given='{"n": "a"}')
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["value"] == "a!"
