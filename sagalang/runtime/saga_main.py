"""The command line of a compiled module: arguments as JSON in, the outcome as JSON out.

    python order.py input.json
    python order.py - < input.json

Exit status: 0 completed, 1 compensated or escalated, 2 could not run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sagalang.machine.events import Compensated, Completed
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.codec import DecodeError, Mode, dump, parse, plain, read, refuse_unknown
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.logs import LEVELS, log, to_stderr
from sagalang.runtime.observers import Observer, observers
from sagalang.runtime.problems import ConnectProblem
from sagalang.runtime.saga import BadValue, RunResult, begin, connect
from sagalang.runtime.saga_calls import SagaCall, SagaDefinition
from sagalang.runtime.saga_services import Service
from sagalang.runtime.telemetry import observing


def main(
    sagas: Sequence[SagaDefinition[..., Any]],
    services: Sequence[Service],
    argv: Sequence[str] | None = None,
) -> int:
    """Run a saga on the input that the command line names; the exit status."""
    parser = argparse.ArgumentParser(description="Run a saga on JSON and print its outcome.")
    names = [saga.name for saga in sagas]
    if len(sagas) > 1:
        parser.add_argument("saga", choices=names, help="which saga")
    parser.add_argument("input", nargs="?", default="-", help="a JSON file; - is standard input")
    parser.add_argument("--id", help="the run's id, instead of the one the saga gives")
    parser.add_argument("--log-level", choices=LEVELS, help="log to standard error")
    given = parser.parse_args(argv)
    if given.log_level is not None:
        to_stderr(given.log_level)
    saga = sagas[names.index(given.saga)] if len(sagas) > 1 else sagas[0]
    try:
        call = decode_arguments(saga, _read(given.input))
    except (OSError, DecodeError) as error:
        return _refuse(_where(error))
    folder = str(Path(sys.argv[0]).resolve().parent) if sys.argv[0] else ""
    try:
        with observing() as telemetry:
            result = asyncio.run(_run(call, services, given.id, folder, observers(log, *telemetry)))
    except (ConnectProblem, BadValue, ValueError) as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("left as it is: what was done is not undone", file=sys.stderr)
        return 130
    sys.stdout.buffer.write(dump(shown(result)) + b"\n")
    return 0 if isinstance(result.outcome, Completed) else 1


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _where(error: Exception) -> str:
    if isinstance(error, DecodeError):
        return f"{error.shape}: {error.message}" if error.parts else error.message
    return str(error)


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


async def _run(
    call: SagaCall[Any],
    services: Sequence[Service],
    saga_id: str | None,
    folder: str,
    observer: Observer,
) -> RunResult[Any]:
    transport = connect(services, os.environ, folder=folder)
    try:
        engine = MemoryEngine(SystemClock(), transport, random.SystemRandom().random, observer)
        running = begin(call, engine=engine, saga_id=saga_id)
        with _cancelling(running.cancel):
            return await running.result()
    finally:
        await transport.aclose()


@contextmanager
def _cancelling(cancel: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C asks the saga to cancel; a second one leaves it as it is."""
    loop, asked = asyncio.get_running_loop(), False

    def interrupted() -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        print(
            "asking it to cancel and undo; past its point of no return it goes on."
            " Ctrl-C again leaves all as it is",
            file=sys.stderr,
        )
        cancel()

    try:
        loop.add_signal_handler(signal.SIGINT, interrupted)
    except (NotImplementedError, RuntimeError):  # Windows; or not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def decode_arguments(saga: SagaDefinition[..., Any], json_text: str | bytes) -> SagaCall[Any]:
    """The saga with its arguments, from a JSON object of its parameters.

    A saga of one parameter also takes that parameter's value itself. Raises `DecodeError`, whose
    path never shows the keys of maps: they may be secret.
    """
    fields = parse(json_text)
    if not isinstance(fields, dict):
        raise DecodeError("expected an object with the saga's parameters")
    params = saga.params
    wires = [wire for _, wire, _, _ in params]
    if len(params) == 1 and not fields.keys() & set(wires):
        fields = {wires[0]: fields}
    refuse_unknown(fields, wires)
    found = {}
    for name, wire, kind, may_be_left_out in params:
        if wire in fields:
            try:
                found[name] = read(fields[wire], kind, Mode.INPUT)
            except DecodeError as error:
                error.hide_keys = True
                error.within(wire)
                raise
        elif not may_be_left_out:
            raise DecodeError("this parameter is missing", wire)
    return saga(**found)


def shown(result: RunResult[Any]) -> dict[str, Any]:
    """The outcome as plain JSON. The fields of an error stay out: they may be secret."""
    told: dict[str, Any] = {"saga_id": result.saga_id}
    match result.outcome:
        case Completed(value):
            told |= {"outcome": "completed", "value": plain(value, result.definition.result)}
        case Compensated(error):
            told |= {"outcome": "compensated", "error": error.name}
        case _:
            owed = [{"step": i.label, "error": i.failure.name, "team": i.team} for i in result.owed]
            told |= {"outcome": "escalated", "owed": owed}
    return told
