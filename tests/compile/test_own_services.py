"""Services by objects of one's own: they satisfy the Protocol of the compiled module."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sagalang.machine.outcomes import NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.runtime.clock import SimulatedClock, SystemClock, simulated
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.mock_server import serve
from sagalang.runtime.problems import BindingError
from sagalang.runtime.problems import NotSent as ServiceNotSent
from sagalang.runtime.saga import Compensated, RunResult, connect, run
from sagalang.runtime.saga import NotSent as NotSentError
from sagalang.runtime.saga_main import main

from .test_examples_run import ORDER
from .twin import checked, compile_to_module

MODULE: Any = compile_to_module(ORDER)
ROOT = Path(__file__).parents[2]


class Payments:
    """Charges in memory; `answers` take the place of the first answers."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.charges: dict[str, tuple[str, Decimal]] = {}
        self.refunds: list[str] = []
        self.asked: list[str] = []

    async def charge(self, order: str, amount: Decimal, *, key: str) -> Any:
        self.asked.append(key)
        self.charges.setdefault(key, (order, amount))
        answer = self.answers.pop(0) if self.answers else MODULE.ChargeResult(payment="p-1")
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def refund(self, of: str) -> None:
        self.refunds.append(of)


class Quiet:
    """Orders and Inventory: whatever they are asked is done."""

    async def create(self, id_: str, sku: str, qty: int, amount: Decimal, *, key: str) -> None: ...
    async def fail(self, id_: str) -> None: ...
    async def confirm(self, id_: str) -> None: ...
    async def reserve(self, order: str, sku: str, qty: int, *, key: str) -> None: ...
    async def release(self, of: str) -> None: ...


def placed(payments: Any, inventory: Any = None) -> RunResult[None]:
    """The order saga on objects only, in simulated time."""
    own = (
        MODULE.ORDERS_SERVICE.by(Quiet())
        | MODULE.PAYMENT_SERVICE.by(payments)
        | MODULE.INVENTORY_SERVICE.by(inventory or Quiet())
    )

    async def go(clock: SimulatedClock) -> RunResult[None]:
        engine = MemoryEngine(clock, connect(MODULE.SERVICES, {}, own=own), lambda: 0.5)
        return await run(MODULE.PLACE_ORDER(MODULE.SAMPLE), engine=engine)

    return simulated(go)


async def over_http(payments: Payments, faults: list[PlannedFault]) -> tuple[Any, list[str]]:
    """The order saga with an own Payment, and the other services as servers over HTTP."""
    world = FakeWorld(ORDER, faults=faults)
    async with serve(world) as mock:
        urls = {f"{name.upper()}_URL": url for name, url in mock.urls.items()}
        transport = connect(MODULE.SERVICES, urls, own=MODULE.PAYMENT_SERVICE.by(payments))
        try:
            engine = MemoryEngine(SystemClock(), transport, lambda: 0.0)
            result = await run(MODULE.PLACE_ORDER(MODULE.SAMPLE), engine=engine)
        finally:
            await transport.aclose()
    return result.outcome, [arrival.operation for arrival in world.arrivals]


def charged(payments: Payments) -> Outcome:
    """One call of `charge`."""
    transport = MODULE.PAYMENT_SERVICE.by(payments)["Payment"]
    contract = MODULE.Payment.charge("o", Decimal(1)).contract
    outcome: Outcome = asyncio.run(transport.call(Request(contract, ("o", Decimal(1)), "k")))
    return outcome


def test_one_service_of_ones_own_beside_others_over_http() -> None:
    payments = Payments()
    outcome, arrived = asyncio.run(over_http(payments, []))
    assert type(outcome).__name__ == "Completed"
    assert arrived == ["Orders.create", "Inventory.reserve", "Orders.confirm"]
    assert list(payments.charges.values()) == [("o-1", Decimal("18.50"))]


def test_it_is_undone_by_the_key_it_was_done_with() -> None:
    payments = Payments()
    empty = PlannedFault("rejects", "Inventory.reserve", error="OutOfStock", fields={"sku": "tea"})
    outcome, arrived = asyncio.run(over_http(payments, [empty]))
    assert outcome.error.name == "OutOfStock"
    assert payments.refunds == list(payments.charges)
    assert arrived == ["Orders.create", "Inventory.reserve", "Orders.fail"]


