"""The tests' side of `mortal`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Nursery:
    """One child lives at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = 0

    def bear(self, mode: str, path: Path, report: Path) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{mode} {path} {report}\n")
        self._process.stdin.flush()
        self.pid = int(self._line())
        return self.pid

    def kill(self) -> None:
        if self.pid:
            with suppress(ProcessLookupError):  # it may have ended
                os.kill(self.pid, signal.SIGKILL)
            self.pid = 0
            assert self._line() == "gone"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def nursery() -> Iterator[Nursery]:
    command, pipe = [sys.executable, "-m", "engines.mortal"], subprocess.PIPE
    folder = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True) as process:
        found = Nursery(process)
        try:
            yield found
        finally:
            found.kill()
            assert process.stdin is not None
            process.stdin.close()


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
