"""Clients that compete for one row by optimistic locking, and how long they back off.

The experiment of "Exponential Backoff And Jitter" (M. Brooker, AWS architecture blog, 2015; program
aws-samples/aws-arch-backoff-simulator). Each client reads the row's version and writes; the server
takes a write whose version is still the row's. A refused client backs off and begins again with
the read, until it was taken once. Each of the four hops of an attempt takes the absolute value of
a normally distributed time; two hops in a row are drawn as one, from the distribution of their sum.

Times are whole microseconds: in whole milliseconds, rounding would dominate the short back-offs.

All strategies but one are those of the original. `decorrelated` there caps what was drawn, so that
clients at the cap move together; `machine.backoff` caps the range that is drawn from, which is the
row `decorrelated, capped first`: done sooner (14 % at 190 clients), after as many calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from heapq import heapify, heappop, heapreplace
from math import sqrt
from random import Random
from typing import Final

from sagalang.machine import backoff
from sagalang.model.program import Jitter, Retry
from sagalang.simulate.workers import Told, nobody, spread

Micros = int

HOP_MEAN: Final[Micros] = 10_000
HOP_DEVIATION: Final[Micros] = 2_000
BASE: Final[Micros] = 5_000
CAP: Final[Micros] = 2_000_000
CLIENTS: Final = (10, 20, 50, 100, 150, 190)
TRIALS: Final = 100
SEED: Final = 1


Delay = Callable[[int, Micros, float], Micros]
"""The back-off before repeat n (from 1), after a last one of so long, by a draw in [0, 1)."""


def _of(jitter: Jitter) -> Delay:
    retry = Retry(retries=None, backoff=BASE, factor=Decimal(2), cap=CAP, jitter=jitter)
    # The original's exponent begins at 1: its first back-off is twice the base.
    return lambda repeat, previous, draw: backoff.delay(retry, repeat + 1, previous, draw)


def _capped_last(_: int, previous: Micros, draw: float) -> Micros:
    upper = max(previous, BASE) * 3
    return min(CAP, round(BASE + (upper - BASE) * draw))


STRATEGIES: Final[Mapping[str, Delay | None]] = {
    "none": None,
    "exponential": _of(Jitter.NONE),
    "equal": _of(Jitter.EQUAL),
    "full": _of(Jitter.FULL),
    "decorrelated": _capped_last,
    "decorrelated, capped first": _of(Jitter.DECORRELATED),
}
"""By name; None: no back-off at all, the next read leaves at once."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`calls`: the writes that reached the server. `took`: until the last client had its answer."""

    calls: int
    took: Micros


@dataclass(frozen=True, slots=True)
class Cell:
    """The mean of some trials; `took` in milliseconds."""

    strategy: str
    clients: int
    calls: float
    took: float


def contend(clients: int, delay: Delay | None, random: Random) -> Trial:
    """One trial, from the moment when all clients start."""
    gauss, draw = random.gauss, random.random
    there_and_back, deviation = 2 * HOP_MEAN, HOP_DEVIATION * sqrt(2)

    def hop() -> Micros:
        return abs(int(gauss(HOP_MEAN, HOP_DEVIATION)))

    # What reaches the server: (when, client, the version it writes or None for a read). What the
    # client does between two of them is seen by nobody else, so it is no event of its own.
    arrivals: list[tuple[Micros, int, int]] = [(hop(), client, _READ) for client in range(clients)]
    heapify(arrivals)
    attempts = [0] * clients
    waited = [0] * clients
    version = calls = took = 0
    while arrivals:
        now, client, written = arrivals[0]
        if written == version:
            calls += 1
            version += 1
            took = max(took, now + hop())
            heappop(arrivals)
            continue
        on_the_way = abs(int(gauss(there_and_back, deviation)))
        if written == _READ:
            heapreplace(arrivals, (now + on_the_way, client, version))
            continue
        calls += 1
        if delay is not None:
            attempts[client] += 1
            waited[client] = delay(attempts[client], waited[client], draw())
        heapreplace(arrivals, (now + on_the_way + waited[client], client, _READ))
    return Trial(calls, took)


_READ: Final = -1


def measure(strategy: str, clients: int, trials: int, seed: int) -> Cell:
    """The mean of `trials` trials. The same arguments always give the same figures."""
    random = Random(f"{seed}/{strategy}/{clients}")
    made = [contend(clients, STRATEGIES[strategy], random) for _ in range(trials)]
    return Cell(
        strategy,
        clients,
        sum(trial.calls for trial in made) / trials,
        sum(trial.took for trial in made) / trials / 1_000,
    )


def experiment(
    clients: Sequence[int] = CLIENTS, trials: int = TRIALS, seed: int = SEED, told: Told = nobody
) -> list[Cell]:
    """All strategies for each number of clients, on all cores."""
    jobs = [(strategy, number, trials, seed) for number in clients for strategy in STRATEGIES]
    return spread(_measured, jobs, told)


def _measured(job: tuple[str, int, int, int]) -> Cell:
    return measure(*job)
