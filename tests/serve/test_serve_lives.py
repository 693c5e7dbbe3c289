"""A server that is killed or told to end, and one that is not the first: real processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import warm
from served import PATIENCE, SAGAS, Bank, Server, order


def test_after_a_kill_in_the_middle_the_next_server_goes_on_and_nothing_happens_twice(
    tmp_path: Path, own_bank: Bank
) -> None:
    own_bank.open.clear()
    with Server(tmp_path, own_bank) as server:
        first = server.start("Reviewed", order("k-1"), key="once")
        server.start("Pay", order("k-2"))
        for _ in range(2):
            assert own_bank.came.acquire(timeout=PATIENCE)  # both calls are under way
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(PATIENCE)
    own_bank.open.set()  # both have their effect, and nobody hears of it
    with Server(tmp_path, own_bank) as server:
        assert server.ended("k-2")["state"] == "completed"
        again = server.start("Reviewed", order("k-1"), key="once")
        assert (again.status_code, again.json()) == (201, first.json())
        server.waiting("k-1")
        assert server.post("/runs/k-1/signals/Review", {"ok": True, "by": "ada"}).is_success
        assert server.ended("k-1")["state"] == "completed"
        assert "restarted" in [data["entry"] for _, data in server.events("k-1")]
    assert sorted(own_bank.orders.values()) == ["k-1", "k-1", "k-2"]  # charged and booked, charged
    assert set(own_bank.effects.values()) == {1}
    assert own_bank.calls.count("/charges") == 4  # each twice, by one key


def test_a_run_that_was_answered_for_is_on_record_whatever_happens(
    tmp_path: Path, own_bank: Bank
) -> None:
    names = [f"a-{number}" for number in range(5)]
    with Server(tmp_path, own_bank) as server:
        for name in names:
            assert server.start("Pay", order(name)).status_code == 201
        os.kill(server.process.pid, signal.SIGKILL)
    with Server(tmp_path, own_bank) as server:
        assert [server.ended(name)["state"] for name in names] == ["completed"] * 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_leaves_its_runs_to_the_next_start(
    tmp_path: Path, own_bank: Bank, number: signal.Signals
) -> None:
    own_bank.open.clear()
    with Server(tmp_path, own_bank) as server:
        server.start("Pay", order("t-1"))
        assert own_bank.came.acquire(timeout=PATIENCE)
        stream = server.events("t-1")
        next(stream)
        server.process.send_signal(number)
        assert list(stream)[-1][1]["entry"] != "saga finished"  # it ends with the server, in order
        out, err = server.process.communicate(PATIENCE)
        assert (server.process.returncode, out, err) == (0, "", "")
        with pytest.raises(httpx.ConnectError):
            server.get("/healthz")
    own_bank.open.set()
    with Server(tmp_path, own_bank) as server:
        assert server.process.stdout.readline() == "goes on with 1 unfinished run on record\n"
        assert server.ended("t-1")["state"] == "completed"
    assert set(own_bank.effects.values()) == {1}


def test_an_answer_that_is_under_way_is_given_before_the_end(
    tmp_path: Path, own_bank: Bank
) -> None:
    with Server(tmp_path, own_bank) as server:
        answers: list[httpx.Response] = []

        def body() -> Iterator[bytes]:
            yield b'{"id": "a-1", '
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            yield b'"amount": 1, "card": "x"}'

        def slowly() -> None:
            headers = {"Content-Type": "application/json"}
            answer = server.client.post("/sagas/Pay/runs", content=body(), headers=headers)
            answers.append(answer)

        thread = threading.Thread(target=slowly)
        thread.start()
        thread.join(PATIENCE)
        assert server.process.wait(PATIENCE) == 0
        assert [answer.status_code for answer in answers] == [201]


def test_a_second_server_on_one_file_refuses(tmp_path: Path, own_bank: Bank) -> None:
    with Server(tmp_path, own_bank) as server:
        second = warm.run(
            "saga", "serve", SAGAS, "--db", tmp_path / "journal.db", "--port", "0", cwd=tmp_path
        )
        assert second.returncode == 2
        told = f"error: journal.db is in use by process {server.process.pid} (saga serve"
        assert second.stderr.startswith(told)
        assert "--db" in second.stderr


def test_a_key_is_known_for_a_day(tmp_path: Path, own_bank: Bank) -> None:
    with Server(tmp_path, own_bank) as server:
        assert server.start("Pay", order("d-1"), key="daily").status_code == 201
        keys = sqlite3.connect(tmp_path / "journal.db.keys")
        keys.execute("UPDATE keys SET at = at - 23 * 3600 * 1000")
        keys.commit()
        assert server.start("Pay", order("d-2"), key="daily").status_code == 422
        keys.execute("UPDATE keys SET at = at - 2 * 3600 * 1000")
        keys.commit()
        keys.close()
        assert server.start("Pay", order("d-2"), key="daily").status_code == 201


def test_a_run_that_cannot_go_on_says_why_and_the_others_do(tmp_path: Path, own_bank: Bank) -> None:
    own_bank.open.clear()
    with Server(tmp_path, own_bank) as server:
        server.start("Pay", order("w-1"))
        assert own_bank.came.acquire(timeout=PATIENCE)
    other = tmp_path / "other.saga"
    needy = SAGAS.read_text().replace("  with quick", '  header "X" env NEEDED\n  with quick', 1)
    other.write_text(needy.replace("saga Pay", "saga Needy", 1))
    with Server(tmp_path, own_bank, files=(other,), env={"NEEDED": "x"}) as server:
        server.start("Needy", order("w-2"))
        assert own_bank.came.acquire(timeout=PATIENCE)
    own_bank.open.set()
    with Server(tmp_path, own_bank) as server:
        assert server.ended("w-1")["state"] == "completed"
        server.stops("w-2", "NEEDED")
        assert server.get("/healthz").is_success


def test_a_run_that_stops_says_why_also_after_a_restart(tmp_path: Path, own_bank: Bank) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with Server(tmp_path / "first", own_bank) as server:
        server.start("Reviewed", order("e-1"))
        server.waiting("e-1")
    with Server(tmp_path / "second", own_bank) as server:  # knows nothing of that, the bank does
        server.start("Reviewed", order("e-1"))
        server.waiting("e-1")
        server.post("/runs/e-1/cancel")
        server.stops("e-1", "e-1 was run before")
    with Server(tmp_path / "second", own_bank) as server:
        server.stops("e-1", "e-1 was run before")
    assert own_bank.refunded == set()


def test_it_starts_from_nothing_and_keeps_nothing_on_fakes(tmp_path: Path) -> None:
    """The command as a shell starts it."""
    command = [sys.executable, "-m", "sagalang", "serve", str(SAGAS), "--mock", "--port", "0"]
    environment = {k: v for k, v in os.environ.items() if k != "SAGA_DB"}
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("serving Pay, Reviewed, Note, Both on fakes of their services")
            url = line.rpartition(" ")[2].strip()
            answer = httpx.post(f"{url}/sagas/Pay/runs", json=order("x"), timeout=PATIENCE)
            assert answer.status_code == 201
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
