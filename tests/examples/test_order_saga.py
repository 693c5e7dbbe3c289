"""The order saga against its real services: HTTP, SQLite, one process, started by one command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
from test_order_services import CLIENT, running

ROOT = Path(__file__).parents[2]
ORDER = ROOT / "examples" / "order"
SAGA = Path(sys.executable).parent / "saga"

SHOW = """
import json, os, sys, urllib.request
from subprocess import run
done = run(sys.argv[1:], capture_output=True, text=True)
held = {
    name: json.load(urllib.request.urlopen(os.environ[name + "_URL"] + "/"))
    for name in ("ORDERS", "PAYMENT", "INVENTORY")
}
print(json.dumps({"status": done.returncode, "out": done.stdout, "err": done.stderr, **held}))
"""


def run_anew(folder: Path) -> dict[str, Any]:
    """As the README has it: one command starts the services, and the saga while they run."""
    services = [sys.executable, str(ORDER / "services"), "--port", "0"]
    services += ["--dir", str(folder / "data"), "--run", "--"]
    done = subprocess.run(
        [*services, sys.executable, "-c", SHOW, str(SAGA), "run", str(ORDER / "order.saga")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def run(
    folder: Path, *arguments: str, stock: str | None = None, compiled: Path | None = None
) -> dict[str, Any]:
    """Run the saga while the services run; what it printed, and what the services hold after."""
    program = ["saga", "run", ORDER / "order.saga"] if compiled is None else [compiled]
    with running(folder / "data", *(["--stock", stock] if stock else [])) as services:
        urls = {"ORDERS": services.orders, "PAYMENT": services.payment}
        urls["INVENTORY"] = services.inventory
        env = {f"{name}_URL": url for name, url in urls.items()}
        done = warm.run(*program, *arguments, cwd=folder, env=env)
        held = {name: CLIENT.get(url).json() for name, url in urls.items()}
    return {"status": done.returncode, "out": done.stdout, "err": done.stderr, **held}


def test_order_completes_on_the_real_services(tmp_path: Path) -> None:
    made = run_anew(tmp_path)
    assert made["status"] == 0, made["err"]
    assert made["out"].startswith("completed")
    assert [order["status"] for order in made["ORDERS"]["orders"]] == ["CONFIRMED"]
    assert len(made["PAYMENT"]["charges"]) == 1
    assert made["INVENTORY"]["stock"] == [
        {"sku": "cup", "available": 5},
        {"sku": "tea", "available": 8},
    ]


def test_empty_stock_means_refund_and_failed_order(tmp_path: Path) -> None:
    made = run(tmp_path, stock="tea=0,cup=5")
    assert made["status"] == 1
    assert made["out"].startswith('compensated with OutOfStock { sku: "tea" }')
    assert [order["status"] for order in made["ORDERS"]["orders"]] == ["FAILED"]
    (charge,) = made["PAYMENT"]["charges"]
    assert charge["status"] == "REFUNDED"
    assert made["PAYMENT"]["fences"][0]["key"] == charge["key"], "the refund names the charge's key"


def test_declined_payment_means_failed_order_and_no_refund(tmp_path: Path) -> None:
    dear = '{"id": "o-1", "sku": "tea", "qty": 1, "amount": 5000}'
    made = run(tmp_path, "--input", dear)
    assert made["status"] == 1
    assert made["out"].startswith("compensated with Declined")
    assert made["PAYMENT"]["charges"] == []
    assert made["PAYMENT"]["fences"] == []
    assert [order["status"] for order in made["ORDERS"]["orders"]] == ["FAILED"]


def test_second_run_with_the_same_id_does_nothing_twice_and_proposes_another(
    tmp_path: Path,
) -> None:
    first, second = run(tmp_path), run(tmp_path)
    assert first["status"] == second["status"] == 0
    assert "remember" not in first["out"]
    assert "the services remember o-1" in second["out"]
    assert "--id o-2" in second["out"]
    assert first["PAYMENT"] == second["PAYMENT"]
    assert first["INVENTORY"] == second["INVENTORY"]
    third = run(tmp_path, "--id", "o-2")
    assert third["status"] == 0
    assert len(third["PAYMENT"]["charges"]) == 2


def test_same_id_with_other_input_never_breaks_a_finished_order(tmp_path: Path) -> None:
    run(tmp_path)
    other = '{"id": "o-1", "sku": "tea", "qty": 5, "amount": 99}'
    made = run(tmp_path, "--input", other)
    assert made["status"] == 2
    assert "o-1 was run before" in made["err"]
    assert "nothing was undone" in made["err"]
    assert [order["status"] for order in made["ORDERS"]["orders"]] == ["CONFIRMED"]
    assert len(made["PAYMENT"]["charges"]) == 1


def test_a_second_run_that_fails_undoes_nothing_of_the_first_unless_told_to(
    tmp_path: Path,
) -> None:
    first = run(tmp_path, stock="tea=0,cup=5")
    assert first["status"] == 1
    again = run(tmp_path)
    assert again["status"] == 2
    assert "--take-over" in again["err"]
    assert again["ORDERS"] == first["ORDERS"]
    taken = run(tmp_path, "--take-over")
    assert taken["status"] == 1
    assert taken["out"].startswith("compensated")


@pytest.mark.parametrize("mock", [False, True])
def test_keys_are_the_same_on_fakes_and_on_real_services(tmp_path: Path, mock: bool) -> None:
    expected = {
        "Orders.create": "601153c0-6d8d-53bc-853e-912be5c0c781",
        "Payment.charge": "d134158b-217c-5940-91b2-3cb367bff238",
        "Inventory.reserve": "612c9207-62c6-5d1a-99fa-b59c808d1a88",
    }
    if mock:
        done = warm.run("saga", "run", ORDER / "order.saga", "--mock", "--format", "json")
        steps = json.loads(done.stdout)["steps"]
    else:
        steps = json.loads(run(tmp_path, "--format", "json")["out"])["steps"]
    found = {step["operation"]: step["key"] for step in steps}
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("amount", "stock", "outcome"),
    [
        ("18.50", None, "completed"),
        ("18.50", "tea=0,cup=5", "compensated"),
        ("5000", None, "compensated"),
    ],
)
def test_compiled_saga_leaves_the_same_in_the_real_services(
    tmp_path: Path, amount: str, stock: str | None, outcome: str
) -> None:
    """Same keys, same effects, same undoing, whether interpreted or compiled."""
    (tmp_path / "order.json").write_text(
        f'{{"id": "o-1", "sku": "tea", "qty": 2, "amount": {amount}}}'
    )
    out = tmp_path / "out"
    assert warm.run("saga", "compile", ORDER / "order.saga", "-o", out).returncode == 0
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    given = str(tmp_path / "order.json")
    interpreted = run(tmp_path / "one", "--input", given, stock=stock)
    compiled = run(tmp_path / "two", given, stock=stock, compiled=out / "order.py")
    assert interpreted["out"].startswith(outcome)
    assert json.loads(compiled["out"])["outcome"] == outcome, compiled["err"]
    assert compiled["status"] == interpreted["status"]
    for service in ("ORDERS", "PAYMENT", "INVENTORY"):
        assert without_ids(compiled[service]) == without_ids(interpreted[service])


def without_ids(held: Any) -> Any:
    """What a service holds, without the numbers that it draws itself."""
    if isinstance(held, list):
        return [without_ids(item) for item in held]
    if isinstance(held, dict):
        return {name: without_ids(item) for name, item in held.items() if name != "payment"}
    return held
