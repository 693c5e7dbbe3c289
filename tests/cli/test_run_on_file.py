"""`saga run` on a journal file, against real services, over the deaths of its process."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import warm
from operated import Operated, until

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from test_order_services import CLIENT, Services, running

ORDER = Path(__file__).parents[2] / "examples" / "order" / "order.saga"
HELD = ("ORDERS", "PAYMENT", "INVENTORY")


@pytest.fixture
def here(tmp_path: Path) -> Operated:
    return Operated(tmp_path)


class Shop:
    """The order example's services, and `saga` commands that reach them."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.folder = folder
        self.urls = dict(zip(HELD, (services.orders, services.payment, services.inventory)))  # noqa: B905
        self.env = {f"{name}_URL": url for name, url in self.urls.items()} | {"SAGA_DB": "j.db"}

    def saga(self, *arguments: str | Path, **env: str) -> Any:
        return warm.run("saga", *arguments, cwd=self.folder, env={**self.env, **env})

    def held(self) -> dict[str, Any]:
        return {name: CLIENT.get(url).json() for name, url in self.urls.items()}


@contextmanager
def shop(folder: Path, *options: str) -> Iterator[Shop]:
    with running(folder / "data", *options) as services:
        yield Shop(folder, services)


def test_a_finished_run_is_found_and_nothing_is_called(tmp_path: Path) -> None:
    with shop(tmp_path) as here:
        first = here.saga("run", ORDER)
        assert first.returncode == 0, first.stderr
        before = here.held()
        second = here.saga("run", ORDER)
        assert here.held() == before
    assert second.returncode == 0
    assert "note: o-1 was completed" in second.stdout
    assert "nothing was called" in second.stdout
    assert "--id o-2" in second.stdout


def test_a_run_that_was_killed_goes_on_without_a_second_effect(tmp_path: Path) -> None:
    # It dies while it waits for an answer of the inventory.
    with shop(tmp_path) as here, socket.create_server(("127.0.0.1", 0)) as silent:
        env = {**here.env, "INVENTORY_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with warm.Started("saga", "run", ORDER, cwd=tmp_path, env=env) as process:
            until(lambda: here.held()["PAYMENT"]["charges"])
            process.kill()
        made = here.saga("run", ORDER)
        held = here.held()
    assert made.returncode == 0, made.stdout + made.stderr
    assert "note: o-1 began" in made.stdout
    assert "went on from its journal" in made.stdout
    assert len(held["PAYMENT"]["charges"]) == 1
    assert held["INVENTORY"]["stock"][1] == {"sku": "tea", "available": 8}
    assert [order["status"] for order in held["ORDERS"]["orders"]] == ["CONFIRMED"]


def test_an_id_that_is_on_record_with_other_input_is_refused(tmp_path: Path) -> None:
    with shop(tmp_path) as here:
        here.saga("run", ORDER)
        before = here.held()
        other = here.saga("run", ORDER, "--input", '{"id":"o-1","sku":"tea","qty":5,"amount":99}')
        assert here.held() == before
    assert other.returncode == 2
    assert "o-1 is on record, with other input; nothing was called" in other.stderr


def test_an_earlier_run_without_a_journal_stops_the_undoing_also_after_a_restart(
    tmp_path: Path,
) -> None:
    with shop(tmp_path, "--stock", "tea=0,cup=5") as here:
        assert here.saga("run", ORDER, SAGA_DB=":memory:").returncode == 1
        before = here.held()
        for _ in range(2):
            stopped = here.saga("run", ORDER)
            assert stopped.returncode == 2
            assert "o-1 was run before" in stopped.stderr
            assert "--take-over" in stopped.stderr
        resumed = here.saga("resume")
        assert resumed.returncode == 1
        assert "failed       o-1: o-1 was run before" in resumed.stdout
        assert here.held() == before, "nothing was undone"
        taken = here.saga("resume", "--take-over")
        assert taken.returncode == 1
        assert taken.stdout.startswith("1 compensated\n")


# --- The definition ----------------------------------------------------------------------------


@pytest.mark.parametrize("became", ["edited", "deleted"])
def test_a_run_goes_on_with_the_definition_that_it_began_with(here: Operated, became: str) -> None:
    here.killed("Stuck", "send")
    file = here.folder / "all.saga"
    if became == "edited":
        file.write_text(file.read_text().replace('step S.do("tell")', 'step S.do("shout")'))
        with here.run("Stuck") as process:
            assert process.wait(30) == 0
    else:
        file.unlink()
        assert here.saga("resume").stdout == "1 completed\n"
    assert here.effects == ["take", "send", "tell"]


def test_a_mock_run_has_no_memory_unless_a_file_is_named(here: Operated) -> None:
    given = ("run", "all.saga", "Stuck", "--mock", "--input", '{"id": "o-1"}')
    for _ in range(2):
        made = here.saga(*given, SAGA_DB="")
        assert made.returncode == 0, made.stderr
        assert "already" not in made.stdout
    assert not (here.folder / ".saga").exists()
    for _ in range(2):
        made = here.saga(*given, "--db", "mock.db", SAGA_DB="")
        assert made.returncode == 0, made.stderr
    assert "o-1 was completed" in made.stdout


# --- The file ----------------------------------------------------------------------------------


def test_without_a_name_the_journal_stands_in_a_folder_of_its_own_for_its_owner_only(
    here: Operated,
) -> None:
    with here.run("Stuck", SAGA_DB="") as process:
        assert process.wait(30) == 0
    folder = here.folder / ".saga"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "journal.db").stat().st_mode & 0o777 == 0o600


