"""A process whose children own a journal file, and are killed.

Each line on stdin is `MODE PATH REPORT`; a child is forked that does it, its pid is written, and
`gone` when it has ended. Forked, because a Python that starts takes longer than it lives here.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from sagalang.runtime.sqlite import Change, InUseError, NewRun, State, Store, open_store

WRITERS = 8


async def write(path: Path, report: int, lying: bool) -> None:
    """Write without end, and report each sequence number that is said to be durable."""
    with open_store(path, command="test", now=0) as store:
        if lying:
            Store.committed = at_once  # type: ignore[method-assign]
        store.define("hash", "text")
        os.write(report, b"0\n")
        await asyncio.gather(*(begin_runs(store, n, report) for n in range(WRITERS)))


async def at_once(_: Store, __: int) -> None:
    await asyncio.sleep(0)


async def begin_runs(store: Store, writer: int, report: int) -> None:
    n = 0
    while True:
        n += 1
        identity = f"{os.getpid()}-{writer}-{n}"
        new = NewRun(id=identity, saga="Order", definition="hash", began=n)
        run, seq = store.begin(new, b"1")
        await store.committed(seq)
        os.write(report, b"%d\n" % seq)
        for entry in (2, 3):
            seq = store.append(run, b"%d" % entry)
            await store.committed(seq)
            os.write(report, b"%d\n" % seq)
        ended = Change(state=State.COMPLETED, at=n, ended=n)
        seq = store.append(run, b"4", change=ended)
        await store.committed(seq)
        os.write(report, b"%d\n" % seq)


async def own(path: Path, report: int) -> None:
    try:
        with open_store(path, command="saga serve", now=0):
            os.write(report, b"owned\n")
            await asyncio.sleep(60)
    except InUseError:
        os.write(report, b"refused\n")


def child(mode: str, path: Path, report: int) -> None:
    if mode == "fork":
        forked(path, report)
    asyncio.run(own(path, report) if mode == "own" else write(path, report, mode == "lying"))


def forked(path: Path, report: int) -> None:
    """Own the file, and have a child that lives on and owns nothing."""
    with open_store(path, command="parent", now=0) as store:
        if os.fork() == 0:
            try:
                store.append(1, b"")
            except Exception as error:
                os.write(report, f"{type(error).__name__} {os.getpid()}\n".encode())
        time.sleep(60)


def main() -> None:
    for line in sys.stdin:
        mode, path, reported = line.split()
        pid = os.fork()
        if pid == 0:
            report = os.open(reported, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                child(mode, Path(path), report)
            finally:
                os._exit(1)
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main()
