"""The campaign: orchestrators and services are killed at random, and then the books are checked.

PYTHONPATH=tests python -m campaign --kills 1000 --seed 1
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from campaign.orchestrator import Order, live, loaded, order
from campaign.service import connect
from sagalang.host.definitions import restored
from sagalang.runtime import journal as j
from sagalang.runtime.sqlite import Reader, Run, State, reading
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.sqlite_history import history

SERVICE = Path(__file__).parent / "service.py"


@dataclass
class Told:
    """What a campaign came to. `wrong`: everything that should not be."""

    seed: int
    kills: int = 0
    services_killed: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Services:
    """The process of the services, on one port for all its lives."""

    def __init__(self, ledger: Path, seed: int, *how: str) -> None:
        self._ledger, self._seed, self._how, self._lives = ledger, seed, how, 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _start(self) -> None:
        self._lives += 1
        arguments = [str(self._port), str(self._ledger), f"{self._seed}{self._lives}", *self._how]
        self._process = subprocess.Popen([sys.executable, str(SERVICE), *arguments])
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("the services do not start")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def revive(self) -> None:
        self.kill()
        self._start()


def campaign(
    folder: Path, seed: int, kills: int, *how: str, say: Callable[[str], None] = lambda _: None
) -> Told:
    """Kill `kills` orchestrators, each at a random instant, some services with them; then let
    everything come to its end, and check. `how`: see `service`."""
    loaded()  # once, before the forks
    draw, told = Random(seed), Told(seed)
    journal, ledger = folder / "journal.db", folder / "ledger.db"
    services, begun = Services(ledger, seed, *how), 0
    try:
        while told.kills < kills:
            new = draw.choice([0, 1, 1, 2])
            pid = _life(journal, services.url, seed, range(begun, begun + new))
            begun += new
            time.sleep(
                draw.choice([0.0, draw.uniform(0, 0.1), draw.uniform(0, 0.5), draw.uniform(0, 1)])
            )
            if draw.random() < 0.15:
                services.revive()
                told.services_killed += 1
                time.sleep(draw.uniform(0, 0.1))
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            told.kills += os.WIFSIGNALED(status)
            if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != 0:
                told.wrong.append("an orchestrator failed")
                break
            if told.kills % 100 == 0 and os.WIFSIGNALED(status):
                say(f"{told.kills} kills, {begun} sagas")
        pid = _life(journal, services.url, seed, range(begun))
        _, status = os.waitpid(pid, 0)
        if status != 0:
            told.wrong.append("the last orchestrator failed")
    finally:
        services.kill()
    check(journal, ledger, seed, begun, told)
    return told


def _life(journal: Path, url: str, seed: int, numbers: range) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(live(journal, url, seed, numbers))
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


# --- The books -------------------------------------------------------------------------------


def check(journal: Path, ledger: Path, seed: int, begun: int, told: Told) -> None:
    """Every saga has ended, and the services hold what its end says."""
    db = connect(ledger)
    told.wrong += [what for (what,) in db.execute("SELECT what FROM violations")]
    with reading(journal) as reader:
        runs = [run for run in reader.runs(limit=None) if run.parent is None]
        if len(runs) != begun:
            told.wrong.append(f"{begun} sagas were begun, and {len(runs)} are on record")
        for run in runs:
            told.ends[run.state.value] += 1
            number = int(run.id[1:])
            assert order(seed, number).id == run.id
            wrong = _run(db, run, complete(run, order(seed, number)))
            told.wrong += [f"{run.id} ({run.state.value}): {what}" for what in wrong]
        told.wrong += _keys(reader, Sealing(journal), runs)
    db.close()


def _run(db: sqlite3.Connection, run: Run, wanted: Counter[tuple[str, str]]) -> list[str]:
    rows = db.execute(
        "SELECT operation, run, undone FROM effects WHERE run = ? OR run LIKE ?",
        (run.id, f"{run.id} %"),
    ).fetchall()
    there = Counter((operation, whose) for operation, whose, undone in rows if not undone)
    match run.state:
        case State.RUNNING:
            return ["it has not ended"]
        case State.COMPENSATED:
            return [f"{what} is left" for what in there]
        case State.COMPLETED:
            expected = wanted
        case State.ESCALATED:
            # Only a parcel that nobody can deliver escalates here: it is paid, and not booked.
            expected = wanted - Counter({("Shipping.book", run.id): 1})
    extra, missing = there - expected, expected - there
    return [
        *(f"{what} is there {n} times too often" for what, n in extra.items()),
        *(f"{what} is missing" for what in missing),
    ]


def complete(run: Run, wanted: Order) -> Counter[tuple[str, str]]:
    """What is there once a run has completed."""
    given = wanted.given
    if run.saga == "Journey":
        nights = [f"{run.id} {city}" for city in given["cities"]]
        made = [("Orders.create", run.id), ("Rooms.take", run.id)]
        made += [(what, night) for night in nights for what in ("Rooms.take", "Payment.authorize")]
        return Counter(made)
    once = ("Orders.create", "Payment.authorize", "Payment.capture", "Shipping.book")
    found = Counter((what, run.id) for what in once)
    found["Inventory.reserve", run.id] = len(given["order"]["lines"])
    return found


def _keys(reader: Reader, sealing: Sealing, runs: list[Run]) -> list[str]:
    """No key stands for two calls."""
    owners: dict[str, object] = {}
    codecs = {}
    wrong = []
    for run in runs:
        if run.definition not in codecs:
            text = reader.definition(run.definition)
            assert text is not None
            codecs[run.definition] = restored(run.definition, text, sealing).stored.codec
        for _, entry in history(reader, codecs[run.definition], run):
            if isinstance(entry, j.Intent) and entry.key is not None:
                owner = (entry.saga_id, entry.place, entry.purpose)
                if owners.setdefault(entry.key, owner) != owner:
                    wrong.append(f"{entry.key} stands for {owner} and {owners[entry.key]}")
    return wrong
