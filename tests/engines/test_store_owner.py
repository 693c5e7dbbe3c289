from __future__ import annotations

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engines.processes import nursery, until
from sagalang.runtime.sqlite import InUseError, open_store, reading


def own(path: Path, wait: float = 0.0) -> str:
    """Who has it, if not we."""
    try:
        with open_store(path, command="test", now=0, wait=wait):
            return ""
    except InUseError as error:
        return str(error)


def owned(report: Path) -> bool:
    return report.exists() and report.read_text() == "owned\n"


def told(report: Path) -> bool:
    return report.exists() and report.read_text().endswith("\n")


def test_a_second_owner_is_refused_and_told_who_it_is(path: Path, tmp_path: Path) -> None:
    with nursery() as children:
        pid = children.bear("own", path, tmp_path / "report")
        until(lambda: owned(tmp_path / "report"))
        assert re.fullmatch(
            rf"journal\.db is in use by process {pid} \(saga serve, since [-\d]+ \d\d:\d\d\)",
            own(path),
        )
        link = tmp_path / "link.db"
        link.symlink_to(path)
        assert "in use" in own(link)
        with reading(path) as reader:
            found = reader.owner()
        assert found is not None
        assert found.pid == pid


def test_an_owner_that_was_killed_is_succeeded_at_once(path: Path, tmp_path: Path) -> None:
    with nursery() as children:
        children.bear("own", path, tmp_path / "report")
        until(lambda: owned(tmp_path / "report"))
        children.kill()
        assert own(path) == ""


def test_an_owner_that_is_stopped_keeps_the_file(path: Path, tmp_path: Path) -> None:
    with nursery() as children:
        pid = children.bear("own", path, tmp_path / "report")
        until(lambda: owned(tmp_path / "report"))
        os.kill(pid, signal.SIGSTOP)
        assert "in use" in own(path, wait=0.2)
        with reading(path) as reader:
            assert reader.runs() == []
        os.kill(pid, signal.SIGCONT)


def test_one_may_wait_for_the_file(path: Path) -> None:
    owned, released = threading.Event(), []

    def other() -> None:
        with open_store(path, command="other", now=0):
            owned.set()
            time.sleep(0.2)
            released.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    owned.wait()
    assert "in use" in own(path)  # also in the same process
    with open_store(path, command="test", now=0, wait=30):
        assert released
    thread.join()


def test_of_many_who_race_for_a_file_one_owns_it(path: Path) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def race(_: int) -> None:
        nonlocal inside, most
        with open_store(path, command="test", now=0, wait=60):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.002)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(race, range(16)))
    assert most == 1


def test_of_two_processes_that_race_one_owns_the_file(path: Path, tmp_path: Path) -> None:
    with nursery() as one, nursery() as two:
        for n in range(5):
            reports = [tmp_path / f"{n}-{k}" for k in (1, 2)]
            pids = [one.bear("own", path, reports[0]), two.bear("own", path, reports[1])]
            until(lambda: all(map(told, reports)))  # noqa: B023
            assert sum(map(owned, reports)) == 1
            assert "in use" in own(path)
            with reading(path) as reader:
                owner = reader.owner()
            assert owner is not None
            assert owner.pid in pids
            one.kill()
            two.kill()


def test_a_forked_child_neither_writes_nor_keeps_the_file(path: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    with nursery() as children:
        children.bear("fork", path, report)
        until(lambda: report.exists() and report.read_text().endswith("\n"))
        word, child = report.read_text().split()
        try:
            assert word == "ClosedError"
            assert "in use" in own(path)
            children.kill()
            assert own(path) == ""  # though the child lives
            os.kill(int(child), 0)
        finally:
            os.kill(int(child), signal.SIGKILL)
