"""python -m compile.equivalence --seed 1 --count 100000: compares interpreted and compiled sagas.

Exit status: 0 no pair differed, 1 one did; it is shrunk and written to the folder that is named.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .batches import keep, run


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare interpreted and compiled sagas.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100_000, help="pairs of a saga and a script")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=Path("equivalence-differences"))
    given = parser.parse_args()
    began = time.monotonic()
    total = run(given.seed, given.count, given.jobs, lambda line: print(line, file=sys.stderr))
    took = time.monotonic() - began
    print(
        f"seed {given.seed}: {total.pairs:,} pairs of {total.sagas:,} sagas in {took:.0f} s,"
        f" {total.pairs / took:.0f}/s"
        f" ({total.refused:,} texts refused)"
    )
    if total.failed is not None:
        path = keep(total.failed, given.out)
        print(f"{total.failed.how}\n\nwritten to {path} and {path.with_suffix('.json').name}")
        return 1
    for name, count in sorted(total.features.items()):
        print(f"{count:9,}  {name}")
    print("no pair differed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
