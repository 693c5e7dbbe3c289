"""Compiled sagas in an application that serves: start them, send them events, look at them.

async with serving([PLACE_ORDER], SERVICES, os.environ) as runs:
    order_id = await runs.start(PLACE_ORDER(order))
    await runs.signal(order_id, Review(verdict=Verdict.Approved, by="eve"))
    runs.inspect(order_id).state
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sagalang.machine.events import How
from sagalang.runtime import words
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.driven import SettlementRefusedError
from sagalang.runtime.earlier import EarlierRunError
from sagalang.runtime.engine import EngineError, MemoryEngine, NoSuchRunError, OtherInputError
from sagalang.runtime.logs import log
from sagalang.runtime.observers import Observer
from sagalang.runtime.place import IN_MEMORY
from sagalang.runtime.problems import EnvironmentProblem
from sagalang.runtime.saga import BadValue, connect
from sagalang.runtime.saga_account import Owed
from sagalang.runtime.saga_calls import SagaDefinition
from sagalang.runtime.saga_durable import Found, Keeping, RunOverError
from sagalang.runtime.saga_runs import GRACE, InMemory, Runs, RunView, State
from sagalang.runtime.saga_services import Service
from sagalang.runtime.sqlite import StoreError, open_store
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.sqlite_engine import OtherDefinitionError
from sagalang.runtime.transport import Router, Transport

__all__ = [
    "BadValue",
    "EarlierRunError",
    "EngineError",
    "How",
    "InMemory",
    "NoSuchRunError",
    "OtherDefinitionError",
    "OtherInputError",
    "Owed",
    "RunOverError",
    "RunView",
    "Runs",
    "SettlementRefusedError",
    "State",
    "StoreError",
    "serving",
]

logger: Final = logging.getLogger("sagalang.app")

PATIENCE: Final = 15.0
"""Seconds to wait for a journal file that another process has, such as one that is stopping."""
_MOST_NAMED: Final = 20


@asynccontextmanager
async def serving(
    sagas: Collection[SagaDefinition[..., Any]],
    services: Iterable[Service[Any]],
    environ: Mapping[str, str],
    *,
    db: str | os.PathLike[str] | None = None,
    accepts: Collection[str] = (),
    own: Mapping[str, Transport] | None = None,
    folder: str = "",
    observer: Observer = log,
    grace: float = GRACE,
) -> AsyncIterator[Runs]:
    """The runs of these sagas while the body runs; for the lifespan of an application.

    `db`: the journal file that they are kept in, by default what `SAGA_DB` says; one process has
    it at a time. What an earlier process left unfinished goes on at once. `:memory:` keeps nothing.
    `accepts`: other versions of the sagas whose runs may go on with these. `own` and `folder` as
    for `connect`.

    At the end calls that are under way have `grace` seconds to end; the runs go on at the next
    start, from where they are. In memory the runs themselves have that time, and what is left of
    them is lost, and named in the log (`sagalang.app`).

    Raises what `connect` raises, `EnvironmentProblem` where no file is named, and `StoreError`.
    """
    place = os.fspath(db) if db is not None else environ.get("SAGA_DB")
    if not place:
        raise EnvironmentProblem(
            "no journal file is named for the runs: set SAGA_DB, or give db=; :memory: keeps none"
        )
    transport = connect(services, environ, own=own, folder=folder)
    try:
        if place == IN_MEMORY:
            async with _in_memory(transport, observer, grace) as runs:
                yield runs
        else:
            async with _on_file(
                Path(place), sagas, transport, environ, accepts, observer, grace
            ) as runs:
                yield runs
    finally:
        await transport.aclose()


@asynccontextmanager
async def _in_memory(transport: Router, observer: Observer, grace: float) -> AsyncIterator[Runs]:
    clock, draw = SystemClock(), random.SystemRandom().random
    runs = Runs(lambda told, _: InMemory(MemoryEngine(clock, transport, draw, told)), observer)
    try:
        yield runs
    finally:
        lost = await runs.stop(grace)
        if lost:
            logger.error("lost, for they were in memory only: %s", _listed(lost))


@asynccontextmanager
async def _on_file(
    path: Path,
    sagas: Collection[SagaDefinition[..., Any]],
    transport: Router,
    environ: Mapping[str, str],
    accepts: Collection[str],
    observer: Observer,
    grace: float,
) -> AsyncIterator[Runs]:
    clock = SystemClock()
    command = Path(sys.argv[0]).name or "an application"
    with open_store(path, command=command, now=clock.now(), wait=PATIENCE) as store:
        keeping: Keeping

        def shelf(told: Observer, found: Found) -> Keeping:
            nonlocal keeping
            sealing = Sealing(path, environ)
            keeping = Keeping(
                store,
                sagas,
                transport,
                sealing,
                clock=clock,
                observer=told,
                found=found,
                accepts=accepts,
            )
            return keeping

        runs = Runs(shelf, observer)
        runs.go_on()
        hearing = asyncio.create_task(keeping.hear(runs.reached, runs.wake), name="inbox")
        try:
            yield runs
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            left = await runs.stop(grace)
            if left:
                logger.info("left as they are, to go on at the next start: %s", _listed(left))


def _listed(ids: tuple[str, ...]) -> str:
    first = ", ".join(map(words.printable, ids[:_MOST_NAMED]))
    more = len(ids) - _MOST_NAMED
    return f"{first} and {more} more" if more > 0 else first
