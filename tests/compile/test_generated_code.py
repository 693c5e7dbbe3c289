"""What generated modules look like: the golden tree, and what Python's own tools say of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sagalang.compile import compile_program
from sagalang.compile.layout import Bracket, Text, statement
from sagalang.workspace import load, load_text

from .test_corpus_runs import SAGAS

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "python"
EXAMPLES = ["order", "shop"]
RULES = [
    *("--isolated", "--line-length", "100", "--target-version", "py311"),
    # Not N, A: the names of errors and fields are those of the source.
    *("--select", "E,F,W,I,UP,B,C4,SIM,RUF,PIE,PT,RET,PERF,ASYNC,DTZ"),
    # B023 does not know that `value_or` calls at once what it is given; RUF001 to 003 would have
    # the letters of another script changed, ASYNC109 a parameter `timeout`: they are the source's.
    *("--ignore", "B023,RUF001,RUF002,RUF003,ASYNC109"),
]

HOSTILE = """
record Saga {
  class: string, def: int as "de-f", self: string?, None: bool, l: int, _private: string, args: int
}
record Call { Saga: Saga, items: list<Saga>, str: string }
record order { id: string }
record Order { id: string, Any: decimal }
enum Verdict { name as "n", value, mro, lower, True, Yes as "no" }
error ConnectionError { args: int, message: string, Verdict: Verdict }
error run
event Exception { verdict: Verdict, id: string }
policy retry { timeout 1s }
policy Retry { timeout 2s  retry 2 times backoff 1s * 2 jitter full }
let main = order(id: "let")
let MAIN = 7
let sys = "\\"\\"\\" ' \\\\ \\n {x} ${1 + 1}"

service Service {
  http "http://127.0.0.1:1/a\\"b" env LAMBDA
  header "X-Text" "it's"
  command lambda(class: string, id: int, sys: string?, saga: string) -> { from: string, class: int }
    POST "/lambda"
    keyed by field "import"
    rejects ConnectionError 409, run
    compensate del(key)
  command del(of: key) POST "/del/{of}" idempotent, absent ok, fences late
  query print(hash: string, Order: Order) -> { from: string, class: int }?
    GET "/print/{hash}"
}

