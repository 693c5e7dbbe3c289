"""Start the order example's three services: Orders, Payment and Inventory.

python examples/order/services                      serve until Ctrl-C
python examples/order/services --run -- CMD ...     serve while CMD runs, exit as CMD exits
"""

import argparse
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import inventory
import orders
import payment
import uvicorn
from starlette.applications import Starlette

NAMES = ("orders", "payment", "inventory")
SOME_STOCK = {"tea": 10, "cup": 5}


def main() -> int:
    options, command = arguments(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends us as Ctrl-C does
    try:
        # Ports before files: if the services already run, --reset must not pull theirs away.
        sockets = [listen(options.port and options.port + i) for i in range(len(NAMES))]
        apps = open_apps(options.dir, options.stock, options.reset)
        with serving(apps, sockets):
            urls = {
                f"{name.upper()}_URL": f"http://127.0.0.1:{sock.getsockname()[1]}"
                for name, sock in zip(NAMES, sockets, strict=True)
            }
            for name, (variable, url) in zip(NAMES, urls.items(), strict=True):
                # With --run, standard output is all CMD's.
                out = sys.stderr if command else sys.stdout
                print(f"{name.capitalize():10} {variable}={url}", file=out, flush=True)
            if command:
                return run(command, urls)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return 130 if command else 0
    except StartError as error:
        print(error, file=sys.stderr)
        return 2


class StartError(Exception):
    """Why the services cannot start, in a sentence."""


def arguments(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    # Split by hand: what follows "--" is CMD's, whatever it looks like.
    split = argv.index("--") if "--" in argv else len(argv)
    argv, command = argv[:split], argv[split + 1 :]
    parser = argparse.ArgumentParser(
        prog="services",
        usage="%(prog)s [options] [--run -- CMD ...]",
        description="Start the order example's services: Orders, Payment and Inventory.",
    )
    parser.add_argument(
        "--dir", type=Path, default=Path(".saga-services"), help="where the data is (%(default)s)"
    )
    parser.add_argument(
        "--port",
        type=port,
        default=7101,
        help="the first of three ports in a row (%(default)s); 0 takes free ones",
    )
    parser.add_argument(
        "--stock", type=stock, metavar="tea=10,cup=5", help="set what the inventory has left"
    )
    parser.add_argument("--reset", action="store_true", help="start with no data")
    parser.add_argument(
        "--run", action="store_true", help="run CMD with the services' URLs in its environment"
    )
    options = parser.parse_args(argv)
    if options.run != bool(command):
        parser.error("a command to run is given as: --run -- CMD ...")
    return options, command


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535 - 2:
        raise ValueError
    return number


def stock(text: str) -> dict[str, int]:
    items = {}
    for item in text.split(","):
        sku, _, count = item.rpartition("=")
        items[sku] = int(count)
        if not sku or not sku.isprintable() or not 0 <= items[sku] <= 10**9:
            raise ValueError
    return items


def listen(port: int) -> socket.socket:
    try:
        listening = socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as error:
        why = os.strerror(error.errno or 0)  # without the address that create_server adds
        raise StartError(
            f"Cannot listen on port {port}: {why}. Choose other ports with --port."
        ) from None
    # An answer is sent in two parts; without this the second waits 40 ms on a kept connection.
    # asyncio sets it only for sockets that it makes itself.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def open_apps(folder: Path, stock: Mapping[str, int] | None, reset: bool) -> list[Starlette]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{name}.db" for name in NAMES]
        if reset:
            for file in files:
                for part in ("", "-wal", "-shm"):
                    Path(f"{file}{part}").unlink(missing_ok=True)
        if any(file.exists() and is_old(file) for file in files):
            raise StartError(
                f"The data in {folder} are of an earlier version. Start without them: --reset."
            )
        if stock is None:
            stock = {} if files[2].exists() else SOME_STOCK
        return [orders.app(files[0]), payment.app(files[1]), inventory.app(files[2], stock)]
    except (OSError, sqlite3.Error) as error:
        raise StartError(f"Cannot keep data in {folder}: {error}.") from None


def is_old(file: Path) -> bool:
    """Before sagalang.idempotency the services kept keys and fences in tables of their own."""
    with closing(sqlite3.connect(file)) as db:
        found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone()
    return found is not None


@contextmanager
def serving(apps: list[Starlette], sockets: list[socket.socket]) -> Iterator[None]:
    """Serve from a thread each: there uvicorn leaves the signals to us."""
    configs = [
        uvicorn.Config(app, lifespan="off", log_level="warning", timeout_graceful_shutdown=3)
        for app in apps
    ]
    servers = [uvicorn.Server(config) for config in configs]
    threads = [
        Thread(target=server.run, args=([sock],), daemon=True)
        for server, sock in zip(servers, sockets, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        while not all(server.started for server in servers):
            time.sleep(0.01)
        yield
    finally:
        for server in servers:
            server.should_exit = True
        for thread in threads:
            thread.join()


def run(command: list[str], urls: dict[str, str]) -> int:
    try:
        child = subprocess.Popen(command, env=os.environ | urls)
    except OSError as error:
        print(f"Cannot run {command[0]}: {error.strerror}.", file=sys.stderr)
        return 127
    # Ctrl-C reaches CMD without our help, and CMD decides what it means; SIGTERM we pass on.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    status = child.wait()
    return status if status >= 0 else 128 - status  # ended by a signal: say it as a shell would


if __name__ == "__main__":
    sys.exit(main())