def test_the_second_process_on_a_file_is_told_who_has_it(here: Operated) -> None:
    with here.run("Reviewed") as process:
        until(lambda: "take" in here.effects)
        second = here.saga("run", "all.saga", "Stuck", "--input", '{"id": "o-2"}')
        assert second.returncode == 2
        assert f"j.db is in use by process {process.pid} (saga run all.saga" in second.stderr
    assert here.calls == ["take"]


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (a)")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.write_text("my diary, and not to be touched" * 40), "is not a journal"),
        (_foreign, "is not a journal"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
)
def test_a_file_that_is_no_journal_is_refused_and_not_touched(
    here: Operated, make: Any, told: str
) -> None:
    path = here.folder / "other.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    given = ("all.saga", "Stuck", "--input", '{"id": "o-1"}', "--db", "other.db")
    for command in (("run", *given), ("resume", "--db", "other.db")):
        made = here.saga(*command)
        assert made.returncode == 2
        assert told in made.stderr
        assert "Traceback" not in made.stderr
    assert (path.read_bytes() if path.is_file() else None) == before
    assert here.calls == []


def test_a_damaged_journal_is_told_and_nothing_is_called(here: Operated) -> None:
    here.killed("Reviewed", "take")
    here.saga("cancel", "o-1")
    with sqlite3.connect(here.folder / "j.db") as journal:
        journal.execute("UPDATE entries SET body = x'00' WHERE seq = 1")
    calls = here.calls
    made = here.saga("resume")
    assert made.returncode == 1
    assert "an entry of the journal is damaged" in made.stdout
    assert here.calls == calls


@pytest.mark.skipif(os.geteuid() == 0, reason="everything may be written by root")
def test_a_folder_that_cannot_be_written_is_told(here: Operated) -> None:
    folder = here.folder / "closed"
    folder.mkdir(mode=0o500)
    made = here.saga("run", "all.saga", "Stuck", "--input", '{"id": "o-1"}', "--db", "closed/j.db")
    assert made.returncode == 2
    assert "cannot be written" in made.stderr
    assert here.calls == []


def test_a_secret_is_nowhere_in_the_files(here: Operated) -> None:
    card = "4242-4242-4242-4242"
    given = ("run", "all.saga", "Paid", "--input", f'{{"id": "o-1", "card": "{card}"}}')
    with here.begin(*given) as process:
        until(lambda: "pay" in here.effects)
        process.kill()
    assert here.saga("cancel", "o-1").returncode == 0
    assert here.saga("resume").stdout.startswith("1 compensated")
    for path in here.folder.glob("j.db*"):
        assert card.encode() not in path.read_bytes(), path
    assert (here.folder / "j.db.key").stat().st_mode & 0o777 == 0o600


# --- Fakes and services, and Ctrl-C ------------------------------------------------------------


def test_a_run_goes_on_where_it_began_and_nowhere_else(here: Operated) -> None:
    given = ("run", "all.saga", "Stuck", "--db", "j.db", "--input")
    here.saga(*given, '{"id": "on-fakes"}', "--mock")
    on_services = here.saga(*given, '{"id": "on-fakes"}')
    assert on_services.returncode == 2
    assert "on-fakes began on fakes of its services (--mock)" in on_services.stderr
    assert not (here.folder / "calls").exists()
    here.killed("Stuck", "send")
    on_fakes = here.saga("run", "all.saga", "Stuck", "--input", '{"id": "o-1"}', "--mock")
    assert on_fakes.returncode == 2
    assert "o-1 began on its real services" in on_fakes.stderr
    assert here.saga("resume").stdout == "1 completed\n"


DEAF = """
import asyncio, sys

def deaf(*_):
    raise NotImplementedError

asyncio.SelectorEventLoop.add_signal_handler = deaf
sys.argv[0] = "saga"
from sagalang.cli.main import main
main()
"""


def test_ctrl_c_that_comes_before_anybody_listens_says_what_is_left(here: Operated) -> None:
    (here.folder / "hold-take").touch()
    (here.folder / "deaf.py").write_text(DEAF)
    given = ("run", "all.saga", "Stuck", "--db", "j.db", "--input", '{"id": "o-1"}')
    with warm.Started(here.folder / "deaf.py", *given, cwd=here.folder) as process:
        until(lambda: (here.folder / "calls").exists())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(30)
    assert process.returncode == 130
    assert "left as it is: S.do (nobody knows)" in err
    assert "next: saga resume o-1 --db j.db" in err


def test_what_to_type_next_names_the_journal(here: Operated) -> None:
    given = ("run", "all.saga", "Stuck", "--db", "other.db", "--mock", "--input", '{"id": "o-1"}')
    here.saga(*given)
    assert "next: saga run all.saga --id o-2 --db other.db" in here.saga(*given).stdout
    waiting = ("run", "all.saga", "Reviewed", *given[3:], "--cancel-after", "300ms")
    told = here.saga(*(each.replace("o-1", "w 1") for each in waiting)).stderr
    hint = """saga signal 'w 1' Review '{"verdict": …, "by": …}' --db other.db"""
    assert hint in told
