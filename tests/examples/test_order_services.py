"""The order example's services, started as a user starts them and asked over real HTTP."""

import itertools
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import warm

SERVICES = Path(__file__).parents[2] / "examples" / "order" / "services"
JSON = {"Content-Type": "application/json"}
# One for all: each would read the system's certificates, 40 ms. No connection is used twice.
CLIENT = httpx.Client(
    verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0), timeout=20
)


class Services:
    """The services' URLs, and the requests the tests make of them."""

    def __init__(self, process: subprocess.Popen[str] | warm.Started, folder: Path) -> None:
        self.process, self.folder = process, folder
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3)]
        found = dict(re.findall(r"([A-Z]+)_URL=(http://127\.0\.0\.1:\d+)$", "".join(lines), re.M))
        assert list(found) == ["ORDERS", "PAYMENT", "INVENTORY"], lines
        self.orders, self.payment, self.inventory = found.values()

    def create(self, key: str, **changed: Any) -> httpx.Response:
        body = {"id": "o1", "sku": "tea", "qty": 2, "amount": 25.5} | changed
        return post(f"{self.orders}/orders", key, body)

    def charge(self, key: str, amount: float = 25.5, order: str = "o1") -> httpx.Response:
        return post(f"{self.payment}/charges", key, {"order": order, "amount": amount})

    def refund(self, key: str) -> httpx.Response:
        return CLIENT.post(f"{self.payment}/charges/{key}/refund")

    def reserve(self, key: str, qty: int = 2, sku: str = "tea") -> httpx.Response:
        body = {"order": "o1", "sku": sku, "qty": qty}
        return post(f"{self.inventory}/reservations", key, body)

    def release(self, key: str) -> httpx.Response:
        return CLIENT.delete(f"{self.inventory}/reservations/{key}")

    def move(self, order: str, to: str) -> httpx.Response:
        return CLIENT.post(f"{self.orders}/orders/{order}/{to}")

    def charges(self) -> Any:
        return CLIENT.get(self.payment).json()["charges"]

    def statuses(self) -> dict[str, str]:
        return {row["id"]: row["status"] for row in CLIENT.get(self.orders).json()["orders"]}

    def left(self, sku: str = "tea") -> int:
        rows = CLIENT.get(self.inventory).json()["stock"]
        return int(next(row["available"] for row in rows if row["sku"] == sku))


def post(url: str, key: str, body: object) -> httpx.Response:
    return CLIENT.post(url, json=body, headers={"Idempotency-Key": key}, timeout=20)


def problem(response: httpx.Response, status: int, name: str) -> Any:
    assert (response.status_code, response.json().get("type")) == (
        status,
        f"https://sagalang.example/problems/{name}",
    )
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert response.json()["title"]
    return response.json()


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Services]:
    with warm.Started(SERVICES, "--port", "0", "--dir", folder, *options) as process:
        yield Services(process, folder)


def changed(copy: Path, file: str, right: str, wrong: str) -> Path:
    """A copy of the services with one thing changed."""
    shutil.copytree(SERVICES, copy)
    text = (copy / file).read_text("utf-8")
    assert text.count(right) == 1
    (copy / file).write_text(text.replace(right, wrong), "utf-8")
    return copy


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with running(tmp_path / "data") as services:
        yield services


