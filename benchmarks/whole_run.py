"""What a journal file costs a whole `saga run`, from the shell to the shell.

python benchmarks/whole_run.py [--rounds N]

The order saga on fakes, in memory and on a new journal file, in turn; medians of wall and processor
time. Target: at most 1.3 times.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ORDER = Path(__file__).parents[1] / "examples" / "order" / "order.saga"


def took(db: str) -> tuple[float, float]:
    """Wall and processor seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "sagalang", "run", str(ORDER), "--mock", "--db", db]
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    memory, file = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.rounds + 1):
            one, other = took(":memory:"), took(str(Path(folder, f"{number}.db")))
            if number:  # the first warms the disk's cache
                memory.append(one)
                file.append(other)
    for index, name in enumerate(("wall", "processor")):
        in_memory = median(each[index] for each in memory)
        on_file = median(each[index] for each in file)
        print(
            f"{name:<10} memory {in_memory:.3f} s, file {on_file:.3f} s:"
            f" {on_file / in_memory:.2f} times"
        )


if __name__ == "__main__":
    main()