def test_an_error_of_the_module_rejects() -> None:
    payments = Payments(MODULE.Declined())
    result = placed(payments)
    with pytest.raises(MODULE.Declined):
        _ = result.value
    assert payments.refunds == []


def test_the_fields_of_an_error_arrive() -> None:
    class Empty(Quiet):
        async def reserve(self, order: str, sku: str, qty: int, *, key: str) -> None:
            raise MODULE.OutOfStock(sku=sku)

    with pytest.raises(MODULE.OutOfStock) as caught:
        _ = placed(Payments(), Empty()).value
    assert caught.value.sku == "tea"


@pytest.mark.parametrize(
    "lost", [TimeoutError(), OSError("tok-secret"), SystemExit(1), asyncio.CancelledError()]
)
def test_an_unexpected_exception_is_a_lost_answer(lost: BaseException) -> None:
    payments = Payments(lost, lost)
    result = placed(payments)
    assert result.value is None
    assert len(payments.asked) == 3
    assert len(payments.charges) == 1
    assert "tok-secret" not in repr(result.journal)


def test_what_does_not_fit_is_not_believed_and_not_repeated() -> None:
    payments = Payments({"payment": 3})
    result = placed(payments)
    assert isinstance(result.outcome, Compensated)
    assert result.outcome.error.name == "ContractMismatch"
    assert payments.refunds == payments.asked


def test_a_record_that_holds_something_else_is_not_believed() -> None:
    made = charged(Payments(MODULE.ChargeResult(payment=5)))
    assert isinstance(made, Unknown)
    assert made.error.name == "ContractMismatch"


def test_results_may_be_plain_values_that_fit() -> None:
    assert placed(Payments({"payment": "p", "more": 1})).value is None


@pytest.mark.parametrize("raised", [NotSentError(), ServiceNotSent(retry_after=5)])
def test_not_sent_says_that_nothing_was_done(raised: Exception) -> None:
    assert isinstance(charged(Payments(raised)), NotSent)
    assert placed(Payments(raised)).value is None


def test_plain_methods_run_in_threads() -> None:
    class Plain(Quiet):
        def reserve(  # type: ignore[override]
            self, order: str, sku: str, qty: int, *, key: str
        ) -> None:
            raise MODULE.OutOfStock(sku="in a thread")

    transport = MODULE.INVENTORY_SERVICE.by(Plain())["Inventory"]
    request = Request(MODULE.Inventory.reserve("o", "tea", 1).contract, ("o", "tea", 1), "k")
    outcome = asyncio.run(transport.call(request))
    assert isinstance(outcome, Rejected)
    assert outcome.error.value.sku == "in a thread"


