"""Services that are Python modules."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from shop_program import AUTH, PROGRAM, operation, param, replace

from sagalang.machine.outcomes import NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model.program import Promises
from sagalang.model.types import DECIMAL, INT, KEY, STRING
from sagalang.runtime.contract import Contract, Request
from sagalang.runtime.problems import BindingError
from sagalang.runtime.python_binding import PythonTransport
from sagalang.runtime.transport import connect
from sagalang.runtime.values import Values

VALUES = Values(PROGRAM)
MODULE = "saga_test_books"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    path = list(sys.path)
    yield
    assert sys.path == path
    for name in [n for n in sys.modules if n.startswith("saga_test_")]:
        del sys.modules[name]


def contract(name: str = "note", **changes: Any) -> Contract:
    fields: dict[str, Any] = {
        "result": INT,
        "route": None,
        "promises": Promises(keyed=True),
        "rejects": (("OutOfStock", None), ("Declined", None)),
    }
    made = operation(f"B{time.monotonic_ns()}.{name}", param("text", STRING), **(fields | changes))
    return Values(PROGRAM).contract(made)


def call(folder: Path, code: str, made: Contract | None = None) -> Outcome:
    (folder / f"{MODULE}.py").write_text(code)
    made = made or contract()
    transport = PythonTransport(MODULE, str(folder), [made])

    async def main() -> Outcome:
        async with asyncio.timeout(10):
            return await transport.call(Request(made, ("t",), "k-1"))

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def note(text): return len(text)", Ok(1)),
        ("async def note(text): return len(text)", Ok(1)),
        ("def note(text):\n async def later(): return 2\n return later()", Ok(2)),
        ("def note(text, key): return 3 if key == 'k-1' else 4", Ok(3)),
        ("def note(text, *, key=None): return 3 if key == 'k-1' else 4", Ok(3)),
        ("def note(text, **more): return 3 if more == {'key': 'k-1'} else 4", Ok(3)),
    ],
)
def test_functions_of_all_kinds(tmp_path: Path, code: str, expected: Outcome) -> None:
    assert call(tmp_path, code) == expected


@pytest.mark.parametrize("how", ["def", "async def"])
def test_what_raising_means(tmp_path: Path, how: str) -> None:
    code = f"""
from sagalang.runtime import NotSent
class OutOfStock(Exception):
    def __init__(self, sku): self.sku = sku
{how} note(text):
    raise %s
"""
    rejected = call(tmp_path, code % "OutOfStock('B')")
    assert isinstance(rejected, Rejected)
    assert (rejected.error.name, rejected.error.value.sku) == ("OutOfStock", "B")
    for raised, kind, name in (
        ("OutOfStock(3)", Unknown, "ContractMismatch"),
        ("NotSent(retry_after=5)", NotSent, "NotSent"),
        ("ValueError('tok-secret')", Unknown, "Unavailable"),
        ("StopIteration()", Unknown, "Unavailable"),
        ("__import__('asyncio').CancelledError()", Unknown, "Unavailable"),
    ):
        _forget_module()
        outcome = call(tmp_path, code % raised)
        assert isinstance(outcome, kind), raised
        assert outcome.error.name == name
        assert "tok-secret" not in repr(outcome)


def _forget_module() -> None:
    sys.modules.pop(MODULE, None)


def test_results_are_checked(tmp_path: Path) -> None:
    bad = call(tmp_path, "def note(text): return 'tok-secret'")
    assert isinstance(bad, Unknown)
    assert not bad.repeat
    assert "expected an int, got a string" in bad.error.detail
    _forget_module()
    good = call(tmp_path, "def note(text): return {'auth': 'a'}", contract(result=AUTH))
    assert isinstance(good, Ok)
    assert good.value.auth == "a"
    _forget_module()
    money = call(tmp_path, "def note(text): return 1.1", contract(result=DECIMAL))
    assert money == Ok(Decimal("1.1"))


def test_a_parameter_called_key_is_not_the_idempotency_key(tmp_path: Path) -> None:
    made = operation("K.note", param("key", KEY), result=STRING, route=None)
    code = "def note(key): return key"
    assert call(tmp_path, code, Values(PROGRAM).contract(made)) == Ok("t")


def test_a_thread_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    code = "import threading\ngo = threading.Event()\ndef note(text): go.wait(60)"
    (tmp_path / f"{MODULE}.py").write_text(code)
    made = contract(result=STRING)
    transport = PythonTransport(MODULE, str(tmp_path), [made])

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await transport.call(Request(made, ("t",), "k"))

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 30
    sys.modules[MODULE].go.set()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "has no function note"),
        ("note = 1", "something else"),
        ("def note(): pass", r"does not take the parameters \(text\)"),
        ("import saga_test_nowhere", "it needs saga_test_nowhere"),
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        (None, "was not found"),
    ],
)
def test_bindings_that_do_not_fit(tmp_path: Path, code: str | None, message: str) -> None:
    if code is not None:
        (tmp_path / f"{MODULE}.py").write_text(code)
    with pytest.raises(BindingError, match=message):
        PythonTransport(MODULE, str(tmp_path), [contract()])


def test_a_namesake_from_elsewhere_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{MODULE}.py").write_text("def note(text): return 1")
    PythonTransport(MODULE, str(tmp_path / "a"), [contract()])
    PythonTransport(MODULE, str(tmp_path / "a"), [contract()])
    with pytest.raises(BindingError, match="rename it"):
        PythonTransport(MODULE, str(tmp_path / "b"), [contract()])


def test_connect_finds_the_module_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "saga_test_books.py").write_text("def note(text, sum): return int(sum)")
    books = replace(PROGRAM.services["Books"], folder=str(tmp_path))
    program = replace(PROGRAM, services={"Books": books})
    router = connect(program, {}, values=VALUES)
    made = VALUES.contract(books.operations["note"])
    outcome = asyncio.run(router.call(Request(made, ("a", Decimal(3)), None)))
    assert outcome == Ok(3)
