"""Processes that begin with everything imported, for tests to which the start is not the point.

A fork of a server that did the imports once: a process of its own with its streams, environment,
signals and exit status, some 20 ms after it is asked for instead of 600. What it does not show is
that the program starts from nothing; one test of each command and exit status starts it for real.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from multiprocessing import forkserver, reduction
from pathlib import Path
from types import TracebackType
from typing import Any, Self


def run(
    program: str | Path,
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run`. `program`: `saga`, or the path of a Python file or package. `env` is
    added to the environment.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as given:
        given.write(stdin.encode())
        given.seek(0)
        with Started(
            program, *arguments, cwd=cwd, env=env, stdin=given.fileno(), stdout=out.fileno()
        ) as process:
            _, err = process.communicate(timeout)
        out.seek(0)
        assert process.returncode is not None
        return subprocess.CompletedProcess(
            [program, *arguments], process.returncode, out.read().decode(), err
        )


class Started:
    """As `subprocess.Popen`: `stdout` is a pipe unless it is given; killed with the block."""

    def __init__(
        self,
        program: str | Path,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> None:
        read, write = os.pipe()
        self.stdout = os.fdopen(read)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the block
        with open(os.devnull) as nothing:
            streams = (
                nothing.fileno() if stdin is None else stdin,
                write if stdout is None else stdout,
                self._stderr.fileno(),
            )
            argv = [str(program), *map(str, arguments)]
            given = (argv, str(cwd or Path.cwd()), {**os.environ, **(env or {})})
            self._process = _server().Process(target=_begin, args=(*given, _Streams(*streams)))
            self._process.start()
        os.close(write)
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutError(f"process {self.pid} did not end within {timeout} s")
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What is left of standard output (a pipe's worth at most), and all of standard error."""
        self.wait(timeout)
        self._stderr.seek(0)
        return self.stdout.read(), self._stderr.read().decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._process.join()
        self.stdout.close()
        self._stderr.close()


class _Streams:
    """File descriptors on their way into another process."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, tuple(reduction.DupFd(number) for number in self.numbers)


@cache
def _server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloaded", "warm"])
    before = os.environ.get("PYTHONPATH")
    # What it imports first it finds by the path of a new interpreter only.
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def _received(*sent: Any) -> tuple[int, ...]:
    return tuple(one.detach() for one in sent)


def _begin(argv: list[str], cwd: str, env: dict[str, str], streams: tuple[int, ...]) -> None:
    """Be the program that `argv` begins with: `saga`, or a Python file or package."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = argv
    if argv[0] == "saga":
        from sagalang.cli.main import main

        main()
    sys.path.insert(0, str(Path(argv[0]).parent))
    runpy.run_path(argv[0], run_name="__main__")
