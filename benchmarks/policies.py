"""What all policies together cost a call that succeeds, and whether it grows with many at once.

python benchmarks/policies.py [--calls N] [--rounds N]

The peer is what a careful user would assemble from well-kept libraries: tenacity around
interlock-cb around anyio's CapacityLimiter around asyncio.timeout. It has no retry budget, no rate
limit, no bound on those that queue, and no total budget; ours has them on.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import interlock
import tenacity

from sagalang.resilience import (
    Protection,
    breaker,
    bulkhead,
    rate,
    retry,
    retry_budget,
)

Call = Callable[[], Awaitable[Any]]


async def nothing() -> int:
    return 1


def ours(at_once: int) -> Call:
    guard = Protection(
        "service",
        timeout=2,
        total=30,
        retry=retry(4, backoff=0.2, up_to=5),
        retry_budget=retry_budget(20),
        breaker=breaker(50, calls=20, within=30, probe_after=10),
        rate=rate(10_000_000, per=1),
        bulkhead=bulkhead(at_once, queue=at_once),
        repeatable=True,
    )
    return guard(nothing)


def peer(at_once: int) -> Call:
    limiter = anyio.CapacityLimiter(at_once)
    circuit = interlock.CircuitBreaker(name=f"service-{random.random()}")

    async def call() -> int:
        # Inline: the decorators of both libraries cost ten microseconds more.
        async for attempt in tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(5),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
            reraise=True,
        ):
            with attempt:
                async with circuit, limiter, asyncio.timeout(2):
                    return await nothing()
        raise AssertionError

    return call


async def bare() -> int:
    return await nothing()


async def one_after_the_other(call: Call, times: int) -> float:
    """Microseconds a call."""
    began = time.process_time()
    for _ in range(times):
        await call()
    return (time.process_time() - began) / times * 1e6


async def at_once(call: Call, times: int, together: int) -> float:
    """Microseconds a call, with so many under way, each of which awaits once in the service."""
    began = time.process_time()
    for _ in range(times // together):
        await asyncio.gather(*(call() for _ in range(together)))
    return (time.process_time() - began) / (times // together * together) * 1e6


def slow_service(at_once: int, protected: bool) -> Call:
    async def answer() -> int:
        await asyncio.sleep(0.001)
        return 1

    if not protected:
        return answer
    guard = Protection(
        "service",
        timeout=60,
        retry=retry(4, backoff=0.2, up_to=5),
        retry_budget=retry_budget(20),
        breaker=breaker(50, calls=20, within=30, probe_after=10),
        rate=rate(10_000_000, per=1),
        bulkhead=bulkhead(at_once, queue=20_000),
        repeatable=True,
    )
    return guard(answer)


async def measure(times: int, rounds: int) -> None:
    columns: dict[str, list[float]] = {"bare": [], "ours": [], "peer": []}
    calls = {"bare": bare, "ours": ours(100), "peer": peer(100)}
    for _ in range(rounds):  # in turn, so that a noisy moment hits all of them
        for name, call in calls.items():
            columns[name].append(await one_after_the_other(call, times))
    best = {name: min(found) for name, found in columns.items()}
    for name, found in columns.items():
        middle = statistics.median(found)
        print(f"{name:5} best {best[name]:6.2f} us   median {middle:6.2f} us a call")
    ratio = best["ours"] / best["peer"]
    middle = statistics.median(columns["ours"]) / statistics.median(columns["peer"])
    print(f"ours / peer: {ratio:.2f} (best), {middle:.2f} (median); target 0.5")
    print(f"overhead over a bare await: {best['ours'] - best['bare']:.1f} us")

    print("\nmany at once, through a bulkhead of 64 (the rest queue):")
    sizes = (100, 1_000, 10_000)
    found: dict[tuple[bool, int], list[float]] = {}
    for _ in range(rounds):
        for protected in (False, True):
            for together in sizes:
                call = slow_service(64, protected)
                took = await at_once(call, 10_000, together)
                found.setdefault((protected, together), []).append(took)
    for protected in (False, True):
        for together in sizes:
            times, few = found[protected, together], found[protected, 100]
            print(
                f"{together:>6} {'protected' if protected else 'bare':9} best {min(times):6.2f} us"
                f"   median {statistics.median(times):6.2f} us a call,"
                f" {min(times) / min(few):.2f} and"
                f" {statistics.median(times) / statistics.median(few):.2f} times that of 100"
            )
    print("target: protected at 10,000 at most 1.3 times that at 100")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    asyncio.run(measure(given.calls, given.rounds))


if __name__ == "__main__":
    main()
