"""The command line of a compiled module: arguments as JSON in, the outcome as JSON out.

    python order.py input.json
    python order.py - < input.json
    python shop.py input.json --send 'Review {"verdict": "Approved", "by": "eve"} after 2s'

It is kept in a journal file: started again after the death of its process, it goes on.
Exit status: 0 completed, 1 compensated or escalated, 2 could not run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sagalang.machine.events import Compensated, Completed
from sagalang.machine.outcomes import Failure
from sagalang.runtime.codec import DecodeError, Mode, dump, parse, plain, read, refuse_unknown
from sagalang.runtime.earlier import EarlierRunError
from sagalang.runtime.engine import EngineError
from sagalang.runtime.entry_codec import EntryError
from sagalang.runtime.logs import LEVELS, log, to_stderr
from sagalang.runtime.observers import observers
from sagalang.runtime.place import IN_MEMORY, journal_file
from sagalang.runtime.problems import ConnectProblem
from sagalang.runtime.saga import BadValue, RunResult, connect
from sagalang.runtime.saga_alone import Asked, in_memory, on_file
from sagalang.runtime.saga_calls import SagaCall, SagaDefinition
from sagalang.runtime.saga_sends import milliseconds_of, read_send
from sagalang.runtime.saga_services import Service
from sagalang.runtime.sqlite import StoreError
from sagalang.runtime.telemetry import observing
from sagalang.runtime.transport import Transport


def main(
    sagas: Sequence[SagaDefinition[..., Any]],
    services: Sequence[Service[Any]],
    argv: Sequence[str] | None = None,
    *,
    events: Sequence[type] = (),
    own: Mapping[str, Transport] | None = None,
) -> int:
    """Run a saga on the input that the command line names; the exit status.

    `events`: those that `--send` can send. `own`: transports of your own, as for `connect`.
    """
    parser = argparse.ArgumentParser(description="Run a saga on JSON and print its outcome.")
    names = [saga.name for saga in sagas]
    if len(sagas) > 1:
        parser.add_argument("saga", choices=names, help="which saga")
    parser.add_argument("input", nargs="?", default="-", help="a JSON file; - is standard input")
    parser.add_argument("--id", help="the run's id, instead of the one the saga gives")
    about = """send an event to the saga: 'Name {"field": …} after 2s'"""
    parser.add_argument("--send", action="append", default=[], metavar="EVENT", help=about)
    about = "ask the saga to cancel, e.g. 500ms"
    parser.add_argument("--cancel-after", metavar="DURATION", help=about)
    about = "the journal file, by default .saga/journal.db (also: SAGA_DB); :memory: keeps nothing"
    parser.add_argument("--db", metavar="FILE", default=os.environ.get("SAGA_DB"), help=about)
    about = "also go on with a run that another version of the saga began"
    parser.add_argument("--accept", action="append", default=[], metavar="VERSION", help=about)
    about = "also undo what an earlier run of this id did that no journal knows of"
    parser.add_argument("--take-over", action="store_true", help=about)
    parser.add_argument("--log-level", choices=LEVELS, help="log to standard error")
    given = parser.parse_args(argv)
    if given.log_level is not None:
        to_stderr(given.log_level)
    saga = sagas[names.index(given.saga)] if len(sagas) > 1 else sagas[0]
    try:
        sends = [read_send(text, events) for text in given.send]
        cancel = milliseconds_of(given.cancel_after) if given.cancel_after else None
        call = decode_arguments(saga, _read(given.input))
    except (OSError, DecodeError, ValueError) as error:
        return _refuse(_where(error))
    in_file = given.db != IN_MEMORY
    asked = Asked(call, given.id, sends, cancel, given.take_over, given.accept)
    reach = partial(connect, services, os.environ, own=own, folder=_folder())
    try:
        with observing() as telemetry:
            told = observers(log, *telemetry)
            if in_file:
                result = asyncio.run(on_file(asked, reach, told, journal_file(given.db or None)))
            else:
                result = asyncio.run(in_memory(asked, reach, told))
    except EarlierRunError as error:
        advice = "run another: --id ID; or, if that run never ended, undo what it did: --take-over"
        return _refuse(f"{error}\n  = help: {advice}")
    except (StoreError, EntryError) as error:
        return _refuse(f"{error}\n  = help: {error.advice}" if error.advice else str(error))
    except (ConnectProblem, EngineError, BadValue, ValueError) as error:
        return _refuse("; ".join([str(error), *getattr(error, "__notes__", ())]))
    except KeyboardInterrupt as left:
        at = f" at {', '.join(left.args)}" if left.args else ""
        then = "the same command goes on with it" if in_file else "what was done is not undone"
        print(f"left as it is{at}: {then}", file=sys.stderr)
        return 130
    if not isinstance(result.outcome, Completed):
        print(_why(result), file=sys.stderr)
    sys.stdout.buffer.write(dump(shown(result)) + b"\n")
    return 0 if isinstance(result.outcome, Completed) else 1


def _folder() -> str:
    """Where Python services are looked for first: beside the module that was started; a package
    finds them as it was found itself."""
    package = getattr(sys.modules["__main__"], "__package__", None)
    return "" if package or not sys.argv[0] else str(Path(sys.argv[0]).resolve().parent)


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _where(error: Exception) -> str:
    if isinstance(error, DecodeError):
        return f"{error.shape}: {error.message}" if error.parts else error.message
    return str(error)


def _why(result: RunResult[Any]) -> str:
    """What stopped the saga, and where; what an error's fields say stays out."""
    at = f"{result.failed_at}: " if result.failed_at else ""
    match result.outcome:
        case Compensated(error):
            return f"{at}compensated with {error.name}{_detail(error)}"
        case _:
            owed = ", ".join(
                f"{i.label} ({i.failure.name}{_detail(i.failure)})" for i in result.owed
            )
            return f"{at}escalated: {owed}"


def _detail(failure: Failure) -> str:
    return f": {failure.detail}" if failure.detail else ""


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


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