def test_cancellation_reaches_the_method_and_is_not_an_outcome() -> None:
    seen = []

    class Slow(Payments):
        async def charge(self, order: str, amount: Decimal, *, key: str) -> Any:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

    async def go() -> None:
        transport = MODULE.PAYMENT_SERVICE.by(Slow())["Payment"]
        contract = MODULE.Payment.charge("o", Decimal(1)).contract
        task = asyncio.create_task(transport.call(Request(contract, ("o", Decimal(1)), "k")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert seen == ["cancelled"]


def test_errors_and_parameters_that_have_other_names_in_python() -> None:
    module: Any = compile_to_module(
        checked("""
error Call
service S {
  command lambda(id: string, class: int, key_: string) -> { from: string }
    keyed by field "k" for 2h
    rejects Call
    compensate del(key)
  command del(of: key) idempotent, absent ok, fences late
}
saga A(id: string) { id id step S.lambda(id, 1, "x") }
""")
    )
    call = module.S.lambda_("a", 1, "x")
    assert [(q.name, q.wire) for q in call.contract.params] == [
        (name, name) for name in ("id", "class", "key_")
    ]
    assert (call.contract.promises.key_field, call.contract.promises.key_for) == ("k", 7_200_000)

    class Own:
        async def lambda_(self, id_: str, class_: int, key_: str, *, key: str) -> Any:
            if id_ == "a":
                raise module.Call_2
            return module.LambdaResult(from_=f"{key_} {key}")

        async def del_(self, of: str) -> None: ...

    transport = module.S_SERVICE.by(Own())["S"]
    rejected = asyncio.run(transport.call(Request(call.contract, ("a", 1, "x"), "k")))
    assert isinstance(rejected, Rejected)
    assert rejected.error.name == "Call"
    done = asyncio.run(transport.call(Request(call.contract, ("b", 1, "x"), "k")))
    assert isinstance(done, Ok)
    assert done.value.from_ == "x k"


def test_an_unknown_error_of_another_module_is_no_rejection() -> None:
    class Declined2(Exception):  # noqa: N818
        pass

    assert isinstance(charged(Payments(Declined2())), Unknown)


def test_a_foreign_error_of_the_same_name_is_no_rejection() -> None:
    foreign = type("Declined", (Exception,), {})
    payments = Payments(foreign())
    assert isinstance(charged(payments), Unknown)


# --- What is refused ---------------------------------------------------------------------------


def test_a_keyed_command_without_a_key_is_told_at_once() -> None:
    class Keyless(Payments):
        async def charge(self, order: str, amount: Decimal) -> Any:  # type: ignore[override]
            return None

    with pytest.raises(BindingError, match=r"takes no `key`, and Payment.charge is keyed"):
        MODULE.PAYMENT_SERVICE.by(Keyless())


def test_a_method_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(BindingError, match=r"Quiet has no function charge, which Payment.charge"):
        MODULE.PAYMENT_SERVICE.by(Quiet())


def test_a_service_that_there_is_not_is_told_at_once() -> None:
    own = MODULE.PAYMENT_SERVICE.by(Payments())
    with pytest.raises(BindingError, match=r"there is no service Paiment .*did you mean `Payment`"):
        connect(MODULE.SERVICES, {}, own={"Paiment": own["Payment"]})


def test_main_takes_them_as_well(tmp_path: Path, capfdbinary: Any) -> None:
    given = tmp_path / "input.json"
    given.write_text('{"id": "o-1", "sku": "tea", "qty": 1, "amount": 1}')
    own = (
        MODULE.ORDERS_SERVICE.by(Quiet())
        | MODULE.PAYMENT_SERVICE.by(Payments(MODULE.Declined()))
        | MODULE.INVENTORY_SERVICE.by(Quiet())
    )
    assert main((MODULE.PLACE_ORDER,), MODULE.SERVICES, [str(given)], own=own) == 1
    assert b'"error":"Declined"' in capfdbinary.readouterr().out


GOOD = """
from __future__ import annotations
import os
from decimal import Decimal
from order import PAYMENT_SERVICE, SERVICES, ChargeResult, Declined
from sagalang.runtime.saga import connect

class Payments:
    async def charge(self, order: str, amount: Decimal, *, key: str) -> ChargeResult:
        if amount > 100:
            raise Declined
        return ChargeResult(payment=key)

    async def refund(self, of: str) -> None:
        print(of)

connect(SERVICES, os.environ, own=PAYMENT_SERVICE.by(Payments()))
"""
WRONG = [
    ("amount: Decimal, *", "amount: int, *"),
    (", *, key: str", ""),
    ("-> ChargeResult", "-> str"),
    ("async def refund", "def refund"),
    ("refund", "give_back"),
]


def test_a_type_checker_refuses_what_does_not_satisfy_the_protocol(tmp_path: Path) -> None:
    golden = ROOT / "tests/golden/python/order.py"
    (tmp_path / "order.py").write_bytes(golden.read_bytes())
    (tmp_path / "good.py").write_text(GOOD)
    for index, (old, new) in enumerate(WRONG):
        (tmp_path / f"wrong_{index}.py").write_text(GOOD.replace(old, new))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    refused = {line.split(":")[0] for line in done.stdout.splitlines() if 'to "by"' in line}
    assert refused == {f"wrong_{index}.py" for index in range(len(WRONG))}, done.stdout
    assert "good.py" not in done.stdout
