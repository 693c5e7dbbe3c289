"""The shop, interpreted and compiled, over real HTTP and its own Python module."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop" / "shop.saga"
INPUT = {
    "id": "o-1",
    "lines": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}],
    "total": {"amount": 90, "currency": "EUR"},
    "address": "Main St 1",
    "card": "tok",
}
PARALLEL = ("Payment.authorize", "Inventory.reserve", "Payment.release", "Inventory.free")


@contextmanager
def fakes(folder: Path, fault: str | None) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Serves the shop's HTTP services; in the end the list holds the calls they got."""
    options = ["--fault", fault] if fault else []
    calls: list[str] = []
    env = {"SHOP_DB": str(folder / "shop.db")}
    with warm.Started("saga", "mock", SHOP, "--port", "0", *options) as process:
        while not (line := process.stdout.readline()).startswith("next:"):
            assert line, "the fakes ended"
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                env[name] = value
        yield env, calls
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        calls += [line.strip() for line in err.splitlines()]


Start = Callable[[Path, Mapping[str, str]], str]
"""Starts a program in a folder with this environment, and gives what it printed."""


def as_command(*words: str | Path) -> Start:
    return lambda folder, env: warm.run(*words, env=env, cwd=folder).stdout


def as_module(path: Path, module: str, given: Path) -> Start:
    def start(folder: Path, env: Mapping[str, str]) -> str:
        words = [sys.executable, "-m", module, given]
        found = {**os.environ, **env, "PYTHONPATH": str(path)}
        return subprocess.run(
            words, env=found, cwd=folder, stdout=subprocess.PIPE, text=True, check=False
        ).stdout

    return start


def run(folder: Path, start: Start, fault: str | None) -> tuple[str, list[str], str]:
    """Outcome, calls with their keys (parallel parts in any order), status of the order."""
    folder.mkdir()
    with fakes(folder, fault) as (env, calls):
        printed = start(folder, env)
    made = json.loads(printed)
    outcome = made["outcome"]
    kind = outcome["kind"] if isinstance(outcome, dict) else outcome
    with sqlite3.connect(folder / "shop.db") as db:
        (status,) = db.execute("SELECT status FROM orders").fetchone()
    return kind, in_any_order(calls), status


def in_any_order(calls: list[str]) -> list[str]:
    """Neighbours that run in parallel, sorted."""
    made: list[str] = []
    together: list[str] = []
    for call in calls:
        if call.split()[0] in PARALLEL:
            together.append(call)
            continue
        made += [*sorted(together), call]
        together = []
    return [*made, *sorted(together)]


@pytest.mark.parametrize(
    ("fault", "outcome", "status"),
    [
        (None, "completed", "CONFIRMED"),
        ("Payment.authorize rejects Declined", "compensated", "REJECTED"),
        ("Payment.authorize rejects CardExpired", "compensated", "REJECTED"),
        ('Inventory.reserve("B", 2) rejects OutOfStock', "compensated", "REJECTED"),
        ("Shipping.book rejects BadAddress, always", "escalated", "PENDING"),
    ],
)
def test_compiled_and_interpreted_shop_make_the_same_calls_with_the_same_keys(
    tmp_path: Path, fault: str | None, outcome: str, status: str
) -> None:
    given = tmp_path / "order.json"
    given.write_text(json.dumps(INPUT))
    made = warm.run("saga", "compile", SHOP, "-o", tmp_path / "out" / "app")
    assert made.returncode == 0
    interpreted = run(
        tmp_path / "one",
        as_command("saga", "run", SHOP, "--input", given, "--format", "json"),
        fault,
    )
    # Python services are looked for beside the .saga file, and beside the package made of it.
    (tmp_path / "out" / "shop").symlink_to(SHOP.parent / "shop")
    compiled = run(tmp_path / "two", as_module(tmp_path / "out", "app.shop", given), fault)
    assert interpreted[0] == outcome
    assert interpreted[2] == status
    assert interpreted[1]
    assert compiled == interpreted