def start(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the services to their end."""
    return warm.run(SERVICES, "--dir", folder, *options)


def start_anew(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The same from nothing, as a shell starts it."""
    command = [sys.executable, str(SERVICES), "--dir", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


# The saga's way forward, and back.


def test_happy_path_and_ledger(services: Services) -> None:
    assert services.create("k-create").is_success
    assert services.statuses() == {"o1": "PENDING"}
    charged = services.charge("k-charge")
    assert charged.status_code == 201
    assert services.reserve("k-reserve").is_success
    for _ in range(2):
        assert services.move("o1", "confirm").is_success
    orders = CLIENT.get(services.orders).json()
    assert orders == {
        "orders": [{"id": "o1", "sku": "tea", "qty": 2, "amount": "25.5", "status": "CONFIRMED"}],
        "fences": [],
    }
    assert services.charges() == [
        {
            "key": "k-charge",
            "payment": charged.json()["payment"],
            "order": "o1",
            "amount": "25.5",
            "status": "CHARGED",
        }
    ]
    assert CLIENT.get(services.inventory).json() == {
        "stock": [{"sku": "cup", "available": 5}, {"sku": "tea", "available": 8}],
        "reservations": [
            {"key": "k-reserve", "order": "o1", "sku": "tea", "qty": 2, "status": "HELD"}
        ],
        "fences": [],
    }


def test_refund_by_key_then_the_late_duplicate_is_refused(services: Services) -> None:
    services.charge("k")
    for _ in range(2):
        assert services.refund("k").is_success
    problem(services.charge("k"), 409, "idempotency/fenced")
    assert [row["status"] for row in services.charges()] == ["REFUNDED"]


def test_refund_of_an_unknown_key_keeps_the_late_charge_out(services: Services) -> None:
    assert services.refund("k").is_success
    for _ in range(2):
        problem(services.charge("k"), 409, "idempotency/fenced")
    assert services.charges() == []
    assert services.charge("another").status_code == 201


def test_release_puts_the_stock_back_once(services: Services) -> None:
    services.reserve("k", qty=4)
    services.reserve("other", qty=1)
    assert services.left() == 5
    for _ in range(2):
        assert services.release("k").is_success
    assert services.left() == 9
    problem(services.reserve("k", qty=4), 409, "idempotency/fenced")
    assert services.left() == 9


def test_release_of_an_unknown_key_keeps_the_late_reservation_out(services: Services) -> None:
    assert services.release("k").is_success
    problem(services.reserve("k"), 409, "idempotency/fenced")
    assert services.left() == 10


def test_fail_is_final(services: Services) -> None:
    services.create("k")
    for _ in range(2):
        assert services.move("o1", "fail").is_success
    problem(services.move("o1", "confirm"), 409, "idempotency/fenced")
    problem(services.create("k"), 409, "idempotency/fenced")
    assert services.statuses() == {"o1": "FAILED"}


def test_a_confirmed_order_cannot_be_failed_any_more(services: Services) -> None:
    services.create("k")
    assert services.move("o1", "confirm").is_success
    problem(services.move("o1", "fail"), 409, "OrderConfirmed")
    assert services.statuses() == {"o1": "CONFIRMED"}


def test_fail_of_an_unknown_order_keeps_the_late_create_out(services: Services) -> None:
    assert services.move("o1", "fail").is_success
    problem(services.create("k"), 409, "idempotency/fenced")
    problem(services.move("o1", "confirm"), 409, "idempotency/fenced")
    assert services.statuses() == {}
    assert services.create("k", id="o2").is_success


def test_confirm_of_an_unknown_order_and_a_second_create(services: Services) -> None:
    problem(services.move("o1", "confirm"), 404, "UnknownOrder")
    services.create("k")
    problem(services.create("another"), 409, "OrderExists")


# Keys.


def test_replay(services: Services) -> None:
    first, again = services.charge("k"), services.charge("k")
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert len(services.charges()) == 1
    for command in (services.create, services.reserve):
        assert command("k").is_success
        assert command("k").headers["Idempotent-Replayed"] == "true"
    assert services.left() == 8


def test_key_reuse(services: Services) -> None:
    services.charge("k", 10)
    problem(services.charge("k", 11), 422, "idempotency/key-reused")
    assert [row["amount"] for row in services.charges()] == ["10"]


def test_missing_key(services: Services) -> None:
    body = {"id": "o1", "order": "o1", "sku": "tea", "qty": 1, "amount": 1}
    for url in (
        f"{services.orders}/orders",
        f"{services.payment}/charges",
        f"{services.inventory}/reservations",
    ):
        problem(CLIENT.post(url, json=body), 400, "idempotency/key-missing")
        problem(post(url, "", body), 400, "idempotency/key-missing")
    assert (services.statuses(), services.charges(), services.left()) == ({}, [], 10)


def test_bad_keys(services: Services) -> None:
    malformed = "idempotency/key-malformed"
    problem(services.charge("k" * 256), 400, malformed)
    problem(services.charge("a, b"), 400, malformed)  # two headers, joined on the way?
    assert services.charge('"a, b"').is_success
    url, body = f"{services.payment}/charges", {"order": "o1", "amount": 1}
    for headers in ([("Idempotency-Key", "ä".encode())], [("Idempotency-Key", "a")] * 2):
        problem(CLIENT.post(url, json=body, headers=headers), 400, malformed)  # type: ignore[arg-type]
    assert [row["key"] for row in services.charges()] == ["a, b"]


def test_quoted_and_slashed_keys(services: Services) -> None:
    services.charge('"saga/1/charge"')
    assert services.charge("saga/1/charge").headers["Idempotent-Replayed"] == "true"
    assert services.refund("saga%2F1%2Fcharge").is_success
    assert [row["status"] for row in services.charges()] == ["REFUNDED"]
    services.reserve("k")
    services.charge("k")
    assert services.refund("%22k%22").is_success
    assert services.release("%22k%22").is_success
    assert [row["status"] for row in services.charges()] == ["REFUNDED"] * 2
    assert services.left() == 10


def test_declined_is_stored_and_replayed(services: Services) -> None:
    assert services.charge("limit", 1000).status_code == 201
    first, again = services.charge("k", 1000.01), services.charge("k", 1000.01)
    problem(first, 402, "Declined")
    problem(again, 402, "Declined")
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert [row["key"] for row in services.charges()] == ["limit"]


def test_out_of_stock_stays_out_for_its_key(services: Services) -> None:
    services.reserve("most", qty=9)
    assert problem(services.reserve("k"), 409, "OutOfStock")["sku"] == "tea"
    services.release("most")
    again = services.reserve("k")
    problem(again, 409, "OutOfStock")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert services.reserve("another").is_success
    assert problem(services.reserve("unknown", sku="gold"), 409, "OutOfStock")["sku"] == "gold"
    assert services.left() == 8


# Concurrency and crashes.


def at_once(count: int, call: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def test_fifty_duplicates_have_one_effect(services: Services) -> None:
    answers = at_once(50, lambda _: services.charge("k"))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len(services.charges()) == 1


def test_the_last_piece_is_sold_once(services: Services) -> None:
    answers = at_once(20, lambda n: services.reserve(f"k{n}", qty=1))
    assert sum(answer.is_success for answer in answers) == 10
    assert services.left() == 0


def test_charges_racing_their_refunds_are_never_left_charged(services: Services) -> None:
    def call(n: int) -> httpx.Response:
        return services.refund(f"k{n // 2}") if n % 2 else services.charge(f"k{n // 2}")

    at_once(40, call)
    at_once(20, lambda n: services.charge(f"k{n}"))  # each once more, late
    assert {row["status"] for row in services.charges()} <= {"REFUNDED"}


def test_a_key_outlives_a_kill(services: Services) -> None:
    first = services.charge("k")
    services.process.kill()
    services.process.wait()
    with running(services.folder) as restarted:
        again = restarted.charge("k")
        assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")
        assert len(restarted.charges()) == 1


@contextmanager
def opened(services: Services, name: str) -> Iterator[sqlite3.Connection]:
    path = services.folder / f"{name}.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db


def test_effect_and_record_come_together_or_not_at_all(services: Services) -> None:
    with opened(services, "payment") as db:
        db.execute(
            "CREATE TRIGGER crash BEFORE INSERT ON idempotency_records"
            " BEGIN SELECT RAISE(FAIL, 'crash'); END"
        )
        broken = services.charge("k")
        assert broken.status_code == 500
        assert broken.headers["Content-Type"] == "application/problem+json"
        assert services.charges() == []
        db.execute("DROP TRIGGER crash")
    assert "Idempotent-Replayed" not in services.charge("k").headers
    assert len(services.charges()) == 1


def test_fence_and_undo_come_together_or_not_at_all(services: Services) -> None:
    services.reserve("k")
    with opened(services, "inventory") as db:
        db.execute(
            "CREATE TRIGGER crash BEFORE UPDATE ON reservations"
            " BEGIN SELECT RAISE(FAIL, 'crash'); END"
        )
        assert services.release("k").status_code == 500
        db.execute("DROP TRIGGER crash")
    assert services.left() == 8
    assert CLIENT.get(services.inventory).json()["fences"] == []
    services.release("k")
    assert services.left() == 10


def test_a_stuck_writer_makes_later_ones_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = changed(
        tmp_path / "hasty", "service.py", "SQLiteStore(path)", "SQLiteStore(path, patience=0.3)"
    )
    monkeypatch.setattr(sys.modules[__name__], "SERVICES", hasty)
    with running(tmp_path / "data") as services, opened(services, "payment") as db:
        db.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            refund = pool.submit(services.refund, "other")
            charge = services.charge("k")
        problem(charge, 409, "idempotency/in-progress")
        problem(refund.result(), 503, "idempotency/busy")
        assert charge.headers["Retry-After"] == refund.result().headers["Retry-After"] == "1"
        db.execute("ROLLBACK")
        assert "Idempotent-Replayed" not in services.charge("k").headers


# Nonsense.

ORDER = b'{"id": %s, "sku": %s, "qty": %s, "amount": %s}'
MALFORMED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"[" * 10_000,
    b'{"id":' * 2_000,
    ORDER % (b'"o1"', b'"tea"', b"1", b"NaN"),
    ORDER % (b'"o1"', b'"tea"', b"1", b'1, "note": NaN'),
    ORDER % (b'"o1"', b'"tea"', b"1", b"Infinity"),
    ORDER % (b'"o1"', b'"tea"', b"1", b"-1"),
    ORDER % (b'"o1"', b'"tea"', b"1", b"-0.0"),
    ORDER % (b'"o1"', b'"tea"', b"1", b'"1"'),
    ORDER % (b'"o1"', b'"tea"', b"1", b"true"),
    ORDER % (b'"o1"', b'"tea"', b"1", b"1e999999"),
    ORDER % (b'"o1"', b'"tea"', b"1", b"1e99999999999999999999"),
    ORDER % (b'"o1"', b'"tea"', b"1", b"9" * 5_000),
    ORDER % (b'"o1"', b'"tea"', b"1", b"9" * 400),
    ORDER % (b'"o1"', b'"tea"', b"0", b"1"),
    ORDER % (b'"o1"', b'"tea"', b"-1", b"1"),
    ORDER % (b'"o1"', b'"tea"', b"1.5", b"1"),
    ORDER % (b'"o1"', b'"tea"', b"true", b"1"),
    ORDER % (b'"o1"', b'"tea"', b"99999999999999999999", b"1"),
    ORDER % (b'"o1"', b'""', b"1", b"1"),
    ORDER % (b'"o1"', b"null", b"1", b"1"),
    ORDER % (b'"o1"', b"7", b"1", b"1"),
    ORDER % (b'"o1"', rb'"\ud800"', b"1", b"1"),
    ORDER % (rb'"\u0000"', b'"tea"', b"1", b"1"),
    ORDER % (b'"' + b"o" * 201 + b'"', b'"tea"', b"1", b"1"),
]


def test_malformed_bodies_are_refused_and_change_nothing(services: Services) -> None:
    keys = (f"k{n}" for n in itertools.count())

    def send(url: str, body: bytes) -> httpx.Response:
        return CLIENT.post(url, content=body, headers={"Idempotency-Key": next(keys)} | JSON)

    for body in MALFORMED:
        problem(send(f"{services.orders}/orders", body), 400, "Malformed")
    for url in (f"{services.payment}/charges", f"{services.inventory}/reservations"):
        for body in (
            b"{",
            b'{"order": "o1"}',
            b'{"order": 1, "amount": 1, "sku": "tea", "qty": 1}',
        ):
            problem(send(url, body), 400, "Malformed")
    assert (services.statuses(), services.charges(), services.left()) == ({}, [], 10)
    problem(services.create("k0"), 422, "idempotency/key-reused")  # a refusal is an answer too


def test_a_large_body_is_refused(services: Services) -> None:
    problem(services.create("k", note="x" * 20_000), 413, "idempotency/body-too-large")
    assert services.create("k").is_success  # nothing was recorded


def test_odd_requests_are_problems_too(services: Services) -> None:
    answers = {
        404: [
            CLIENT.get(f"{services.orders}/nothing"),
            CLIENT.post(f"{services.orders}/orders/", headers={"Host": "["}),
        ],
        400: [
            CLIENT.delete(f"{services.inventory}/reservations/"),
            CLIENT.post(f"{services.payment}/charges//refund"),
            services.refund("%ED%A0%80%00"),
            services.move("%00", "confirm"),
        ],
        405: [CLIENT.put(f"{services.orders}/orders")],
        200: [services.refund("%ED%A0%80"), services.move("%FF%2F..", "fail")],
    }
    for status, responses in answers.items():
        for response in responses:
            assert response.status_code == status, response.request.url
            kind = "application/problem+json" if status >= 400 else "application/json"
            assert response.headers["Content-Type"] == kind


def test_amounts_stay_exact(services: Services) -> None:
    sent = ["0", "0.10", "12345678901.234567890123456789", "1e-7"]
    for n, amount in enumerate(sent):
        body = ORDER % (b'"o%d"' % n, b'"tea"', b"1", amount.encode())
        headers = {"Idempotency-Key": f"k{n}"} | JSON
        assert CLIENT.post(f"{services.orders}/orders", content=body, headers=headers).is_success
    rows = CLIENT.get(services.orders).json()["orders"]
    assert [row["amount"].lower() for row in rows] == sent


# The command line.


def test_data_stays_unless_reset_and_stock_is_set_when_given(tmp_path: Path) -> None:
    with running(tmp_path, "--stock", "tea=3,cup=0") as services:
        services.reserve("k", qty=1)
        services.charge("k")
        problem(services.reserve("c", sku="cup"), 409, "OutOfStock")
    with running(tmp_path) as services:
        assert (services.left(), len(services.charges())) == (2, 1)
    with running(tmp_path, "--stock", "tea=0") as services:
        assert (services.left(), len(services.charges())) == (0, 1)
    with running(tmp_path, "--reset") as services:
        assert (services.left(), services.left("cup"), services.charges()) == (10, 5, [])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stops_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, str(SERVICES), "--port", "0", "--dir", str(tmp_path)]
    with started(command) as process:
        services = Services(process, tmp_path)
        with httpx.Client() as client:  # an idle connection does not hold the services up
            client.get(services.orders)
            process.send_signal(how)
            assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_ports_in_a_row(tmp_path: Path) -> None:
    script = (
        "import os; print(*(os.environ[n + '_URL'] for n in ('ORDERS', 'PAYMENT', 'INVENTORY')))"
    )
    command = [sys.executable, "-c", script]
    for port in range(18_101, 18_201, 3):  # others may hold some of them
        ran = start(tmp_path, "--port", str(port), "--run", "--", *command)
        if ran.returncode == 0:
            break
    assert ran.stdout.split() == [f"http://127.0.0.1:{port + n}" for n in range(3)]


def test_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = start_anew(tmp_path, "--port", str(port))
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert re.fullmatch(
        rf"Cannot listen on port {port}: [^.()]*\. Choose other ports with --port\.\n", ran.stderr
    )


def test_data_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "orders.db").write_text("no database, though long enough to be looked at" * 10)
    for folder in (tmp_path, tmp_path / "orders.db"):
        ran = start(folder, "--port", "0")
        assert ran.returncode == 2
        assert re.fullmatch(r"Cannot keep data in .*\.\n", ran.stderr)