/// A saga whose \\ names are "hostile"
saga run_main(saga: Call, list: list<order>, each: int, order: Order) -> Order {
  id order.id
  step print = Service.lambda(saga.Saga.class, each, saga.Saga.self, saga.str)
  let int = print.from
  let text = len(list) + saga.Saga.def
  for id in list by id.id {
    step type = Service.lambda(id.id, text, null, int) compensate Service.del(key)
    let errors = type.class
  }
  for id in list, 2 at once {
    let range = if id.id == "a" then errors[0] ?? 1 else 2
    step dict = Service.lambda("x${range}", range, null, id.id)
  }
  attempt {
    step Result = Service.lambda(int, len(dict), null, int)
  } on ConnectionError as caught {
    if caught.Verdict == Verdict.name { abort run }
    step sum = Service.lambda(caught.message, caught.args, null, "${caught.Verdict}")
  } on run, Timeout as error {
    step filter = Service.lambda(error.name, 1, null, int)
  }
  wait Exception: Exception where Exception.id == order.id within 1m
    else abort ConnectionError(args: 1, message: "m", Verdict: Verdict.mro)
  if Exception.verdict == Verdict.True { return order with { Any: order.Any * 2 } }
  return order
}
"""


def texts() -> dict[str, str]:
    """Every module that the corpora give, by a name of its own."""
    found = {}
    for path in SAGAS:
        loaded = load(str(path))
        compiled = compile_program(loaded.program)
        assert compiled.problems == (), path
        found[f"{path.parent.name}_{path.stem}.py"] = compiled.files[0].text
    hostile = load_text(HOSTILE, "hostile.saga")
    assert not hostile.has_errors, [d.message for d in hostile.diagnostics if d.is_error]
    (file,) = compile_program(hostile.program).files
    found["hostile.py"] = file.text
    (file,) = compile_program(load_text(PLAIN, "plain.saga").program).files
    found["plain.py"] = file.text
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    for name, text in texts().items():
        folder.joinpath(name).write_text(text, encoding="utf-8")
    return folder


def tool(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_golden(name: str, golden: Callable[[Path, str], None]) -> None:
    (file,) = compile_program(load(str(ROOT / f"examples/{name}/{name}.saga")).program).files
    assert file.path == f"{name}.py"
    golden(GOLDEN / file.path, file.text)


def test_the_same_program_gives_the_same_bytes() -> None:
    assert texts() == texts()


def test_the_path_of_the_source_does_not_show(tmp_path: Path) -> None:
    source = ROOT / "examples/order/order.saga"
    copied = tmp_path / "order.saga"
    copied.write_bytes(source.read_bytes())
    one, other = (compile_program(load(str(path)).program).files for path in (source, copied))
    assert one == other


def test_ruff_has_nothing_to_format(written: Path) -> None:
    tool("ruff", "format", "--isolated", "--line-length", "100", "--check", "--diff", str(written))


def test_ruff_finds_nothing(written: Path) -> None:
    tool("ruff", "check", *RULES, str(written))


def test_mypy_finds_nothing(written: Path) -> None:
    tool("mypy", "--strict", "--config-file=", *map(str, sorted(written.glob("*.py"))))


def test_a_compiled_saga_needs_neither_parser_nor_templates(written: Path) -> None:
    probe = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import order_order\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, str(written)], capture_output=True, text=True, check=True
    )
    heavy = {"lark", "jinja2", "networkx", "graphviz", "click", "httpx", "starlette", "uvicorn"}
    assert not heavy & set(json.loads(done.stdout))


def test_where_httpx_is_missing_it_says_what_to_install(written: Path) -> None:
    without = "import sys; sys.modules['httpx'] = None; import order_order as o; sys.exit(o.main())"
    order = '{"id": "o-1", "sku": "tea", "qty": 2, "amount": 1}'
    done = subprocess.run(
        [sys.executable, "-c", without],
        cwd=written,
        input=order,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: Orders is called over HTTP, which needs the package httpx. Install it:"
        " pip install httpx\n"
    )


def test_main_refuses_wrong_input_with_its_path_before_anything_is_called(written: Path) -> None:
    command = [sys.executable, str(written / "order_order.py"), "-"]
    wrong = '{"id": "o-1", "sku": "tea", "qty": "two", "amount": 1}'
    done = subprocess.run(command, input=wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: order.qty: expected an int, got a string\n"


PLAIN = """
service S {
  query q(text: string, command: int, id: string, key: string, timeout: duration?)
    -> { b: bool, n: int, o: string?, l: list<string> }
  command put(S: string, SService: string, call: int) keyed
    probe q(S, call, SService, key, null)
  command del(Call: string) idempotent
}
saga A(x: string) {
  id x
  step r = S.q(x, 1, x, x, null)
  let a = if r.b then true else false
  let b = if r.b then false else true
  let c = not (r.b == a) or not (x != "") or not not b or not (r.o == null) or not (r.n < 3)
  let d = not contains(r.l, x) and not contains(x, "a")
  let e = c or d and r.n >= 1 or r.n == - -1
  if e { sleep 1s }
  if d { parallel { sleep 1s branch { sleep 2s  sleep 3s } } }
  attempt { step S.q(x, 1, x, x, null) } on Timeout { parallel { sleep 1s sleep 2s } }
}
"""


def test_conditions_and_parameters_are_as_a_person_writes_them() -> None:
    loaded = load_text(PLAIN, "plain.saga")
    (file,) = compile_program(loaded.program).files
    for line in (
        "    async def q(\n"
        "        self,\n        text: str,\n        command: int,\n        id_: str,\n"
        "        key: str,\n        timeout: timedelta | None,\n    ) -> QResult: ...\n",
        "    async def put(self, S_2: str, SService_2: str, call: int, *, key: str) -> None: ...\n",
        "    async def del_(self, Call_2: str) -> None: ...\n",
        "    a_2 = r.b\n",
        "    b = not r.b\n",
        '    c = r.b != a_2 or x == "" or b or r.o is not None or not r.n < 3\n',
        '    d = x not in r.l and "a" not in x\n',
        "    e = c or (d and r.n >= 1) or r.n == 1\n",
    ):
        assert line in file.text


@pytest.mark.parametrize("room", [-1, 0])
@pytest.mark.parametrize(
    ("letters", "columns"), [("ab", 2), ("注文", 4), ("e\u0301", 1), ("\u1100\u1161", 2)]
)
def test_lines_are_measured_in_columns(letters: str, columns: int, room: int) -> None:
    param = "p" * (100 - len("def f() -> :") - columns - room)
    lines = statement("def f", Bracket(Text(""), (Text(param),)), 0, f" -> {letters}:")
    assert len(lines) == (1 if room == 0 else 3)


def test_constants_may_need_conversions_and_exact_decimals() -> None:
    source = """
record Price { amount: decimal, tax: decimal? }
let rate = 1.0000000000000001
let exact = rate * rate
let raw = [{ amount: 1, tax: 2 }, { amount: 2, tax: 3 }]
let prices = [Price(amount: exact), Price(amount: 1)]
let all = Price(amount: sum([p.amount for p in prices]))
"""
    from .twin import checked, compile_to_module

    module = compile_to_module(checked(source))
    assert str(module.EXACT) == "1.00000000000000020000000000000001"
    assert str(module.ALL.amount) == "2.00000000000000020000000000000001"


def test_what_cannot_be_compiled_is_told_with_its_place() -> None:
    loaded = load_text("let first = [1, 2][0]\n", "x.saga")
    compiled = compile_program(loaded.program)
    assert compiled.files == ()
    (problem,) = compiled.problems
    assert (problem.span.file, problem.what) == (
        "x.saga",
        "a constant that may have no value, as `first`,",
    )
