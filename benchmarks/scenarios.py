"""1,000 scenarios over examples/shop: `saga test` against pytest functions that do the same.

python benchmarks/scenarios.py [--scenarios N] [--rounds N]

The peer is what one writes without scenarios: a pytest function for each case that runs the saga by
the same interpreter on the same fakes in simulated time and asserts how it ended. Both are whole
processes: start-up, reading and checking the file, running, reporting.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOP = ROOT / "examples" / "shop"
SAGA = Path(sys.executable).parent / "saga"

CASES = (
    ("", "completed", "Completed"),
    ('when Inventory.reserve("B", 2) rejects OutOfStock(sku: "B")', "compensated", "Compensated"),
    ("when Payment.authorize times out after effect, always", "compensated", "Compensated"),
    ("when Shipping.book unavailable, 3 times", "completed", "Completed"),
    ("when crash after Payment.capture", "completed", "Completed"),
)
"""(fault, expectation, class of the outcome)"""

TEST = """
from sagalang.machine import events
from sagalang.machine.evaluate import Build, Scope, evaluate
from sagalang.runtime.clock import simulated
from sagalang.runtime.crashing import Crashing
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.faults import plan
from sagalang.runtime.values import Values
from sagalang.interpret.run import begin
from sagalang.workspace import load

PROGRAM = load("many.saga").program
VALUES = Values(PROGRAM)
BUILD = Build(VALUES.make, VALUES.get, VALUES.convert, VALUES.update)
SCOPE = Scope(names={}, build=BUILD, constants=PROGRAM.constants)

def go(scenario):
    world = FakeWorld(PROGRAM, values=VALUES, faults=plan(PROGRAM, VALUES, scenario.faults))
    async def main(clock):
        transport = Crashing(FakeTransport(world, clock), scenario.faults)
        engine = MemoryEngine(clock, transport, lambda: 0.5)
        args = {"order": evaluate(scenario.args[0], SCOPE)}
        begun = begin(PROGRAM, "PlaceOrder", args, engine=engine, values=VALUES)
        transport.crash = begun.crash
        return await begun.result()
    return simulated(main)
"""


def scenarios(count: int) -> str:
    text = (SHOP / "shop.saga").read_text("utf-8").partition("\nscenario ")[0]
    for number in range(count):
        fault, end, _ = CASES[number % len(CASES)]
        text += (
            f'\nscenario "case {number}" of PlaceOrder(sample with {{ id: "o-{number}" }}) {{\n'
            f"  {fault}\n  expect {end}\n}}\n"
        )
    return text


def tests(count: int) -> str:
    text = TEST
    for number in range(count):
        kind = CASES[number % len(CASES)][2]
        text += (
            f"\ndef test_case_{number}():\n"
            f"    result = go(PROGRAM.scenarios[{number}])\n"
            f"    assert isinstance(result.outcome, events.{kind})\n"
        )
    return text


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and processor time of a command."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    wall = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(done.stdout[-3_000:] + done.stderr[-3_000:])
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenarios", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="of one run, in this process")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "many.saga").write_text(scenarios(options.scenarios), "utf-8")
        (folder / "policies.saga").write_text((SHOP / "policies.saga").read_text("utf-8"))
        (folder / "test_many.py").write_text(tests(options.scenarios), "utf-8")
        if options.profile:
            profile(folder)
            return
        ours, peer = [], []
        for _ in range(options.rounds):
            ours.append(seconds([str(SAGA), "test", "many.saga"], folder))
            peer.append(
                seconds([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], folder)
            )
    count = options.scenarios
    for label, taken in (("saga test", ours), ("pytest functions", peer)):
        wall, processor = (min(times) for times in zip(*taken, strict=True))
        median = statistics.median(wall for wall, _ in taken)
        print(
            f"{label:<18} {count:,} scenarios  best {wall:.2f} s  median {median:.2f} s"
            f"  processor {processor:.2f} s  {wall / count * 1_000:.2f} ms each"
        )
    print(f"ratio (best)       {min(ours)[0] / min(peer)[0]:.2f}")


def profile(folder: Path) -> None:
    from click.testing import CliRunner

    from sagalang.cli.main import cli

    os.chdir(folder)
    watch = cProfile.Profile()
    watch.runcall(CliRunner().invoke, cli, ["test", "many.saga"])
    pstats.Stats(watch).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