def test_data_of_an_earlier_version_are_not_mixed_with_ours(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "payment.db")) as db:
        db.execute("CREATE TABLE answers (key TEXT)")
    ran = start(tmp_path, "--port", "0")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"The data in {tmp_path} are of an earlier version. Start without them: --reset.\n"
    )
    with running(tmp_path, "--reset") as services:
        assert services.charge("k").is_success


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "65534"],
        ["--port", "x"],
        ["--stock", "tea"],
        ["--stock", "=1"],
        ["--stock", "tea=-1"],
        ["--run"],
        ["--", "true"],
        ["--run", "--"],
    ],
)
def test_bad_arguments(tmp_path: Path, options: list[str]) -> None:
    ran = start(tmp_path / "data", *options)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "data").exists()


def test_run_serves_the_command_and_exits_as_it_does(tmp_path: Path) -> None:
    script = (
        "import os, sys, urllib.request as r\n"
        "for name in ('ORDERS', 'PAYMENT', 'INVENTORY'):\n"
        "    print(r.urlopen(os.environ[name + '_URL']).status)\n"
        "print(sys.argv[1:])\n"
        "sys.exit(7)"
    )
    command = [sys.executable, "-c", script, "--", "--reset"]
    ran = start_anew(tmp_path, "--port", "0", "--run", "--", *command)
    assert ran.returncode == 7, ran.stderr
    assert ran.stdout == "200\n200\n200\n['--', '--reset']\n"


def test_run_of_a_killed_or_missing_command(tmp_path: Path) -> None:
    script = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    ran = start_anew(tmp_path, "--port", "0", "--run", "--", sys.executable, "-c", script)
    assert ran.returncode == 128 + signal.SIGKILL
    ran = start_anew(tmp_path, "--port", "0", "--run", "--", str(tmp_path / "missing"))
    assert ran.returncode == 127
    assert "Traceback" not in ran.stderr


def test_run_passes_sigterm_on(tmp_path: Path) -> None:
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    options = ["--port", "0", "--dir", str(tmp_path), "--run", "--"]
    command = [sys.executable, str(SERVICES), *options, sys.executable, "-c", script]
    with started(command) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        process.terminate()
        assert process.wait(timeout=10) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
